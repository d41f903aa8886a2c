//! Images by name: `named/<sha256 of the canonical reference>.json` in the store, so that sandboxes can be made
//! from a name without a network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::manifest::{Platform, RunConfig, read_json};
use super::{Digest, OciError, Reference};
use crate::{Image, ImageConfig, LayerStore};

const SCHEMA_VERSION: u32 = 1;
/// What commands of an image find where it says nothing else: the defaults of every container engine.
const DEFAULT_ENV: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")];

/// A record of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedImage {
    /// 1.
    pub schema_version: u32,
    /// Its canonical name.
    pub reference: Reference,
    /// Digest of the manifest that it was made from; none for one that was built here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Digest of its configuration, which is what Docker calls the id of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<Digest>,
    /// What it runs on.
    pub platform: Platform,
    /// Lowest first.
    pub layers: Vec<NamedLayer>,
    /// How sandboxes are set up.
    pub config: ImageConfig,
    /// How its makers meant it to be run.
    #[serde(default)]
    pub run: RunConfig,
    /// When it was pulled, imported or built.
    pub pulled_at: Timestamp,
}

/// A layer of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedLayer {
    /// Its id in the store.
    pub id: String,
    /// Its folder, relative to the store where it lies there.
    pub path: PathBuf,
    /// Digest of the tar file that it was unpacked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<Digest>,
}

/// The records of a store.
#[derive(Debug, Clone)]
pub struct NamedImages {
    store: PathBuf,
}

impl NamedImages {
    /// Opens the records of the store in the folder `store`.
    ///
    /// # Errors
    /// [`OciError::Io`] when their folder cannot be made.
    pub fn open(store: impl Into<PathBuf>) -> Result<Self, OciError> {
        let named = Self { store: store.into() };
        let folder = named.folder();
        fs::create_dir_all(&folder).map_err(OciError::io("make", &folder))?;
        Ok(named)
    }

    fn folder(&self) -> PathBuf {
        self.store.join("named")
    }

    fn path(&self, reference: &Reference) -> PathBuf {
        self.folder().join(format!("{}.json", Digest::of(reference.to_string().as_bytes()).hex()))
    }

