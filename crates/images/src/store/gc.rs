//! Garbage collection: what leads nowhere goes, then what was not used for longest.
//!
//! A layer moves aside by one rename, while nobody has a lease of it, and is deleted after that; what a crash leaves
//! aside is deleted by the next collection. Builders wait for nothing but that rename.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::error::at;
use super::lease::{exclusive, lock_folder, lock_path};
use super::pool::{self, read_dir};
use super::recipe::RecipeFile;
use super::remove::{ignore_missing, remove_tree};
use super::usage::LayerUsage;
use super::{LayerStore, StoreError};

/// Files that are being written are renamed within a moment; after this time their writer is dead.
const ABANDONED: Duration = Duration::from_secs(3600);

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// Bytes on disk of all layers and of the pool, before.
    pub bytes_before: u64,
    /// The same, after.
    pub bytes_after: u64,
    /// Digests of removed layers, in the order in which they went.
    pub layers: Vec<String>,
    /// Layers that would have gone, but are in use.
    pub in_use: Vec<String>,
    /// Recipes and image names that led nowhere.
    pub recipes: usize,
    /// Files of the pool that no layer had.
    pub files: usize,
    /// Folders of killed builders, layers of former formats, and what former collections left aside.
    pub leftovers: usize,
}

impl LayerStore {
    /// Removes what leads nowhere, then layers by last use, until those that are left take no more than
    /// `budget_bytes` on disk. What is in use stays. With `dry_run` nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read or changed; the next collection goes on from there.
    pub fn collect(&self, budget_bytes: u64, dry_run: bool) -> Result<GcReport, StoreError> {
        let _one_at_a_time = lock_folder(&self.root).map_err(at("lock", &self.root))?;
        let mut collection =
            Collection { store: self, dry_run, report: GcReport::default(), kept: HashSet::new() };
        collection.leftovers()?;
        collection.layers(budget_bytes)?;
        let gone = collection.report.layers.iter().cloned().collect();
        collection.names(&gone)?;
        collection.locks()?;
        collection.pool()?;
        Ok(collection.report)
    }
}

struct Collection<'a> {
    store: &'a LayerStore,
    dry_run: bool,
    report: GcReport,
    /// Numbers on disk of the files of layers that stay.
    kept: HashSet<u64>,
}

/// Who has which file on disk.
struct Owners {
    /// Number on disk -> bytes, layers that have it.
    inodes: HashMap<u64, (u64, usize)>,
    bytes: u64,
}

impl Owners {
    fn new(layers: &[LayerUsage]) -> Self {
        let mut inodes: HashMap<u64, (u64, usize)> = HashMap::new();
        for (inode, bytes) in layers.iter().flat_map(|layer| &layer.inodes) {
            inodes.entry(*inode).or_insert((*bytes, 0)).1 += 1;
        }
        let bytes = inodes.values().map(|(bytes, _)| bytes).sum();
        Self { inodes, bytes }
    }

    fn remove(&mut self, layer: &LayerUsage) {
        for inode in layer.inodes.keys() {
            if let Some((bytes, layers)) = self.inodes.get_mut(inode) {
                *layers -= 1;
                self.bytes -= if *layers == 0 { *bytes } else { 0 };
            }
        }
    }
}

