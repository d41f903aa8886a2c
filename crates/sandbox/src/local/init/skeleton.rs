//! The lowest layer of every sandbox: the folders, links and files that any program expects, and the points
//! that things are mounted on. Being the lowest, it gives way to whatever the image brings, and nothing of it
//! lands in a layer that is built.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::super::protocol::{CreateSpec, SetupError, Step};

/// Parts of the host's `/etc` that make its network usable.
pub(super) const NETWORK_FILES: [&str; 3] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"];

const FOLDERS: [&str; 6] = ["proc", "dev", "root", "run", "etc", "var"];
const SHARED_FOLDERS: [&str; 2] = ["tmp", "var/tmp"];
const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"),
    ("etc/hostname", "sandbox\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Where something of the host will be seen.
pub(super) struct MountPoint {
    path: PathBuf,
    kind: Kind,
}

/// What must be there for it. A link is not mounted but made again.
enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

/// Looks at everything of the host that `spec` names. The sandbox's root may not look there: an interpreter can
/// lie in a home folder that is closed to others.
pub(super) fn survey(spec: &CreateSpec) -> Result<Vec<MountPoint>, SetupError> {
    let at = |source: &Path, path: &Path| -> Result<MountPoint, SetupError> {
        let kind = kind_of(source).step(format!("find `{}`", source.display()))?;
        Ok(MountPoint { path: path.to_owned(), kind })
    };
    let resolved = |source: &Path, path: &Path| {
        let source = fs::canonicalize(source).step(format!("find `{}`", source.display()))?;
        at(&source, path)
    };
    let binds = spec.binds.iter().map(|path| at(path, path));
    let extra_binds = spec.extra_binds.iter().map(|(source, path, _)| resolved(source, path));
    let network = NETWORK_FILES.map(Path::new).into_iter().filter(|path| spec.host_network && path.exists());
    let network = network.map(|path| resolved(path, path));
    binds.chain(extra_binds).chain(network).collect()
}

fn kind_of(source: &Path) -> io::Result<Kind> {
    let kind = fs::symlink_metadata(source)?.file_type();
    Ok(match () {
        () if kind.is_symlink() => Kind::Link(fs::read_link(source)?),
        () if kind.is_dir() => Kind::Folder,
        () => Kind::File,
    })
}

/// Makes the layer in the empty folder `root`.
pub(super) fn make(root: &Path, spec: &CreateSpec, points: &[MountPoint]) -> Result<(), SetupError> {
    standard_tree(root).step("make standard folders")?;
    fs::create_dir_all(inside(root, &spec.workdir)).step("make working directory")?;
    for point in points {
        mount_point(root, point).step(format!("make mount point `{}`", point.path.display()))?;
    }
    Ok(())
}

fn standard_tree(root: &Path) -> io::Result<()> {
    for folder in FOLDERS.iter().chain(&SHARED_FOLDERS) {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in SHARED_FOLDERS {
        fs::set_permissions(root.join(folder), Permissions::from_mode(0o1777))?;
    }
    FILES.iter().try_for_each(|(path, content)| fs::write(root.join(path), content))
}

fn mount_point(root: &Path, point: &MountPoint) -> io::Result<()> {
    let at = inside(root, &point.path);
    if at.symlink_metadata().is_ok() {
        return Ok(());
    }
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    match &point.kind {
        Kind::Link(target) => symlink(target, at),
        Kind::Folder => fs::create_dir(at),
        Kind::File => File::create(at).map(drop),
    }
}

/// Where a path of the sandbox lies below `root`; `..` goes nowhere.
fn inside(root: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    names.fold(root.to_path_buf(), |at, name| at.join(name))
}
