//! Extended attributes that layers keep: those of the namespace `user`, which are data and nothing else.
//!
//! Others would be an authority that nothing in a sandbox may have (`security.capability`), or mean something on one
//! machine alone (labels, access control lists by number, `trusted`); those of overlayfs would change what is seen of
//! other layers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::hash::{hex_digest, with_access};
use super::manifest::{escape, unescape};

/// Names with their prefix, and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

/// Whether layers keep attributes of this name.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

/// Names of all attributes of a path itself; none where the file system has none.
pub(super) fn names(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    match xattr::list(path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Vec::new()),
        names => Ok(names?.map(OsStringExt::into_vec).collect()),
    }
}

impl Attributes {
    /// Those of a file or folder that layers keep.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        for name in names(path)?.into_iter().filter(|name| is_kept(name)) {
            let get = || xattr::get(path, OsStr::from_bytes(&name));
            if let Some(value) = with_access(path, 0o400, get)? {
                found.insert(name, value);
            }
        }
        Ok(Self(found))
    }

    /// Gives them to a path that this process may write to.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        self.0.iter().try_for_each(|(name, value)| xattr::set(path, OsStr::from_bytes(name), value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `name=value,...` in printable ASCII without blanks; empty where there are none.
    pub(super) fn render(&self) -> String {
        let part = |bytes: &Vec<u8>| escape(bytes).replace('=', "%3d").replace(',', "%2c");
        let pairs = self.0.iter().map(|(name, value)| format!("{}={}", part(name), part(value)));
        pairs.collect::<Vec<_>>().join(",")
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((unescape(name)?, unescape(value)?))
        };
        text.split(',').map(pair).collect::<Option<_>>().map(Self)
    }

    /// Tells files with different attributes apart, in the name of a file.
    pub(super) fn digest(&self) -> String {
        hex_digest(self.render().as_bytes())
    }
}
