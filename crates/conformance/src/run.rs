//! Reads vector files and counts what passes.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::suites::{SUITES, Suite};

/// Result of one vector file.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the file, without what follows the first dot.
    pub name: &'static str,
    /// Records for which ours gives what is recorded.
    pub passed: usize,
    /// The others: id and difference.
    pub failures: Vec<String>,
}

/// Runs the vector files of a folder for which there is a suite; with `files`, only those, with or without what
/// follows the first dot of their names.
///
/// # Errors
/// When a file that is named is unknown or absent, and when one cannot be read.
pub fn run_folder(folder: &Path, files: &[String]) -> Result<Vec<Outcome>> {
    let stems: Vec<&str> = files.iter().map(|file| file.split('.').next().unwrap_or_default()).collect();
    for stem in &stems {
        if !SUITES.iter().any(|suite| suite.name == *stem) {
            bail!("there is no suite for `{stem}`");
        }
    }
    let mut outcomes = Vec::new();
    for suite in SUITES.iter().filter(|suite| stems.is_empty() || stems.contains(&suite.name)) {
        match read(folder, suite.name)? {
            Some(text) => outcomes.push(run(suite, &text, &constants(folder, suite.name)?)?),
            None if stems.is_empty() => {}
            None => bail!("`{}` holds no vector file `{}`", folder.display(), suite.name),
        }
    }
    Ok(outcomes)
}

fn read(folder: &Path, name: &str) -> Result<Option<String>> {
    for (extension, compressed) in [("jsonl", false), ("jsonl.gz", true)] {
        let path = folder.join(format!("{name}.{extension}"));
        if !path.exists() {
            continue;
        }
        let mut text = String::new();
        let mut file = File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
        let read = if compressed {
            MultiGzDecoder::new(file).read_to_string(&mut text)
        } else {
            file.read_to_string(&mut text)
        };
        read.with_context(|| format!("read `{}`", path.display()))?;
        return Ok(Some(text));
    }
    Ok(None)
}

/// What the records of a file have in common, which lies beside it.
fn constants(folder: &Path, name: &str) -> Result<Value> {
    let path = folder.join(format!("{name}_constants.json"));
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))
}

/// Each record gets the constants under that name.
fn run(suite: &Suite, text: &str, constants: &Value) -> Result<Outcome> {
    let mut outcome = Outcome { name: suite.name, passed: 0, failures: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        let mut record: Value =
            serde_json::from_str(line).with_context(|| format!("{} line {}", suite.name, number + 1))?;
        if !constants.is_null() {
            record["constants"] = constants.clone();
        }
        let checked = catch_unwind(AssertUnwindSafe(|| (suite.check)(&record)));
        match checked.unwrap_or_else(|_| Err("it panicked".to_owned())) {
            Ok(()) => outcome.passed += 1,
            Err(difference) => outcome.failures.push(format!("{}: {difference}", record["id"])),
        }
    }
    Ok(outcome)
}
