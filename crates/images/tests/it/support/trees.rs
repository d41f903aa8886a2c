//! Trees on disk, to be compared: what an image looks like, whoever unpacked it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use swegym_images::oci::{Digest, NamedImage};

/// Path -> what is there.
pub(crate) type Tree = BTreeMap<String, String>;

/// One tree, without regard to owners: type, permissions that our rules keep, time of files, content.
pub(crate) fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    walk(root, "", &mut found, false);
    found
}

/// What overlayfs shows of an image: later layers over earlier ones, whiteouts and opaque folders at work.
pub(crate) fn merged(image: &NamedImage) -> Tree {
    let mut found = Tree::new();
    for layer in &image.layers {
        walk(&layer.path, "", &mut found, true);
    }
    found
}

fn walk(folder: &Path, name: &str, found: &mut Tree, overlay: bool) {
    let opaque = ["trusted.overlay.opaque", "user.overlay.opaque"];
    let opaque = opaque.iter().any(|key| xattr::get(folder, key).ok().flatten().is_some());
    if overlay && opaque {
        forget(found, name);
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let last = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = if name.is_empty() { last } else { format!("{name}/{last}") };
        let about = fs::symlink_metadata(&path).unwrap();
        let kind = about.file_type();
        if overlay && kind.is_char_device() && about.rdev() == 0 {
            found.remove(&name);
            forget(found, &name);
            continue;
        }
        if !kind.is_dir() {
            forget(found, &name);
        }
        found.insert(name.clone(), describe(&path, &about));
        if kind.is_dir() {
            walk(&path, &name, found, overlay);
        }
    }
}

fn forget(found: &mut Tree, folder: &str) {
    found.retain(|path, _| !path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
}

fn describe(path: &Path, about: &fs::Metadata) -> String {
    let kind = about.file_type();
    let mode = about.mode() & 0o1777;
    let notes = if kind.is_symlink() { String::new() } else { notes(path) };
    if kind.is_symlink() {
        return format!("link {}", fs::read_link(path).unwrap().display());
    }
    if kind.is_dir() {
        return format!("folder {:o}{notes}", mode | 0o700);
    }
    if kind.is_file() {
        let content = Digest::of(&fs::read(path).unwrap());
        return format!("file {:o} {} {content}{notes}", mode | 0o400, about.mtime());
    }
    format!("other {:o}", mode | 0o400)
}

/// Attributes that our rules keep.
fn notes(path: &Path) -> String {
    let names = xattr::list(path).unwrap().filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("user.") && !name.starts_with("user.overlay.")
    });
    let mut notes: Vec<String> =
        names.map(|name| format!(" {}={:?}", name.display(), xattr::get(path, &name).unwrap())).collect();
    notes.sort();
    notes.concat()
}

/// Whether a program is there; says that something is skipped where not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: `{program}` is not installed");
    }
    found
}

/// Runs a program that must do its work.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
