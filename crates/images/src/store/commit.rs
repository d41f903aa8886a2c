//! Making a layer visible.
//!
//! In this order, so that a crash at any moment leaves no layer that is not whole: content in its final form, content
//! on disk, files into the pool, layer by one rename, recipe by one rename.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::content::{Hashes, entries};
use super::error::at;
use super::manifest::{self, Entry, FIXED_TIME, FileEntry, Kind, layer_time};
use super::pool::Pool;
use super::scan::{Found, Tree, is_opaque_mark, strip_attributes};
use super::{LayerBuild, LayerStore, StoreError, is_kept, parallel};
use crate::Layer;

/// What becomes of the times of regular files, and which extended attributes stay.
#[derive(Clone, Copy)]
struct Form {
    time: fn(i64) -> i64,
    keeps: fn(&[u8]) -> bool,
}

impl LayerBuild {
    /// Makes the layer visible, whole. Owners and times become those of all layers, extended attributes go: what
    /// installers note in them differs from build to build. Where the store has a layer with this content already, that one is given.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be written.
    pub fn commit(self) -> Result<Layer, StoreError> {
        self.commit_as(Form { time: layer_time, keeps: |_| false })
    }

    /// As [`Self::commit`], but regular files keep their times, to the second, and files and folders their attributes
    /// `user.*`: for layers that others made, in which something else may depend on them.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be written.
    pub fn commit_as_made(self) -> Result<Layer, StoreError> {
        self.commit_as(Form { time: |mtime| mtime, keeps: is_kept })
    }

    fn commit_as(self, form: Form) -> Result<Layer, StoreError> {
        let staged = self.stage()?;
        let files = staged.join("fs");
        let (id, text, entries) = self.settle(&files, form)?;
        let recipes = self.store.folder("recipes");
        let layer = match self.store.layer(&id)? {
            Some(layer) => layer,
            None => {
                let write = |name: &str, content: &str| fs::write(staged.join(name), content);
                write("manifest", &text).map_err(at("write the manifest in", &staged))?;
                self.share(&files, &entries).map_err(at("put into the pool what is in", &files))?;
                self.store.publish(&staged, &id)?
            }
        };
        self.recipe.write(&recipes, self.scratch.path(), &id).map_err(at("write a recipe in", &recipes))?;
        Ok(layer)
    }

    /// Moves the files to where they lie in a layer, apart from other things in the scratch folder.
    fn stage(&self) -> Result<PathBuf, StoreError> {
        let staged = self.scratch.path().join("layer");
        let stage = || {
            let mode = fs::symlink_metadata(self.files())?.permissions().mode();
            fs::create_dir(&staged)?;
            fs::set_permissions(&staged, fs::Permissions::from_mode(0o755))?;
            // A folder that is not writable cannot be moved by an ordinary user.
            fs::set_permissions(self.files(), fs::Permissions::from_mode(mode | 0o700))?;
            fs::rename(self.files(), staged.join("fs"))?;
            fs::set_permissions(staged.join("fs"), fs::Permissions::from_mode(mode))
        };
        stage().map_err(at("commit the files of", self.scratch.path()))?;
        Ok(staged)
    }

    /// Gives everything its final form, and says what there is.
    fn settle(&self, files: &Path, form: Form) -> Result<(String, String, Vec<Entry>), StoreError> {
        let mut tree = Tree::scan(files).map_err(at("list the files of", files))?;
        for index in 0..tree.found.len() {
            let path = tree.full(&tree.found[index].path);
            let found = &mut tree.found[index];
            found.mtime = (form.time)(found.mtime);
            self.normalise(&path, found, form).map_err(at("give its final form to", &path))?;
        }
        let entries: Result<Vec<Entry>, _> = entries(&tree, &mut Hashes::default()).into_iter().collect();
        let entries =
            entries.map_err(|(path, message)| at("read", &tree.full(&path))(io::Error::other(message)))?;
        let text = manifest::render(&entries);
        Ok((manifest::digest(&text), text, entries))
    }

    /// Owner, attributes and times of one entry. Times of folders come last, for their content is still moved.
    fn normalise(&self, path: &Path, found: &Found, form: Form) -> io::Result<()> {
        let about = &found.about;
        if let Some((uid, gid)) = self.store.owner.filter(|owner| *owner != (about.uid(), about.gid())) {
            lchown(path, Some(uid), Some(gid))?;
            if !about.is_symlink() && found.mode() & 0o6000 != 0 {
                // The kernel takes these bits from a file that changes hands.
                fs::set_permissions(path, fs::Permissions::from_mode(found.mode()))?;
            }
        }
        if about.is_dir() {
            strip_attributes(path, |name| is_opaque_mark(name) || (form.keeps)(name))
        } else if about.file_type().is_char_device() {
            Ok(())
        } else {
            strip_attributes(path, form.keeps)?;
            set_time(path, if about.is_file() { found.mtime } else { FIXED_TIME })
        }
    }

    /// Replaces files by those of the pool, brings the rest to the disk, then puts it into the pool.
    fn share(&self, files: &Path, entries: &[Entry]) -> io::Result<()> {
        let tree = Tree::scan(files)?;
        let pool = Pool::new(self.store.folder("files"), self.scratch.path());
        let regular = entries.iter().filter_map(|Entry { path, kind }| match kind {
            Kind::File(file) => Some((tree.full(path), file)),
            _ => None,
        });
        let regular: Vec<(PathBuf, &FileEntry)> = regular.collect();
        let adopted = parallel::map(&regular, |(path, file)| pool.adopt(path, file));
        // A file that a power cut left half-written must never be shared: data first, then the names.
        nix::unistd::syncfs(File::open(files)?)?;
        for ((path, file), adopted) in regular.iter().zip(adopted) {
            if !adopted? {
                pool.insert(path, file)?;
            }
        }
        for found in tree.found.iter().filter(|found| found.about.is_dir()) {
            set_time(&tree.full(&found.path), FIXED_TIME)?;
        }
        Ok(())
    }
}

impl LayerStore {
    /// Moves a finished layer to its place. Where another builder was faster, its layer is given.
    fn publish(&self, staged: &Path, id: &str) -> Result<Layer, StoreError> {
        let folder = self.layer_folder(id);
        let failed = at("commit the layer", &folder);
        loop {
            // From before anybody else can see it, so that it is not collected at once.
            let lease = self.leases.take(id, &staged.join("manifest")).map_err(&failed)?;
            match fs::rename(staged, &folder) {
                Ok(()) => {
                    let lease = lease.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                    return Ok(Layer::leased(id.to_owned(), folder.join("fs"), lease));
                }
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    drop(lease);
                    if let Some(layer) = self.layer(id)? {
                        return Ok(layer);
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// Sets the modification time, of a link too.
pub(super) fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let (accessed, modified) = (TimeSpec::UTIME_OMIT, TimeSpec::new(seconds, 0));
    Ok(utimensat(AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}
