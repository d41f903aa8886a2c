//! Errors of building images.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use swegym_core::{Boundary, Failure};
use swegym_images::StoreError;
use swegym_sandbox::SandboxError;

/// What kept an image from being built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The specs file cannot be read.
    #[error("read the environment specs `{}`: {message}", path.display())]
    Specs {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// There is no spec for a repository and version.
    #[error("find the environment spec of `{repo}` version `{version}`: {}", known_versions(known))]
    NoSpec {
        /// Repository.
        repo: String,
        /// Version.
        version: String,
        /// Versions of the repository that have one.
        known: Vec<String>,
    },
    /// A published image cannot be had.
    #[error(transparent)]
    Image(#[from] swegym_images::oci::OciError),
    /// A repository has none of the files that list its packages.
    #[error("find the package list of `{repo}`: {}", tried_paths(tried))]
    NoPackageFile {
        /// Repository.
        repo: String,
        /// Paths that were looked at; none where upstream knows none.
        tried: Vec<String>,
    },
    /// A requirements file names another one by an absolute path.
    #[error("follow the requirements file `{path}`: it lies outside the repository")]
    RequirementsPath {
        /// The path.
        path: String,
    },
    /// What the files of a repository ask for is more than any real one does.
    #[error("put the package list of `{repo}` together: it is longer than {max} bytes")]
    PackageListTooLong {
        /// Repository.
        repo: String,
        /// What is allowed.
        max: usize,
    },
    /// A spec lacks what a script needs.
    #[error("make the scripts of the image: the spec has no `{column}`")]
    SpecColumn {
        /// What it lacks.
        column: &'static str,
    },
    /// No package index is known.
    #[error("find a package index: {message}")]
    NoIndex {
        /// What was tried.
        message: String,
    },
    /// A file could not be had from the package index.
    #[error("fetch `{file}` from the package index: {message}")]
    Fetch {
        /// Name of the file.
        file: String,
        /// What happened.
        message: String,
    },
    /// A source distribution is malformed or tries to leave its folder.
    #[error("unpack `{file}`: {message}")]
    Unpack {
        /// Name of the file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// No interpreter of a version is to be had.
    #[error("find Python `{version}`: {message}")]
    NoPython {
        /// The version asked for.
        version: String,
        /// What `uv` said.
        message: String,
    },
    /// The repository is not in the repositories folder, or lacks the commit.
    #[error("find commit `{commit}` of `{repo}`: {message}")]
    Repository {
        /// Repository.
        repo: String,
        /// The commit asked for.
        commit: String,
        /// What is missing.
        message: String,
    },
    /// A build step in a sandbox failed.
    #[error("build the image: {step}: {message}")]
    Build {
        /// The step, such as `install packages`.
        step: String,
        /// End of its output.
        message: String,
    },
    /// A program of the host failed or is missing.
    #[error("run `{program}`: {message}")]
    Program {
        /// The program.
        program: String,
        /// What happened.
        message: String,
    },
    /// A sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The layer store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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
}

impl EnvironmentError {
    /// What the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoSpec { .. } => "give a file that has it with `--specs`",
            Self::NoIndex { .. } => {
                "install pip (Debian: `apt install python3-pip`), or set UV_DEFAULT_INDEX to the address of an index"
            }
            Self::Fetch { .. } => {
                "check the network and proxy settings; what was fetched before stays in the cache"
            }
            Self::NoPython { version, .. } => {
                return vec![format!(
                    "install Python {version}, for example with `uv python install` or pyenv"
                )];
            }
            Self::Repository { .. } => {
                "`--repos DIR` holds git repositories as `owner__name` or `owner/name`; a full clone has every commit"
            }
            Self::Sandbox(error) => return error.hints(),
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

impl From<&EnvironmentError> for Failure {
    fn from(error: &EnvironmentError) -> Self {
        let (kind, retryable) = match error {
            EnvironmentError::Sandbox(error) => return error.into(),
            EnvironmentError::NoSpec { .. }
            | EnvironmentError::Specs { .. }
            | EnvironmentError::NoPackageFile { .. }
            | EnvironmentError::RequirementsPath { .. }
            | EnvironmentError::PackageListTooLong { .. }
            | EnvironmentError::SpecColumn { .. } => ("image_spec", false),
            EnvironmentError::NoPython { .. } => ("image_python", false),
            EnvironmentError::Repository { .. } => ("image_repository", false),
            _ if is_full(error) => ("disk_full", true),
            EnvironmentError::Fetch { .. } | EnvironmentError::NoIndex { .. } => ("image_fetch", true),
            EnvironmentError::Store(_) | EnvironmentError::Io { .. } => ("image_store", true),
            EnvironmentError::Image(_) => ("image_pull", true),
            _ => ("image_build", false),
        };
        let mut message = format!("failed to {error}");
        for cause in causes(error) {
            message.push_str(&format!(": {cause}"));
        }
        Self { boundary: Boundary::Sandbox, kind: kind.to_owned(), message, retryable }
    }
}

/// What led to an error, the last first.
fn causes(error: &EnvironmentError) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// Whether the disk that something was to be written to is full, or has no room for more files.
fn is_full(error: &EnvironmentError) -> bool {
    // Programs in a sandbox can only say it in words.
    if let EnvironmentError::Build { message, .. } = error {
        return message.contains("No space left on device");
    }
    let kinds = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kinds.into_iter().any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// More versions than this are not listed.
const LISTED: usize = 12;

fn known_versions(known: &[String]) -> String {
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    known.sort_by_key(|version| {
        version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u64>>()
    });
    match known[..] {
        [] => "the specs do not have the repository".to_owned(),
        [first, second, .., before, last] if known.len() > LISTED => {
            format!("the specs have {} versions: {first}, {second}, ..., {before}, {last}", known.len())
        }
        _ => format!("the specs have {}", known.join(", ")),
    }
}

fn tried_paths(tried: &[String]) -> String {
    if tried.is_empty() {
        "no path is known for it".to_owned()
    } else {
        format!("the commit has none of {}", tried.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use swegym_images::oci::{OciError, UnpackError};

    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_whoever_meets_it() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let path = PathBuf::from("store/layers");
        let store = StoreError::Io { action: "write", path: path.clone(), source: full() };
        let unpack = UnpackError::Io { action: "write", path: "usr/bin/x".to_owned(), source: full() };
        let layer = OciError::Layer { digest: "sha256:0".to_owned(), source: unpack };
        let build = |message: &str| EnvironmentError::Build {
            step: "install packages".to_owned(),
            message: message.to_owned(),
        };
        let failure = |error: EnvironmentError| Failure::from(&error);
        let found = failure(layer.into());
        assert_eq!(found.kind, "disk_full");
        assert_eq!(
            found.message,
            "failed to unpack the layer `sha256:0`: write `usr/bin/x`: no storage space"
        );
        assert_eq!(failure(store.into()).kind, "disk_full");
        assert_eq!(failure(EnvironmentError::Io { action: "write", path, source: full() }).kind, "disk_full");
        assert_eq!(failure(build("copy x: No space left on device (os error 28)")).kind, "disk_full");
        assert_eq!(failure(build("no such package")).kind, "image_build");
    }

    #[test]
    fn versions_are_in_order_and_not_all_listed() {
        let known = |versions: &[&str]| {
            known_versions(&versions.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(known(&["1.10", "1.9", "v5.3"]), "the specs have v5.3, 1.9, 1.10");
        let many: Vec<String> = (0..40).rev().map(|minor| format!("3.{minor}")).collect();
        assert_eq!(known_versions(&many), "the specs have 40 versions: 3.0, 3.1, ..., 3.38, 3.39");
    }
}
