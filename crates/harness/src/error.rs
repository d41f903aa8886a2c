//! Why a log or a run could not be graded.

/// Why a log or a run could not be graded. Most of it happens only under the profiles of upstream, where upstream
/// raises an exception.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GradeError {
    /// No profile has this name.
    #[error("choose a profile: `{name}` is none; there are `swegym`, `swebench4`, `swebench5` and `strict`")]
    UnknownProfile {
        /// What was asked for.
        name: String,
    },
    /// No log parser has this name.
    #[error("choose a log parser: there is none of the name `{name}`")]
    UnknownParser {
        /// What was asked for.
        name: String,
    },
    /// The profile has no log parser for this repository.
    #[error("choose a log parser: there is none for the repository `{repo}`")]
    UnknownRepo {
        /// The repository, as the profile derives it.
        repo: String,
    },
    /// The log is not UTF-8.
    #[error("read the log: byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// A line that looks like a result has a word too few.
    #[error("read the log: line {line} has a status and no test")]
    MissingWord {
        /// Number of the line, from 1.
        line: usize,
    },
    /// There is no prediction, whose model would name the report of the run.
    #[error("name the report of the run: there is no prediction")]
    NoPrediction,
    /// The stored report of an instance is not one.
    #[error("read the report of `{instance_id}`: {message}")]
    BadReport {
        /// Whose report.
        instance_id: String,
        /// What is wrong.
        message: String,
    },
}

impl GradeError {
    /// The Python exception that upstream raises in its place.
    pub fn upstream_exception(&self) -> &'static str {
        match self {
            Self::UnknownProfile { .. } => "ValueError",
            Self::UnknownParser { .. } | Self::UnknownRepo { .. } | Self::BadReport { .. } => "KeyError",
            Self::NotUtf8 { .. } => "UnicodeDecodeError",
            Self::MissingWord { .. } | Self::NoPrediction => "IndexError",
        }
    }
}
