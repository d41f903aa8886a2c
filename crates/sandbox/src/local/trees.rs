//! Looking at files and copying trees, on the owner's side. What comes out of a sandbox is hostile, also the
//! stream of a tree: see [`archive`].

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::archive::{self, PatientPipe, Rules, TreeError};
use super::protocol::{GuestReply, GuestRequest, memory_file};
use super::sandbox::{GuestSandbox, file_error};
use crate::{FileEntry, FileStat, SandboxError, TreeLimits};

/// How long a tree may take. A sandbox can stop the process that serves it.
const TREE_PATIENCE: Duration = Duration::from_secs(600);
/// Permissions; set-id bits would be those of a stranger.
const DOWNLOADED_MODES: u32 = 0o777;

pub(super) async fn stat(sandbox: &GuestSandbox, path: &str) -> Result<FileStat, SandboxError> {
    match sandbox.ask(GuestRequest::Stat { path: sandbox.absolute(path) }, &[]).await? {
        (Some(GuestReply::Stat(stat)), _) => Ok(stat.into()),
        (reply, _) => Err(file_error("look at", path, reply)),
    }
}

pub(super) async fn list(sandbox: &GuestSandbox, path: &str) -> Result<Vec<FileEntry>, SandboxError> {
    match sandbox.ask(GuestRequest::List { path: sandbox.absolute(path) }, &[]).await? {
        (Some(GuestReply::Listed(entries)), _) => Ok(entries.into_iter().map(FileEntry::from).collect()),
        (reply, _) => Err(file_error("list", path, reply)),
    }
}

pub(super) async fn upload(sandbox: &GuestSandbox, folder: &Path, path: &str) -> Result<(), SandboxError> {
    let (theirs, ours) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    let request = GuestRequest::Unpack { path: sandbox.absolute(path) };
    let mut pending = sandbox.channel.request(request, &[theirs.as_fd()]).await?;
    drop(theirs);
    let folder = folder.to_path_buf();
    let packed = tokio::task::spawn_blocking(move || pack(&folder, ours)).await.map_err(io::Error::other)?;
    let reply = sandbox.answer(&mut pending).await?.0;
    match (packed, reply) {
        (Ok(()), Some(GuestReply::Unpacked)) => Ok(()),
        (Err(TreeError { message, errno }), _) if errno != Some(libc::EPIPE) => {
            Err(SandboxError::File { action: "upload", path: path.to_owned(), message, errno })
        }
        (_, reply) => Err(file_error("upload", path, reply)),
    }
}

/// The archive goes over as a memory file, which is read like a pipe.
pub(super) async fn unpack(sandbox: &GuestSandbox, archive: &[u8], path: &str) -> Result<(), SandboxError> {
    let archive = memory_file("archive", archive)?;
    let request = GuestRequest::Unpack { path: sandbox.absolute(path) };
    match sandbox.ask(request, &[archive.as_fd()]).await? {
        (Some(GuestReply::Unpacked), _) => Ok(()),
        (reply, _) => Err(file_error("unpack", path, reply)),
    }
}

fn pack(folder: &Path, pipe: OwnedFd) -> Result<(), TreeError> {
    let limits = TreeLimits { bytes: u64::MAX, entries: u64::MAX };
    archive::pack(&open_folder(folder, 0)?, PatientPipe::new(pipe, Instant::now() + TREE_PATIENCE)?, limits)
}

pub(super) async fn download(
    sandbox: &GuestSandbox,
    path: &str,
    folder: &Path,
    limits: TreeLimits,
) -> Result<(), SandboxError> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    let TreeLimits { bytes, entries } = limits;
    let request = GuestRequest::Pack { path: sandbox.absolute(path), bytes, entries };
    let made = Made::new(folder).map_err(|error| failed("download", path, TreeError::from(error)))?;
    let mut pending = sandbox.channel.request(request, &[theirs.as_fd()]).await?;
    drop(theirs);
    let unpacked = tokio::task::spawn_blocking(move || {
        let unpacked = made.unpack(ours, limits);
        (unpacked, made)
    });
    let (unpacked, made) = unpacked.await.map_err(io::Error::other)?;
    let reply = sandbox.answer(&mut pending).await?.0;
    match (unpacked, reply) {
        (Ok(()), Some(GuestReply::Packed)) => {
            made.keep();
            Ok(())
        }
        // It could not go on because we did not.
        (Err(error), Some(GuestReply::FileError { errno: Some(libc::EPIPE), .. })) => {
            Err(failed("download", path, error))
        }
        (Err(error), None | Some(GuestReply::Packed)) => Err(failed("download", path, error)),
        (_, reply) => Err(file_error("download", path, reply)),
    }
}

fn failed(action: &'static str, path: &str, error: TreeError) -> SandboxError {
    let TreeError { message, errno } = error;
    SandboxError::File { action, path: path.to_owned(), message, errno }
}

/// A folder that was made, and goes again unless it is kept.
struct Made {
    folder: PathBuf,
    kept: bool,
}

impl Made {
    fn new(folder: &Path) -> io::Result<Self> {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::create_dir(folder)?;
        Ok(Self { folder: folder.to_path_buf(), kept: false })
    }

    fn unpack(&self, pipe: OwnedFd, limits: TreeLimits) -> Result<(), TreeError> {
        let rules = Rules { replace: false, modes: DOWNLOADED_MODES, closed_folders: false, limits };
        let pipe = PatientPipe::new(pipe, Instant::now() + TREE_PATIENCE)?;
        archive::unpack(&open_folder(&self.folder, libc::O_NOFOLLOW)?, pipe, rules)
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.kept {
            // The error that led here says more than one of this.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn open_folder(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_DIRECTORY | libc::O_CLOEXEC;
    Ok(File::options().read(true).custom_flags(flags).open(path)?.into())
}
