//! From a folder to the archive of a layer: sorted, owned by root, and the same for the same content.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::OciError;
use super::tree::{is_opaque, is_whiteout_file};
use crate::store::Attributes;

/// Longest name and target that a header holds by itself.
const SHORT: usize = 100;
const BLOCK: usize = 512;
/// The name by which GNU tar stores a long name.
const LONG_LINK: &[u8] = b"././@LongLink";
const MARKER: &[u8] = b".wh.";
/// The name of extended headers, which no tool looks at.
const EXTENDED: &[u8] = b"././@PaxHeader";

/// What is packed, beside the content of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules<'a> {
    /// A layer of the store, all of it: whiteouts and opaque folders become what other tools know.
    Layer,
    /// Parts of the host: what not everybody may read stays here, and these folders are left empty.
    Host(&'a [PathBuf]),
}

/// Writes one archive.
pub(crate) struct Packer<'a, W> {
    out: W,
    rules: Rules<'a>,
    /// Files with several names: the first one.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<'a, W: Write> Packer<'a, W> {
    pub(crate) fn new(out: W, rules: Rules<'a>) -> Self {
        Self { out, rules, links: HashMap::new() }
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    /// Everything below a folder, whose own name is `name` in the archive: nothing for the root.
    pub(crate) fn below(&mut self, folder: &Path, name: &[u8]) -> Result<(), OciError> {
        let failed = OciError::io("read", folder);
        if self.rules == Rules::Layer && is_opaque(folder) {
            self.marker(&join(name, b".wh..wh..opq")).map_err(&failed)?;
        }
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).and_then(Iterator::collect);
        let mut names: Vec<_> =
            entries.map_err(&failed)?.into_iter().map(|entry| entry.file_name()).collect();
        names.sort();
        for file in names {
            self.path(&folder.join(&file), &join(name, file.as_bytes()))?;
        }
        Ok(())
    }

    /// One path, and everything below it.
    pub(crate) fn path(&mut self, path: &Path, name: &[u8]) -> Result<(), OciError> {
        let failed = OciError::io("pack", path);
        let about = fs::symlink_metadata(path).map_err(&failed)?;
        if let Rules::Host(_) = self.rules
            && !for_everybody(&about)
        {
            return Ok(());
        }
        let last = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if last.starts_with(MARKER) {
            return match self.rules {
                Rules::Host(_) => Ok(()),
                Rules::Layer => Err(OciError::Pack {
                    path: path.to_owned(),
                    reason: "its name means something else in the archive of a layer".to_owned(),
                }),
            };
        }
        if about.is_dir() {
            self.attributes(path).map_err(&failed)?;
            self.header(EntryType::Directory, &join(name, b""), &about).map_err(&failed)?;
            let masked = matches!(self.rules, Rules::Host(masks) if masks.iter().any(|mask| mask == path));
            return if masked { Ok(()) } else { self.below(path, name) };
        }
        self.leaf(path, name, &about).map_err(failed)
    }

    /// A folder that nothing of the host stands for.
    pub(crate) fn folder(&mut self, name: &str, mode: u32) -> io::Result<()> {
        let header = header(EntryType::Directory, mode, 0, 0);
        self.entry(header, format!("{name}/").as_bytes(), b"")
    }

    /// A small file that nothing of the host stands for.
    pub(crate) fn file(&mut self, name: &[u8], content: &[u8]) -> io::Result<()> {
        self.entry(header(EntryType::Regular, 0o644, 0, content.len() as u64), name, b"")?;
        self.out.write_all(content)?;
        self.pad(content.len() as u64)
    }

    fn marker(&mut self, name: &[u8]) -> io::Result<()> {
        self.file(name, b"")
    }

    fn leaf(&mut self, path: &Path, name: &[u8], about: &Metadata) -> io::Result<()> {
        let kind = about.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path)?;
            let header = header(EntryType::Symlink, 0o777, about.mtime(), 0);
            return self.entry(header, name, target.as_os_str().as_bytes());
        }
        if is_whiteout_file(about) {
            let (parent, last) = name.split_at(name.len() - path.file_name().map_or(0, |last| last.len()));
            return self.marker(&[parent, MARKER, last].concat());
        }
        if kind.is_fifo() {
            return self.header(EntryType::Fifo, name, about);
        }
        if !kind.is_file() {
            // Sockets and devices are nothing that could be taken elsewhere.
            return Ok(());
        }
        if about.nlink() > 1
            && let Some(first) = self.links.get(&(about.dev(), about.ino())).cloned()
        {
            let header = header(EntryType::Link, about.mode(), about.mtime(), 0);
            return self.entry(header, name, &first);
        }
        self.links.insert((about.dev(), about.ino()), name.to_vec());
        self.attributes(path)?;
        self.header(EntryType::Regular, name, about)?;
        let copied = io::copy(&mut File::open(path)?.take(about.len()), &mut self.out)?;
        if copied != about.len() {
            return Err(io::Error::other("it became shorter while it was packed"));
        }
        self.pad(copied)
    }

    fn header(&mut self, kind: EntryType, name: &[u8], about: &Metadata) -> io::Result<()> {
        let size = if kind == EntryType::Regular { about.len() } else { 0 };
        self.entry(header(kind, about.mode(), about.mtime(), size), name, b"")
    }

    /// The attributes that the next entry has, where it has any that layers keep.
    fn attributes(&mut self, path: &Path) -> io::Result<()> {
        if self.rules != Rules::Layer {
            return Ok(());
        }
        let records: Vec<u8> = Attributes::read(path)?.0.iter().flat_map(record).collect();
        if records.is_empty() {
            return Ok(());
        }
        let size = records.len() as u64;
        self.entry(header(EntryType::XHeader, 0o644, 0, size), EXTENDED, b"")?;
        self.out.write_all(&records)?;
        self.pad(size)
    }

    /// A header with names of any length, as GNU tar writes them: every tool reads those.
    fn entry(&mut self, mut header: Header, name: &[u8], target: &[u8]) -> io::Result<()> {
        self.long(EntryType::GNULongLink, target)?;
        self.long(EntryType::GNULongName, name)?;
        let bytes = header.as_mut_bytes();
        let (short_name, short_target) = (&name[..name.len().min(SHORT)], &target[..target.len().min(SHORT)]);
        bytes[..short_name.len()].copy_from_slice(short_name);
        bytes[157..157 + short_target.len()].copy_from_slice(short_target);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn long(&mut self, kind: EntryType, text: &[u8]) -> io::Result<()> {
        if text.len() <= SHORT {
            return Ok(());
        }
        let mut header = header(kind, 0o644, 0, text.len() as u64 + 1);
        header.as_mut_bytes()[..LONG_LINK.len()].copy_from_slice(LONG_LINK);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(text)?;
        self.out.write_all(&[0])?;
        self.pad(text.len() as u64 + 1)
    }

    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        let padding = usize::try_from(bytes.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        self.out.write_all(&[0; BLOCK][..padding])
    }
}

/// A record of an extended header: `LENGTH SCHILY.xattr.NAME=VALUE` and the end of the line, the length its own
/// digits included.
fn record((name, value): (&Vec<u8>, &Vec<u8>)) -> Vec<u8> {
    let rest = [b" SCHILY.xattr.", &name[..], b"=", value, b"\n"].concat();
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// A header whose owner is root. Set-id bits would come into force elsewhere, so they stay here.
fn header(kind: EntryType, mode: u32, mtime: i64, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o1777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(u64::try_from(mtime).unwrap_or_default());
    header.set_size(size);
    header
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// Whether everybody may read it. Private keys lie beside certificates on the host.
fn for_everybody(about: &Metadata) -> bool {
    let needed = if about.is_dir() { 0o005 } else { 0o004 };
    about.is_symlink() || about.mode() & needed == needed
}
