//! A root file system taken from the host, for images that bring none.

use std::fs;
use std::path::{Path, PathBuf};

use swegym_images::HostBind;

/// What a program of the host needs to run: programs, libraries, and how they are found.
const BASE: [&str; 17] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    // Certificates: libraries refuse to start without, also where there is no network.
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/pki",
];
const MIME_TYPES: &str = "/etc/mime.types";

/// Folders, relative to a library folder, that hold Python packages of the host.
const PACKAGE_FOLDERS: [&str; 2] = ["dist-packages", "site-packages"];

/// The parts of the host that make up a root file system, as far as they are there.
pub fn host_base() -> Vec<HostBind> {
    let paths = BASE.iter().chain([&MIME_TYPES]).map(PathBuf::from);
    paths.filter(|path| path.exists()).map(|path| HostBind { path }).collect()
}

/// Folders of [`host_base`] that hold Python packages of the host: an instance must not import them.
pub fn host_package_masks() -> Vec<PathBuf> {
    let mut masks = Vec::new();
    for library in ["/usr/lib", "/usr/local/lib"].map(Path::new) {
        let entries = fs::read_dir(library).into_iter().flatten().flatten();
        let interpreters = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"));
        for interpreter in interpreters {
            masks.extend(PACKAGE_FOLDERS.map(|folder| interpreter.path().join(folder)));
        }
    }
    masks.retain(|path| path.is_dir());
    masks.sort();
    masks
}
