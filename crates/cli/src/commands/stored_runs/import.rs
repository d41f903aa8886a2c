//! `swegym runs import`: a run of rollouts in files of other programs.

use anyhow::ensure;
use swegym_data::{ImportFormat, Imports, import_rollouts};

use crate::args::{ImportName, RunsImportArgs};
use crate::exit::Exit;
use crate::printer::Printer;

/// Runs the command.
pub(super) fn run(args: &RunsImportArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let (format, name) = match args.format {
        ImportName::Auto => (ImportFormat::Auto, "auto"),
        ImportName::OpenHands => (ImportFormat::OpenHands, "openhands"),
        ImportName::Mini => (ImportFormat::Mini, "mini"),
        ImportName::SweAgent => (ImportFormat::SweAgent, "swe-agent"),
        ImportName::Atif => (ImportFormat::Atif, "atif"),
    };
    let settings = [("imported_as".to_owned(), name.into())].into_iter().collect();
    let refuse = &mut |error: &swegym_data::DataError| printer.error(&format!("failed to {error}"));
    let imports = import_rollouts(&args.files, format, &args.output, &settings, refuse)?;
    let Imports { rollouts, present, refused } = imports;
    ensure!(rollouts > 0, "import rollouts: none could be read");
    printer.data(&format!("{}\t{rollouts}", args.output.display()));
    if present > 0 {
        printer.line(&format!("{present} of them were there before"));
    }
    if refused > 0 {
        printer.line(&format!("{refused} rows or files could not be read and are left out"));
    }
    Ok(Exit::Done)
}
