//! Evaluation of predictions on a tiny repository, with real git and GNU patch.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod apply;
mod evaluate;
mod host_sandbox;
mod parser_choice;
