//! The folder that a checkpoint is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::identity::is_privileged;
use super::remove::remove_tree;
use crate::{SandboxError, SandboxSpec};

/// The file of a checkpoint that tells about it, written last.
const ABOUT: &str = "checkpoint.json";
/// Its folder of writable layers.
const UPPERS: &str = "uppers";
const SCHEMA_VERSION: u32 = 1;
/// Longest [`ABOUT`]: some thousand layers.
const ABOUT_BYTES: u64 = 1 << 20;

/// What a checkpoint says about itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    schema_version: u32,
    backend: String,
    /// Whose marks and ids the layers have: `root` or `user`.
    written_as: String,
    /// Ids of the image's layers, lowest first.
    layers: Vec<String>,
    /// How many writable layers there are.
    uppers: usize,
}

impl About {
    pub(super) fn of(spec: &SandboxSpec, uppers: usize) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            backend: "local".to_owned(),
            written_as: if is_privileged() { "root" } else { "user" }.to_owned(),
            layers: spec.image.layers.iter().map(|layer| layer.id.clone()).collect(),
            uppers,
        }
    }

    /// Why a sandbox of this kind cannot be made from it.
    fn mismatch(&self, wanted: &Self) -> Option<String> {
        if self.schema_version != wanted.schema_version {
            return Some(format!("it has version {} of the format", self.schema_version));
        }
        if self.backend != wanted.backend {
            return Some(format!("it was written by the backend `{}`", self.backend));
        }
        if self.written_as != wanted.written_as {
            return Some(format!("it was written as {}", self.written_as));
        }
        (self.layers != wanted.layers).then(|| "it was made from another image".to_owned())
    }
}

/// The folders of writable layers of a checkpoint, lowest first.
pub(super) fn read_checkpoint(spec: &SandboxSpec, folder: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let failed =
        |message: String| SandboxError::Checkpoint { action: "read", folder: folder.to_path_buf(), message };
    let about = read_about(folder).map_err(|error| failed(error.to_string()))?;
    if let Some(mismatch) = about.mismatch(&About::of(spec, about.uppers)) {
        return Err(failed(mismatch));
    }
    let uppers = fs::canonicalize(folder).map_err(|error| failed(error.to_string()))?.join(UPPERS);
    let folders: Vec<PathBuf> = (0..about.uppers).map(|number| uppers.join(number.to_string())).collect();
    match folders.iter().find(|folder| !fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir())) {
        Some(missing) => Err(failed(format!("`{}` is no folder", missing.display()))),
        None => Ok(folders),
    }
}

fn read_about(folder: &Path) -> io::Result<About> {
    let mut text = Vec::new();
    File::open(folder.join(ABOUT))?.take(ABOUT_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// A checkpoint beside its place, until it is whole.
pub(super) struct Aside {
    folder: PathBuf,
    /// Where the layers go.
    pub(super) uppers: OwnedFd,
    finished: bool,
}

impl Aside {
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let name = folder.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let parent = parent(folder);
        fs::create_dir_all(parent)?;
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(io::Error::other("it is there already"));
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let aside = parent.join(format!(".{name}.partial-{}-{now}", std::process::id()));
        fs::create_dir(&aside)?;
        let uppers = aside.join(UPPERS);
        let opened = fs::create_dir(&uppers)
            .and_then(|()| OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&uppers));
        match opened {
            Ok(uppers) => Ok(Self { folder: aside, uppers: uppers.into(), finished: false }),
            Err(error) => {
                let _ = remove_tree(&aside);
                Err(error)
            }
        }
    }

    /// Makes it last, and puts it in its place.
    pub(super) fn finish(mut self, about: &About, folder: &Path) -> io::Result<()> {
        let mut file = File::create(self.folder.join(ABOUT))?;
        file.write_all(&serde_json::to_vec_pretty(about)?)?;
        nix::unistd::syncfs(&self.uppers)?;
        fs::rename(&self.folder, folder)?;
        self.finished = true;
        File::open(parent(folder))?.sync_all()
    }
}

fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.finished {
            let _ = remove_tree(&self.folder);
        }
    }
}
