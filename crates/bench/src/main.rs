//! Measurements, as JSON lines on stdout: medians, and ratios to a plain tool measured in the same run.
//!
//! `cargo run --release -p swegym-bench -- sandbox`, `... -- session`, `... -- fork` and so on.
#![expect(clippy::print_stdout, reason = "its output is data on stdout")]

mod docker;
mod fork;
mod harness;
mod hostile;
mod idle;
mod logs;
mod quickstart;
mod sandbox;
mod scaffold;
mod session;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// First argument of the process that makes sandboxes: this program again.
const LAUNCHER: &str = "__sandbox-launcher";
/// First argument of process 1 of a container: this program again.
const GUEST: &str = "__sandbox-guest";

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
    /// The docker backend beside the client of a container daemon
    Docker(docker::Arguments),
    /// Fork a sandbox that has written 100 MB; beside `cp -a`
    Fork {
        /// Rounds; each measures both, one after the other
        #[arg(long, default_value_t = 20)]
        rounds: usize,
    },
    /// Roll a scripted model out, many at once: the scaffold's own time a step, and memory of a rollout
    Scaffold(scaffold::Arguments),
    /// The model of `scaffold`
    #[command(hide = true)]
    ScaffoldModel {
        scaffold: scaffold::Measured,
        #[arg(long)]
        steps: usize,
    },
    /// Run a command in a shell session; beside a plain `bash` on pipes
    Session {
        /// Rounds; each measures all, one after the other
        #[arg(long, default_value_t = 2000)]
        rounds: usize,
        /// A Python interpreter that has the package `swe-rex`, to measure that too
        #[arg(long)]
        swerex: Option<std::path::PathBuf>,
    },
    /// Evaluate a prediction on a toy instance, the tests apart
    Harness {
        /// Evaluations
        #[arg(long, default_value_t = 100)]
        rounds: usize,
    },
    /// Read much of what is hard on each parser of untrusted text
    Hostile {
        /// Bytes of each input
        #[arg(long, default_value_t = 50_000_000)]
        bytes: usize,
        /// Only parsers with this in their names
        #[arg(long)]
        only: Option<String>,
    },
    /// Parse logs with each parser
    Logs {
        /// Rounds of each parser over a log of 20 MB
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Also read 50 MB of each of several inputs that are hard on parsers
        #[arg(long)]
        hostile: bool,
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
    if let [_, first, workdir] = &std::env::args_os().collect::<Vec<_>>()[..]
        && first == GUEST
    {
        return Ok(swegym_sandbox::guest_main(workdir.as_ref())?);
    }
    match Bench::parse() {
        Bench::Docker(arguments) => docker::run(&arguments)?,
        Bench::Sandbox { rounds, seconds } => sandbox::run(rounds, seconds)?,
        Bench::Fork { rounds } => fork::run(rounds)?,
        Bench::Scaffold(arguments) => scaffold::run(&arguments)?,
        Bench::ScaffoldModel { scaffold, steps } => scaffold::serve(scaffold, steps)?,
        Bench::Session { rounds, swerex } => session::run(rounds, swerex.as_deref())?,
        Bench::Idle { count } => idle::run(count)?,
        Bench::Harness { rounds } => harness::run(rounds)?,
        Bench::Hostile { bytes, only } => hostile::run(bytes, only.as_deref())?,
        Bench::Logs { rounds, hostile } => logs::run(rounds, hostile),
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
