//! `swegym images import`: images from archives.

use std::path::PathBuf;

use clap::Args;
use swegym_images::oci::{Platform, Reference, import};

use super::registry::{Shelf, conclude, pull_options, tell};
use crate::exit::Exit;
use crate::printer::Printer;

/// Flags of `images import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Archive: an OCI layout as a folder or a tar file, or what `docker save` writes
    #[arg(value_name = "FILE|DIR")]
    archive: PathBuf,
    /// Name of the image [default: what the archive says]
    #[arg(long)]
    name: Option<Reference>,
    /// Which one of an image for several [default: this machine's]
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<Platform>,
    /// Layers at once
    #[arg(short, long, default_value_t = 2, value_parser = crate::args::at_least_one)]
    jobs: usize,
}

/// Runs the command.
pub(crate) async fn run(args: ImportArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let shelf = Shelf::open()?;
    let options = pull_options(args.platform.as_ref(), args.jobs);
    let news = |news: &_| tell(news, printer);
    let images = import(&args.archive, args.name.as_ref(), shelf.destination(&news), &options).await?;
    images.iter().for_each(|image| conclude(image, printer));
    Ok(Exit::Done)
}
