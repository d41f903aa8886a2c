//! Stores of others: read-only, often on the file system of a cluster.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, mknod};

use super::commit::set_time;
use super::error::at;
use super::manifest::Kind;
use super::recipe::RecipeFile;
use super::scan::{Tree, mark_opaque};
use super::verify::read_manifest;
use super::{LayerBuild, Recipe, StoreError};
use crate::Layer;

/// Stores that are only read.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) stores: Vec<PathBuf>,
    pub(super) copying: bool,
}

impl Shared {
    /// The layer of this recipe, in the first store that has it.
    pub(super) fn find(&self, recipe: &Recipe) -> Option<Layer> {
        self.stores
            .iter()
            .find_map(|store| layer_in(store, &RecipeFile::read(&store.join("recipes"), recipe.id())?.layer))
    }

    /// The layer with this digest, where those of shared stores are used where they are.
    pub(super) fn layer_in_place(&self, id: &str) -> Option<Layer> {
        let stores = if self.copying { &[][..] } else { &self.stores };
        stores.iter().find_map(|store| layer_in(store, id))
    }
}

fn layer_in(store: &Path, id: &str) -> Option<Layer> {
    let folder = store.join("layers").join(id);
    let is_there = folder.join("manifest").is_file();
    is_there.then(|| Layer::unmanaged(id.to_owned(), folder.join("fs")))
}

impl LayerBuild {
    /// Makes this layer a copy of one of a shared store.
    pub(super) fn copy(self, layer: &Layer) -> Result<Layer, StoreError> {
        let corrupt = || StoreError::Corrupt { id: layer.id.clone(), path: layer.path.clone() };
        let folder = layer.path.parent().unwrap_or(&layer.path);
        let entries = read_manifest(folder).ok_or_else(corrupt)?;
        let tree = Tree::scan(&layer.path).map_err(at("list the files of", &layer.path))?;
        let kinds = entries.iter().map(|entry| (&entry.path, &entry.kind));
        for (path, kind) in kinds.clone() {
            let (from, to) = (tree.full(path), self.files().join(path));
            copy_entry(kind, &from, &to).map_err(at("copy", &from))?;
        }
        // Modes last, and inner folders first: a folder may be closed.
        for (path, kind) in kinds.rev() {
            let to = if path.as_os_str().is_empty() { self.files() } else { self.files().join(path) };
            finish_entry(kind, &to).map_err(at("give its mode to", &to))?;
        }
        let copy = self.commit_as_made()?;
        if copy.id == layer.id { Ok(copy) } else { Err(corrupt()) }
    }
}

fn copy_entry(kind: &Kind, from: &Path, to: &Path) -> io::Result<()> {
    match kind {
        Kind::Folder { .. } => match fs::create_dir(to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        },
        Kind::File(_) => fs::copy(from, to).map(drop),
        Kind::Link { target } => std::os::unix::fs::symlink(target, to),
        Kind::Whiteout => Ok(mknod(to, SFlag::S_IFCHR, Mode::empty(), 0)?),
        Kind::Special { letter: 'p', .. } => Ok(mknod(to, SFlag::S_IFIFO, Mode::empty(), 0)?),
        // Sockets without their program, devices that no sandbox may use.
        Kind::Special { .. } => Err(io::Error::other("it is a socket or a device")),
    }
}

fn finish_entry(kind: &Kind, to: &Path) -> io::Result<()> {
    let set_mode = |mode: u32| fs::set_permissions(to, fs::Permissions::from_mode(mode));
    match kind {
        Kind::Folder { mode, opaque, attributes } => {
            mark_opaque(to, *opaque).and_then(|()| attributes.write(to)).and_then(|()| set_mode(*mode))
        }
        Kind::File(file) => {
            file.attributes.write(to)?;
            set_mode(file.mode).and_then(|()| set_time(to, file.mtime))
        }
        Kind::Special { mode, .. } => set_mode(*mode),
        Kind::Link { .. } | Kind::Whiteout => Ok(()),
    }
}
