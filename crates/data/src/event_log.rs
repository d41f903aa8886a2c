//! `events.jsonl`: one event a line, only ever added to.
//!
//! What must stay true: `seq` counts from 0 without gaps, whatever was killed in between. A process that is killed
//! while it writes leaves at most a torn last line, which the next one cuts off.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use swegym_core::{Event, EventKind};

use crate::DataError;
use crate::error::IoContext;

/// Longest line that is read: events name big payloads, they do not hold them.
const MAX_LINE: u64 = 16 << 20;

/// The event log of a run, for its one writer.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    next: u64,
    began: Instant,
}

impl EventLog {
    /// Opens a log to add to it; cuts off a torn last line.
    ///
    /// # Errors
    /// [`DataError::Row`] when a line in the middle is damaged, [`DataError::Io`] when it cannot be written.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let open = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = open.context("open", path)?;
        let (events, length) = scan(path, &file)?;
        file.set_len(length).context("write", path)?;
        let next = events.len() as u64;
        Ok(Self { file, path: path.to_owned(), length, next, began: Instant::now() })
    }

    /// Adds an event, in one write.
    ///
    /// # Errors
    /// [`DataError::Io`]; then the log is as it was.
    pub fn append(&mut self, kind: EventKind) -> Result<Event, DataError> {
        let elapsed_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = Event { seq: self.next, at: Timestamp::now(), elapsed_ms, kind };
        let mut line = serde_json::to_vec(&event).map_err(io::Error::from).context("write", &self.path)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line before the next one would damage the log for good.
            self.file.set_len(self.length).context("write", &self.path)?;
            return Err(error).context("write", &self.path);
        }
        self.length += line.len() as u64;
        self.next += 1;
        Ok(event)
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// [`DataError::Io`] when it does not get there.
    pub fn close(self) -> Result<(), DataError> {
        self.file.sync_all().context("write", &self.path)
    }
}

/// Reads a log, also while it is written: a torn last line is left out.
///
/// # Errors
/// [`DataError::Row`] names the line that is damaged.
pub fn read_events(path: &Path) -> Result<Vec<Event>, DataError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        file => scan(path, &file.context("read", path)?).map(|(events, _)| events),
    }
}

/// The events, and how many bytes their lines have.
fn scan(path: &Path, file: &File) -> Result<(Vec<Event>, u64), DataError> {
    let mut reader = BufReader::new(file);
    let (mut events, mut length, mut line) = (Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("read", path)?;
        let whole = line.ends_with(b"\n");
        let last = reader.fill_buf().context("read", path)?.is_empty();
        if last && (!whole || serde_json::from_slice::<serde_json::Value>(&line).is_err()) {
            return Ok((events, length));
        }
        let event = parse(&line, events.len() as u64).map_err(|message| {
            let place = format!("line {}", events.len() + 1);
            DataError::Row { path: path.to_owned(), place, message }
        })?;
        events.push(event);
        length += line.len() as u64;
    }
}

fn parse(line: &[u8], seq: u64) -> Result<Event, String> {
    let event: Event = serde_json::from_slice(line).map_err(|error| format!("not an event: {error}"))?;
    if event.seq == seq { Ok(event) } else { Err(format!("field `seq`: is {}, not {seq}", event.seq)) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use swegym_core::RunCounts;

    use super::*;

    /// Version 1 of the log, as it must be readable for ever.
    const VERSION_1: &str = concat!(
        r#"{"seq":0,"at":"2025-01-02T03:04:05Z","elapsed_ms":0,"kind":"run_started","run":"r","counts":{"planned":2,"completed":0,"resolved":0,"failed":0}}"#,
        "\n",
        r#"{"seq":1,"at":"2025-01-02T03:04:06.5Z","elapsed_ms":1500,"kind":"rollout_finished","instance_id":"a-1","sample":0,"resolved":true,"record":"rollouts/a-1/0/rollout.json","sha256":"00","ms":7}"#,
        "\n",
        r#"{"seq":2,"at":"2025-01-02T03:04:07Z","elapsed_ms":2000,"kind":"attempt_failed","instance_id":"b-2","sample":1,"attempt":0,"failure":{"boundary":"model","kind":"connect","message":"näh","retryable":true}}"#,
        "\n",
    );

    fn finished() -> EventKind {
        EventKind::RunFinished { counts: RunCounts::default() }
    }

    fn seqs(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn a_log_cut_anywhere_goes_on_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        for cut in 0..=VERSION_1.len() {
            let kept = &VERSION_1.as_bytes()[..cut];
            fs::write(&path, kept).unwrap();
            let whole = kept.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert_eq!(seqs(&read_events(&path).unwrap()), (0..whole).collect::<Vec<_>>());

            let mut log = EventLog::open(&path).unwrap();
            let written = log.append(finished()).unwrap();
            log.close().unwrap();
            let events = read_events(&path).unwrap();
            assert_eq!(seqs(&events), (0..=whole).collect::<Vec<_>>());
            assert_eq!(events.last(), Some(&written));
        }
    }

    #[test]
    fn a_log_is_read_back_over_resumptions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut written = Vec::new();
        for _ in 0..3 {
            let mut log = EventLog::open(&path).unwrap();
            written.push(log.append(finished()).unwrap());
            written.push(log.append(finished()).unwrap());
        }
        assert_eq!(read_events(&path).unwrap(), written);
        assert_eq!(seqs(&written), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn version_1_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, VERSION_1).unwrap();
        let events = read_events(&path).unwrap();
        assert!(
            matches!(&events[1].kind, EventKind::RolloutFinished { key, resolved: true, .. } if key.sample == 0)
        );
        assert_eq!(events[1].at.to_string(), "2025-01-02T03:04:06.5Z");
        assert!(
            matches!(&events[2].kind, EventKind::AttemptFailed { failure, .. } if failure.message == "näh")
        );
    }

    #[test]
    fn damage_that_is_no_torn_line_is_an_error_and_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let unknown = VERSION_1.replace("attempt_failed", "from_a_later_version");
        let middle = VERSION_1.replacen("\"elapsed_ms\":1500", "\"elapsed", 1);
        let gap = VERSION_1.replace("\"seq\":2", "\"seq\":3");
        for (text, expected) in
            [(unknown, "line 3: not an event"), (middle, "line 2: not"), (gap, "`seq`: is 3, not 2")]
        {
            fs::write(&path, &text).unwrap();
            let error = EventLog::open(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_last_line_of_garbage_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, format!("{}{{\"seq\":3,\"a\0\0\n", VERSION_1)).unwrap();
        assert_eq!(EventLog::open(&path).unwrap().append(finished()).unwrap().seq, 3);
        assert_eq!(read_events(&path).unwrap().len(), 4);
    }
}
