//! Integration tests of the command line and of the workspace.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must end")]

mod bad_input;
mod edges;
mod machine;
mod pipeline;
mod support;
