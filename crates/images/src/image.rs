//! What an image is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::Lease;

/// One immutable layer: a folder of the store, overlaid read-only. While a clone of it lives, the store keeps it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// SHA-256 of its content, hexadecimal.
    pub id: String,
    /// The folder that holds its files.
    pub path: PathBuf,
    lease: Option<Arc<Lease>>,
}

impl Layer {
    /// A folder that no store keeps: nothing guards it from being removed.
    pub fn unmanaged(id: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { id: id.into(), path: path.into(), lease: None }
    }

    pub(crate) fn leased(id: String, path: PathBuf, lease: Arc<Lease>) -> Self {
        Self { id, path, lease: Some(lease) }
    }

    /// Whether the store keeps the layer while this lives. Layers of read-only stores have no lease.
    pub fn is_leased(&self) -> bool {
        self.lease.is_some()
    }
}

impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.path == other.path
    }
}

impl Eq for Layer {}

/// A folder or file of the host that is seen inside at the same path, read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBind {
    /// The path, on the host and inside.
    pub path: PathBuf,
}

/// What a sandbox made from an image is set up with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Environment of every command.
    pub env: BTreeMap<String, String>,
    /// Working directory of every command.
    pub workdir: PathBuf,
    /// Parts of the host that belong to the image: `/usr`, the interpreter.
    pub binds: Vec<HostBind>,
    /// Folders of the binds that are shown empty: packages of the host, which instances must not see.
    pub masks: Vec<PathBuf>,
}

/// The file tree that sandboxes start from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// Name by which a container daemon knows the image, such as `python:3.12`, for sandboxes of such a daemon.
    pub reference: Option<String>,
    /// How sandboxes are set up.
    pub config: ImageConfig,
}
