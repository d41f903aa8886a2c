//! From a manifest to an image of the store, wherever the blobs come from.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::blobs::BlobCache;
use super::blocking::blocking;
use super::client::Registries;
use super::layer::{self, Source};
use super::manifest::{ConfigFile, Descriptor, Manifest, Platform, read_json};
use super::named::{NamedImage, NamedLayer, image_config};
use super::pull::{LayerNews, PullOptions};
use super::unpack::LeftOut;
use super::{Digest, OciError, Reference, tree};
use crate::{Layer, LayerStore};

/// Configurations hold histories of builds and labels, and reach some hundred KiB.
const MAX_CONFIG: u64 = 8 << 20;

/// What images are assembled with.
#[derive(Clone, Copy)]
pub(crate) struct Assembly<'a> {
    /// Where blobs come from that the cache does not hold; `None`: from nowhere.
    pub(crate) registries: Option<&'a Registries>,
    pub(crate) cache: &'a BlobCache,
    pub(crate) store: &'a LayerStore,
    pub(crate) options: &'a PullOptions,
    pub(crate) news: &'a (dyn Fn(&LayerNews) + Sync),
}

/// One layer of an image on its way into the store.
#[derive(Clone)]
struct Part {
    number: usize,
    archive: Descriptor,
    diff_id: Digest,
}

impl Assembly<'_> {
    /// Makes the image of a manifest.
    pub(crate) async fn image(
        &self,
        reference: &Reference,
        manifest: &Manifest,
        digest: Digest,
    ) -> Result<NamedImage, OciError> {
        let config = self.config(reference, &manifest.config).await?;
        config.check_platform(&self.options.platform)?;
        let diff_ids = config.rootfs.diff_ids.clone();
        if diff_ids.len() != manifest.layers.len() {
            let reason =
                format!("it has {} layers, and its configuration {}", manifest.layers.len(), diff_ids.len());
            return Err(OciError::mismatch(format!("`{reference}`"), reason));
        }
        let pairs = manifest.layers.iter().cloned().zip(diff_ids.iter().cloned()).enumerate();
        let parts = pairs.map(|(number, (archive, diff_id))| Part { number, archive, diff_id }).collect();
        let layers = self.layers(reference, parts).await?;
        let layers = layers.into_iter().zip(diff_ids).map(|(layer, diff_id)| NamedLayer {
            id: layer.id,
            path: layer.path,
            diff_id: Some(diff_id),
        });
        let run = config.config.unwrap_or_default();
        Ok(NamedImage {
            schema_version: 1,
            reference: reference.clone(),
            manifest: Some(digest),
            config_digest: Some(manifest.config.digest.clone()),
            platform: Platform { os: config.os, architecture: config.architecture, variant: config.variant },
            layers: visible(layers.collect()),
            config: image_config(&run),
            run,
            pulled_at: Timestamp::now(),
        })
    }

    async fn config(&self, reference: &Reference, descriptor: &Descriptor) -> Result<ConfigFile, OciError> {
        if descriptor.size > MAX_CONFIG {
            return Err(OciError::unsupported(
                "the configuration",
                format!("it has {} bytes", descriptor.size),
            ));
        }
        self.fetch(reference, descriptor).await?;
        read_json(&self.cache.read(descriptor)?, "the configuration")
    }

    async fn fetch(&self, reference: &Reference, blob: &Descriptor) -> Result<std::path::PathBuf, OciError> {
        if blob.size > self.options.max_blob_bytes {
            let reason = format!("it has {} bytes, more than {}", blob.size, self.options.max_blob_bytes);
            return Err(OciError::unsupported(format!("`{}`", blob.digest), reason));
        }
        match (self.cache.find(&blob.digest), self.registries) {
            (Some(path), _) => Ok(path),
            (None, Some(registries)) => registries.blob(reference, blob, self.cache).await,
            (None, None) => {
                Err(OciError::mismatch(reference.to_string(), format!("`{}` is missing", blob.digest)))
            }
        }
    }

    /// Layers that stand for themselves are fetched and unpacked side by side; those with hard links to files
    /// below them after that, from the bottom up.
    async fn layers(&self, reference: &Reference, parts: Vec<Part>) -> Result<Vec<Layer>, OciError> {
        let count = parts.len();
        let tries = stream::iter(parts.clone()).map(|part| async move {
            let layer = self.layer(reference, &part, None).await?;
            if let Some((_, left_out)) = &layer {
                self.tell(&part, count, *left_out);
            }
            Ok::<_, OciError>(layer.map(|(layer, _)| layer))
        });
        let found: Vec<Option<Layer>> = tries.buffered(self.options.jobs.max(1)).try_collect().await?;
        let mut layers: Vec<Layer> = Vec::with_capacity(count);
        for (part, layer) in parts.iter().zip(found) {
            let layer = match layer {
                Some(layer) => Some(layer),
                None => self.layer(reference, part, Some(&layers)).await?.map(|(layer, left_out)| {
                    self.tell(part, count, left_out);
                    layer
                }),
            };
            layers.extend(layer);
        }
        Ok(layers)
    }

    /// Finds or unpacks one layer. `None`: it needs those below, and they were not given.
    async fn layer(
        &self,
        reference: &Reference,
        part: &Part,
        below: Option<&[Layer]>,
    ) -> Result<Option<(Layer, LeftOut)>, OciError> {
        if let Some(layer) = layer::find(self.store, &part.diff_id, below.unwrap_or_default())? {
            // An archive of several images, or a pull that was killed, may have left it.
            self.cache.remove(&part.archive.digest);
            return Ok(Some((layer, LeftOut::default())));
        }
        let archive = self.fetch(reference, &part.archive).await?;
        let (store, limits) = (self.store.clone(), self.options.unpack.clone());
        let (part, below, cache) = (part.clone(), below.map(<[Layer]>::to_vec), self.cache.clone());
        blocking(move || {
            let digest = &part.archive.digest;
            let source = Source { archive: &archive, digest, diff_id: &part.diff_id };
            let added = match below {
                None => layer::add(&store, &source, &limits)?,
                Some(below) => Some(layer::add_upon(&store, &source, &below, &limits)?),
            };
            if added.is_some() {
                // The layer is in the store now: its archive would only take the same place again.
                cache.remove(digest);
            }
            Ok(added)
        })
        .await
    }

    fn tell(&self, part: &Part, count: usize, left_out: LeftOut) {
        (self.news)(&LayerNews {
            number: part.number + 1,
            count,
            digest: part.archive.digest.clone(),
            bytes: part.archive.size,
            devices: left_out.devices,
            set_id_bits: left_out.set_id_bits,
            attributes: left_out.attributes,
        });
    }
}

/// A layer whose root is opaque hides all below it. Overlayfs does not look at the marks of roots, so they go.
fn visible(mut layers: Vec<NamedLayer>) -> Vec<NamedLayer> {
    match layers.iter().rposition(|layer| tree::is_opaque(&layer.path)) {
        Some(lowest) => layers.split_off(lowest),
        None => layers,
    }
}
