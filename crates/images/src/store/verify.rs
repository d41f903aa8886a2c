//! Checking that layers hold what their manifests say, and that manifests are what layers are named by.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::content::{Hashes, entries};
use super::error::at;
use super::lease::{exclusive, shared};
use super::manifest::{self, Entry, FileEntry, Kind};
use super::pool;
use super::remove::{ignore_missing, remove_tree};
use super::scan::Tree;
use super::{LayerStore, StoreError};

/// What is wrong with one path of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Digest of the layer.
    pub layer: String,
    /// Path in the layer; empty for the layer as a whole.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The layer should have it.
    Missing,
    /// It is not what it was: content, kind, mode or time.
    Changed,
    /// The layer should not have it.
    Extra,
    /// The manifest is not what the layer is named by, or malformed; the layer cannot be checked.
    Manifest,
    /// It cannot be read.
    Unreadable(String),
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Layers that were checked.
    pub layers: usize,
    /// Files on disk that were read: what many layers share is read once.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// What is wrong, by layer and path.
    pub faults: Vec<Fault>,
    /// Names of files of the pool whose content is not what the name says.
    pub pool: Vec<String>,
    /// Broken layers that were removed: they are built again when they are wanted.
    pub dropped: Vec<String>,
    /// Broken layers that are in use.
    pub in_use: Vec<String>,
}

impl LayerStore {
    /// Reads every file of every layer. With `repair`, broken layers and files of the pool are removed, and so built
    /// again when they are wanted; what is in use stays.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the store cannot be read or changed.
    pub fn verify(&self, repair: bool) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport::default();
        let mut hashes = Hashes::default();
        for id in self.layer_ids()? {
            let manifest = self.layer_folder(&id).join("manifest");
            if let Some(_held) = shared(&manifest).map_err(at("lock", &manifest))? {
                report.layers += 1;
                report.faults.extend(self.check(&id, &mut hashes));
            }
        }
        report.pool = self.check_pool(&mut hashes)?;
        (report.files, report.bytes) = hashes.totals();
        if repair {
            self.repair(&mut report)?;
        }
        Ok(report)
    }

    fn check(&self, id: &str, hashes: &mut Hashes) -> Vec<Fault> {
        let fault = |path: &Path, kind| Fault { layer: id.to_owned(), path: path.to_owned(), kind };
        let folder = self.layer_folder(id);
        let whole = Path::new("");
        let Some(expected) = read_manifest(&folder) else { return vec![fault(whole, FaultKind::Manifest)] };
        let found = Tree::scan(&folder.join("fs")).map(|tree| by_path(&tree, hashes));
        let found = match found {
            Ok(found) => found,
            Err(error) => return vec![fault(whole, FaultKind::Unreadable(error.to_string()))],
        };
        let expected: BTreeMap<PathBuf, Kind> =
            expected.into_iter().map(|Entry { path, kind }| (path, kind)).collect();
        let missing = expected.keys().filter(|path| !found.contains_key(*path));
        let mut faults: Vec<Fault> = missing.map(|path| fault(path, FaultKind::Missing)).collect();
        for (path, kind) in &found {
            match (expected.get(path), kind) {
                (None, _) => faults.push(fault(path, FaultKind::Extra)),
                (Some(_), Err(error)) => faults.push(fault(path, FaultKind::Unreadable(error.clone()))),
                (Some(expected), Ok(kind)) if !is_same(expected, kind) => {
                    faults.push(fault(path, FaultKind::Changed));
                }
                _ => {}
            }
        }
        faults.sort_by(|a, b| a.path.cmp(&b.path));
        faults
    }

    fn check_pool(&self, hashes: &mut Hashes) -> Result<Vec<String>, StoreError> {
        let folder = self.folder("files");
        let files = pool::files(&folder).map_err(at("read", &folder))?;
        let about = |path: PathBuf| fs::symlink_metadata(&path).ok().map(|about| (path, about));
        let files: Vec<(PathBuf, fs::Metadata)> = files.into_iter().filter_map(about).collect();
        hashes.read(&files.iter().map(|(path, about)| (path.clone(), about)).collect::<Vec<_>>());
        let named = files.iter().map(|(path, about)| {
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), hashes.of(about))
        });
        let is_broken = |(name, hash): &(String, Result<String, String>)| {
            !hash.as_ref().is_ok_and(|hash| name.starts_with(hash.as_str()))
        };
        Ok(named.filter(is_broken).map(|(name, _)| name).collect())
    }

    fn repair(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        let broken: HashSet<&String> = report.faults.iter().map(|fault| &fault.layer).collect();
        for id in broken {
            let folder = self.layer_folder(id);
            let manifest = folder.join("manifest");
            if let Some(lock) = exclusive(&manifest).map_err(at("lock", &manifest))? {
                let aside = self.move_aside(&folder).map_err(at("move aside", &folder))?;
                drop(lock);
                remove_tree(&aside).map_err(at("remove", &aside))?;
                report.dropped.push(id.clone());
            } else {
                report.in_use.push(id.clone());
            }
        }
        for name in &report.pool {
            let path = self.folder("files").join(name.get(..2).unwrap_or_default()).join(name);
            ignore_missing(fs::remove_file(&path)).map_err(at("remove", &path))?;
        }
        report.dropped.sort_unstable();
        report.in_use.sort_unstable();
        Ok(())
    }
}

/// The entries of a layer, where its manifest is what the folder is named by.
pub(super) fn read_manifest(folder: &Path) -> Option<Vec<Entry>> {
    let text = fs::read_to_string(folder.join("manifest")).ok()?;
    let is_named_by_it = folder.file_name().is_some_and(|name| name == manifest::digest(&text).as_str());
    is_named_by_it.then(|| manifest::parse(&text)).flatten()
}

/// What a tree holds, by path.
fn by_path(tree: &Tree, hashes: &mut Hashes) -> BTreeMap<PathBuf, Result<Kind, String>> {
    let pair = |entry| match entry {
        Ok(Entry { path, kind }) => (path, Ok(kind)),
        Err((path, message)) => (path, Err(message)),
    };
    entries(tree, hashes).into_iter().map(pair).collect()
}

/// The number of a copy says how files are shared, not what they are.
fn is_same(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::File(a), Kind::File(b)) => {
            let what = |file: &FileEntry| (file.mode, file.mtime, file.size);
            what(a) == what(b) && a.sha256 == b.sha256 && a.attributes == b.attributes
        }
        _ => a == b,
    }
}
