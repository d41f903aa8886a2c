//! What an image is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One immutable layer: a folder of the store, overlaid read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// SHA-256 of its recipe, hexadecimal.
    pub id: String,
    /// The folder that holds its files.
    pub path: PathBuf,
}

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
