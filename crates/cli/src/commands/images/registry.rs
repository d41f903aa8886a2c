//! What the verbs of `images` share: the store, registries, and how progress is told.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use swegym_images::oci::{
    BlobCache, Compression, Credentials, Destination, ExportOptions, LayerNews, Mirror, NamedImage,
    NamedImages, Platform, PullOptions, Registries, RegistryConfig,
};

use swegym_images::{Image, LayerStore};

use crate::engine::open_store;
use crate::printer::Printer;
use crate::settings;

/// How registries are reached.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// Look at this address first for images of a registry (repeatable)
    #[arg(long, value_name = "REGISTRY=URL", value_parser = mirror)]
    mirror: Vec<(String, String)>,
    /// Registry without TLS (repeatable); those of the loopback address are taken to have none
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// Credentials [default: those of Docker and Podman]
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Layers at once
    #[arg(short, long, default_value_t = 3, value_parser = crate::args::at_least_one)]
    pub(crate) jobs: usize,
}

impl RegistryArgs {
    pub(crate) fn registries(&self) -> anyhow::Result<Registries> {
        let path = self.auth_file.clone().or_else(settings::registry_credentials);
        let credentials = path.map(|path| Credentials::read(&path)).transpose()?.unwrap_or_default();
        let mirrors = self.mirror.iter();
        let mirrors =
            mirrors.map(|(registry, base)| Mirror { registry: registry.clone(), base: base.clone() });
        Ok(Registries::new(RegistryConfig {
            credentials,
            mirrors: mirrors.collect(),
            plain_http: self.plain_http.clone(),
            ..RegistryConfig::default()
        })?)
    }
}

fn mirror(text: &str) -> Result<(String, String), String> {
    let (registry, base) = text.split_once('=').ok_or("must be REGISTRY=URL")?;
    Ok((registry.to_owned(), base.to_owned()))
}

/// How an image is packed.
#[derive(Debug, Args)]
pub(crate) struct PackArgs {
    /// Compression of layers
    #[arg(long, value_enum)]
    compression: Option<PackCompression>,
    /// Add the parts of this machine that the image shows as its lowest layer, so that it stands alone
    #[arg(long)]
    with_host_base: bool,
}

impl PackArgs {
    pub(crate) fn options(&self, default: Compression) -> ExportOptions {
        let compression = match self.compression {
            None => default,
            Some(PackCompression::None) => Compression::None,
            Some(PackCompression::Gzip) => Compression::Gzip,
            Some(PackCompression::Zstd) => Compression::Zstd,
        };
        ExportOptions { compression, with_host_base: self.with_host_base }
    }
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackCompression {
    /// Not at all.
    None,
    /// What every tool reads.
    Gzip,
    /// Smaller and faster.
    Zstd,
}

/// Where images are kept on this machine.
pub(crate) struct Shelf {
    store: LayerStore,
    pub(crate) cache: BlobCache,
    named: NamedImages,
}

impl Shelf {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let cache = settings::cache_folder()?;
        let folder = cache.join("store");
        let store = open_store(&cache)?;
        Ok(Self { store, cache: BlobCache::open(cache.join("blobs"))?, named: NamedImages::open(folder)? })
    }

    /// An image on this machine by its name: a pulled or imported one, else that of an instance. It stays whole
    /// while the second value lives.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<(NamedImage, Image)> {
        let records = self.store.image_records()?;
        if let Some(record) = records.iter().find(|record| record.name == name) {
            let image = self.store.recorded_image(record)?;
            let image =
                image.with_context(|| format!("find all layers of the image `{name}`: build it again"))?;
            return Ok((NamedImage::built(name.to_lowercase().parse()?, &image), image));
        }
        let named = self.named.get(&name.parse()?)?;
        let image = named.image(&self.store)?;
        Ok((named, image))
    }

    pub(crate) fn destination<'a>(&'a self, news: &'a (dyn Fn(&LayerNews) + Sync)) -> Destination<'a> {
        Destination { cache: &self.cache, store: &self.store, named: &self.named, news }
    }
}

/// How images are taken in.
pub(crate) fn pull_options(platform: Option<&Platform>, jobs: usize) -> PullOptions {
    let default = PullOptions::default();
    PullOptions { platform: platform.cloned().unwrap_or(default.platform), jobs, ..default }
}

/// Tells of a layer, and of what was left out of it.
pub(crate) fn tell(news: &LayerNews, printer: &Printer) {
    let LayerNews { number, count, digest, bytes, devices, set_id_bits, attributes } = news;
    printer.status(&format!("layer {number} of {count}: {} ({bytes} bytes)", &digest.hex()[..12]));
    let parts = [(*devices, "devices"), (*set_id_bits, "set-id bits"), (*attributes, "extended attributes")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if !parts.is_empty() {
        printer.line(&format!("note: layer {number} of {count}: left out {}", parts.join(", ")));
    }
}

/// Says what an image has become: its name and its manifest, to be copied.
pub(crate) fn conclude(image: &NamedImage, printer: &Printer) {
    let digest = image.manifest.as_ref().map(|digest| format!(" {digest}")).unwrap_or_default();
    printer.data(&format!("{}{digest}", image.reference));
}

/// Says that an image does not stand alone.
pub(crate) fn warn_of_host(printer: &Printer) {
    printer.line(
        "note: the image has no root file system of its own: elsewhere it needs the programs of this machine below \
         it; `--with-host-base` adds them",
    );
}
