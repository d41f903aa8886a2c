//! What changed in a container, from what the daemon says of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::models::{ChangeType, FilesystemChange};

use super::kit::INSIDE;
use crate::{Change, ChangeKind};

/// What runtimes and daemons make or mount in every container.
const OF_THE_RUNTIME: [&str; 9] = [
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mtab",
    "/run/.containerenv",
    "/.dockerenv",
];

/// Changes by path, without mount points, folders that are listed only for what is in them, and what lies below
/// a deleted folder.
pub(super) fn changes(listed: Vec<FilesystemChange>, mounted: &[PathBuf]) -> Vec<Change> {
    let all: BTreeMap<PathBuf, ChangeKind> =
        listed.into_iter().map(|change| (change.path.into(), kind(change.kind))).collect();
    let ours: Vec<&Path> = OF_THE_RUNTIME
        .iter()
        .map(Path::new)
        .chain([Path::new(INSIDE)])
        .chain(mounted.iter().map(PathBuf::as_path))
        .collect();
    let is_ours = |path: &Path| ours.iter().any(|mount| path.starts_with(mount));
    // A path that leads to a mount point was made for it, unless there is something else in it.
    let leads_to_ours = |path: &Path| ours.iter().any(|mount| mount.starts_with(path));
    let has_below = |path: &Path, wanted: &dyn Fn(&Path) -> bool| {
        let below = all.range(path.to_path_buf()..).skip(1).take_while(|(other, _)| other.starts_with(path));
        below.map(|(other, _)| other).any(|other| wanted(other))
    };
    let is_told = |path: &Path, kind: ChangeKind| match kind {
        _ if is_ours(path) => false,
        ChangeKind::Modified => !leads_to_ours(path) && !has_below(path, &|_| true),
        ChangeKind::Added => {
            !leads_to_ours(path) || has_below(path, &|other| !is_ours(other) && !leads_to_ours(other))
        }
        ChangeKind::Deleted => true,
    };
    let is_below_deleted =
        |path: &Path| path.ancestors().skip(1).any(|above| all.get(above) == Some(&ChangeKind::Deleted));
    let told = all.iter().filter(|(path, kind)| is_told(path, **kind) && !is_below_deleted(path));
    let change = |(path, kind): (&PathBuf, &ChangeKind)| Change { path: bytes(path), kind: *kind };
    told.map(change).collect()
}

/// What changes make together with those that came before them.
pub(super) fn after(before: &[Change], changes: Vec<Change>) -> Vec<Change> {
    let mut all: BTreeMap<Vec<u8>, ChangeKind> =
        before.iter().map(|change| (change.path.clone(), change.kind)).collect();
    for Change { path, kind } in changes {
        if kind == ChangeKind::Deleted {
            all.retain(|other, _| !is_below(other, &path));
        }
        match (all.get(&path), kind) {
            (Some(ChangeKind::Added), ChangeKind::Deleted) => {
                all.remove(&path);
            }
            (Some(ChangeKind::Added), _) => {}
            (Some(ChangeKind::Deleted), ChangeKind::Added) => {
                all.insert(path, ChangeKind::Modified);
            }
            _ => {
                all.insert(path, kind);
            }
        }
    }
    all.into_iter().map(|(path, kind)| Change { path, kind }).collect()
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

fn kind(kind: ChangeType) -> ChangeKind {
    match kind {
        ChangeType::_0 => ChangeKind::Modified,
        ChangeType::_1 => ChangeKind::Added,
        ChangeType::_2 => ChangeKind::Deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_up() {
        use ChangeKind::{Added, Deleted, Modified};
        let list = |changes: &[(&str, ChangeKind)]| -> Vec<Change> {
            let change =
                |(path, kind): &(&str, ChangeKind)| Change { path: path.as_bytes().into(), kind: *kind };
            changes.iter().map(change).collect()
        };
        let before = list(&[
            ("/back", Deleted),
            ("/d", Added),
            ("/d/file", Added),
            ("/d-2", Added),
            ("/kept", Added),
            ("/old", Modified),
        ]);
        let changes = list(&[
            ("/back", Added),
            ("/d", Deleted),
            ("/kept", Modified),
            ("/new", Added),
            ("/old", Deleted),
        ]);
        let expected = list(&[
            ("/back", Modified),
            ("/d-2", Added),
            ("/kept", Added),
            ("/new", Added),
            ("/old", Deleted),
        ]);
        assert_eq!(after(&before, changes), expected);
    }

    #[test]
    fn only_what_was_done_inside_is_told() {
        let listed = [
            ("/etc", ChangeType::_0),
            ("/etc/hosts", ChangeType::_1),
            ("/etc/motd", ChangeType::_0),
            ("/.swegym", ChangeType::_1),
            ("/mnt", ChangeType::_0),
            ("/mnt/shared", ChangeType::_1),
            ("/made", ChangeType::_1),
            ("/made/shared", ChangeType::_1),
            ("/new", ChangeType::_1),
            ("/new/file", ChangeType::_1),
            ("/new-er", ChangeType::_1),
            ("/gone", ChangeType::_2),
            ("/gone/file", ChangeType::_2),
            ("/run", ChangeType::_0),
            ("/run/.containerenv", ChangeType::_1),
        ];
        let listed = listed.map(|(path, kind)| FilesystemChange { path: path.to_owned(), kind });
        let mounted = ["/mnt/shared".into(), "/made/shared".into()];
        let told: Vec<(String, ChangeKind)> = changes(listed.into(), &mounted)
            .into_iter()
            .map(|change| (String::from_utf8(change.path).unwrap(), change.kind))
            .collect();
        let expected = [
            ("/etc/motd", ChangeKind::Modified),
            ("/gone", ChangeKind::Deleted),
            ("/new", ChangeKind::Added),
            ("/new/file", ChangeKind::Added),
            ("/new-er", ChangeKind::Added),
        ];
        assert_eq!(told, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }
}
