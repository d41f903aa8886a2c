//! Images of ours as OCI images: manifest, configuration and layers, in the cache of blobs.

use std::io::{BufWriter, Write};

use flate2::GzBuilder;

use super::blobs::{BlobCache, NewBlob};
use super::digest::Hashing;
use super::manifest::{
    ConfigFile, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, RootFs, RunConfig,
};
use super::named::NamedImage;
use super::pack::{Packer, Rules};
use super::{Digest, OciError, host_base};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// What every tool reads.
    #[default]
    Gzip,
    /// Smaller and faster; tools of some years ago do not read it.
    Zstd,
}

/// How an image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Of its layers.
    pub compression: Compression,
    /// Whether the parts of the host that it shows become its lowest layer.
    pub with_host_base: bool,
}

/// An image in the cache of blobs.
#[derive(Debug, Clone)]
pub struct Exported {
    pub(crate) manifest: Manifest,
    /// The manifest as it is hashed.
    pub(crate) bytes: Vec<u8>,
    /// Of the manifest.
    pub digest: Digest,
    /// Whether it shows parts of the host that are not in it, and so needs them wherever it is used.
    pub needs_host: bool,
}

impl Exported {
    /// Everything that the manifest points to, once each.
    pub(crate) fn blobs(&self) -> Vec<&Descriptor> {
        let mut blobs: Vec<&Descriptor> =
            self.manifest.layers.iter().chain([&self.manifest.config]).collect();
        blobs.sort_by_key(|blob| &blob.digest);
        blobs.dedup_by_key(|blob| &blob.digest);
        blobs
    }

    /// Lets go of the blobs: they can be made again.
    pub fn release(&self, cache: &BlobCache) {
        self.blobs().iter().for_each(|blob| cache.remove(&blob.digest));
    }
}

/// Packs an image. The same layers give the same digests.
///
/// # Errors
/// [`OciError`] when something of it cannot be read or has no form in such an image.
pub fn export(image: &NamedImage, cache: &BlobCache, options: ExportOptions) -> Result<Exported, OciError> {
    let compression = options.compression;
    let shows_host = !image.config.binds.is_empty();
    let mut layers = Vec::new();
    if options.with_host_base && shows_host {
        layers.push(compress(cache, compression, |out| host_base::pack(&image.config, out))?);
    }
    for layer in &image.layers {
        layers.push(compress(cache, compression, |out| {
            let mut packer = Packer::new(out, Rules::Layer);
            packer.below(&layer.path, b"")?;
            packer.finish().map_err(OciError::io("pack", &layer.path))
        })?);
    }
    let (layers, diff_ids) = layers.into_iter().unzip();
    let config = cache_json(cache, OCI_CONFIG, &config(image, diff_ids))?.0;
    let media_type = Some(OCI_MANIFEST.to_owned());
    let manifest = Manifest { schema_version: 2, media_type, config, layers };
    let bytes = to_json(&manifest)?;
    let needs_host = shows_host && !options.with_host_base;
    Ok(Exported { digest: Digest::of(&bytes), manifest, bytes, needs_host })
}

fn config(image: &NamedImage, diff_ids: Vec<Digest>) -> ConfigFile {
    let env = image.config.env.iter().map(|(name, value)| format!("{name}={value}"));
    let run = RunConfig {
        env: Some(env.collect()),
        working_dir: Some(image.config.workdir.to_string_lossy().into_owned()),
        ..image.run.clone()
    };
    let platform = image.platform.clone();
    ConfigFile {
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: Some(run),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
    }
}

/// Packs a layer, and says where it lies and what it is before compression.
fn compress(
    cache: &BlobCache,
    compression: Compression,
    pack: impl FnOnce(&mut dyn Write) -> Result<&mut dyn Write, OciError>,
) -> Result<(Descriptor, Digest), OciError> {
    let mut tar = Hashing::new(Compressor::new(cache.new_blob()?, compression).map_err(bad)?);
    {
        let mut buffered = BufWriter::with_capacity(1 << 17, &mut tar);
        pack(&mut buffered)?;
        buffered.flush().map_err(bad)?;
    }
    let (compressor, diff_id, _) = tar.finish();
    let (digest, bytes) = compressor.finish().map_err(bad)?.keep()?;
    let suffix = match compression {
        Compression::None => "",
        Compression::Gzip => "+gzip",
        Compression::Zstd => "+zstd",
    };
    Ok((Descriptor::new(format!("{OCI_LAYER}{suffix}"), digest, bytes), diff_id))
}

fn bad(error: std::io::Error) -> OciError {
    OciError::Pack { path: "a layer".into(), reason: error.to_string() }
}

/// A blob that is written through a compression.
enum Compressor {
    None(NewBlob),
    Gzip(flate2::write::GzEncoder<NewBlob>),
    Zstd(zstd::stream::write::Encoder<'static, NewBlob>),
}

impl Compressor {
    fn new(blob: NewBlob, compression: Compression) -> std::io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(blob),
            // No name and no time: the same content has the same digest.
            Compression::Gzip => Self::Gzip(GzBuilder::new().write(blob, flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(blob, 3)?),
        })
    }

    fn finish(self) -> std::io::Result<NewBlob> {
        match self {
            Self::None(blob) => Ok(blob),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::None(blob) => blob.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, OciError> {
    serde_json::to_vec(value).map_err(|error| OciError::unsupported("the image", error.to_string()))
}

/// Keeps something as JSON, and gives its bytes as well.
pub(crate) fn cache_json(
    cache: &BlobCache,
    media_type: &str,
    value: &impl serde::Serialize,
) -> Result<(Descriptor, Vec<u8>), OciError> {
    let bytes = to_json(value)?;
    let digest = cache.insert(&bytes)?;
    Ok((Descriptor::new(media_type, digest, bytes.len() as u64), bytes))
}
