//! What the store takes on disk, and what of it each layer shares with others.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::at;
use super::lease::shared;
use super::pool::{self, read_dir};
use super::scan::Tree;
use super::{LayerStore, StoreError};

/// What one layer takes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayerUsage {
    /// Digest of the layer.
    pub id: String,
    /// Sum of the sizes of its files, as if nothing were shared.
    pub apparent_bytes: u64,
    /// When a lease of it was last taken or given back.
    pub last_used: SystemTime,
    /// Number on disk -> bytes on disk of everything in it, its manifest included.
    pub inodes: HashMap<u64, u64>,
}

/// What everything takes.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreUsage {
    /// Layers, by digest.
    pub layers: Vec<LayerUsage>,
    /// Bytes of files of the pool that no layer has.
    pub garbage_bytes: u64,
}

impl StoreUsage {
    /// Bytes on disk of all layers together: what many share counts once.
    pub fn bytes(&self) -> u64 {
        bytes_of(&self.layers.iter().collect::<Vec<_>>())
    }

    /// The layer with this digest.
    pub fn layer(&self, id: &str) -> Option<&LayerUsage> {
        let index = self.layers.binary_search_by(|layer| layer.id.as_str().cmp(id)).ok()?;
        self.layers.get(index)
    }
}

/// Bytes on disk of some layers together.
fn bytes_of(layers: &[&LayerUsage]) -> u64 {
    let all: HashMap<u64, u64> =
        layers.iter().flat_map(|layer| &layer.inodes).map(|(inode, bytes)| (*inode, *bytes)).collect();
    all.values().sum()
}

impl LayerStore {
    /// Measures every layer. Layers that come and go meanwhile are in it or not.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read.
    pub fn usage(&self) -> Result<StoreUsage, StoreError> {
        let mut usage = StoreUsage::default();
        for id in self.layer_ids()? {
            let folder = self.layer_folder(&id);
            let manifest = folder.join("manifest");
            if let Some(_held) = shared(&manifest).map_err(at("lock", &manifest))? {
                usage.layers.push(measure(id, &folder).map_err(at("measure", &folder))?);
            }
        }
        let files = self.folder("files");
        for file in pool::files(&files).map_err(at("read", &files))? {
            // One that is gone by now takes nothing.
            let unused = fs::symlink_metadata(&file).ok().filter(|about| about.nlink() == 1);
            usage.garbage_bytes += unused.as_ref().map_or(0, disk_bytes);
        }
        Ok(usage)
    }

    /// Digests of the layers, and names of what else lies there, sorted.
    pub(super) fn layer_ids(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.folder("layers");
        let paths = read_dir(&folder).map_err(at("read", &folder))?;
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        let mut ids: Vec<String> = paths.iter().filter_map(name).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

fn measure(id: String, folder: &Path) -> std::io::Result<LayerUsage> {
    let manifest = fs::symlink_metadata(folder.join("manifest"))?;
    // Whole seconds lose the order of layers that are used one after the other.
    let since = Duration::new(manifest.mtime().unsigned_abs(), manifest.mtime_nsec().unsigned_abs() as u32);
    let tree = Tree::scan(&folder.join("fs"))?;
    let mut inodes = HashMap::from([(manifest.ino(), disk_bytes(&manifest))]);
    let mut apparent_bytes = 0;
    for found in &tree.found {
        let is_new = inodes.insert(found.about.ino(), disk_bytes(&found.about)).is_none();
        if is_new && !found.about.is_dir() {
            apparent_bytes += found.about.size();
        }
    }
    Ok(LayerUsage { id, apparent_bytes, last_used: UNIX_EPOCH + since, inodes })
}

pub(super) fn disk_bytes(about: &Metadata) -> u64 {
    about.blocks() * 512
}
