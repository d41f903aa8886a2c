//! Specs as JSON: repository -> version -> exact pins. Columns that are not ours are left alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swegym_core::InstanceId;

use super::environment_spec::{EnvironmentSpec, Pins, Setup};
use super::specs::Specs;

#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    python: String,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    instance_packages: BTreeMap<InstanceId, Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    install_repo: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    eval_commands: Vec<String>,
    test_cmd: String,
}

impl Row {
    /// A spec of pins as a row; this form has no words for steps.
    pub(super) fn of(spec: &EnvironmentSpec) -> Option<Self> {
        let Setup::Pinned(pins) = &spec.setup else { return None };
        let Pins { packages, instance_packages, install_repo } = pins.clone();
        let (eval_commands, test_cmd) = (spec.eval_commands.clone(), spec.test_cmd.clone());
        let python = spec.python.clone()?;
        Some(Self { python, packages, instance_packages, install_repo, eval_commands, test_cmd })
    }
}

/// Reads specs; the message of an error has line and column.
pub(super) fn read(text: &str) -> Result<Specs, String> {
    let rows: BTreeMap<String, BTreeMap<String, Row>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut specs = Specs::default();
    for (repo, versions) in rows {
        for (version, row) in versions {
            specs.insert(&repo, &version, row.into());
        }
    }
    Ok(specs)
}

impl From<Row> for EnvironmentSpec {
    fn from(row: Row) -> Self {
        let Row { python, packages, instance_packages, install_repo, eval_commands, test_cmd } = row;
        let setup = Setup::Pinned(Pins { packages, instance_packages, install_repo });
        Self { python: Some(python), setup, eval_commands, test_cmd, ..Self::default() }
    }
}
