//! Files that appear whole or not at all, also after a crash of the machine.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::DataError;
use crate::error::IoContext;

/// What names of files begin with that are not finished; a killed process leaves them behind.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// A file in the making. Dropped without [`AtomicFile::commit`], it leaves what was there as it was.
pub struct AtomicFile {
    temporary: io::BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins a file that will be at `path`; its folder must exist.
    ///
    /// # Errors
    /// [`DataError::Io`] when the folder is not there or not writable.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            // The umask applies; the default of 0600 would hide shared runs from the group.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder_of(path))
            .context("write", path)?;
        Ok(Self { temporary: io::BufWriter::new(temporary), path: path.to_owned() })
    }

    /// Puts the file in its place, on disk, over a file that was there.
    ///
    /// # Errors
    /// [`DataError::Io`]; then what was there is still there.
    pub fn commit(self) -> Result<(), DataError> {
        let Self { temporary, path } = self;
        let persist = || -> io::Result<()> {
            let temporary = temporary.into_inner().map_err(io::IntoInnerError::into_error)?;
            temporary.as_file().sync_all()?;
            temporary.persist(&path).map_err(|error| error.error)?;
            sync_folder(folder_of(&path))
        };
        persist().context("write", &path)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

/// Writes a file whole or not at all: a temporary file in the same folder, fsync, rename, fsync of the folder.
///
/// # Errors
/// [`DataError::Io`]; then what was there is still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).context("write", path)?;
    file.commit()
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// [`DataError::Io`] when it cannot be read.
pub fn digest_file(path: &Path) -> Result<String, DataError> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).context("read", path)?;
    io::copy(&mut file, &mut hasher).context("read", path)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// SHA-256 of bytes, hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes a new file and waits until it is on disk; not atomic.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let write = || -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().context("write", path)
}

/// Makes a folder and its parents below `root`, each on disk before the next.
pub(crate) fn create_folders(root: &Path, relative: &Path) -> Result<PathBuf, DataError> {
    let mut folder = root.to_owned();
    for part in relative {
        let parent = folder.clone();
        folder.push(part);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.and_then(|()| sync_folder(&parent)).context("make folder", &folder)?,
        }
    }
    Ok(folder)
}

/// Waits until names made, changed or removed in a folder are on disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write_atomic(&path, b"old").unwrap();
        let mut unfinished = AtomicFile::create(&path).unwrap();
        unfinished.write_all(b"half").unwrap();
        drop(unfinished);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn others_may_read_what_the_umask_lets_them() {
        let folder = tempfile::tempdir().unwrap();
        let (atomic, plain) = (folder.path().join("a"), folder.path().join("b"));
        write_atomic(&atomic, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomic(&folder.path().join("no/x"), b"").unwrap_err();
        assert!(error.to_string().contains("no/x"), "{error}");
    }

    #[test]
    fn digests_are_sha_256() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_file(&path).unwrap(), expected);
        assert_eq!(digest(b"abc"), expected);
    }
}
