//! Measurements, as JSON lines on stdout: medians, and ratios to a plain tool measured in the same run.
//!
//! `cargo run --release -p swegym-bench -- sandbox` and `... -- quickstart`, and so on.
#![expect(clippy::print_stdout, reason = "its output is data on stdout")]

mod idle;
mod quickstart;
mod sandbox;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// First argument of the process that makes sandboxes: this program again.
const LAUNCHER: &str = "__sandbox-launcher";

/// Measure swegym beside plain tools
#[derive(Debug, Parser)]
enum Bench {
    /// Create a sandbox, run `true`, destroy it; beside `unshare` of util-linux and bubblewrap, where they are
    Sandbox {
        /// Rounds; each measures all, one after the other
        #[arg(long, default_value_t = 200)]
        rounds: usize,
        /// Seconds of each measurement with several workers
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Hold sandboxes that do nothing, then kill their owner
    Idle {
        /// Sandboxes; 5,000 at most
        #[arg(long, default_value_t = 1000)]
        count: usize,
    },
    /// The owner of the sandboxes of `idle`
    #[command(hide = true)]
    IdleOwner {
        #[arg(long)]
        count: usize,
        #[arg(long)]
        state: std::path::PathBuf,
    },
    /// `swegym quickstart` with a cold cache, and again with a warm one into a new folder
    Quickstart {
        /// The program to measure
        #[arg(long, default_value = "target/release/swegym")]
        program: std::path::PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == LAUNCHER) {
        return Ok(swegym_sandbox::launcher_main());
    }
    match Bench::parse() {
        Bench::Sandbox { rounds, seconds } => sandbox::run(rounds, seconds)?,
        Bench::Idle { count } => idle::run(count)?,
        Bench::IdleOwner { count, state } => idle::own(count, &state)?,
        Bench::Quickstart { program } => quickstart::run(&program)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds of the sample at `percent` of the sorted samples.
fn percentile(samples: &mut [Duration], percent: usize) -> f64 {
    samples.sort_unstable();
    let index = (samples.len().saturating_sub(1)) * percent / 100;
    samples.get(index).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1000.0)
}
