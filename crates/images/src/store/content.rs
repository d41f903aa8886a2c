//! From a tree to the entries of its manifest. Every file on disk is read once, on all processors.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::attributes::Attributes;
use super::hash::hash_file;
use super::manifest::{Entry, FileEntry, Kind};
use super::parallel;
use super::scan::{Found, Tree, opaque_marks};

const WHITEOUT_DEVICE: u64 = 0;

/// Device and number of a file on disk.
type Inode = (u64, u64);

/// SHA-256 of files on disk, or why they cannot be read.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    known: HashMap<Inode, Result<String, String>>,
    bytes: u64,
}

impl Hashes {
    /// Reads the regular files that were not read before.
    pub(super) fn read(&mut self, files: &[(PathBuf, &Metadata)]) {
        let mut wanted: HashMap<Inode, &PathBuf> = HashMap::new();
        for (path, about) in files.iter().filter(|(_, about)| about.is_file()) {
            if !self.known.contains_key(&inode(about)) && wanted.insert(inode(about), path).is_none() {
                self.bytes += about.size();
            }
        }
        let wanted: Vec<(Inode, &PathBuf)> = wanted.into_iter().collect();
        let hashes = parallel::map(&wanted, |(_, path)| hash_file(path).map_err(|error| error.to_string()));
        self.known.extend(wanted.into_iter().map(|(inode, _)| inode).zip(hashes));
    }

    /// SHA-256 of a file that was read.
    pub(super) fn of(&self, about: &Metadata) -> Result<String, String> {
        self.known.get(&inode(about)).cloned().unwrap_or_else(|| Err("it was not read".to_owned()))
    }

    /// How many files were read, and how many bytes.
    pub(super) fn totals(&self) -> (usize, u64) {
        (self.known.len(), self.bytes)
    }
}

/// Entries of a tree, in its order; those that cannot be read say why.
pub(super) fn entries(tree: &Tree, hashes: &mut Hashes) -> Vec<Result<Entry, (PathBuf, String)>> {
    let regular = tree.found.iter().filter(|found| found.about.is_file());
    hashes.read(&regular.map(|found| (tree.full(&found.path), &found.about)).collect::<Vec<_>>());
    let mut copies = Copies::default();
    let entry = |found: &Found| {
        let path = found.path.clone();
        let kind = if found.about.is_file() {
            let attributes = Attributes::read(&tree.full(&path)).map_err(|error| error.to_string());
            let content = hashes.of(&found.about);
            content.and_then(|sha256| Ok(Kind::File(copies.number(found, sha256, attributes?))))
        } else {
            other_kind(tree, found).map_err(|error| error.to_string())
        };
        match kind {
            Ok(kind) => Ok(Entry { path, kind }),
            Err(message) => Err((path, message)),
        }
    };
    tree.found.iter().map(entry).collect()
}

fn inode(about: &Metadata) -> Inode {
    (about.dev(), about.ino())
}

/// Numbers equal files.
#[derive(Default)]
struct Copies {
    next: HashMap<(String, u32, i64), u32>,
    known: HashMap<Inode, u32>,
}

impl Copies {
    fn number(&mut self, found: &Found, sha256: String, attributes: Attributes) -> FileEntry {
        let (mode, mtime, size) = (found.mode(), found.mtime, found.about.size());
        let copy = *self.known.entry(inode(&found.about)).or_insert_with(|| {
            let next = self.next.entry((sha256.clone(), mode, mtime)).or_default();
            *next += 1;
            *next - 1
        });
        FileEntry { mode, mtime, size, sha256, copy, attributes }
    }
}

fn other_kind(tree: &Tree, found: &Found) -> io::Result<Kind> {
    let (path, kind, mode) = (tree.full(&found.path), found.about.file_type(), found.mode());
    let device = found.about.rdev();
    let special = |letter| Kind::Special { letter, mode, device };
    Ok(match () {
        () if kind.is_dir() => {
            Kind::Folder { mode, opaque: opaque_marks(&path)?, attributes: Attributes::read(&path)? }
        }
        () if kind.is_symlink() => Kind::Link { target: fs::read_link(path)? },
        () if kind.is_char_device() && device == WHITEOUT_DEVICE => Kind::Whiteout,
        () if kind.is_char_device() => special('c'),
        () if kind.is_block_device() => special('b'),
        () if kind.is_fifo() => special('p'),
        () => special('s'),
    })
}
