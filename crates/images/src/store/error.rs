//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

/// What kept the store from working.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("{action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A layer of a shared store does not hold what its name says.
    #[error("copy the layer `{id}` of the shared store `{}`: its content is not what its name says", path.display())]
    Corrupt {
        /// Digest of the layer.
        id: String,
        /// The shared store.
        path: PathBuf,
    },
}

/// Says what was tried on what, where a file operation fails.
pub(super) fn at<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + use<'a> {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}
