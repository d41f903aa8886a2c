//! `swegym images pull`: images from registries.

use clap::Args;
use swegym_images::oci::{Platform, Reference, pull};

use super::registry::{RegistryArgs, Shelf, conclude, pull_options, tell};
use crate::exit::Exit;
use crate::printer::Printer;

/// Flags of `images pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Images: NAME, NAME:TAG or NAME@sha256:DIGEST
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Reference>,
    /// Which one of an image for several [default: this machine's]
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<Platform>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Runs the command.
pub(crate) async fn run(args: PullArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let registries = args.registry.registries()?;
    let shelf = Shelf::open()?;
    let options = pull_options(args.platform.as_ref(), args.registry.jobs);
    let news = |news: &_| tell(news, printer);
    for name in &args.names {
        printer.status(&format!("pulling {name}"));
        let image = pull(&registries, name, shelf.destination(&news), &options).await?;
        conclude(&image, printer);
    }
    Ok(Exit::Done)
}
