//! Names of images: which layers the image of an instance has.

use serde::{Deserialize, Serialize};

use super::error::at;
use super::pool::read_dir;
use super::recipe::write_json;
use super::{LayerStore, StoreError};
use crate::{Image, ImageConfig};

/// Which layers make up an image that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its name: the instance that it was built for.
    pub name: String,
    /// The repository in it.
    pub repository: String,
    /// Digests, lowest first.
    pub layers: Vec<String>,
    /// How sandboxes are set up.
    #[serde(default)]
    pub config: ImageConfig,
}

impl LayerStore {
    /// Remembers which layers an image has, under a name that is safe as the name of a file.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it cannot be written.
    pub fn record_image(&self, name: &str, repository: &str, image: &Image) -> Result<(), StoreError> {
        let folder = self.folder("images");
        let path = folder.join(name);
        let record = ImageRecord {
            name: name.to_owned(),
            repository: repository.to_owned(),
            layers: image.layers.iter().map(|layer| layer.id.clone()).collect(),
            config: image.config.clone(),
        };
        if read(&path).as_ref() == Some(&record) {
            return Ok(());
        }
        write_json(&path, &folder, &record).map_err(at("write", &path))
    }

    /// The image of a record, unless a layer of it is gone.
    ///
    /// # Errors
    /// [`StoreError::Io`] when a layer cannot be locked.
    pub fn recorded_image(&self, record: &ImageRecord) -> Result<Option<Image>, StoreError> {
        let layers = record.layers.iter().map(|id| self.layer(id)).collect::<Result<Option<_>, _>>()?;
        Ok(layers.map(|layers| Image { layers, config: record.config.clone(), reference: None }))
    }

    /// The images that were remembered, by name.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read.
    pub fn image_records(&self) -> Result<Vec<ImageRecord>, StoreError> {
        let folder = self.folder("images");
        let paths = read_dir(&folder).map_err(at("read", &folder))?;
        let mut records: Vec<ImageRecord> = paths.iter().filter_map(|path| read(path)).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Whether the store has the layer, whole, or a shared one that is used in place; nothing is locked.
    pub fn has_layer(&self, id: &str) -> bool {
        self.layer_folder(id).join("manifest").is_file() || self.shared.layer_in_place(id).is_some()
    }
}

fn read(path: &std::path::Path) -> Option<ImageRecord> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
