//! `conformance DIR [FILE...]`: runs the vector files of a folder, or those that are named, and prints for each how
//! many of its records pass, with the first differences. Exits with 1 when one fails.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use conformance::{Outcome, run_folder};

/// Differences that are shown of one file.
const SHOWN: usize = 5;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("usage: conformance DIR [FILE...]")?;
    let files: Vec<String> = arguments.collect();
    let outcomes = run_folder(Path::new(&folder), &files)?;
    if outcomes.is_empty() {
        bail!("`{folder}` holds no vector file that is known here");
    }
    outcomes.iter().for_each(print);
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: usize = outcomes.iter().map(|outcome| outcome.failures.len()).sum();
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) {
    println!("{}: {} passed, {} failed", outcome.name, outcome.passed, outcome.failures.len());
    for failure in outcome.failures.iter().take(SHOWN) {
        println!("  {failure}");
    }
}
