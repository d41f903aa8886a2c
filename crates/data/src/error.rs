//! Errors of stored formats.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use swegym_core::RolloutKey;

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file system refused.
    #[error("{action} `{}`", path.display())]
    Io {
        /// `read`, `write` ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// One row of a file is wrong.
    #[error("read `{}`: {place}: {message}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// `line 3`, `item 3` or ``key `x` ``; counted from 1.
        place: String,
        /// What is wrong, with the field.
        message: String,
    },
    /// A file as a whole is not what it should be.
    #[error("read `{}`: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file was written by a later version of this program.
    #[error("read `{}`: its schema version {found} is newer than {known}, the newest one known here", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that can be read.
        known: u32,
    },
    /// Another process writes this run.
    #[error("open run `{}`: {holder} is using it", path.display())]
    Locked {
        /// The run directory.
        path: PathBuf,
        /// Which process, as far as it is known.
        holder: String,
    },
    /// A run was begun with other settings than it is to be resumed with.
    #[error("resume run `{}`: its settings differ: {}", path.display(), list(differences))]
    SettingsDiffer {
        /// The run directory.
        path: PathBuf,
        /// Each setting that differs.
        differences: Vec<Difference>,
    },
    /// A rollout would be written a second time.
    #[error("commit rollout `{key}`: it is committed already")]
    AlreadyCommitted {
        /// Which.
        key: RolloutKey,
    },
    /// A rollout that is not there, or did not fail, was to be tried again.
    #[error("retire rollout `{key}`: it has no record with status `failed`")]
    NotFailed {
        /// Which.
        key: RolloutKey,
    },
}

/// A setting with its two values, as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Dotted name.
    pub key: String,
    /// What `run.toml` says, if anything.
    pub stored: Option<String>,
    /// What is asked for now, if anything.
    pub given: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_unset = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        write!(f, "`{}` was {}, now {}", self.key, or_unset(&self.stored), or_unset(&self.given))
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl DataError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::TooNew { .. } => "use the version of swegym that wrote it, or a later one",
            Self::Locked { .. } => {
                "wait for that process to end or stop it, or choose another run directory with `--run`"
            }
            Self::SettingsDiffer { .. } => {
                "use the same settings, or another run directory with `--run` or `-o`"
            }
            Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                "make room on the disk (`df -h`, and `df -i` for the number of files) and run the same command \
                 again: finished rollouts are kept"
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "choose a run directory that can be written to with `--run` or `-o`"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }

    pub(crate) fn malformed(path: &Path, message: impl fmt::Display) -> Self {
        Self::Malformed { path: path.to_owned(), message: message.to_string() }
    }
}

/// Gives an input-output error the path that it is about.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DataError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DataError> {
        self.map_err(|source| DataError::Io { action, path: path.to_owned(), source })
    }
}
