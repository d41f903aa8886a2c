//! What in an image shows the answer, and what a test run did that it has no business with.
//!
//! Nothing here changes a verdict: it finds, and says so.

mod archive;
mod blocks;
mod contents;
mod gold_text;
mod image;
mod installed;
mod names;
mod objects;
mod repository;
mod run;
mod search;

pub use image::{ImageAudit, audit_incomplete, is_incomplete, is_leak};
pub use run::RunAudit;
