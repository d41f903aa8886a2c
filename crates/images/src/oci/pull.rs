//! Images from registries.

use super::assemble::Assembly;
use super::blobs::BlobCache;
use super::client::Registries;
use super::layer::UnpackLimits;
use super::manifest::{AnyManifest, Manifest, Platform, read_manifest};
use super::named::{NamedImage, NamedImages};
use super::{Digest, OciError, Reference};
use crate::LayerStore;

/// Indexes may point to indexes; none that is honest does so more than once.
const MAX_INDEXES: usize = 3;

/// How images are taken in.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Which one of an image for several.
    pub platform: Platform,
    /// Layers at once.
    pub jobs: usize,
    /// For each layer.
    pub unpack: UnpackLimits,
    /// The largest blob that is fetched.
    pub max_blob_bytes: u64,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::of_this_machine(),
            jobs: 3,
            unpack: UnpackLimits::default(),
            max_blob_bytes: 32 << 30,
        }
    }
}

/// A layer is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerNews {
    /// Which one, from 1.
    pub number: usize,
    /// Of how many.
    pub count: usize,
    /// Of its archive.
    pub digest: Digest,
    /// Of its archive.
    pub bytes: u64,
    /// Devices that were left out of it.
    pub devices: u64,
    /// Entries whose set-id bits were.
    pub set_id_bits: u64,
    /// Extended attributes that were.
    pub attributes: u64,
}

/// Where images go.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// Blobs on their way.
    pub cache: &'a BlobCache,
    /// Layers.
    pub store: &'a LayerStore,
    /// Names.
    pub named: &'a NamedImages,
    /// Told of every layer that is done.
    pub news: &'a (dyn Fn(&LayerNews) + Sync),
}

/// Pulls an image and names it. What the store has of it is not fetched again.
///
/// # Errors
/// [`OciError`] says what of it cannot be had.
pub async fn pull(
    registries: &Registries,
    reference: &Reference,
    to: Destination<'_>,
    options: &PullOptions,
) -> Result<NamedImage, OciError> {
    let (manifest, digest) = resolve(registries, reference, &options.platform).await?;
    let Destination { cache, store, news, .. } = to;
    let assembly = Assembly { registries: Some(registries), cache, store, options, news };
    let image = assembly.image(reference, &manifest, digest).await?;
    to.named.add(&image)?;
    Ok(image)
}

/// The manifest for the platform, and its digest.
async fn resolve(
    registries: &Registries,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Manifest, Digest), OciError> {
    let mut version = reference.version();
    for _ in 0..MAX_INDEXES {
        let (bytes, media_type) = registries.manifest(reference, &version).await?;
        match read_manifest(&bytes, media_type.as_deref())? {
            AnyManifest::Image(manifest) => return Ok((manifest, Digest::of(&bytes))),
            AnyManifest::Index(index) => version = index.choose(platform)?.digest.to_string(),
        }
    }
    Err(OciError::unsupported(format!("`{reference}`"), "its indexes lead to indexes"))
}
