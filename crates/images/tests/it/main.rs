//! Integration tests of images from and for other tools.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests end where they cannot go on, and say when they skip"
)]

mod archives;
mod hostile;
mod registry;
mod support;
