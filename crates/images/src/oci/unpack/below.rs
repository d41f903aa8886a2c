//! Hard links to files of lower layers.
//!
//! The specification of layers leaves them open and tools that unpack into a merged tree accept them, so some
//! builders write them. Overlay layers cannot share a file, so such a link becomes a copy.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use xattr::FileExt;

use super::super::error::UnpackError;
use super::super::tree::{self, Tree};
use super::super::untar::{Entry, show};
use super::names::{Name, split};
use super::{Unpacker, io_failed};
use crate::store::is_kept;

impl Unpacker<'_> {
    pub(super) fn copy_from_below(
        &mut self,
        name: &Name,
        last: &[u8],
        target: &Name,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let missing = || UnpackError::NoLinkTarget { path: show(name.path()), target: show(target.path()) };
        let source = self.find_below(target.path()).ok_or_else(missing)?;
        let mut source = File::from(source);
        let about = source.metadata().map_err(io_failed("read", target.path()))?;
        if !about.is_file() {
            return Err(missing());
        }
        let mut copy = entry.clone();
        copy.mode = about.mode();
        copy.mtime = (about.mtime(), u32::try_from(about.mtime_nsec()).unwrap_or_default());
        copy.size = about.size();
        copy.attributes = attributes(&source).map_err(io_failed("read", target.path()))?;
        let parent = self.clear(name, last)?;
        self.file(&parent, last, &copy, |out| io::copy(&mut source, out).map(drop))
    }

    /// The topmost file of this name that no layer between hides.
    fn find_below(&self, path: &[u8]) -> Option<OwnedFd> {
        for layer in self.below.iter().rev() {
            let (parent, last) = split(path);
            let tree = Tree::open(layer, self.limits.depth).ok()?;
            if let Ok(folder) = tree.folder(parent)
                && let Some(found) = tree::status(&folder, last).ok()?
            {
                let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let plain = !tree::is_whiteout(&found);
                return if plain { openat(&folder, last, flags, Mode::empty()).ok() } else { None };
            }
            if hides(layer, parent) {
                return None;
            }
        }
        None
    }
}

/// Those that layers keep.
fn attributes(file: &File) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = match file.list_xattr() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        names => names?.filter(|name| is_kept(name.as_bytes())),
    };
    let pair = |name: OsString| {
        let value = file.get_xattr(&name)?.unwrap_or_default();
        Ok((name.into_vec(), value))
    };
    names.map(pair).collect()
}

/// Whether a layer keeps what lies at `path` in layers below from being seen.
fn hides(layer: &Path, path: &[u8]) -> bool {
    let mut at = layer.to_path_buf();
    for part in std::iter::once(&b""[..]).chain(path.split(|byte| *byte == b'/')) {
        if !part.is_empty() {
            at.push(OsStr::from_bytes(part));
        }
        match at.symlink_metadata() {
            Ok(about) if about.is_dir() => {
                if tree::is_opaque(&at) {
                    return true;
                }
            }
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
    false
}
