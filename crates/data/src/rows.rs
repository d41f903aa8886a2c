//! Rows of JSON Lines and JSON files, each with the place it was read from.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::IoContext;
use crate::{AtomicFile, DataError};

/// Longest line that is read; the largest rows of public sets have a few MiB.
pub(crate) const MAX_LINE: u64 = 64 << 20;
/// Largest `.json` file that is read, as it has to be in memory at once.
const MAX_DOCUMENT: u64 = 1 << 30;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Where a row stands in its file; numbers count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Line(usize),
    Item(usize),
    Key(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Item(number) => write!(f, "item {number}"),
            Self::Key(key) => write!(f, "key `{key}`"),
        }
    }
}

/// Reads each row of a `.jsonl` or `.json` file with `parse`, which says what is wrong with a row in words.
pub(crate) fn read<T>(
    path: &Path,
    mut parse: impl FnMut(&Place, Map<String, Value>) -> Result<T, String>,
) -> Result<Vec<T>, DataError> {
    let mut rows = Vec::new();
    let mut take = |place: Place, value: Value| {
        let row = object(value).and_then(|row| parse(&place, row));
        rows.push(row.map_err(|message| row_error(path, &place, message))?);
        Ok(())
    };
    match container(path)? {
        Container::Lines => read_lines(path, &mut take)?,
        Container::Document => {
            read_document(path)?.0.into_iter().try_for_each(|(place, value)| take(place, value))?;
        }
    }
    Ok(rows)
}

/// Writes rows as the name of the file asks: one a line, or as one JSON list.
pub(crate) fn write<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<(), DataError> {
    let (open, between, close) = match container(path)? {
        Container::Lines => ("", "\n", "\n"),
        Container::Document => ("[\n", ",\n", "\n]\n"),
    };
    let mut file = AtomicFile::create(path)?;
    let mut empty = true;
    for row in rows {
        let separator = if empty { open } else { between };
        empty = false;
        put(&mut file, separator, &row).context("write", path)?;
    }
    let end = match container(path)? {
        Container::Lines if empty => "",
        Container::Document if empty => "[]\n",
        _ => close,
    };
    file.write_all(end.as_bytes()).context("write", path)?;
    file.commit()
}

fn put(file: &mut AtomicFile, separator: &str, row: &impl Serialize) -> io::Result<()> {
    file.write_all(separator.as_bytes())?;
    serde_json::to_writer(file, row).map_err(io::Error::from)
}

/// Refuses an id that was seen before and says where.
#[derive(Default)]
pub(crate) struct SeenIds(HashMap<String, Place>);

impl SeenIds {
    pub(crate) fn claim(&mut self, id: &str, place: &Place) -> Result<(), String> {
        match self.0.insert(id.to_owned(), place.clone()) {
            None => Ok(()),
            Some(first) => Err(format!("field `instance_id`: `{id}` is on {first} already")),
        }
    }
}

/// The message of a JSON error without the line, which is known better; the column stays.
pub(crate) fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => format!("not valid JSON: {message}, column {}", error.column()),
        None => format!("not valid JSON: {text}"),
    }
}

enum Container {
    Lines,
    Document,
}

fn container(path: &Path) -> Result<Container, DataError> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => Ok(Container::Lines),
        Some("json") => Ok(Container::Document),
        _ => Err(DataError::malformed(path, "the name must end in `.jsonl` or `.json`")),
    }
}

fn row_error(path: &Path, place: &Place, message: String) -> DataError {
    DataError::Row { path: path.to_owned(), place: place.to_string(), message }
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(row) => Ok(row),
        _ => Err("must be an object".to_owned()),
    }
}

fn read_lines(
    path: &Path,
    take: &mut dyn FnMut(Place, Value) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut file = BufReader::new(File::open(path).context("read", path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line).context("read", path)? == 0 {
            break;
        }
        let place = Place::Line(number);
        match parse_line(&line, number) {
            Ok(Some(value)) => take(place, value)?,
            Ok(None) => {}
            Err(message) => return Err(row_error(path, &place, message)),
        }
    }
    Ok(())
}

pub(crate) fn parse_line(line: &[u8], number: usize) -> Result<Option<Value>, String> {
    if line.len() as u64 > MAX_LINE {
        return Err(format!("is longer than {} MiB", MAX_LINE >> 20));
    }
    let line = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| json_message(&error))
}

fn read_document(path: &Path) -> Result<Document, DataError> {
    let mut bytes = Vec::new();
    let file = File::open(path).context("read", path)?;
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        let message = format!("it is larger than {} MiB; use JSON Lines", MAX_DOCUMENT >> 20);
        return Err(DataError::malformed(path, message));
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| DataError::malformed(path, format!("not UTF-8: {error}")))?;
    serde_json::from_str(text).map_err(|error| DataError::malformed(path, format!("not valid JSON: {error}")))
}

/// A JSON list or object with the place of each element. Unlike a map, it keeps keys that are there twice.
struct Document(Vec<(Place, Value)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor).map(Self)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Vec<(Place, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, or an object of rows by id")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some(value) = items.next_element()? {
            rows.push((Place::Item(rows.len() + 1), value));
        }
        Ok(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while let Some((key, value)) = entries.next_entry()? {
            rows.push((Place::Key(key), value));
        }
        Ok(rows)
    }
}
