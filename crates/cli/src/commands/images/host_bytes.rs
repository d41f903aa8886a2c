//! How much of this machine an image shows.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use swegym_images::ImageConfig;

/// Sum of the sizes of the files that an image has from this machine; a file with several names counts once, one
/// that cannot be looked at not at all.
pub(super) fn host_bytes(config: &ImageConfig) -> u64 {
    let mut seen = HashSet::new();
    let mut open: Vec<PathBuf> = config.binds.iter().map(|bind| bind.path.clone()).collect();
    let mut bytes = 0;
    while let Some(path) = open.pop() {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if !seen.insert((about.dev(), about.ino())) {
            continue;
        }
        match about.is_dir() {
            true if !config.masks.contains(&path) => open.extend(inside(&path)),
            true => {}
            false => bytes += about.size(),
        }
    }
    bytes
}

fn inside(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

#[cfg(test)]
mod tests {
    use swegym_images::HostBind;

    use super::*;

    #[test]
    fn masks_and_second_names_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "a/masked", "b"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), [0; 10]).unwrap();
        }
        fs::hard_link(at("a/file"), at("b/again")).unwrap();
        let binds = ["a", "b", "b/file", "absent"].map(|name| HostBind { path: at(name) }).into();
        let config = ImageConfig { binds, masks: vec![at("a/masked")], ..ImageConfig::default() };
        assert_eq!(host_bytes(&config), 20);
    }
}
