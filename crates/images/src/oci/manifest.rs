//! Manifests, indexes and configurations of images, in the forms of OCI and of Docker.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, OciError};

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What we ask registries for.
pub(crate) const ACCEPT: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Layers that an image may have: the kernel stacks no more by one mount.
const MAX_LAYERS: usize = 250;

/// Points to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v8`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Of this machine.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image for `self` does for `wanted`. The variant counts where both name one.
    fn serves(&self, wanted: &Self) -> bool {
        let variants = self.variant.as_ref().zip(wanted.variant.as_ref());
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && variants.is_none_or(|(ours, wanted)| ours == wanted)
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err("a platform is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT"),
        };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
    }
}

/// An image: its configuration and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// One image for several platforms, or the images of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

impl Index {
    /// The entry for a platform. The first that fits is the one that the makers of the image prefer.
    pub(crate) fn choose(&self, wanted: &Platform) -> Result<&Descriptor, OciError> {
        let platform = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|it| it.serves(wanted));
        let unnamed = |entry: &&Descriptor| entry.platform.is_none() && is_known(&entry.media_type);
        let found = self.manifests.iter().find(platform).or_else(|| self.manifests.iter().find(unnamed));
        found.ok_or_else(|| {
            let offered = self.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            let offered: Vec<String> =
                offered.filter(|it| it.os != "unknown").take(20).map(|it| format!("`{it}`")).collect();
            OciError::NoPlatform { wanted: wanted.to_string(), offered: offered.join(", ") }
        })
    }
}

/// What a digest of a manifest may lead to.
pub(crate) enum AnyManifest {
    Image(Manifest),
    Index(Index),
}

/// Reads a manifest or an index. The media type in the document counts before the one that came with it.
pub(crate) fn read_manifest(bytes: &[u8], media_type: Option<&str>) -> Result<AnyManifest, OciError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let kind: Kind = read_json(bytes, "the manifest")?;
    if kind.schema_version == Some(1) {
        return Err(OciError::unsupported(
            "the manifest",
            "it has Docker's first schema; pull and push it anew",
        ));
    }
    let named = kind.media_type.as_deref().or(media_type).unwrap_or_default();
    let is_index = match named {
        OCI_INDEX | DOCKER_LIST => true,
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        _ => kind.manifests.is_some(),
    };
    if is_index {
        return Ok(AnyManifest::Index(read_json(bytes, "the index")?));
    }
    let manifest: Manifest = read_json(bytes, "the manifest")?;
    check(&manifest)?;
    Ok(AnyManifest::Image(manifest))
}

fn check(manifest: &Manifest) -> Result<(), OciError> {
    let refuse = |reason: String| Err(OciError::unsupported("the manifest", reason));
    if manifest.layers.len() > MAX_LAYERS {
        return refuse(format!("it has {} layers, more than {MAX_LAYERS}", manifest.layers.len()));
    }
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
        return refuse(format!("it holds `{}`, no image that runs", manifest.config.media_type));
    }
    match manifest.layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        Some(layer) => refuse(format!("it has a layer of the type `{}`", layer.media_type)),
        None => Ok(()),
    }
}

/// How a layer is compressed is seen from its first bytes: its digest is checked, and what comes out as well.
fn is_layer(media_type: &str) -> bool {
    let compression = media_type.strip_prefix(OCI_LAYER).or_else(|| media_type.strip_prefix(DOCKER_LAYER));
    matches!(compression, Some("" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
}

fn is_known(media_type: &str) -> bool {
    ACCEPT.contains(&media_type)
}

/// Reads JSON that came from elsewhere.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(bytes: &[u8], what: &str) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|error| OciError::unsupported(what, error.to_string()))
}

/// The configuration of an image: the part that matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
    #[serde(default)]
    pub(crate) config: Option<RunConfig>,
    pub(crate) rootfs: RootFs,
}

impl ConfigFile {
    /// Refuses an image that was made for another platform and does not say so in an index.
    pub(crate) fn check_platform(&self, wanted: &Platform) -> Result<(), OciError> {
        let (os, architecture) = (self.os.clone(), self.architecture.clone());
        let ours = Platform { os, architecture, variant: self.variant.clone() };
        if ours.architecture.is_empty() || ours.serves(wanted) {
            return Ok(());
        }
        Err(OciError::NoPlatform { wanted: wanted.to_string(), offered: format!("`{ours}`") })
    }
}

/// The layers of an image as they are before compression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

/// How the makers of an image meant it to be run. Sandboxes take over environment and working directory; commands
/// run as root inside, and start nothing that they were not told to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// `NAME=value` each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// Working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Recorded, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Recorded, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Recorded, not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
}

#[cfg(test)]
mod tests;
