//! Why a patch cannot be read.

use thiserror::Error;

/// Why a patch cannot be read; each names the exception that upstream raises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The lines do not make a unified diff.
    #[error("parse the patch: line {line}: {what}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A line `+++` comes before any line `---`.
    #[error("parse the patch: line {line}: a new file name without an old one")]
    NoSource {
        /// From 1.
        line: usize,
    },
    /// Binary content belongs to no file.
    #[error("parse the patch: line {line}: binary content without a file")]
    BinaryWithoutFile {
        /// From 1.
        line: usize,
    },
    /// `Binary file X has changed` names no new file, so the path of the change is unknown.
    #[error("tell which file changes: `{old_name}` has no new name")]
    NoTarget {
        /// Old name of the file.
        old_name: String,
    },
    /// A number in the header of a hunk has no place in 64 bits. Python reads such numbers, up to 4,300 digits.
    #[error("parse the patch: a line number of {digits} digits is too large")]
    NumberTooLarge {
        /// How many it has.
        digits: usize,
    },
    /// The path of a file begins with a character that upstream does not expect.
    #[error("read a file name in `{line}`")]
    UnusualName {
        /// The whole line.
        line: String,
    },
    /// The header of a hunk has no second `@@`.
    #[error("find the second `@@` in `{line}`")]
    NoHeading {
        /// The whole line.
        line: String,
    },
    /// The lines `---` and `+++` of a part do not follow each other.
    #[error("shorten the patch: a part of it does not begin with the names of a file")]
    NoNames,
}

impl DiffError {
    /// Type of the Python exception.
    pub fn upstream(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "UnidiffParseError",
            Self::NoSource { .. } => "UnboundLocalError",
            Self::NoTarget { old_name } if old_name == "/dev/null" => "AttributeError",
            Self::NoTarget { .. } => "TypeError",
            Self::NumberTooLarge { .. } => "ValueError",
            Self::BinaryWithoutFile { .. } | Self::UnusualName { .. } => "AttributeError",
            Self::NoHeading { .. } | Self::NoNames => "IndexError",
        }
    }
}
