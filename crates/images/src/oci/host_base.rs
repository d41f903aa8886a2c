//! The parts of the host that an image shows, as a layer: what an image without a root file system of its own
//! needs to stand alone elsewhere.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::OciError;
use super::pack::{Packer, Rules};
use crate::ImageConfig;

/// Folders that every sandbox has, with their modes.
const FOLDERS: [(&str, u32); 10] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];
const FILES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Writes the archive.
pub(crate) fn pack<W: Write>(config: &ImageConfig, out: W) -> Result<W, OciError> {
    let root = Path::new("/");
    let mut packer = Packer::new(out, Rules::Host(&config.masks));
    let failed = OciError::io("pack", root);
    FOLDERS.iter().try_for_each(|(name, mode)| packer.folder(name, *mode)).map_err(&failed)?;
    let mut files = FILES.iter();
    files
        .try_for_each(|(name, content)| packer.file(name.as_bytes(), content.as_bytes()))
        .map_err(&failed)?;
    for bind in outermost(config) {
        let name = bind.strip_prefix(root).unwrap_or(bind);
        let mut parents: Vec<&Path> =
            name.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        parents.reverse();
        for parent in parents {
            packer.folder(&parent.to_string_lossy(), 0o755).map_err(&failed)?;
        }
        packer.path(bind, name.as_os_str().as_bytes())?;
    }
    packer.finish().map_err(failed)
}

/// The binds that lie in no other, sorted.
fn outermost(config: &ImageConfig) -> Vec<&PathBuf> {
    let mut paths: Vec<&PathBuf> = config.binds.iter().map(|bind| &bind.path).collect();
    paths.sort();
    paths.dedup();
    let all = paths.clone();
    paths.retain(|path| !all.iter().any(|other| other != path && path.starts_with(other)));
    paths
}
