//! `swegym images export`: an image as an archive.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use swegym_images::oci::{ArchiveForm, Compression, export, write_archive};

use super::registry::{PackArgs, Shelf, warn_of_host};
use crate::exit::Exit;
use crate::printer::Printer;

/// Flags of `images export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Image on this machine: a name that was pulled or imported, or an instance
    image: String,
    /// File or folder to write
    #[arg(value_name = "FILE|DIR")]
    archive: PathBuf,
    /// Form of the archive
    #[arg(long = "as", value_enum, default_value_t = Form::Oci)]
    form: Form,
    #[command(flatten)]
    pack: PackArgs,
}

/// Form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// OCI layout in a tar file.
    Oci,
    /// OCI layout in a folder, new or empty.
    Folder,
    /// What `docker load` reads.
    Docker,
}

/// Runs the command.
pub(crate) async fn run(args: ExportArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let shelf = Shelf::open()?;
    let (image, kept) = shelf.find(&args.image)?;
    let (form, default) = match args.form {
        Form::Oci => (ArchiveForm::OciArchive, Compression::Gzip),
        Form::Folder => (ArchiveForm::OciLayout, Compression::Gzip),
        Form::Docker => (ArchiveForm::DockerArchive, Compression::None),
    };
    let options = args.pack.options(default);
    let printer = printer.clone();
    tokio::task::spawn_blocking(move || {
        let packed = export(&image, &shelf.cache, options)?;
        if packed.needs_host {
            warn_of_host(&printer);
        }
        let written = write_archive(&packed, &shelf.cache, &image.reference, form, &args.archive);
        packed.release(&shelf.cache);
        drop(kept);
        written?;
        printer.data(&format!("{} {}", args.archive.display(), packed.digest));
        Ok(Exit::Done)
    })
    .await?
}
