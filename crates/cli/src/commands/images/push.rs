//! `swegym images push`: an image to a registry.

use clap::Args;
use swegym_images::oci::{Compression, Reference, export, push};

use super::registry::{PackArgs, RegistryArgs, Shelf, warn_of_host};
use crate::exit::Exit;
use crate::printer::Printer;

/// Flags of `images push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Image on this machine: a name that was pulled or imported, or an instance
    image: String,
    /// Where to push it, and under which name
    #[arg(value_name = "NAME")]
    target: Reference,
    #[command(flatten)]
    pack: PackArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Runs the command.
pub(crate) async fn run(args: PushArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let registries = args.registry.registries()?;
    let shelf = Shelf::open()?;
    let (image, _kept) = shelf.find(&args.image)?;
    printer.status(&format!("packing {}", args.image));
    let options = args.pack.options(Compression::Gzip);
    let cache = shelf.cache.clone();
    let packed = tokio::task::spawn_blocking(move || export(&image, &cache, options)).await??;
    if packed.needs_host {
        warn_of_host(printer);
    }
    printer.status(&format!("pushing {}", args.target));
    let pushed = push(&registries, &packed, &shelf.cache, &args.target, args.registry.jobs).await;
    packed.release(&shelf.cache);
    pushed?;
    printer.data(&format!("{} {}", args.target, packed.digest));
    Ok(Exit::Done)
}
