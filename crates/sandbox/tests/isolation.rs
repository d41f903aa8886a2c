//! Attempts to get out of a sandbox, or to do harm from inside, each of which must fail. Each says in one line how
//! it was refused (`cargo test -p swegym-sandbox --test isolation -- --nocapture`). Started by root, everything
//! runs once more as an ordinary user.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output what it tried"
)]

mod isolation {
    pub(crate) mod attempt;
    mod ends;
    mod files;
    mod kernel;
    mod lab;
    mod network;
    mod processes;
    mod resources;
    mod trees;
}
mod support;

#[test]
fn every_attempt_fails_for_an_ordinary_user() {
    support::run_as_an_ordinary_user();
}
