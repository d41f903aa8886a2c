//! Trees of files as a stream, into and out of a sandbox. Both ends use the same code, and neither trusts what
//! it reads: not the tree, which others may change meanwhile, and not the stream.
//!
//! The stream is a tar archive of files, folders and symbolic links, with the GNU form of long names and no
//! other extension.

mod pack;
mod pipe;
mod unpack;

pub(crate) use pack::pack;
pub(crate) use pipe::PatientPipe;
pub(crate) use unpack::{Rules, unpack};

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::os::fd::{AsFd, OwnedFd};

/// Longest path the kernel takes, without the zero at its end.
const PATH_BYTES: usize = 4095;

/// What went wrong with a tree.
#[derive(Debug)]
pub(crate) struct TreeError {
    pub(crate) message: String,
    pub(crate) errno: Option<i32>,
}

impl TreeError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), errno: None }
    }

    /// What the kernel said about a path of the tree.
    fn at(path: &Path, error: impl Into<io::Error>) -> Self {
        let error: io::Error = error.into();
        let errno = error.raw_os_error();
        let said = errno.map_or_else(|| error.to_string(), |raw| Errno::from_raw(raw).desc().to_owned());
        let place = if path.as_os_str().is_empty() { String::new() } else { format!("`{}`: ", shown(path)) };
        Self { message: format!("{place}{said}"), errno }
    }
}

impl From<io::Error> for TreeError {
    fn from(error: io::Error) -> Self {
        Self::at(Path::new(""), error)
    }
}

/// A path as text for people, whatever bytes it is made of and however many.
fn shown(path: &Path) -> String {
    const CHARACTERS: usize = 200;
    let text = path.to_string_lossy();
    let start: String = text.chars().take(CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS).is_some() { format!("{start}...") } else { start }
}

/// Opens what lies below a folder; no link is followed on the way.
fn open_below(root: impl AsFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(root, path, how)
}

#[cfg(test)]
mod tests;
