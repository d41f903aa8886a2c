//! The scaffold `workflow`.

mod code;
mod difflib;
mod file;
mod lines;
mod show;
mod tokens;

pub use file::{CodeFile, CodeFileError, FileRules, SpanFacts, Update, without_repeated_tail};
pub use lines::{Raised, is_string_in, is_test_pattern, line_after, line_before};
pub use show::Show;
pub use tokens::{CountTokens, WordTokens};
