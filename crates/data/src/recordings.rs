//! The folder of a recording gateway: a journal for each rollout, and its trajectory once it was closed.
//!
//! What must stay true: a call whose addition was appended is never lost, whatever is killed when. The journal is what
//! counts, a trajectory follows from it and is written whole or not at all; a torn last line is cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use swegym_core::{Addition, InstanceId, TRAJECTORY_SCHEMA_VERSION, Trajectory};

use crate::DataError;
use crate::atomic::{sync_folder, write_atomic};
use crate::error::IoContext;
use crate::run_dir::{ZSTD_LEVEL, lock, to_json};

/// Longest line that is read: one call with everything that was new in it.
const MAX_LINE: u64 = 1 << 30;
const JOURNALS: &str = "journals";
const TRAJECTORIES: &str = "trajectories";

/// One line of a journal.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    /// The first one: a trajectory without calls.
    Begun(Box<Trajectory>),
    Called(Box<Addition>),
    /// The trajectory was written. A call may follow, for which the rollout was opened again.
    Closed,
}

/// The folder, for its one writer.
#[derive(Debug)]
pub struct Recordings {
    folder: PathBuf,
    /// Locked while this is there.
    _lock: File,
}

/// The journal of one rollout.
#[derive(Debug)]
pub struct RecordingJournal {
    file: File,
    path: PathBuf,
    trajectory: PathBuf,
    /// Bytes of whole lines.
    length: u64,
}

/// What became of a rollout that was open when a process ended.
#[derive(Debug)]
pub struct RecoveredRollout {
    /// Its name.
    pub name: InstanceId,
    /// Whether its trajectory is written.
    pub result: Result<(), DataError>,
}

/// What a journal says.
#[derive(Default)]
struct Said {
    trajectory: Option<Trajectory>,
    closed: bool,
    length: u64,
}

impl Recordings {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    /// [`DataError::Locked`] while another process has it open, [`DataError::Io`] when it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        for part in [JOURNALS, TRAJECTORIES] {
            let path = folder.join(part);
            fs::create_dir_all(&path).context("make folder", &path)?;
        }
        let lock = lock(folder)?;
        sync_folder(folder).context("write", folder)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    /// Writes the trajectories of rollouts that were open when a process ended. Says what became of each.
    ///
    /// # Errors
    /// [`DataError::Io`] when the folder cannot be read.
    pub fn recover(&self) -> Result<Vec<RecoveredRollout>, DataError> {
        let journals = self.folder.join(JOURNALS);
        let mut names = Vec::new();
        for entry in fs::read_dir(&journals).context("read", &journals)? {
            let name = entry.context("read", &journals)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            names.extend(name.and_then(|name| InstanceId::new(name).ok()));
        }
        names.sort();
        let recovered = names.into_iter().filter_map(|name| {
            let result = self.recover_one(&name).transpose()?;
            Some(RecoveredRollout { name, result })
        });
        Ok(recovered.collect())
    }

    /// Opens the journal of the rollout that `begun` names. Gives back what it says so far: `begun`, where it is new.
    ///
    /// # Errors
    /// [`DataError::Row`] names a line that is damaged.
    pub fn journal(&self, begun: Trajectory) -> Result<(Trajectory, RecordingJournal), DataError> {
        let (said, mut journal) = self.open_journal(&begun.instance_id)?;
        let trajectory = match said.trajectory {
            Some(trajectory) => trajectory,
            None => {
                journal.write(&Line::Begun(Box::new(begun.clone())))?;
                begun
            }
        };
        Ok((trajectory, journal))
    }

    /// Nothing, where there is nothing to be done.
    fn recover_one(&self, name: &InstanceId) -> Result<Option<()>, DataError> {
        let (said, mut journal) = self.open_journal(name)?;
        let Some(trajectory) = said.trajectory.filter(|_| !said.closed) else { return Ok(None) };
        journal.close(&trajectory).map(Some)
    }

    fn open_journal(&self, name: &InstanceId) -> Result<(Said, RecordingJournal), DataError> {
        let path = self.folder.join(JOURNALS).join(format!("{name}.jsonl"));
        let trajectory = self.folder.join(TRAJECTORIES).join(format!("{name}.json.zst"));
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = file.context("open", &path)?;
        let said = scan(&path, &file)?;
        file.set_len(said.length).context("write", &path)?;
        let length = said.length;
        Ok((said, RecordingJournal { file, path, trajectory, length }))
    }
}

impl RecordingJournal {
    /// Adds what a call added, in one write: it outlives this process, whatever becomes of that.
    ///
    /// # Errors
    /// [`DataError::Io`]; then the journal is as it was.
    pub fn append(&mut self, addition: &Addition) -> Result<(), DataError> {
        self.write(&Line::Called(Box::new(addition.clone())))
    }

    /// Writes the trajectory, whole or not at all.
    ///
    /// # Errors
    /// [`DataError::Io`]; then the one that was there is still there.
    pub fn close(&mut self, trajectory: &Trajectory) -> Result<(), DataError> {
        let json = to_json(&self.trajectory, trajectory)?;
        let packed = zstd::encode_all(json.as_slice(), ZSTD_LEVEL).context("write", &self.trajectory)?;
        self.file.sync_all().context("write", &self.path)?;
        write_atomic(&self.trajectory, &packed)?;
        self.write(&Line::Closed)
    }

