//! Names of entries: where they lead, and the markers among them.

use super::super::layer::UnpackLimits;

/// What begins the name of a marker, by a custom that began with AUFS.
const MARKER: &[u8] = b".wh.";
/// What begins the name of what AUFS kept for itself.
const BOOKKEEPING: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A name as a path below the root: no leading or doubled slash, no `.`, no `..`.
pub(super) struct Name {
    path: Vec<u8>,
}

/// An entry that says something about layers below.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// The folder that it lies in hides the one below.
    Opaque,
    /// This name, beside it, is gone.
    Whiteout(&'a [u8]),
    /// Of no meaning.
    Ignored,
}

impl Name {
    /// A leading slash means the root of the image, as everywhere; `..` is in no honest layer.
    pub(super) fn read(name: &[u8], limits: &UnpackLimits) -> Result<Self, &'static str> {
        if name.len() > limits.name_bytes {
            return Err("its name is too long");
        }
        let mut path = Vec::with_capacity(name.len());
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
            if part == b".." {
                return Err("its name leads upwards");
            }
            if part.len() > 255 || part.contains(&0) {
                return Err("its name is none that a file may have");
            }
            depth += 1;
            if depth > 1 {
                path.push(b'/');
            }
            path.extend_from_slice(part);
        }
        if depth > limits.depth {
            return Err("it lies too deep");
        }
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(super) fn parent(&self) -> &[u8] {
        split(&self.path).0
    }

    /// The last part; nothing for the root.
    pub(super) fn last(&self) -> Option<&[u8]> {
        Some(split(&self.path).1).filter(|last| !last.is_empty())
    }

    pub(super) fn marker(&self) -> Result<Option<Marker<'_>>, &'static str> {
        let (parent, last) = split(&self.path);
        let mut above = parent.split(|byte| *byte == b'/').filter(|part| part.starts_with(MARKER));
        match above.next() {
            Some(part) if part.starts_with(BOOKKEEPING) => return Ok(Some(Marker::Ignored)),
            Some(_) => return Err("it lies below a whiteout"),
            None => {}
        }
        let Some(hidden) = last.strip_prefix(MARKER) else { return Ok(None) };
        match hidden {
            _ if last == OPAQUE => Ok(Some(Marker::Opaque)),
            _ if last.starts_with(BOOKKEEPING) => Ok(Some(Marker::Ignored)),
            b"" | b"." | b".." => Err("it is a whiteout of nothing"),
            hidden => Ok(Some(Marker::Whiteout(hidden))),
        }
    }
}

/// A path without its last part, and that part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}
