//! What others read in patches: file lists, parts, shortened forms. The rules are those of the Python library unidiff
//! 0.7.5 and of the programs that SWE-bench and OpenHands built on it, mistakes included, so that equal patches give
//! equal data. Whether a patch applies is not decided here; that is for git.
//!
//! Nothing here panics, and everything takes time in proportion to the patch, whatever the patch holds.

mod error;
mod file;
mod header;
mod minimal;
mod moatless;
mod names;
mod openhands;
mod parse;
mod python;

pub use error::DiffError;
pub use file::{Hunk, Line, LineKind, PatchedFile};
pub use minimal::minimal_patch;
pub use moatless::{HunkPlace, code_before_after, hunk_places};
pub use names::{Parts, is_test_path, modified_files, reset_files, split_tests};
pub use openhands::{REMOVE_BINARY_FILES, clean_prediction, remove_binary_diffs};
pub use parse::parse;

#[cfg(test)]
mod hostile;