    fn write(&mut self, line: &Line) -> Result<(), DataError> {
        let mut line = serde_json::to_vec(line).map_err(io::Error::from).context("write", &self.path)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line before the next one would damage the journal for good.
            self.file.set_len(self.length).context("write", &self.path)?;
            return Err(error).context("write", &self.path);
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn scan(path: &Path, file: &File) -> Result<Said, DataError> {
    let mut reader = BufReader::new(file);
    let (mut said, mut number, mut line) = (Said::default(), 0, Vec::new());
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("read", path)?;
        number += 1;
        let last = reader.fill_buf().context("read", path)?.is_empty();
        let read = serde_json::from_slice::<Line>(&line);
        if last && (!line.ends_with(b"\n") || read.as_ref().is_err_and(|error| !error.is_data())) {
            return Ok(said);
        }
        let damaged = |message: String| DataError::Row {
            path: path.to_owned(),
            place: format!("line {number}"),
            message,
        };
        let read = read.map_err(|error| damaged(format!("not a line of a journal: {error}")))?;
        said.take(read).map_err(damaged)?;
        said.length += line.len() as u64;
    }
}

impl Said {
    fn take(&mut self, line: Line) -> Result<(), String> {
        self.closed = matches!(line, Line::Closed);
        match (line, &mut self.trajectory) {
            (Line::Begun(begun), nothing @ None) => {
                if begun.schema_version > TRAJECTORY_SCHEMA_VERSION {
                    return Err(format!(
                        "schema version {} is newer than this program",
                        begun.schema_version
                    ));
                }
                *nothing = Some(*begun);
            }
            (Line::Called(addition), Some(trajectory)) => trajectory.add(*addition),
            (Line::Closed, Some(_)) => {}
            _ => return Err("it does not follow on what stands before it".to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use swegym_core::{Answer, Call, Recorder, Usage};

    use super::*;

    fn begun() -> Trajectory {
        let fields = r#"{"schema_version": 2, "instance_id": "a-1", "sample": 0, "scaffold": "outside", "policy": "",
            "tools": [], "messages": [], "steps": [], "exit_status": "finished", "usage": {}}"#;
        serde_json::from_str(fields).unwrap()
    }

    /// The journal of three calls, and the trajectory after each.
    fn recorded(recordings: &Recordings) -> Vec<Trajectory> {
        let (trajectory, mut journal) = recordings.journal(begun()).unwrap();
        let mut recorder = Recorder::new(trajectory);
        let mut after = vec![recorder.trajectory().clone()];
        for turn in 0..3 {
            let message = serde_json::json!({"role": "user", "content": format!("turn {turn}")});
            let messages = [message.as_object().unwrap().clone()];
            let usage = Usage { prompt_tokens: 1, completion_tokens: 2, cached_tokens: 0 };
            let answers = vec![Answer { usage, ..Answer::default() }];
            let fields = serde_json::Map::new();
            let call = Call { messages: &messages, tools: &[], model: "m", fields, answers, model_ms: 1 };
            journal.append(&recorder.record(call)).unwrap();
            after.push(recorder.trajectory().clone());
        }
        after
    }

    fn stored(folder: &Path) -> Trajectory {
        let packed = fs::read(folder.join("trajectories/a-1.json.zst")).unwrap();
        serde_json::from_slice(&zstd::decode_all(packed.as_slice()).unwrap()).unwrap()
    }

    #[test]
    fn a_journal_cut_anywhere_has_every_whole_call() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journals/a-1.jsonl");
        let after = recorded(&Recordings::open(folder.path()).unwrap());
        let whole = fs::read(&path).unwrap();
        let near_an_end =
            |cut: &usize| whole[cut.saturating_sub(2)..whole.len().min(cut + 1)].contains(&b'\n');
        for cut in (0..=whole.len()).filter(|cut| cut % 97 == 0 || near_an_end(cut)) {
            fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            let recordings = Recordings::open(folder.path()).unwrap();
            let recovered = recordings.recover().unwrap();
            assert_eq!(recovered.len(), usize::from(lines > 0));
            if lines > 0 {
                assert_eq!(stored(folder.path()), after[lines - 1]);
            }
            assert!(recordings.recover().unwrap().is_empty(), "it is closed now");
            let (trajectory, _journal) = recordings.journal(begun()).unwrap();
            assert_eq!(trajectory, after[lines.saturating_sub(1)]);
        }
    }

    #[test]
    fn a_closed_rollout_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(folder.path()).unwrap();
        let after = recorded(&recordings);
        let (trajectory, mut journal) = recordings.journal(begun()).unwrap();
        journal.close(&trajectory).unwrap();
        assert_eq!(stored(folder.path()), after[3]);
        let mut recorder = Recorder::new(recordings.journal(begun()).unwrap().0);
        let answers = vec![Answer::default()];
        let fields = serde_json::Map::new();
        let call = Call { messages: &[], tools: &[], model: "m", fields, answers, model_ms: 1 };
        journal.append(&recorder.record(call)).unwrap();
        assert_eq!(recordings.recover().unwrap().len(), 1);
        assert_eq!(stored(folder.path()).steps.len(), 4);
    }

    #[test]
    fn damage_in_the_middle_is_told_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journals/a-1.jsonl");
        recorded(&Recordings::open(folder.path()).unwrap());
        let damaged = fs::read_to_string(&path).unwrap().replacen("called", "x", 1);
        fs::write(&path, &damaged).unwrap();
        let recordings = Recordings::open(folder.path()).unwrap();
        let recovered = recordings.recover().unwrap();
        let error = recovered[0].result.as_ref().unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        assert!(recordings.journal(begun()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }

    #[test]
    fn a_folder_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Recordings::open(folder.path()).unwrap();
        assert!(matches!(Recordings::open(folder.path()), Err(DataError::Locked { .. })));
    }
}
