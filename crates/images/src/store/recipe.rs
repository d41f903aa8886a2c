//! Recipes, and the files that lead from them to layers.

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hash::hex_digest;

/// Everything that the content of a layer follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    json: String,
    id: String,
}

/// The file of a recipe.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecipeFile {
    /// Digest of the layer.
    pub(super) layer: String,
    /// The recipe itself, for people and for later versions.
    pub(super) recipe: serde_json::Value,
}

impl Recipe {
    /// A recipe of the kind `kind` with these inputs. Fields are hashed in the order in which they serialise.
    ///
    /// # Errors
    /// When `inputs` has no JSON form.
    pub fn new(kind: &str, inputs: &impl Serialize) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_string(&serde_json::json!({ "kind": kind, "inputs": inputs }))?;
        let id = hex_digest(json.as_bytes());
        Ok(Self { json, id })
    }

    /// Hexadecimal SHA-256 of the recipe.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the file that leads to `layer`, by one rename from a scratch folder.
    pub(super) fn write(&self, recipes: &Path, scratch: &Path, layer: &str) -> io::Result<()> {
        let file = RecipeFile { layer: layer.to_owned(), recipe: serde_json::from_str(&self.json)? };
        write_json(&recipes.join(&self.id), scratch, &file)
    }
}

impl RecipeFile {
    /// A file that is not there, or not whole after a power cut, leads nowhere.
    pub(super) fn read(recipes: &Path, id: &str) -> Option<Self> {
        let file: Self = serde_json::from_slice(&std::fs::read(recipes.join(id)).ok()?).ok()?;
        is_digest(&file.layer).then_some(file)
    }
}

/// Whether the text is a SHA-256, and so a safe name of a file.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes a file that is there whole or not at all, by one rename from a folder of the same file system.
pub(super) fn write_json(path: &Path, scratch: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".").tempfile_in(scratch)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}
