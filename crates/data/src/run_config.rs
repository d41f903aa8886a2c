//! `run.toml`: what a run was begun with. A run is only ever resumed with the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use toml::{Table, Value};

use crate::error::IoContext;
use crate::{DataError, Difference, write_atomic};

/// Version of the layout of a run directory, in `run.toml`.
pub const RUN_SCHEMA_VERSION: u32 = 1;

/// What a run is begun or resumed with.
#[derive(Debug, Clone, Default)]
pub struct RunConfig {
    /// The resolved configuration; no secrets.
    pub settings: Table,
    /// SHA-256 of every input, by name.
    pub inputs: BTreeMap<String, String>,
    /// Dotted names in `settings` that may change between resumptions, such as `jobs`; a name covers what is
    /// below it.
    pub volatile: Vec<String>,
}

impl RunConfig {
    /// Writes `run.toml` of a new run, or compares with the one that is there.
    pub(crate) fn write_or_compare(&self, run: &Path) -> Result<(), DataError> {
        let path = run.join("run.toml");
        let Some(mut stored) = read_table(&path)? else {
            return write_atomic(&path, self.to_table().to_string().as_bytes());
        };
        check_version(&path, stored.get("schema_version").and_then(Value::as_integer), RUN_SCHEMA_VERSION)?;
        let mut given = self.to_table();
        for table in [&mut stored, &mut given] {
            table.remove("schema_version");
        }
        let differences = self.differences(&stored, &given);
        if differences.is_empty() {
            return Ok(());
        }
        Err(DataError::SettingsDiffer { path: run.to_owned(), differences })
    }

    fn to_table(&self) -> Table {
        let inputs = self.inputs.iter().map(|(name, digest)| (name.clone(), Value::from(digest.as_str())));
        Table::from_iter([
            ("schema_version".to_owned(), Value::from(RUN_SCHEMA_VERSION)),
            ("settings".to_owned(), Value::Table(self.settings.clone())),
            ("inputs".to_owned(), Value::Table(inputs.collect())),
        ])
    }

    fn differences(&self, stored: &Table, given: &Table) -> Vec<Difference> {
        let (stored, given) = (flatten(stored), flatten(given));
        let mut keys: Vec<_> = stored.keys().chain(given.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .filter(|key| stored.get(*key) != given.get(*key) && !self.is_volatile(key))
            .map(|key| Difference {
                key: key.strip_prefix("settings.").unwrap_or(key).to_owned(),
                stored: stored.get(key).cloned(),
                given: given.get(key).cloned(),
            })
            .collect()
    }

    fn is_volatile(&self, key: &str) -> bool {
        let Some(key) = key.strip_prefix("settings.") else {
            return false;
        };
        self.volatile
            .iter()
            .filter_map(|name| key.strip_prefix(name.as_str()))
            .any(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Refuses files of later versions, and such as have no version.
pub(crate) fn check_version(path: &Path, found: Option<i64>, known: u32) -> Result<(), DataError> {
    match found.map(u64::try_from) {
        Some(Ok(found)) if found > u64::from(known) => {
            Err(DataError::TooNew { path: path.to_owned(), found, known })
        }
        Some(Ok(1..)) => Ok(()),
        _ => Err(DataError::malformed(path, "field `schema_version`: must be a number from 1")),
    }
}

/// The stored table, or `None` when there is no such file.
pub(crate) fn read_table(path: &Path) -> Result<Option<Table>, DataError> {
    match fs::read_to_string(path) {
        Ok(text) => text.parse().map(Some).map_err(|error| DataError::malformed(path, one_line(&error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", path),
    }
}

fn one_line(error: &toml::de::Error) -> String {
    format!("not valid TOML: {}", error.message())
}

/// Dotted name -> value as TOML, for every value that is not a table.
fn flatten(table: &Table) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let mut todo: Vec<(String, &Value)> = table.iter().map(|(key, value)| (dotted("", key), value)).collect();
    while let Some((name, value)) = todo.pop() {
        match value {
            Value::Table(inner) => todo.extend(inner.iter().map(|(key, value)| (dotted(&name, key), value))),
            value => {
                flat.insert(name, value.to_string());
            }
        }
    }
    flat
}

fn dotted(prefix: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if prefix.is_empty() { key } else { format!("{prefix}.{key}") }
}
