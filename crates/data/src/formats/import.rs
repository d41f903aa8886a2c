//! Imports: rollouts in files of other programs become a run directory. One row or file at a time is in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_json::Value;
use swegym_core::InstanceId;
use toml::Table;

use super::inputs::{self, Input};
use super::rollout::Imported;
use super::{atif, mini, openhands, swe_agent};
use crate::{DataError, RolloutFiles, RunConfig, RunDir};

/// Formats that rollouts are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImportFormat {
    /// By the names of files, and by what is in them where names end in `.json`.
    #[default]
    Auto,
    /// Rows of OpenHands, before version 1 or of it, with completions or without.
    OpenHands,
    /// Trajectories of mini-swe-agent, a file each.
    Mini,
    /// Trajectories of SWE-agent, a file each.
    SweAgent,
    /// Trajectories of Harbor, a file each.
    Atif,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imports {
    /// Rollouts that are in the run directory now.
    pub rollouts: usize,
    /// Of these, those that were there before.
    pub present: usize,
    /// Rows and files that could not be read.
    pub refused: usize,
}

/// Reads rollouts from files, and from what lies in folders, into a run directory, which is made or gone on with.
/// `settings` goes into its `run.toml`; `refuse` is told about each row or file that cannot be read.
///
/// The rollouts of an instance are numbered as they come up. Nothing is made where nothing can be read.
///
/// # Errors
/// [`DataError`] when the run directory cannot be written, or was begun with other files.
pub fn import_rollouts(
    files: &[PathBuf],
    format: ImportFormat,
    run: &Path,
    settings: &Table,
    refuse: &mut dyn FnMut(&DataError),
) -> Result<Imports, DataError> {
    let (mut imports, mut found, mut digests) = (Imports::default(), Vec::new(), BTreeMap::new());
    for file in files {
        let looked =
            inputs::find(file, format).and_then(|inputs| Ok((inputs::digest(file, &inputs)?, inputs)));
        match looked {
            Ok((digest, inputs)) => {
                digests.insert(file.display().to_string(), digest);
                found.extend(inputs);
            }
            Err(error) => {
                imports.refused += 1;
                refuse(&error);
            }
        }
    }
    let config = RunConfig { settings: settings.clone(), inputs: digests, volatile: Vec::new() };
    let mut import = Import { run: None, path: run, config, samples: HashMap::new(), imports };
    found.iter().try_for_each(|input| import.file(input, refuse))?;
    Ok(import.imports)
}

struct Import<'a> {
    /// Opened when there is something to write.
    run: Option<RunDir>,
    path: &'a Path,
    config: RunConfig,
    samples: HashMap<InstanceId, u32>,
    imports: Imports,
}

impl Import<'_> {
    fn file(&mut self, input: &Input, refuse: &mut dyn FnMut(&DataError)) -> Result<(), DataError> {
        let mut failed = None;
        inputs::read(input, &mut |row| {
            let taken = match row.and_then(|row| read(input, &row)) {
                Ok(imported) => self.take(imported).map_err(|error| failed = Some(error)),
                Err(error) => {
                    self.refuse(&error, refuse);
                    Ok(())
                }
            };
            taken.is_ok()
        });
        failed.map_or(Ok(()), Err)
    }

    fn refuse(&mut self, error: &DataError, refuse: &mut dyn FnMut(&DataError)) {
        self.imports.refused += 1;
        refuse(error);
    }

    fn take(&mut self, mut imported: Imported) -> Result<(), DataError> {
        let next = self.samples.entry(imported.trajectory.instance_id.clone()).or_default();
        imported.trajectory.sample = *next;
        *next += 1;
        let run = match &self.run {
            Some(run) => run,
            None => self.run.insert(RunDir::open(self.path, &self.config)?),
        };
        let record = imported.record();
        if run.committed(&record.key)?.is_some() {
            self.imports.present += 1;
        } else {
            let files = RolloutFiles {
                trajectory: Some(&imported.trajectory),
                patch: imported.patch.as_ref(),
                ..RolloutFiles::default()
            };
            run.commit(&record, &files)?;
        }
        self.imports.rollouts += 1;
        Ok(())
    }
}

fn read(input: &Input, (place, value): &(String, Value)) -> Result<Imported, DataError> {
    let read = match input.format_of(value) {
        Some(ImportFormat::OpenHands) => openhands::read(value),
        Some(ImportFormat::Mini) => mini::read(value, &input.instance()),
        Some(ImportFormat::SweAgent) => swe_agent::read(value, &input.instance()),
        Some(ImportFormat::Atif) => atif::read(value),
        Some(ImportFormat::Auto) | None => Err("it is in none of the known formats".to_owned()),
    };
    read.map_err(|message| DataError::Row { path: input.path.clone(), place: place.clone(), message })
}
