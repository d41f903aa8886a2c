//! The layer store: `layers/<id>/{layer.json, fs/}`, with scratch and locks beside it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::Layer;

/// What kept the store from working.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("{action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Everything that the content of a layer follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    json: String,
    id: String,
}

impl Recipe {
    /// A recipe of the kind `kind` with these inputs. Fields are hashed in the order in which they serialise.
    ///
    /// # Errors
    /// When `inputs` has no JSON form.
    pub fn new(kind: &str, inputs: &impl Serialize) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(&serde_json::json!({ "kind": kind, "inputs": inputs }))?;
        let id = Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { json, id })
    }

    /// Hexadecimal SHA-256: the layer's name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// A store of layers in one folder.
#[derive(Debug, Clone)]
pub struct LayerStore {
    root: PathBuf,
    owner: Option<(u32, u32)>,
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
    /// given: the user that sandboxes map their root to.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folders cannot be made.
    pub fn open(root: impl Into<PathBuf>, owner: Option<(u32, u32)>) -> Result<Self, StoreError> {
        let store = Self { root: root.into(), owner };
        for folder in ["layers", "building", "locks"] {
            let path = store.root.join(folder);
            fs::create_dir_all(&path).map_err(|source| StoreError::Io { action: "make", path, source })?;
        }
        Ok(store)
    }

    /// The layer of this recipe, if it has been built.
    pub fn find(&self, recipe: &Recipe) -> Option<Layer> {
        let folder = self.root.join("layers").join(&recipe.id);
        folder.join("layer.json").is_file().then(|| Layer { id: recipe.id.clone(), path: folder.join("fs") })
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
        let lock = self.lock(&recipe.id)?;
        if let Some(layer) = self.find(recipe) {
            return Ok(Begin::Ready(layer));
        }
        let building = self.root.join("building");
        sweep(&building, &recipe.id);
        let scratch = tempfile::Builder::new()
            .prefix(&format!("{}.", recipe.id))
            .tempdir_in(&building)
            .map_err(|source| StoreError::Io { action: "make a folder in", path: building, source })?;
        let build = LayerBuild { scratch, recipe: recipe.clone(), store: self.clone(), _lock: lock };
        let files = build.files();
        self.make_root(&files).map_err(|source| StoreError::Io { action: "make", path: files, source })?;
        Ok(Begin::Build(build))
    }

    fn make_root(&self, files: &Path) -> io::Result<()> {
        fs::create_dir(files)?;
        fs::set_permissions(files, fs::Permissions::from_mode(0o755))?;
        self.own(files)
    }

    /// Gives a path to the user that sandboxes map their root to.
    fn own(&self, path: &Path) -> io::Result<()> {
        self.owner.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }

    fn lock(&self, id: &str) -> Result<Flock<File>, StoreError> {
        let path = self.root.join("locks").join(id);
        let failed = |source| StoreError::Io { action: "lock", path: path.clone(), source };
        let file = File::create(&path).map_err(failed)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
    }

    /// Removes the scratch of killed builders; what is being built stays. Says how many folders went.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read.
    pub fn clean_leftovers(&self) -> Result<usize, StoreError> {
        let building = self.root.join("building");
        let failed = |source| StoreError::Io { action: "read", path: building.clone(), source };
        let mut removed = 0;
        for entry in fs::read_dir(&building).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some((id, _)) = name.to_str().and_then(|name| name.split_once('.')) else {
                continue;
            };
            let lock = File::create(self.root.join("locks").join(id)).map_err(failed)?;
            if Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_ok() {
                removed += sweep(&building, id);
            }
        }
        Ok(removed)
    }
}

/// Removes what killed builders of the layer `id` left, and says how many folders went. Its lock must be held.
/// A sandbox of such a builder may write for a moment longer; what cannot be removed now goes the next time.
fn sweep(building: &Path, id: &str) -> usize {
    let leftovers = fs::read_dir(building).into_iter().flatten().flatten();
    leftovers
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(id)))
        .filter(|entry| fs::remove_dir_all(entry.path()).is_ok())
        .count()
}

