//! Writing a run directory: one writer, and one commit point for each rollout.
//!
//! What must stay true: a rollout counts exactly when its `rollout.json` exists, which is written last and
//! atomically. Whatever else lies in the folder of a rollout without one was left by a killed process and is
//! removed before it is written again, but for `attempts/`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::Serialize;
use swegym_core::{Connections, Failure, Patch, RolloutKey, RolloutRecord, RolloutStatus, Trajectory};

use crate::atomic::{TEMPORARY_PREFIX, create_folders, digest, sync_folder, write_synced};
use crate::error::IoContext;
use crate::run_view::{CONNECTIONS, entries, read_if_there, relative_rollout_dir};
use crate::{DataError, RunConfig, RunView, write_atomic};

const LOCK: &str = "run.lock";
const ATTEMPTS: &str = "attempts";
/// An attempt while its files are written.
const UNFINISHED_ATTEMPT: &str = ".attempt";
/// Version of `failure.json`.
const FAILURE_SCHEMA_VERSION: u32 = 1;
/// Trades size for speed; trajectories shrink about tenfold already here.
pub(crate) const ZSTD_LEVEL: i32 = 3;

/// A run directory that this process alone writes. It reads as a [`RunView`].
#[derive(Debug)]
pub struct RunDir {
    view: RunView,
    /// The kernel gives the lock back when the process ends, however it ends.
    _lock: File,
}

/// What a rollout leaves beside its record.
#[derive(Debug, Clone, Default)]
pub struct RolloutFiles<'a> {
    /// Becomes `trajectory.json.zst`.
    pub trajectory: Option<&'a Trajectory>,
    /// Becomes `patch.diff`, byte for byte.
    pub patch: Option<&'a Patch>,
    /// Becomes `connections.json`.
    pub connections: Option<&'a Connections>,
    /// Names and contents of files in `eval/`.
    pub eval: Vec<(&'static str, &'a [u8])>,
}

/// The record of a committed rollout, for the event log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Path relative to the run directory.
    pub record: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

#[derive(Serialize)]
struct KeptFailure<'a> {
    schema_version: u32,
    #[serde(flatten)]
    failure: &'a Failure,
}

impl Deref for RunDir {
    type Target = RunView;

    fn deref(&self) -> &RunView {
        &self.view
    }
}

impl RunDir {
    /// Creates a run directory, or opens one to resume it with the same configuration.
    ///
    /// # Errors
    /// [`DataError::Locked`] while another process writes it, [`DataError::SettingsDiffer`] when it was begun with
    /// another configuration, [`DataError::Malformed`] when the folder holds something else.
    pub fn open(path: &Path, config: &RunConfig) -> Result<Self, DataError> {
        fs::create_dir_all(path).context("make folder", path)?;
        refuse_other_folders(path)?;
        let lock = lock(path)?;
        for folder in [path, &path.join("exports")] {
            remove_temporary_files(folder)?;
        }
        config.write_or_compare(path)?;
        Ok(Self { view: RunView::at(path), _lock: lock })
    }

    /// Writes a rollout; once this returns, it is committed and on disk.
    ///
    /// # Errors
    /// [`DataError::AlreadyCommitted`], or [`DataError::Io`]; then it is not committed.
    pub fn commit(&self, record: &RolloutRecord, files: &RolloutFiles<'_>) -> Result<CommitInfo, DataError> {
        let key = &record.key;
        if self.committed(key)?.is_some() {
            return Err(DataError::AlreadyCommitted { key: key.clone() });
        }
        let relative = relative_rollout_dir(key);
        let folder = create_folders(self.path(), &relative)?;
        remove_leftovers(&folder)?;
        files.write_into(&folder)?;
        let path = folder.join("rollout.json");
        let bytes = to_json(&path, record)?;
        write_atomic(&path, &bytes)?;
        Ok(CommitInfo {
            record: relative.join("rollout.json").to_string_lossy().into_owned(),
            sha256: digest(&bytes),
        })
    }

    /// Keeps what a failed attempt left, as `attempts/<n>/`; gives back `n`.
    ///
    /// # Errors
    /// [`DataError::Io`]; then nothing is kept.
    pub fn keep_attempt(
        &self,
        key: &RolloutKey,
        failure: &Failure,
        files: &RolloutFiles<'_>,
    ) -> Result<u32, DataError> {
        let folder = create_folders(self.path(), &relative_rollout_dir(key))?;
        let unfinished = new_attempt(&folder)?;
        files.write_into(&unfinished)?;
        let path = unfinished.join("failure.json");
        let failure = KeptFailure { schema_version: FAILURE_SCHEMA_VERSION, failure };
        write_synced(&path, &to_json(&path, &failure)?)?;
        self.finish_attempt(key, &folder)
    }

    /// Moves a committed rollout that failed into `attempts/<n>/`, so that it can be tried again; gives back `n`.
    ///
    /// # Errors
    /// [`DataError::NotFailed`] when there is no such record.
    pub fn retire(&self, key: &RolloutKey) -> Result<u32, DataError> {
        let failed = |record: RolloutRecord| record.status == RolloutStatus::Failed;
        if !self.committed(key)?.is_some_and(failed) {
            return Err(DataError::NotFailed { key: key.clone() });
        }
        let folder = self.rollout_dir(key);
        let number = match self.retired_copy(key)? {
            Some(number) => number,
            None => {
                let unfinished = new_attempt(&folder)?;
                copy_folder(&folder, &unfinished, &[ATTEMPTS, UNFINISHED_ATTEMPT])?;
                self.finish_attempt(key, &folder)?
            }
        };
        let record = folder.join("rollout.json");
        fs::remove_file(&record).and_then(|()| sync_folder(&folder)).context("remove", &record)?;
        remove_leftovers(&folder)?;
        Ok(number)
    }

