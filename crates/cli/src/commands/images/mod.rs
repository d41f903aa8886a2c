//! `swegym images`: what sandboxes start from. One file a verb.

mod export;
mod import;
mod pull;
mod push;
mod registry;

use clap::Subcommand;

use crate::exit::Exit;
use crate::printer::Printer;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImagesCommand {
    /// Pull images from registries
    ///
    /// Layers go into the layer store, where images share them; what is there is not fetched again. Credentials
    /// are those of Docker and Podman.
    ///
    /// Example: swegym images pull xingyaoww/sweb.eval.x86_64.getmoto_s_moto-7365
    Pull(pull::PullArgs),
    /// Push an image to a registry
    ///
    /// Example: swegym images push getmoto/moto:7365 registry.example.org/team/moto:7365
    Push(push::PushArgs),
    /// Take images in from an archive: an OCI layout, or what `docker save` writes
    ///
    /// Example: swegym images import moto.tar --name getmoto/moto:7365
    Import(import::ImportArgs),
    /// Write an image as an archive that other tools load
    ///
    /// Example: swegym images export getmoto/moto:7365 moto.tar --as docker
    Export(export::ExportArgs),
}

/// Runs a command.
pub(crate) async fn run(command: ImagesCommand, printer: &Printer) -> anyhow::Result<Exit> {
    match command {
        ImagesCommand::Pull(args) => Box::pin(pull::run(args, printer)).await,
        ImagesCommand::Push(args) => Box::pin(push::run(args, printer)).await,
        ImagesCommand::Import(args) => Box::pin(import::run(args, printer)).await,
        ImagesCommand::Export(args) => export::run(args, printer).await,
    }
}