/// A layer under construction. Dropped without [`LayerBuild::commit`], it leaves nothing.
#[derive(Debug)]
pub struct LayerBuild {
    scratch: TempDir,
    recipe: Recipe,
    store: LayerStore,
    _lock: Flock<File>,
}

impl LayerBuild {
    /// The folder whose content becomes the layer.
    pub fn files(&self) -> PathBuf {
        self.scratch.path().join("fs")
    }

    /// A folder for whatever building needs; it is gone after the build, or with the next one when this is killed.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be made.
    pub fn temporary_folder(&self) -> Result<TempDir, StoreError> {
        let failed =
            |source| StoreError::Io { action: "make a folder in", path: self.scratch.path().into(), source };
        tempfile::tempdir_in(self.scratch.path()).map_err(failed)
    }

    /// Gives everything below `folder` (inside [`Self::files`]) to the user that sandboxes map their root to.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the kernel refuses.
    pub fn own_tree(&self, folder: &Path) -> Result<(), StoreError> {
        self.own_below(folder).map_err(|source| StoreError::Io {
            action: "change the owner below",
            path: folder.to_owned(),
            source,
        })
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

    /// Makes the layer visible, whole.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be written.
    pub fn commit(self) -> Result<Layer, StoreError> {
        let scratch = self.scratch.path();
        let folder = self.store.root.join("layers").join(&self.recipe.id);
        let failed = |source| StoreError::Io { action: "commit the layer", path: folder.clone(), source };
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        fs::write(scratch.join("layer.json"), &self.recipe.json).map_err(failed)?;
        // A layer that a power cut left half-written would give wrong verdicts for good: data first, then the name.
        nix::unistd::syncfs(File::open(scratch).map_err(failed)?).map_err(|errno| failed(errno.into()))?;
        fs::rename(scratch, &folder).map_err(failed)?;
        Ok(Layer { id: self.recipe.id.clone(), path: folder.join("fs") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (TempDir, LayerStore) {
        let folder = TempDir::new().unwrap();
        let store = LayerStore::open(folder.path(), None).unwrap();
        (folder, store)
    }

    fn recipe(text: &str) -> Recipe {
        Recipe::new("test", &text).unwrap()
    }

    fn begin(store: &LayerStore, text: &str) -> LayerBuild {
        match store.begin(&recipe(text)).unwrap() {
            Begin::Build(build) => build,
            Begin::Ready(layer) => panic!("{layer:?} should not be there"),
        }
    }

    #[test]
    fn a_layer_is_there_once_it_is_committed() {
        let (_folder, store) = store();
        let build = begin(&store, "a");
        fs::write(build.files().join("x"), "1").unwrap();
        assert_eq!(store.find(&recipe("a")), None);
        let layer = build.commit().unwrap();
        assert_eq!(fs::read(layer.path.join("x")).unwrap(), b"1");
        assert_eq!(store.find(&recipe("a")), Some(layer));
        assert_eq!(store.find(&recipe("b")), None);
        assert!(matches!(store.begin(&recipe("a")).unwrap(), Begin::Ready(_)));
    }

    #[test]
    fn an_abandoned_build_leaves_nothing() {
        let (folder, store) = store();
        drop(begin(&store, "a"));
        // As a killed builder would have left it.
        fs::create_dir_all(folder.path().join("building").join(format!("{}.dead/fs/x", recipe("a").id())))
            .unwrap();
        drop(begin(&store, "a"));
        assert_eq!(fs::read_dir(folder.path().join("building")).unwrap().count(), 0);
    }

    #[test]
    fn concurrent_builders_build_once() {
        let (_folder, store) = store();
        let built = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if let Begin::Build(build) = store.begin(&recipe("a")).unwrap() {
                        built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        build.commit().unwrap();
                    }
                });
            }
        });
        assert_eq!(built.into_inner(), 1);
    }
}
