//! Predictions that cheat, against real pytest in real sandboxes: none of them resolves, and each leaves a finding of
//! an expected kind. Beside that it is counted how many fool each rule set of upstream, which grade the log alone.
//!
//! Where this machine has no sandboxes, or no pytest for `/usr/bin/python3`, the tests say so and pass.
//! `SWEGYM_TEST_PYTEST` can name a folder that holds pytest, as `pip install --target` makes it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

mod config;
mod files;
mod honest;
mod image;
mod lab;
mod output;
mod plugin;
mod process;
mod runner;
mod startup;
mod upstream;
