//! From the verb to what it does.

use swegym_images::LayerStore;

use super::{build, check, du, export, gc, import, list, pull, push, verify};
use crate::args::ImagesCommand;
use crate::engine::open_store;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings;

/// Runs the command.
pub(crate) async fn run(command: ImagesCommand, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        ImagesCommand::Build(args) => build::run(args, printer).await,
        ImagesCommand::Check(args) => Box::pin(check::run(args, printer)).await,
        ImagesCommand::List(args) => list::run(&args, &store()?, printer),
        ImagesCommand::Du(args) => du::run(&args, &store()?, printer),
        ImagesCommand::Gc(args) => gc::run(&args, &store()?, printer),
        ImagesCommand::Verify(args) => verify::run(&args, &store()?, printer),
        ImagesCommand::Pull(args) => Box::pin(pull::run(args, printer)).await,
        ImagesCommand::Push(args) => Box::pin(push::run(args, printer)).await,
        ImagesCommand::Import(args) => Box::pin(import::run(args, printer)).await,
        ImagesCommand::Export(args) => export::run(args, printer).await,
    }
}

fn store() -> anyhow::Result<LayerStore> {
    open_store(&settings::cache_folder()?)
}
