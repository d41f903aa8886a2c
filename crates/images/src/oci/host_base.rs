//! The parts of the host that an image shows, as a layer: what an image without a root file system of its own
//! needs to stand alone elsewhere.

use std::collections::HashSet;
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
    let binds: Vec<(&Path, &Path)> = outermost(config)
        .into_iter()
        .map(|bind| (bind.as_path(), bind.strip_prefix(root).unwrap_or(bind)))
        .collect();
    let is_bound = |name: &str| binds.iter().any(|(_, bound)| *bound == Path::new(name));
    for (name, mode) in FOLDERS.iter().filter(|(name, _)| !is_bound(name)) {
        packer.folder(name, *mode).map_err(&failed)?;
    }
    for (name, content) in FILES.iter().filter(|(name, _)| !is_bound(name)) {
        packer.file(name.as_bytes(), content.as_bytes()).map_err(&failed)?;
    }
    // Podman takes no archive in which something comes twice.
    let mut made: HashSet<&Path> = FOLDERS.iter().map(|(name, _)| Path::new(*name)).collect();
    for (bind, name) in binds {
        let mut parents: Vec<&Path> = name.ancestors().skip(1).filter(|path| made.insert(*path)).collect();
        parents.reverse();
        for parent in parents.into_iter().filter(|path| !path.as_os_str().is_empty()) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::HostBind;

    #[test]
    fn nothing_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let bound = ["a/one", "a/two", "b"].map(|name| folder.path().join(name));
        for path in &bound {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        let mut paths = bound.to_vec();
        paths.push("/etc/nsswitch.conf".into());
        let binds = paths.into_iter().map(|path| HostBind { path }).collect();
        let archive = pack(&ImageConfig { binds, ..ImageConfig::default() }, Vec::new()).unwrap();
        let mut archive = tar::Archive::new(&archive[..]);
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().into_owned());
        let mut names: Vec<_> = names.map(|name| String::from_utf8(name).unwrap()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
        assert!(names.iter().any(|name| name.trim_end_matches('/').ends_with("/a/two/file")), "{names:?}");
    }
}