impl Collection<'_> {
    /// Trash, scratch of killed builders, layers of former formats, files that nobody writes any more.
    fn leftovers(&mut self) -> Result<(), StoreError> {
        for path in list(&self.store.folder("trash"))? {
            self.report.leftovers += 1;
            self.delete(&path)?;
        }
        for id in self.store.layer_ids()? {
            let folder = self.store.layer_folder(&id);
            // Of the format before this one: the recipe lay beside the files.
            if !folder.join("manifest").exists() {
                self.report.leftovers += 1;
                self.discard(&folder)?;
            }
        }
        for path in list(&self.store.folder("images"))?.into_iter().filter(|path| is_abandoned(path)) {
            self.unlink(&path)?;
        }
        if !self.dry_run {
            self.report.leftovers += self.store.clean_leftovers()?;
        }
        Ok(())
    }

    /// Layers that no recipe leads to, then the others by last use.
    fn layers(&mut self, budget: u64) -> Result<(), StoreError> {
        let mut usage = self.store.usage()?;
        let reachable = self.reachable()?;
        let mut owners = Owners::new(&usage.layers);
        self.report.bytes_before = owners.bytes + usage.garbage_bytes;
        usage.layers.sort_by_key(|layer| (reachable.contains(&layer.id), layer.last_used));
        for layer in &usage.layers {
            let is_garbage = !reachable.contains(&layer.id);
            if !is_garbage && owners.bytes <= budget {
                break;
            }
            if self.take_away(&layer.id)? {
                owners.remove(layer);
                self.report.layers.push(layer.id.clone());
            } else {
                self.report.in_use.push(layer.id.clone());
            }
        }
        self.report.bytes_after = owners.bytes;
        let kept = owners.inodes.iter().filter(|(_, (_, layers))| *layers > 0);
        self.kept = kept.map(|(inode, _)| *inode).collect();
        Ok(())
    }

    fn reachable(&self) -> Result<HashSet<String>, StoreError> {
        let recipes = self.store.folder("recipes");
        let names = list(&recipes)?;
        let names = names.iter().filter_map(|path| path.file_name()?.to_str());
        Ok(names.filter_map(|name| RecipeFile::read(&recipes, name)).map(|file| file.layer).collect())
    }

    /// Removes a layer, unless somebody uses it.
    fn take_away(&self, id: &str) -> Result<bool, StoreError> {
        let folder = self.store.layer_folder(id);
        let manifest = folder.join("manifest");
        let Some(lock) = exclusive(&manifest).map_err(at("lock", &manifest))? else { return Ok(false) };
        if self.dry_run {
            return Ok(true);
        }
        let aside = self.store.move_aside(&folder).map_err(at("move aside", &folder))?;
        drop(lock);
        remove_tree(&aside).map_err(at("remove", &aside))?;
        Ok(true)
    }

    /// Recipes and image names that lead to no layer.
    fn names(&mut self, gone: &HashSet<String>) -> Result<(), StoreError> {
        let is_there = |id: &String| !gone.contains(id) && self.store.has_layer(id);
        let recipes = self.store.folder("recipes");
        let mut lost = Vec::new();
        for path in list(&recipes)? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let leads = || RecipeFile::read(&recipes, name).is_some_and(|file| is_there(&file.layer));
            if leads() {
                continue;
            }
            if !self.dry_run {
                // Its builder holds the lock; it may just be making the layer again.
                let lock = self.store.folder("locks").join(name);
                let Some(_held) = lock_path(&lock, false).map_err(at("lock", &lock))? else { continue };
                if leads() {
                    continue;
                }
                self.unlink(&path)?;
            }
            lost.push(path);
        }
        for record in self.store.image_records()? {
            if !record.layers.iter().all(is_there) {
                let path = self.store.folder("images").join(&record.name);
                lost.push(path.clone());
                self.unlink(&path)?;
            }
        }
        self.report.recipes = lost.len();
        Ok(())
    }

    /// Locks that nobody holds; who wants one next makes it again.
    fn locks(&self) -> Result<(), StoreError> {
        if self.dry_run {
            return Ok(());
        }
        for path in list(&self.store.folder("locks"))? {
            if let Some(_held) = lock_path(&path, false).map_err(at("lock", &path))? {
                self.unlink(&path)?;
            }
        }
        Ok(())
    }

    /// Files of the pool that no layer has.
    fn pool(&mut self) -> Result<(), StoreError> {
        let files = self.store.folder("files");
        for file in pool::files(&files).map_err(at("read", &files))? {
            let Ok(about) = fs::symlink_metadata(&file) else { continue };
            let lost = if self.dry_run { !self.kept.contains(&about.ino()) } else { about.nlink() == 1 };
            if lost {
                self.report.files += 1;
                self.unlink(&file)?;
            }
        }
        Ok(())
    }

    fn discard(&self, folder: &Path) -> Result<(), StoreError> {
        if self.dry_run {
            return Ok(());
        }
        match self.store.move_aside(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("move aside", folder)(error)),
            Ok(aside) => self.delete(&aside),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), StoreError> {
        if self.dry_run { Ok(()) } else { remove_tree(path).map_err(at("remove", path)) }
    }

    fn unlink(&self, path: &Path) -> Result<(), StoreError> {
        if self.dry_run { Ok(()) } else { ignore_missing(fs::remove_file(path)).map_err(at("remove", path)) }
    }
}

impl LayerStore {
    /// Moves a layer out of sight, by one rename. Nothing is made for it: a disk may be so full that it cannot.
    pub(super) fn move_aside(&self, folder: &Path) -> io::Result<PathBuf> {
        let mut number = 0_u64;
        loop {
            let mut name = folder.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{number}"));
            let aside = self.folder("trash").join(name);
            match fs::rename(folder, &aside) {
                // A collection that was killed has left one of that name.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => number += 1,
                moved => return moved.map(|()| aside),
            }
        }
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    read_dir(folder).map_err(at("read", folder))
}

/// Whether it was to become a file by one rename, which never came.
fn is_abandoned(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let modified = fs::symlink_metadata(path).and_then(|about| about.modified());
    let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    is_hidden && age.is_some_and(|age| age > ABANDONED)
}