    /// The attempt that is a copy of the committed record: there is one when the process was killed while it
    /// retired it.
    fn retired_copy(&self, key: &RolloutKey) -> Result<Option<u32>, DataError> {
        let folder = self.rollout_dir(key);
        let Some(last) = self.attempts(key)?.checked_sub(1) else {
            return Ok(None);
        };
        let copy = read_if_there(&attempt_dir(&folder, last).join("rollout.json"))?;
        let same = copy.is_some() && copy == read_if_there(&folder.join("rollout.json"))?;
        Ok(same.then_some(last))
    }

    /// Gives the unfinished attempt the next number.
    fn finish_attempt(&self, key: &RolloutKey, folder: &Path) -> Result<u32, DataError> {
        let number = self.attempts(key)?;
        let unfinished = folder.join(UNFINISHED_ATTEMPT);
        create_folders(folder, Path::new(ATTEMPTS))?;
        let attempt = attempt_dir(folder, number);
        let publish = || -> io::Result<()> {
            sync_folder(&unfinished)?;
            fs::rename(&unfinished, &attempt)?;
            sync_folder(&folder.join(ATTEMPTS))
        };
        publish().context("write", &attempt)?;
        Ok(number)
    }
}

impl RolloutFiles<'_> {
    fn write_into(&self, folder: &Path) -> Result<(), DataError> {
        if let Some(trajectory) = self.trajectory {
            let path = folder.join("trajectory.json.zst");
            let json = to_json(&path, trajectory)?;
            write_synced(&path, &zstd::encode_all(json.as_slice(), ZSTD_LEVEL).context("write", &path)?)?;
        }
        if let Some(patch) = self.patch {
            write_synced(&folder.join("patch.diff"), patch.as_bytes())?;
        }
        if let Some(connections) = self.connections {
            let path = folder.join(CONNECTIONS);
            write_synced(&path, &to_json(&path, connections)?)?;
        }
        if !self.eval.is_empty() {
            let eval = create_folders(folder, Path::new("eval"))?;
            for (name, bytes) in &self.eval {
                write_synced(&eval.join(name), bytes)?;
            }
            sync_folder(&eval).context("write", &eval)?;
        }
        sync_folder(folder).context("write", folder)
    }
}

pub(crate) fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, DataError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from).context("write", path)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn attempt_dir(folder: &Path, number: u32) -> PathBuf {
    folder.join(ATTEMPTS).join(number.to_string())
}

/// A mistyped `--run` must not scatter files over somebody's folder.
fn refuse_other_folders(path: &Path) -> Result<(), DataError> {
    let entries = entries(path)?;
    let begun = |name: &str| name == LOCK || name.starts_with(TEMPORARY_PREFIX);
    if entries.iter().any(|(name, _)| name == "run.toml") || entries.iter().all(|(name, _)| begun(name)) {
        return Ok(());
    }
    Err(DataError::malformed(path, "not a run directory: it has no `run.toml`, and is not empty"))
}

pub(crate) fn lock(run: &Path) -> Result<File, DataError> {
    let path = run.join(LOCK);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.context("open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataError::Locked { path: run.to_owned(), holder: holder(&file) });
        }
        Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
    }
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sign = format!("process {} on host `{host}`\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(sign.as_bytes())).context("write", &path)?;
    Ok(file)
}

/// What the holder of the lock wrote into it; it may not have come to that yet.
fn holder(file: &File) -> String {
    let mut sign = String::new();
    let read = file.take(1000).read_to_string(&mut sign);
    match sign.lines().next() {
        Some(sign) if read.is_ok() && sign.chars().all(|c| !c.is_control()) => sign.to_owned(),
        _ => "another process".to_owned(),
    }
}

fn remove_temporary_files(folder: &Path) -> Result<(), DataError> {
    for (name, path) in entries(folder)? {
        if name.starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(&path).context("remove", &path)?;
        }
    }
    Ok(())
}

fn remove_leftovers(folder: &Path) -> Result<(), DataError> {
    for (name, path) in entries(folder)? {
        if name != ATTEMPTS {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), DataError> {
    let metadata = fs::symlink_metadata(path).context("remove", path)?;
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.context("remove", path)
}

fn new_attempt(folder: &Path) -> Result<PathBuf, DataError> {
    let unfinished = folder.join(UNFINISHED_ATTEMPT);
    if unfinished.exists() {
        remove(&unfinished)?;
    }
    fs::create_dir(&unfinished).context("make folder", &unfinished)?;
    Ok(unfinished)
}

fn copy_folder(from: &Path, to: &Path, without: &[&str]) -> Result<(), DataError> {
    for (name, path) in entries(from)? {
        let target = to.join(&name);
        if without.contains(&name.as_str()) {
        } else if path.is_dir() {
            fs::create_dir(&target).context("make folder", &target)?;
            copy_folder(&path, &target, &[])?;
        } else {
            write_synced(&target, &fs::read(&path).context("read", &path)?)?;
        }
    }
    sync_folder(to).context("write", to)
}

#[cfg(test)]
mod tests;
