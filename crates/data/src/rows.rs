//! Rows of JSON Lines and JSON files, each with the place it was read from.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::IoContext;
use crate::{AtomicFile, DataError};

/// Longest line that is read; the largest rows of public sets have a few MiB.
pub(crate) const MAX_LINE: u64 = 64 << 20;
/// Largest `.json` file that is read, as it has to be in memory at once.
const MAX_DOCUMENT: u64 = 1 << 30;
/// What the JSON reader says of an escape that gives half of a character, as Python writes them for bytes that are no text.
const SURROGATE: &str = "lone leading surrogate in hex escape";
const CUT_SURROGATE: &str = "unexpected end of hex escape";
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
        Container::Document => read_document(path, &mut take)?,
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
        Some((SURROGATE | CUT_SURROGATE, _)) => {
            format!(
                "not valid JSON: half of a surrogate pair, which is no character, column {}",
                error.column()
            )
        }
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

fn read_document(
    path: &Path,
    take: &mut dyn FnMut(Place, Value) -> Result<(), DataError>,
) -> Result<(), DataError> {
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
    let mut refused = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Document { take, refused: &mut refused }.deserialize(&mut json).and_then(|()| json.end());
    match refused {
        Some(error) => Err(error),
        None => read.map_err(|error| DataError::malformed(path, format!("not valid JSON: {error}"))),
    }
}

/// A JSON list or object, of which one element after the other is taken with its place. Unlike a map, it has keys that
/// are there twice.
struct Document<'t> {
    take: &'t mut dyn FnMut(Place, Value) -> Result<(), DataError>,
    /// Why an element was not taken.
    refused: &'t mut Option<DataError>,
}

impl Document<'_> {
    fn take<E: Error>(&mut self, place: Place, value: Value) -> Result<(), E> {
        (self.take)(place, value).map_err(|error| {
            *self.refused = Some(error);
            E::custom("an element was refused")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, or an object of rows by id")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(value) = items.next_element()? {
            number += 1;
            self.take(Place::Item(number), value)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        while let Some((key, value)) = entries.next_entry()? {
            self.take(Place::Key(key), value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{load_instances, load_predictions};

    /// A line: the good ones are a row, or none at all.
    #[derive(Debug, Clone)]
    enum Line {
        Good,
        Blank(&'static str),
        Bad(Vec<u8>),
    }

    impl Line {
        fn text(&self, number: usize) -> Vec<u8> {
            let commit = "a".repeat(40);
            match self {
                Self::Good => format!(
                    r#"{{"instance_id":"a-{number}","repo":"o/n","base_commit":"{commit}","patch":"","test_patch":"","problem_statement":"","version":1,"FAIL_TO_PASS":["t"],"PASS_TO_PASS":[],"model_name_or_path":"m","model_patch":null}}"#
                )
                .into_bytes(),
                Self::Blank(text) => text.as_bytes().to_vec(),
                Self::Bad(bytes) => bytes.clone(),
            }
        }
    }

    fn line() -> impl Strategy<Value = Line> {
        let bad = [
            &b"{"[..],
            b"{}",
            b"7",
            b"\"x\"",
            b"\0",
            b"\xff",
            b"{\"instance_id\": \"\\ud800\"}",
            b"{\"instance_id\": \"\\udfff\"}",
            b"{\"instance_id\": 1e999}",
            b"{\"instance_id\": \"a/b\"}",
            b"{\"a\": 1}{}",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
        ];
        let deep = b"{\"a\":".repeat(500);
        let odd = prop::sample::select(bad.map(<[u8]>::to_vec).into_iter().chain([deep]).collect::<Vec<_>>());
        prop_oneof![
            4 => Just(Line::Good),
            1 => prop::sample::select(vec!["", "  ", "\t\r"]).prop_map(Line::Blank),
            1 => odd.prop_map(Line::Bad),
        ]
    }

    proptest! {
        #[test]
        fn the_first_bad_line_is_named_and_all_good_ones_are_read(
            lines in prop::collection::vec(line(), 0..8), end in prop::sample::select(vec!["\n", "\r\n"]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.jsonl");
            let texts: Vec<Vec<u8>> = lines.iter().enumerate().map(|(number, line)| line.text(number)).collect();
            std::fs::write(&path, texts.join(end.as_bytes())).unwrap();
            let first_bad = lines.iter().position(|line| matches!(line, Line::Bad(_)));
            let good = lines.iter().filter(|line| matches!(line, Line::Good)).count();
            for read in [load_instances(&path).map(|rows| rows.len()), load_predictions(&path).map(|rows| rows.len())] {
                match (read, first_bad) {
                    (Ok(rows), None) => prop_assert_eq!(rows, good),
                    (Err(error), Some(bad)) => {
                        let place = format!("x.jsonl`: line {}: ", bad + 1);
                        prop_assert!(error.to_string().contains(&place), "{}: {}", place, error);
                    }
                    (read, bad) => prop_assert!(false, "{:?} {:?}", read, bad),
                }
            }
        }

        #[test]
        fn any_bytes_are_a_file(bytes: Vec<u8>, json in "[\\[\\]{}\",:a0\\\\u d8]{0,40}") {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in [("x.json", &bytes[..]), ("x.jsonl", &bytes), ("y.json", json.as_bytes())] {
                let path = folder.path().join(name);
                std::fs::write(&path, content).unwrap();
                for error in [load_instances(&path).err(), load_predictions(&path).err()].into_iter().flatten() {
                    prop_assert!(error.to_string().contains(name), "{}", error);
                }
            }
        }
    }
}
