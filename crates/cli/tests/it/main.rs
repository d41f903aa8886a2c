//! Integration tests of the command line and of the workspace.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests end where they cannot go on, and say when they skip"
)]

mod audit;
mod bad_input;
mod edges;
mod foreign_images;
mod full_disk;
mod gateway;
mod images;
mod machine;
mod outside;
mod pipeline;
mod prompts;
mod scaffolds;
mod stored_runs;
mod support;
