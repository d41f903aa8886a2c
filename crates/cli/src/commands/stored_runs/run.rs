//! From the verb to what it does.

use super::{export, import, list, show};
use crate::args::RunsCommand;
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(crate) fn run(command: RunsCommand, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        RunsCommand::List(args) => list::run(&args, printer),
        RunsCommand::Show(args) => show::run(&args, printer),
        RunsCommand::Export(args) => export::run(args, printer),
        RunsCommand::Import(args) => import::run(&args, printer),
    }
}
