//! The files of an import: which there are, and what rows they have.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::atif;
use super::import::ImportFormat;
use crate::atomic::digest as digest_bytes;
use crate::error::IoContext;
use crate::rows::{MAX_LINE, json_message, parse_line};
use crate::run_view::entries;
use crate::{DataError, digest_file};

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 8;
/// Ends of the names of files that an import looks for in folders.
const MINI: &str = ".traj.json";
const SWE_AGENT: &str = ".traj";
/// The name that Harbor gives every trajectory.
const ATIF: &str = "trajectory.json";
const ROWS: [&str; 2] = [".jsonl", ".jsonl.gz"];
const WITH_COMPLETIONS: &str = ".with_completions.jsonl.gz";

/// A file, and what is known of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    format: ImportFormat,
}

/// The file, or every file in the folder that a program of the format left there, by path.
pub(crate) fn find(path: &Path, format: ImportFormat) -> Result<Vec<Input>, DataError> {
    let metadata = path.metadata().context("read", path)?;
    if metadata.is_file() {
        let format = if format == ImportFormat::Auto { by_name(&name(path)) } else { format };
        return Ok(vec![Input { path: path.to_owned(), format }]);
    }
    let mut found = Vec::new();
    search(path, MAX_DEPTH, format, &mut found)?;
    if found.is_empty() {
        return Err(DataError::malformed(path, "no file in it has a name that such files have"));
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// SHA-256 of a file, or of the digests of the files that were found in a folder.
pub(crate) fn digest(path: &Path, inputs: &[Input]) -> Result<String, DataError> {
    if path.is_file() {
        return digest_file(path);
    }
    let mut lines = String::new();
    for Input { path: file, .. } in inputs {
        let name = file.strip_prefix(path).unwrap_or(file);
        lines += &format!("{} {}\n", digest_file(file)?, name.display());
    }
    Ok(digest_bytes(lines.as_bytes()))
}

fn search(
    folder: &Path,
    depth: usize,
    format: ImportFormat,
    found: &mut Vec<Input>,
) -> Result<(), DataError> {
    let entries = entries(folder)?;
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    for (name, path) in &entries {
        let metadata = path.symlink_metadata().context("read", path)?;
        if metadata.is_dir() && depth > 0 {
            search(path, depth - 1, format, found)?;
        } else if metadata.is_file()
            && let Some(of_file) = in_folder(name, &names)
            && (format == ImportFormat::Auto || format == of_file)
        {
            found.push(Input { path: path.clone(), format: of_file });
        }
    }
    Ok(())
}

/// The format of a file in a folder; none for other files. Of the rows of OpenHands, those with completions count
/// where both are there, then those with a report.
fn in_folder(name: &str, siblings: &[&str]) -> Option<ImportFormat> {
    let format = by_name(name);
    if format != ImportFormat::OpenHands {
        return (format != ImportFormat::Auto).then_some(format);
    }
    let stem = name.strip_prefix("output")?;
    let better = match () {
        () if stem.ends_with(WITH_COMPLETIONS) => Vec::new(),
        () if stem.ends_with(".swebench_eval.jsonl") => {
            vec![name.replace(".swebench_eval.jsonl", WITH_COMPLETIONS)]
        }
        () => {
            let stem = name.strip_suffix(".jsonl")?;
            vec![format!("{stem}{WITH_COMPLETIONS}"), format!("{stem}.swebench_eval.jsonl")]
        }
    };
    let is_there = |better: &String| siblings.contains(&better.as_str());
    (!name.contains(".critic_attempt_") && !better.iter().any(is_there)).then_some(ImportFormat::OpenHands)
}

fn by_name(name: &str) -> ImportFormat {
    match name {
        _ if name.ends_with(MINI) => ImportFormat::Mini,
        _ if name.ends_with(SWE_AGENT) => ImportFormat::SweAgent,
        _ if name == ATIF => ImportFormat::Atif,
        _ if ROWS.iter().any(|end| name.ends_with(end)) => ImportFormat::OpenHands,
        _ => ImportFormat::Auto,
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Input {
    /// The instance that the file is named after.
    pub(crate) fn instance(&self) -> String {
        let name = name(&self.path);
        let end = [MINI, SWE_AGENT, ".json"].into_iter().find(|end| name.ends_with(end)).unwrap_or_default();
        name.strip_suffix(end).unwrap_or(&name).to_owned()
    }

    /// The format, by what a row has where the name does not say.
    pub(crate) fn format_of(&self, row: &Value) -> Option<ImportFormat> {
        let has = |field: &str| row.get(field).is_some();
        match self.format {
            ImportFormat::Auto if has("test_result") => Some(ImportFormat::OpenHands),
            ImportFormat::Auto if has("messages") && has("info") => Some(ImportFormat::Mini),
            ImportFormat::Auto if atif::is_one(row) => Some(ImportFormat::Atif),
            ImportFormat::Auto if has("trajectory") => Some(ImportFormat::SweAgent),
            ImportFormat::Auto => None,
            format => Some(format),
        }
    }

    fn has_rows(&self) -> bool {
        let name = name(&self.path);
        ROWS.iter().any(|end| name.ends_with(end))
    }
}

/// A row and its place.
type Row = (String, Value);

/// Gives each row of a file, or the file as one row, until `take` says to stop. Rows that are no JSON are errors, after
/// which it goes on.
pub(crate) fn read(input: &Input, take: &mut dyn FnMut(Result<Row, DataError>) -> bool) {
    let file = match File::open(&input.path).context("read", &input.path) {
        Ok(file) => file,
        Err(error) => {
            take(Err(error));
            return;
        }
    };
    let packed = input.path.extension().is_some_and(|extension| extension == "gz");
    let file: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = BufReader::new(file);
    if input.has_rows() {
        read_lines(&mut reader, &input.path, take);
    } else {
        take(read_document(&mut reader, &input.path));
    }
}

fn read_document(reader: &mut dyn Read, path: &Path) -> Result<Row, DataError> {
    let mut bytes = Vec::new();
    reader.take(MAX_LINE + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > MAX_LINE {
        return Err(DataError::malformed(path, format!("it is larger than {} MiB", MAX_LINE >> 20)));
    }
    let value =
        serde_json::from_slice(&bytes).map_err(|error| DataError::malformed(path, json_message(&error)))?;
    Ok(("the file".to_owned(), value))
}

fn read_lines(reader: &mut dyn BufRead, path: &Path, take: &mut dyn FnMut(Result<Row, DataError>) -> bool) {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let place = format!("line {number}");
        let go_on = match read_line(reader, &mut line).context("read", path) {
            Ok(0) => false,
            Ok(_) => match parse_line(&line, number) {
                Ok(None) => true,
                Ok(Some(value)) => take(Ok((place, value))),
                Err(message) => take(Err(DataError::Row { path: path.to_owned(), place, message })),
            },
            Err(error) => {
                take(Err(error));
                false
            }
        };
        if !go_on {
            return;
        }
    }
}

/// Reads a line, of one that is too long as much as shows that it is.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let read = (&mut *reader).take(MAX_LINE + 1).read_until(b'\n', line)?;
    if read as u64 > MAX_LINE && !line.ends_with(b"\n") {
        skip_line(reader)?;
    }
    Ok(read)
}

/// Passes over the rest of a line that is too long.
fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(position) => (position + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if end {
            return Ok(());
        }
    }
}
