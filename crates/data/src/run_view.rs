//! Reading a run directory, also while another process writes it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use swegym_core::{
    CONNECTIONS_SCHEMA_VERSION, Connections, Event, InstanceId, Patch, ROLLOUT_SCHEMA_VERSION, RolloutKey,
    RolloutRecord, TRAJECTORY_SCHEMA_VERSION, Trajectory,
};
use toml::Table;

use crate::error::IoContext;
use crate::run_config::{RUN_SCHEMA_VERSION, check_version, read_table};
use crate::{DataError, read_events};

/// Name of the file of [`Connections`].
pub(crate) const CONNECTIONS: &str = "connections.json";
/// Largest trajectory that is unpacked: a damaged or hostile file must not fill the memory.
const MAX_TRAJECTORY: u64 = 2 << 30;
/// What packed files begin with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A run directory, for reading.
#[derive(Debug, Clone)]
pub struct RunView {
    path: PathBuf,
}

impl RunView {
    /// A run directory that exists.
    ///
    /// # Errors
    /// [`DataError`] when there is no `run.toml`, or a later version wrote it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = path.join("run.toml");
        let Some(table) = read_table(&file)? else {
            return Err(DataError::malformed(path, "not a run directory: it has no `run.toml`"));
        };
        check_version(
            &file,
            table.get("schema_version").and_then(toml::Value::as_integer),
            RUN_SCHEMA_VERSION,
        )?;
        Ok(Self::at(path))
    }

    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The run directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.toml` holds: `schema_version`, `settings`, `inputs`.
    ///
    /// # Errors
    /// [`DataError`] when it cannot be read.
    pub fn config(&self) -> Result<Table, DataError> {
        Ok(read_table(&self.path.join("run.toml"))?.unwrap_or_default())
    }

    /// Where the events are.
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// The events so far.
    ///
    /// # Errors
    /// [`DataError`] when they cannot be read.
    pub fn events(&self) -> Result<Vec<Event>, DataError> {
        read_events(&self.events_path())
    }

    /// The folder of a rollout, which need not exist.
    pub fn rollout_dir(&self, key: &RolloutKey) -> PathBuf {
        self.path.join(relative_rollout_dir(key))
    }

    /// The record of a rollout, if it is committed.
    ///
    /// # Errors
    /// [`DataError`] names the file when it is damaged, of a later version, or of another rollout.
    pub fn committed(&self, key: &RolloutKey) -> Result<Option<RolloutRecord>, DataError> {
        let path = self.rollout_dir(key).join("rollout.json");
        let Some(bytes) = read_if_there(&path)? else {
            return Ok(None);
        };
        let record: RolloutRecord = parse_versioned(&path, &bytes, ROLLOUT_SCHEMA_VERSION)?;
        if record.key != *key {
            return Err(DataError::malformed(&path, format!("it is the record of `{}`", record.key)));
        }
        Ok(Some(record))
    }

    /// Every committed record, by instance and sample.
    ///
    /// # Errors
    /// [`DataError`] as for [`RunView::committed`].
    pub fn records(&self) -> Result<Vec<RolloutRecord>, DataError> {
        self.keys()?.iter().filter_map(|key| self.committed(key).transpose()).collect()
    }

    /// Every rollout that has a folder, committed or not, by instance and sample.
    ///
    /// # Errors
    /// [`DataError::Io`] when a folder cannot be listed.
    pub fn keys(&self) -> Result<Vec<RolloutKey>, DataError> {
        let mut keys = Vec::new();
        for (name, folder) in entries(&self.path.join("rollouts"))? {
            let Ok(instance_id) = InstanceId::new(name) else {
                continue;
            };
            for (name, _) in entries(&folder)? {
                let sample = name.parse().ok().filter(|sample: &u32| sample.to_string() == name);
                keys.extend(sample.map(|sample| RolloutKey { instance_id: instance_id.clone(), sample }));
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// The trajectory of a rollout, if it has one.
    ///
    /// # Errors
    /// [`DataError`] names the file when it is damaged or of a later version.
    pub fn trajectory(&self, key: &RolloutKey) -> Result<Option<Trajectory>, DataError> {
        load_trajectory(&self.rollout_dir(key).join("trajectory.json.zst"))
    }

    /// The patch of a rollout, byte for byte, if it has one.
    ///
    /// # Errors
    /// [`DataError::Io`] when it cannot be read.
    pub fn patch(&self, key: &RolloutKey) -> Result<Option<Patch>, DataError> {
        Ok(read_if_there(&self.rollout_dir(key).join("patch.diff"))?.map(Patch::new))
    }

    /// What the sandbox of a rollout asked of the network, if it had a list of hosts.
    ///
    /// # Errors
    /// [`DataError`] names the file when it is damaged or of a later version.
    pub fn connections(&self, key: &RolloutKey) -> Result<Option<Connections>, DataError> {
        let path = self.rollout_dir(key).join(CONNECTIONS);
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        parse_versioned(&path, &bytes, CONNECTIONS_SCHEMA_VERSION).map(Some)
    }

    /// How many failed attempts of a rollout are kept.
    ///
    /// # Errors
    /// [`DataError::Io`] when the folder cannot be read.
    pub fn attempts(&self, key: &RolloutKey) -> Result<u32, DataError> {
        let attempts = entries(&self.rollout_dir(key).join("attempts"))?;
        Ok(attempts.iter().filter_map(|(name, _)| name.parse::<u32>().ok()).max().map_or(0, |last| last + 1))
    }
}

/// The folder of a rollout within its run directory.
pub(crate) fn relative_rollout_dir(key: &RolloutKey) -> PathBuf {
    Path::new("rollouts").join(key.instance_id.as_str()).join(key.sample.to_string())
}

/// Names and paths of what lies in a folder; nothing when there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let list = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.context("list", folder)?,
    };
    list.map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect::<io::Result<_>>()
        .context("list", folder)
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).context("read", path),
    }
}

/// Reads a trajectory, as JSON or packed as in a run directory, if it is there.
///
/// # Errors
/// [`DataError`] when it is damaged or of a later version.
pub fn load_trajectory(path: &Path) -> Result<Option<Trajectory>, DataError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.context("read", path)?,
    };
    let mut magic = Vec::new();
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic).context("read", path)?;
    let mut bytes = Vec::new();
    let whole = io::Cursor::new(&magic).chain(file);
    if magic == ZSTD_MAGIC {
        let unpacked = zstd::Decoder::new(whole).context("read", path)?;
        unpacked.take(MAX_TRAJECTORY).read_to_end(&mut bytes).context("read", path)?;
    } else {
        whole.take(MAX_TRAJECTORY).read_to_end(&mut bytes).context("read", path)?;
    }
    parse_versioned(path, &bytes, TRAJECTORY_SCHEMA_VERSION).map(Some)
}

/// Looks at the version first, so that a file of a later version gives that error and not one about a field.
fn parse_versioned<T: DeserializeOwned>(path: &Path, bytes: &[u8], known: u32) -> Result<T, DataError> {
    let damaged = |error: serde_json::Error| DataError::malformed(path, format!("it is damaged: {error}"));
    let value: Value = serde_json::from_slice(bytes).map_err(damaged)?;
    check_version(path, value.get("schema_version").and_then(Value::as_i64), known)?;
    T::deserialize(value).map_err(damaged)
}
