//! Leases: what is in use is not removed.
//!
//! A lease is a shared lock on a layer's manifest; who removes the layer needs the exclusive one. The kernel lets go
//! of the locks of a dead process. The manifest's modification time is the layer's last use.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// A shared lock on a layer, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Flock<File>);

impl Lease {
    /// Takes the lease of a manifest that nobody else knows yet, or that is visible. `None` where it is not there.
    fn take(manifest: &Path) -> io::Result<Option<Self>> {
        let Some(lock) = shared(manifest)? else { return Ok(None) };
        touch(&lock);
        Ok(Some(Self(lock)))
    }

    fn is_of(&self, manifest: &Path) -> bool {
        is_at(&self.0, manifest).unwrap_or(false)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        touch(&self.0);
    }
}

/// Leases of this process: layers in use many times are locked once.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<String, Weak<Lease>>>>);

impl Leases {
    /// The lease of the layer `id`, whose manifest this is. `None` where it is not there.
    pub(super) fn take(&self, id: &str, manifest: &Path) -> io::Result<Option<Arc<Lease>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have removed the layer without asking.
        if let Some(lease) = known.get(id).and_then(Weak::upgrade).filter(|lease| lease.is_of(manifest)) {
            return Ok(Some(lease));
        }
        let Some(lease) = Lease::take(manifest)?.map(Arc::new) else { return Ok(None) };
        known.retain(|_, lease| lease.strong_count() > 0);
        known.insert(id.to_owned(), Arc::downgrade(&lease));
        Ok(Some(lease))
    }
}

/// Keeps a layer from being removed, without counting as a use of it. `None` where it is not there.
pub(super) fn shared(manifest: &Path) -> io::Result<Option<Flock<File>>> {
    let file = match open(manifest) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Who holds the exclusive lock moves the layer away and is done: this does not take long.
    let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| io::Error::from(errno))?;
    Ok(is_at(&lock, manifest)?.then_some(lock))
}

/// The exclusive lock of a visible layer; `None` while anybody has a lease, or when it is not there.
pub(super) fn exclusive(manifest: &Path) -> io::Result<Option<Flock<File>>> {
    let file = match open(manifest) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(is_at(&lock, manifest)?.then_some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// The lock of a path that others may remove meanwhile. Waits, or gives `None` where it would have to.
pub(super) fn lock_path(path: &Path, wait: bool) -> io::Result<Option<Flock<File>>> {
    let how = if wait { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match Flock::lock(file, how) {
            Ok(lock) if is_at(&lock, path)? => return Ok(Some(lock)),
            Ok(_) => {}
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        }
    }
}

/// The lock of a folder that stays; waits. Nothing is made or written for it.
pub(super) fn lock_folder(folder: &Path) -> io::Result<Flock<File>> {
    Flock::lock(File::open(folder)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn open(manifest: &Path) -> io::Result<File> {
    // An owner may set times by a descriptor that is open for reading.
    File::open(manifest)
}

fn touch(file: &File) {
    // Without it the layer counts as used earlier than it was, no more.
    file.set_modified(SystemTime::now()).ok();
}

/// Whether the path still leads to the file that was locked.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
