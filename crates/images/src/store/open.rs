//! The store: finding layers, and taking on building them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;

use super::build::LayerBuild;
use super::error::at;
use super::lease::{Leases, lock_path};
use super::pool::read_dir;
use super::recipe::RecipeFile;
use super::remove::remove_tree;
use super::shared::Shared;
use super::{Recipe, StoreError};
use crate::Layer;

const FOLDERS: [&str; 7] = ["layers", "recipes", "images", "files", "building", "trash", "locks"];

/// A store of layers in one folder. Clones share their leases.
#[derive(Debug, Clone)]
pub struct LayerStore {
    pub(super) root: PathBuf,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) leases: Leases,
    pub(super) shared: Shared,
}

/// What [`LayerStore::begin`] found.
#[derive(Debug)]
pub enum Begin {
    /// The layer is there.
    Ready(Layer),
    /// It is to be built, by the caller; others who want it wait.
    Build(LayerBuild),
}

impl LayerStore {
    /// Opens the store at `root`, which is made if need be. New layers belong to `owner` (uid, gid) where one is
    /// given: the user that sandboxes map their root to. All processes that use a store give the same.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folders cannot be made.
    pub fn open(root: impl Into<PathBuf>, owner: Option<(u32, u32)>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), owner, leases: Leases::default(), shared: Shared::default() };
        for folder in FOLDERS {
            let path = store.root.join(folder);
            fs::create_dir_all(&path).map_err(at("make", &path))?;
        }
        Ok(store)
    }

    /// Also finds layers in these stores, first one first, and uses them where they are. Nothing is written into
    /// them, so nothing keeps their layers from being removed while they are in use.
    #[must_use]
    pub fn with_shared(mut self, stores: Vec<PathBuf>) -> Self {
        self.shared.stores = stores;
        self
    }

    /// Copies layers of shared stores into this one when they are first used, where `copying`.
    #[must_use]
    pub fn copying_shared(mut self, copying: bool) -> Self {
        self.shared.copying = copying;
        self
    }

    /// The layer of this recipe, if it has been built.
    pub fn find(&self, recipe: &Recipe) -> Option<Layer> {
        let shared = || if self.shared.copying { None } else { self.shared.find(recipe) };
        self.find_here(recipe).or_else(shared)
    }

    fn find_here(&self, recipe: &Recipe) -> Option<Layer> {
        let file = RecipeFile::read(&self.folder("recipes"), recipe.id())?;
        self.layer(&file.layer).ok().flatten()
    }

    /// The layer with this digest, if it is there or in a shared store that is used in place.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be locked.
    pub fn layer(&self, id: &str) -> Result<Option<Layer>, StoreError> {
        let folder = self.layer_folder(id);
        let manifest = folder.join("manifest");
        let lease = self.leases.take(id, &manifest).map_err(at("lock", &manifest))?;
        let here = lease.map(|lease| Layer::leased(id.to_owned(), folder.join("fs"), lease));
        Ok(here.or_else(|| self.shared.layer_in_place(id)))
    }

    /// Finds the layer or takes on building it. Blocks while another builder is at it, in this process or in
    /// another one.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the lock or the scratch folder cannot be made.
    pub fn begin(&self, recipe: &Recipe) -> Result<Begin, StoreError> {
        if let Some(layer) = self.find(recipe) {
            return Ok(Begin::Ready(layer));
        }
        let lock = self.lock(recipe.id())?;
        if let Some(layer) = self.find(recipe) {
            return Ok(Begin::Ready(layer));
        }
        let building = self.folder("building");
        sweep(&building, recipe.id());
        let scratch = tempfile::Builder::new()
            .prefix(&format!("{}.", recipe.id()))
            .tempdir_in(&building)
            .map_err(at("make a folder in", &building))?;
        let build = LayerBuild::new(scratch, recipe.clone(), self.clone(), lock);
        let files = build.files();
        self.make_root(&files).map_err(at("make", &files))?;
        match self.shared.find(recipe) {
            Some(layer) => build.copy(&layer).map(Begin::Ready),
            None => Ok(Begin::Build(build)),
        }
    }

    fn make_root(&self, files: &Path) -> io::Result<()> {
        fs::create_dir(files)?;
        fs::set_permissions(files, fs::Permissions::from_mode(0o755))?;
        self.own(files)
    }

    /// Gives a path to the user that sandboxes map their root to.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        self.owner.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }

    fn lock(&self, id: &str) -> Result<Flock<File>, StoreError> {
        let path = self.folder("locks").join(id);
        let lock = lock_path(&path, true).map_err(at("lock", &path))?;
        lock.ok_or_else(|| at("lock", &path)(io::ErrorKind::WouldBlock.into()))
    }

    /// Removes the scratch of killed builders; what is being built stays. Says how many folders went.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read.
    pub fn clean_leftovers(&self) -> Result<usize, StoreError> {
        let building = self.folder("building");
        let mut removed = 0;
        for path in read_dir(&building).map_err(at("read", &building))? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((id, _)) = name.and_then(|name| name.split_once('.')) else { continue };
            let lock = self.folder("locks").join(id);
            if let Some(_held) = lock_path(&lock, false).map_err(at("lock", &lock))? {
                removed += sweep(&building, id);
            }
        }
        Ok(removed)
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn layer_folder(&self, id: &str) -> PathBuf {
        self.root.join("layers").join(id)
    }
}

/// Removes what killed builders of the recipe `id` left, and says how many folders went. Its lock must be held.
/// A sandbox of such a builder may write for a moment longer; what cannot be removed now goes the next time.
fn sweep(building: &Path, id: &str) -> usize {
    let leftovers = read_dir(building).unwrap_or_default();
    let is_of = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(id))
    };
    leftovers.iter().filter(|path| is_of(path)).filter(|path| remove_tree(path).is_ok()).count()
}
