//! The `swegym` binary: command line in, events out, exit codes.

mod args;
mod commands;
mod engine;
mod exit;
mod printer;
mod progress;
mod settings;
mod table;

use std::process::ExitCode;

use clap::Parser;

/// First argument of the process that makes sandboxes: this program again, as their guest side.
const LAUNCHER: &str = "__sandbox-launcher";

/// First argument of process 1 of a container, this program again; the second is the working directory.
const GUEST: &str = "__sandbox-guest";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == LAUNCHER => return swegym_sandbox::launcher_main(),
        Some(first) if first == GUEST => {
            let workdir = arguments.next().unwrap_or_else(|| "/".into());
            // Nobody reads what it could say: its owner learns from the silence.
            return swegym_sandbox::guest_main(workdir.as_ref()).unwrap_or(ExitCode::FAILURE);
        }
        _ => {}
    }
    let arguments = args::Cli::parse();
    let printer = printer::Printer::new(arguments.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::fail(&printer, &anyhow::Error::new(error).context("start the async runtime"));
        }
    };
    let outcome = runtime.block_on(commands::run(arguments.command, &printer));
    // Blocking file work in flight, such as a commit, ends by itself; nothing else may hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => exit::fail(&printer, &error),
    }
}
