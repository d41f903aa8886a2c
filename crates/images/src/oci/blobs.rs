//! A folder of blobs, each named by its SHA-256: `sha256/<hex>` whole and verified, `partial/<hex>` on its way.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::digest::Hashing;
use super::manifest::Descriptor;
use super::{Digest, OciError};

/// Whole blobs, parts of some, and whose turn it is to fetch one.
const FOLDERS: [&str; 3] = ["sha256", "partial", "locks"];

/// The folder.
#[derive(Debug, Clone)]
pub struct BlobCache {
    root: PathBuf,
}

impl BlobCache {
    /// Opens the folder, which is made if need be.
    ///
    /// # Errors
    /// [`OciError::Io`] when it cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, OciError> {
        let root = root.into();
        for folder in FOLDERS {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(OciError::io("make", &path))?;
        }
        Ok(Self { root })
    }

    /// Where a blob lies once it is there.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("sha256").join(digest.hex())
    }

    pub(crate) fn find(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.path(digest)).filter(|path| path.is_file())
    }

    /// Removes a blob that is not needed any more, if it is there.
    pub(crate) fn remove(&self, digest: &Digest) {
        // Whatever is left over costs disk and nothing else.
        fs::remove_file(self.path(digest)).ok();
    }

    /// Reads a small blob whole.
    pub(crate) fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciError> {
        let path = self.path(&descriptor.digest);
        let bytes = fs::read(&path).map_err(OciError::io("read", &path))?;
        check(&descriptor.digest, &Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Keeps these bytes.
    pub(crate) fn insert(&self, bytes: &[u8]) -> Result<Digest, OciError> {
        let mut blob = self.new_blob()?;
        blob.write_all(bytes).map_err(OciError::io("write", &self.root))?;
        Ok(blob.keep()?.0)
    }

    /// A file beside the blobs, for as long as it is held.
    pub(crate) fn temporary_file(&self) -> Result<NamedTempFile, OciError> {
        let folder = self.root.join("partial");
        NamedTempFile::new_in(&folder).map_err(OciError::io("make a file in", &folder))
    }

    /// A blob whose digest is not known yet.
    pub(crate) fn new_blob(&self) -> Result<NewBlob, OciError> {
        let file = self.temporary_file()?;
        Ok(NewBlob { file: Hashing::new(BufWriter::with_capacity(1 << 17, file)), cache: self.clone() })
    }

    /// Goes on with a blob that is being fetched. Blocks while another process fetches it.
    pub(crate) fn partial(&self, descriptor: &Descriptor) -> Result<Partial, OciError> {
        let digest = &descriptor.digest;
        let lock = self.lock(digest)?;
        let path = self.root.join("partial").join(digest.hex());
        let shown = path.clone();
        let failed = OciError::io("open", &shown);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(&failed)?;
        let mut hash = Sha256::new();
        let mut bytes = io::copy(&mut (&mut file).take(descriptor.size), &mut hash).map_err(&failed)?;
        if file.metadata().map_err(&failed)?.len() > descriptor.size {
            (hash, bytes) = (Sha256::new(), 0);
            file.set_len(0).and_then(|()| file.rewind()).map_err(&failed)?;
        }
        let whole = self.path(digest);
        Ok(Partial {
            digest: digest.clone(),
            size: descriptor.size,
            path,
            whole,
            file,
            hash,
            bytes,
            _lock: lock,
        })
    }

    /// Removes what nobody has touched for so long: interrupted downloads, and blobs that an export or a pull left
    /// behind. Returns how many files that are, and their bytes; with `dry_run`, nothing is removed.
    ///
    /// # Errors
    /// [`OciError::Io`] when a folder cannot be read.
    pub fn collect(&self, untouched: Duration, dry_run: bool) -> Result<(usize, u64), OciError> {
        let (mut count, mut bytes) = (0, 0);
        for folder in FOLDERS {
            let folder = self.root.join(folder);
            for entry in fs::read_dir(&folder).map_err(OciError::io("read", &folder))? {
                let path = entry.map_err(OciError::io("read", &folder))?.path();
                // One that went meanwhile is gone.
                let Ok(about) = fs::metadata(&path) else { continue };
                let age = about.modified().ok().and_then(|time| time.elapsed().ok());
                if age.is_some_and(|age| age > untouched) && (dry_run || fs::remove_file(&path).is_ok()) {
                    count += 1;
                    bytes += about.len();
                }
            }
        }
        Ok((count, bytes))
    }

    fn lock(&self, digest: &Digest) -> Result<Flock<File>, OciError> {
        let path = self.root.join("locks").join(digest.hex());
        let failed = OciError::io("lock", &path);
        loop {
            let file = File::create(&path).map_err(&failed)?;
            file.set_modified(SystemTime::now()).map_err(&failed)?;
            let lock =
                Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
            // One that was collected while it was waited for locks nothing.
            if lock.metadata().map_err(&failed)?.nlink() > 0 {
                return Ok(lock);
            }
        }
    }
}

/// A blob that is being written.
pub(crate) struct NewBlob {
    file: Hashing<BufWriter<NamedTempFile>>,
    cache: BlobCache,
}

impl NewBlob {
    /// Keeps it, and says what it is.
    pub(crate) fn keep(self) -> Result<(Digest, u64), OciError> {
        let (file, digest, bytes) = self.file.finish();
        let path = self.cache.path(&digest);
        let failed = OciError::io("write", &path);
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_data().map_err(&failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok((digest, bytes))
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A blob that is being fetched. What has arrived stays for the next try, by whomever.
pub(crate) struct Partial {
    digest: Digest,
    size: u64,
    path: PathBuf,
    whole: PathBuf,
    file: File,
    hash: Sha256,
    bytes: u64,
    _lock: Flock<File>,
}

impl Partial {
    /// Bytes that have arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.bytes == self.size
    }

    /// Takes what comes next, as long as it is no more than was promised.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), OciError> {
        if self.bytes + chunk.len() as u64 > self.size {
            self.restart()?;
            return Err(OciError::mismatch(
                self.digest.to_string(),
                format!("it is longer than {} bytes", self.size),
            ));
        }
        self.file.write_all(chunk).map_err(OciError::io("write", &self.path))?;
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Forgets what has arrived.
    pub(crate) fn restart(&mut self) -> Result<(), OciError> {
        self.hash = Sha256::new();
        self.bytes = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).map_err(OciError::io("write", &self.path))
    }

    /// Verifies what has arrived and gives it its name. What is wrong is thrown away.
    pub(crate) fn keep(mut self) -> Result<PathBuf, OciError> {
        let found = Digest::from_hash(std::mem::take(&mut self.hash));
        if let Err(error) = check(&self.digest, &found) {
            self.restart()?;
            return Err(error);
        }
        let failed = OciError::io("write", &self.whole);
        self.file.sync_data().and_then(|()| fs::rename(&self.path, &self.whole)).map_err(failed)?;
        Ok(self.whole)
    }
}

fn check(wanted: &Digest, found: &Digest) -> Result<(), OciError> {
    if wanted == found {
        return Ok(());
    }
    Err(OciError::mismatch(wanted.to_string(), format!("its content has the digest {found}")))
}

/// The length of a file.
pub(crate) fn length(path: &Path) -> Result<u64, OciError> {
    Ok(fs::metadata(path).map_err(OciError::io("find", path))?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_is_collected() {
        let folder = tempfile::tempdir().unwrap();
        let cache = BlobCache::open(folder.path()).unwrap();
        let (old, new) = (cache.insert(b"old").unwrap(), cache.insert(b"newer").unwrap());
        drop(cache.lock(&old).unwrap());
        let week = Duration::from_secs(7 * 24 * 3600);
        for name in ["sha256", "locks"] {
            let file = File::options().append(true).open(folder.path().join(name).join(old.hex())).unwrap();
            file.set_modified(SystemTime::now() - week).unwrap();
        }
        let day = week / 7;
        assert_eq!(cache.collect(day, true).unwrap(), (2, 3));
        assert!(cache.find(&old).is_some());
        assert_eq!(cache.collect(day, false).unwrap(), (2, 3));
        assert!(cache.find(&old).is_none() && cache.find(&new).is_some());
        drop(cache.lock(&old).unwrap());
        assert_eq!(cache.collect(day, false).unwrap(), (0, 0));
    }
}
