//! Manifests: what is in a layer, one line an entry, sorted by path. Its SHA-256 is the layer's name.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::attributes::Attributes;
use super::hash::hex_digest;

/// Modification time of everything in layers: 2000-01-01, so that equal content is equal. Zip and tar files can
/// hold it. A regular file may have another one of the same day (UTC): builders set it where order matters.
pub const FIXED_TIME: i64 = 946_684_800;

/// First line of a manifest.
const HEADER: &str = "swegym-layer 1";
const DAY: i64 = 86_400;

/// One thing in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the root of the layer; empty for the root.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder {
        mode: u32,
        opaque: [bool; 2],
        attributes: Attributes,
    },
    File(FileEntry),
    Link {
        target: PathBuf,
    },
    /// Hides what a lower layer has at this path.
    Whiteout,
    /// A pipe, a socket or a device: kind as `ls` shows it.
    Special {
        letter: char,
        mode: u32,
        device: u64,
    },
}

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) size: u64,
    pub(super) sha256: String,
    /// Equal files of a layer are counted from 0; links to one file have the same number. They stay different
    /// files: a program that copies one over the other would say that they are the same.
    pub(super) copy: u32,
    pub(super) attributes: Attributes,
}

impl FileEntry {
    /// Name of the file in the pool.
    pub(super) fn pool_name(&self) -> String {
        let Self { mode, mtime, sha256, copy, attributes, .. } = self;
        let mut name = format!("{sha256}-{mode:o}");
        if *mtime != FIXED_TIME {
            write!(name, "+{}", mtime - FIXED_TIME).ok();
        }
        if *copy > 0 {
            write!(name, ".{copy}").ok();
        }
        if !attributes.is_empty() {
            write!(name, "@{}", attributes.digest()).ok();
        }
        name
    }
}

/// The time that a file gets in a layer.
pub(super) fn layer_time(mtime: i64) -> i64 {
    if (FIXED_TIME..FIXED_TIME + DAY).contains(&mtime) { mtime } else { FIXED_TIME }
}

/// The text of a manifest.
pub(super) fn render(entries: &[Entry]) -> String {
    let mut text = format!("{HEADER}\n");
    for entry in entries {
        line(&mut text, entry);
    }
    text
}

fn line(text: &mut String, Entry { path, kind }: &Entry) {
    let path = escape_path(path);
    match kind {
        Kind::Folder { mode, opaque, attributes } => {
            let marks = ["trusted", "user"].iter().zip(opaque).filter(|(_, mark)| **mark);
            let marks: Vec<&str> = marks.map(|(name, _)| *name).collect();
            let marks = if marks.is_empty() { "-".to_owned() } else { marks.join("+") };
            writeln!(text, "d {mode:o} {marks} {path}{}", Last(attributes))
        }
        Kind::File(FileEntry { mode, mtime, size, sha256, copy, attributes }) => {
            writeln!(text, "f {mode:o} {mtime} {size} {sha256} {copy} {path}{}", Last(attributes))
        }
        Kind::Link { target } => writeln!(text, "l {} {path}", escape_path(target)),
        Kind::Whiteout => writeln!(text, "w {path}"),
        Kind::Special { letter, mode, device } => writeln!(text, "{letter} {mode:o} {device} {path}"),
    }
    .ok();
}

/// The last field of a line, which is there when there are any.
struct Last<'a>(&'a Attributes);

impl std::fmt::Display for Last<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0.render()) }
    }
}

/// Reads a manifest; `None` where it is malformed.
pub(super) fn parse(text: &str) -> Option<Vec<Entry>> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    (lines.next()? == HEADER).then_some(())?;
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let mut fields: Vec<&str> = line.split(' ').collect();
    let attributes = match fields[..] {
        ["d", _, _, _, attributes] | ["f", _, _, _, _, _, _, attributes] => {
            fields.pop();
            Attributes::parse(attributes)?
        }
        _ => Attributes::default(),
    };
    let octal = |text: &str| u32::from_str_radix(text, 8).ok();
    let (path, kind) = match fields[..] {
        ["d", mode, marks, path] => {
            let opaque = ["trusted", "user"].map(|name| marks.split('+').any(|mark| mark == name));
            (path, Kind::Folder { mode: octal(mode)?, opaque, attributes })
        }
        ["f", mode, mtime, size, sha256, copy, path] => {
            let (mode, sha256) = (octal(mode)?, sha256.to_owned());
            let (mtime, size, copy) = (mtime.parse().ok()?, size.parse().ok()?, copy.parse().ok()?);
            (path, Kind::File(FileEntry { mode, mtime, size, sha256, copy, attributes }))
        }
        ["l", target, path] => (path, Kind::Link { target: unescape_path(target)? }),
        ["w", path] => (path, Kind::Whiteout),
        [letter @ ("p" | "s" | "c" | "b"), mode, device, path] => {
            let letter = letter.chars().next()?;
            (path, Kind::Special { letter, mode: octal(mode)?, device: device.parse().ok()? })
        }
        _ => return None,
    };
    Some(Entry { path: unescape_path(path)?, kind })
}

/// Name of the layer with this manifest.
pub(super) fn digest(text: &str) -> String {
    hex_digest(text.as_bytes())
}

/// The empty path is a dot.
fn escape_path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() { ".".to_owned() } else { escape(bytes) }
}

fn unescape_path(text: &str) -> Option<PathBuf> {
    let bytes = if text == "." { Vec::new() } else { unescape(text)? };
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

/// Printable ASCII without blanks.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => text.push_str("%25"),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "%{byte:02x}").unwrap_or_default(),
        }
    }
    text
}

pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let code = part.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_was_written() {
        let attributes = |pairs: &[(&[u8], &[u8])]| {
            Attributes(pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
        };
        let file = FileEntry {
            mode: 0o4755,
            mtime: FIXED_TIME + 1,
            size: 7,
            sha256: "ab".repeat(32),
            copy: 2,
            attributes: attributes(&[(b"user.a b", b""), (b"user.c", b"=,% \0\xff")]),
        };
        let odd = PathBuf::from(OsString::from_vec(b"a b\n%/\xff".to_vec()));
        let kinds = [
            Kind::Folder { mode: 0o755, opaque: [true, true], attributes: attributes(&[(b"user.x", b"1")]) },
            Kind::Folder { mode: 0, opaque: [false, false], attributes: attributes(&[]) },
            Kind::File(file),
            Kind::Link { target: odd.clone() },
            Kind::Link { target: PathBuf::from("%2e") },
            Kind::Whiteout,
            Kind::Special { letter: 'p', mode: 0o600, device: 0 },
        ];
        let mut entries = vec![Entry { path: PathBuf::new(), kind: kinds[0].clone() }];
        entries.extend(kinds.into_iter().map(|kind| Entry { path: odd.clone(), kind }));
        assert_eq!(parse(&render(&entries)), Some(entries));
    }

    #[test]
    fn malformed_manifests_are_refused() {
        for text in
            ["", "swegym-layer 2\n", "swegym-layer 1\nf 644\n", "swegym-layer 1\nw a%zz\n", "swegym-layer 1"]
        {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