    /// Names an image of this store. A name that is taken moves to it.
    ///
    /// # Errors
    /// [`OciError::Io`] when the record cannot be written.
    pub fn add(&self, image: &NamedImage) -> Result<(), OciError> {
        let path = self.path(&image.reference);
        let failed = OciError::io("write", &path);
        let mut image = image.clone();
        for layer in &mut image.layers {
            layer.path =
                layer.path.strip_prefix(&self.store).map(Path::to_owned).unwrap_or(layer.path.clone());
        }
        let file = NamedTempFile::new_in(self.folder()).map_err(&failed)?;
        serde_json::to_writer_pretty(&file, &image).map_err(|error| failed(error.into()))?;
        file.as_file().sync_data().map_err(&failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// The image of this name.
    ///
    /// # Errors
    /// [`OciError::NoSuchImage`] when there is none, or its layers are gone.
    pub fn get(&self, reference: &Reference) -> Result<NamedImage, OciError> {
        let image = self.read(&self.path(reference))?;
        let image = image.filter(|image| image.layers.iter().all(|layer| layer.path.is_dir()));
        image.ok_or_else(|| OciError::NoSuchImage(reference.to_string()))
    }

    /// All records, by name. What is no record is passed over.
    ///
    /// # Errors
    /// [`OciError::Io`] when the folder cannot be read.
    pub fn list(&self) -> Result<Vec<NamedImage>, OciError> {
        let folder = self.folder();
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(OciError::io("read", &folder))? {
            let path = entry.map_err(OciError::io("read", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.extend(self.read(&path).ok().flatten());
            }
        }
        found.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(found)
    }

    /// Takes a name away; its layers stay. Says whether it was there.
    ///
    /// # Errors
    /// [`OciError::Io`] when the record cannot be removed.
    pub fn remove(&self, reference: &Reference) -> Result<bool, OciError> {
        let path = self.path(reference);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(OciError::io("remove", &path)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<NamedImage>, OciError> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(OciError::io("read", path))?,
        };
        let mut image: NamedImage = read_json(&bytes, &format!("the record `{}`", path.display()))?;
        if image.schema_version != SCHEMA_VERSION {
            let reason = format!("its schema version is {}", image.schema_version);
            return Err(OciError::unsupported(format!("the record `{}`", path.display()), reason));
        }
        for layer in &mut image.layers {
            layer.path = self.store.join(&layer.path);
        }
        Ok(Some(image))
    }
}

impl NamedImage {
    /// A record of an image that was built here, as of now.
    pub fn built(reference: Reference, image: &Image) -> Self {
        let layers = image.layers.iter().map(|layer| NamedLayer {
            id: layer.id.clone(),
            path: layer.path.clone(),
            diff_id: None,
        });
        Self {
            schema_version: SCHEMA_VERSION,
            reference,
            manifest: None,
            config_digest: None,
            platform: Platform::of_this_machine(),
            layers: layers.collect(),
            config: image.config.clone(),
            run: RunConfig::default(),
            pulled_at: Timestamp::now(),
        }
    }

    /// What sandboxes are made from. Its layers stay in the store while it lives.
    ///
    /// # Errors
    /// [`OciError::NoSuchImage`] when a layer is gone.
    pub fn image(&self, store: &LayerStore) -> Result<Image, OciError> {
        let layer = |layer: &NamedLayer| {
            let kept = store.layer(&layer.id)?;
            kept.ok_or_else(|| OciError::NoSuchImage(self.reference.to_string()))
        };
        let layers = self.layers.iter().map(layer).collect::<Result<_, _>>()?;
        Ok(Image { layers, config: self.config.clone(), reference: None })
    }
}

/// What of the configuration of an image sandboxes take over.
pub(crate) fn image_config(run: &RunConfig) -> ImageConfig {
    let mut env: BTreeMap<String, String> =
        DEFAULT_ENV.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let pairs = run.env.iter().flatten().filter(|pair| !pair.contains('\0'));
    let pairs = pairs.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.is_empty());
    env.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let workdir = run.working_dir.as_deref().filter(|folder| !folder.contains('\0')).unwrap_or_default();
    ImageConfig { env, workdir: Path::new("/").join(workdir), binds: Vec::new(), masks: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layer;

    #[test]
    fn an_image_is_found_again_by_any_form_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let named = NamedImages::open(folder.path()).unwrap();
        let layer = folder.path().join("layers/a/fs");
        fs::create_dir_all(&layer).unwrap();
        let run = RunConfig {
            env: Some(["A=b=c", "PATH=/x", "nothing", "=x", "N=\0"].map(str::to_owned).to_vec()),
            working_dir: Some("testbed".to_owned()),
            ..RunConfig::default()
        };
        let image = Image {
            layers: vec![Layer::unmanaged("a", &layer)],
            config: image_config(&run),
            ..Image::default()
        };
        named.add(&NamedImage::built("debian".parse().unwrap(), &image)).unwrap();
        let found = named.get(&"docker.io/library/debian:latest".parse().unwrap()).unwrap();
        assert_eq!((&found.layers[0].id, &found.layers[0].path), (&"a".to_owned(), &layer));
        let store = LayerStore::open(folder.path(), None).unwrap();
        assert!(matches!(found.image(&store), Err(OciError::NoSuchImage(_))), "no store has such a layer");
        assert_eq!(found.config.workdir, Path::new("/testbed"));
        let env: Vec<_> = found.config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["A=b=c", "HOME=/root", "PATH=/x"]);
        assert_eq!(named.list().unwrap(), [found]);
        // The store may be moved.
        let elsewhere = tempfile::tempdir().unwrap();
        let moved = elsewhere.path().join("store");
        fs::rename(folder.path(), &moved).unwrap();
        let named = NamedImages::open(&moved).unwrap();
        assert_eq!(named.get(&"debian".parse().unwrap()).unwrap().layers[0].path, moved.join("layers/a/fs"));
        fs::remove_dir(moved.join("layers/a/fs")).unwrap();
        assert!(matches!(named.get(&"debian".parse().unwrap()), Err(OciError::NoSuchImage(_))));
        assert!(named.remove(&"debian".parse().unwrap()).unwrap());
        assert!(!named.remove(&"debian".parse().unwrap()).unwrap());
    }

    /// A record as the first version wrote it. Later ones must still read it.
    #[test]
    fn records_of_the_first_schema_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let named = NamedImages::open(folder.path()).unwrap();
        let digest = Digest::of(b"");
        let record = format!(
            r#"{{"schema_version": 1, "reference": "docker.io/o/n:1", "manifest": "{digest}", "config_digest": "{digest}",
            "platform": {{"os": "linux", "architecture": "amd64"}},
            "layers": [{{"id": "a", "path": "layers/a/fs", "diff_id": "{digest}"}}],
            "config": {{"env": {{"A": "b"}}, "workdir": "/w", "binds": [], "masks": []}},
            "run": {{"User": "me", "Cmd": ["sh"]}}, "pulled_at": "2026-01-02T03:04:05Z"}}"#
        );
        let path = named.path(&"o/n:1".parse().unwrap());
        fs::write(&path, &record).unwrap();
        let image = named.list().unwrap().remove(0);
        assert_eq!((image.run.user.as_deref(), image.config.env["A"].as_str()), (Some("me"), "b"));
        fs::write(&path, record.replace("\"schema_version\": 1", "\"schema_version\": 2")).unwrap();
        assert!(
            named.get(&"o/n:1".parse().unwrap()).unwrap_err().to_string().contains("schema version is 2")
        );
    }
}
