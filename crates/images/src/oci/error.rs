//! What can go wrong with images of the OCI and Docker world.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::StoreError;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Reading the archive or writing the tree failed.
    #[error("{action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path of the layer.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The archive is damaged, or made to do harm.
    #[error("accept the entry `{path}`: {reason}")]
    Entry {
        /// Name of the entry, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit was reached.
    #[error("stay within the limits: {0}")]
    Limit(String),
    /// A hard link to a file that the layer does not hold.
    #[error("make the hard link `{path}`: neither this layer nor one below holds `{target}`")]
    NoLinkTarget {
        /// The link.
        path: String,
        /// What it should lead to.
        target: String,
    },
}

/// What kept an image from being pulled, pushed, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Not a name of an image.
    #[error("read the image name `{name}`: {reason}")]
    BadReference {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The settings for registries are at fault.
    #[error("use the registry settings: {0}")]
    BadSettings(String),
    /// A registry does not answer, or stops in the middle of an answer.
    #[error("reach the registry `{host}`: {message}")]
    Unreachable {
        /// Its address.
        host: String,
        /// What happened.
        message: String,
    },
    /// A registry answered with an error.
    #[error("get `{what}` from `{host}`: HTTP status {status}{message}")]
    Status {
        /// What was asked for.
        what: String,
        /// Of whom.
        host: String,
        /// The status.
        status: u16,
        /// What the answer says, with a colon before it, or nothing.
        message: String,
    },
    /// A registry wants other credentials, or any.
    #[error("get access to `{what}` at `{host}`: the registry refuses{message}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// Of whom.
        host: String,
        /// What the answer says, with a colon before it, or nothing.
        message: String,
    },
    /// A registry wants to be left alone for longer than we wait.
    #[error("get `{what}` from `{host}`: the registry asks to wait {} s", wait.as_secs())]
    RateLimited {
        /// What was asked for.
        what: String,
        /// Of whom.
        host: String,
        /// How long it asks for.
        wait: Duration,
    },
    /// Something is not what its digest, its size or its description says.
    #[error("verify {what}: {reason}")]
    Mismatch {
        /// What it is.
        what: String,
        /// How it differs.
        reason: String,
    },
    /// Something that we do not read.
    #[error("read {what}: {reason}")]
    Unsupported {
        /// What it is.
        what: String,
        /// Why not.
        reason: String,
    },
    /// An image does not exist for the platform that was asked for.
    #[error("choose a platform: there is no image for `{wanted}`, only for {offered}")]
    NoPlatform {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: String,
    },
    /// A layer was not unpacked.
    #[error("unpack the layer `{digest}`")]
    Layer {
        /// Digest of its archive.
        digest: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// A layer or the host base cannot be made an archive.
    #[error("pack `{}`: {reason}", path.display())]
    Pack {
        /// What of it.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No image has this name here.
    #[error("find the image `{0}`: nothing of that name has been pulled, imported or built here")]
    NoSuchImage(String),
    /// An archive is not one of ours to read.
    #[error("read the archive `{}`: {reason}", path.display())]
    Archive {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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
    /// The layer store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OciError {
    /// For `map_err` on file operations.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Something is not what it should be.
    pub(crate) fn mismatch(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Mismatch { what: what.into(), reason: reason.into() }
    }

    /// Something that we do not read.
    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), reason: reason.into() }
    }

    /// What the user can do.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::BadReference { .. } => "a name looks like `registry/folder/name:tag` or `name@sha256:...`",
            Self::Unauthorized { .. } => {
                "log in (`docker login`, `podman login`, `skopeo login`), or check the name: registries answer \
                 like this for what does not exist, too"
            }
            Self::RateLimited { .. } => "log in for a higher limit, or use `--mirror REGISTRY=URL`",
            Self::Unreachable { .. } => {
                "use `--mirror REGISTRY=URL`, or `--plain-http HOST` for one without TLS"
            }
            Self::NoPlatform { .. } => "choose one with `--platform OS/ARCHITECTURE`",
            Self::NoSuchImage(_) => "`swegym images pull NAME` gets it",
            Self::Status { status: 404, .. } => "check the name and the tag",
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}
