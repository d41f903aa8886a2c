//! Whole runs, on the toy repository and in real sandboxes. Where this machine cannot make sandboxes, the tests
//! say so and pass.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says on standard output when it is skipped"
)]

mod destroyed;
mod docker;
mod endpoint;
mod hostile;
mod infrastructure;
mod outside;
mod resume;
mod scaffolds;
mod text_calls;
mod toy;
mod verdicts;
