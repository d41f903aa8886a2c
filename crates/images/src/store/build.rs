//! A layer under construction.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use tempfile::TempDir;

use super::error::at;
use super::{LayerStore, Recipe, StoreError, remove};

/// A layer under construction. Dropped without [`LayerBuild::commit`], it leaves nothing.
#[derive(Debug)]
pub struct LayerBuild {
    pub(super) scratch: Scratch,
    pub(super) recipe: Recipe,
    pub(super) store: LayerStore,
    _lock: Flock<File>,
}

/// A folder that removes itself, also where hostile programs closed folders of it.
#[derive(Debug)]
pub(super) struct Scratch(TempDir);

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next builder or by garbage collection.
        remove::remove_tree(self.0.path()).ok();
    }
}

impl LayerBuild {
    pub(super) fn new(scratch: TempDir, recipe: Recipe, store: LayerStore, lock: Flock<File>) -> Self {
        Self { scratch: Scratch(scratch), recipe, store, _lock: lock }
    }

    /// The folder whose content becomes the layer.
    pub fn files(&self) -> PathBuf {
        self.scratch.path().join("fs")
    }

    /// A folder for whatever building needs; it is gone after the build, or with the next one when this is killed.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be made.
    pub fn temporary_folder(&self) -> Result<TempDir, StoreError> {
        tempfile::tempdir_in(self.scratch.path()).map_err(at("make a folder in", self.scratch.path()))
    }

    /// Gives everything below `folder` (inside [`Self::files`]) to the user that sandboxes map their root to.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the kernel refuses.
    pub fn own_tree(&self, folder: &Path) -> Result<(), StoreError> {
        self.own_below(folder).map_err(at("change the owner below", folder))
    }

    fn own_below(&self, path: &Path) -> io::Result<()> {
        self.store.own(path)?;
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_below(&entry?.path())?;
            }
        }
        Ok(())
    }
}
