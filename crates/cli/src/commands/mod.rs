//! One file a verb.

mod doctor;
mod eval;
mod gateway;
pub(crate) mod images;
pub(crate) mod inputs;
mod models;
mod outside;
mod policies;
mod quickstart;
mod regrade;
mod replay;
mod rollout;
mod run_report;
mod runs;
mod scaffolds;
mod stored_runs;
mod validate;

use crate::args::Command;
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs a command.
pub(crate) async fn run(command: Command, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Quickstart(args) => Box::pin(quickstart::run(*args, printer)).await,
        Command::Rollout(args) => Box::pin(rollout::run(*args, printer)).await,
        Command::Eval(args) => Box::pin(eval::run(args, printer)).await,
        Command::Validate(args) => Box::pin(validate::run(args, printer)).await,
        Command::Images(command) => Box::pin(images::run(command, printer)).await,
        Command::Runs(command) => stored_runs::run(command, printer),
        Command::Gateway(args) => Box::pin(gateway::run(args, printer)).await,
        Command::Doctor(args) => doctor::run(&args, printer).await,
    }
}
