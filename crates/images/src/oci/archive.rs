//! Images from archives: OCI layouts in folders and tar files, and what `docker save` writes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::NamedTempFile;

use super::assemble::Assembly;
use super::blobs::BlobCache;
use super::blocking::blocking;
use super::layer::decompress;
use super::manifest::{
    AnyManifest, Descriptor, Index, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, read_json, read_manifest,
};
use super::named::NamedImage;
use super::pull::{Destination, PullOptions};
use super::untar::{Kind, TarReader};
use super::write::{NAME_ANNOTATION, TAG_ANNOTATION};
use super::{Digest, OciError, Reference};

/// The small documents of an archive.
const MAX_DOCUMENT: u64 = 8 << 20;
/// Entries of an archive: a few for each layer.
const MAX_ENTRIES: usize = 100_000;
/// Images, each of which costs a manifest: a list of names alone is much shorter.
const MAX_IMAGES: usize = 1000;
const MAX_LINKS: usize = 8;
const MAX_INDEXES: usize = 3;

/// One image of an archive, in the cache of blobs.
struct Found {
    name: Option<String>,
    manifest: Manifest,
    digest: Digest,
}

/// Takes all images of an archive in. `name` is for an archive of one image; without it, the archive must say.
///
/// # Errors
/// [`OciError`] says what is wrong with the archive.
pub async fn import(
    path: &Path,
    name: Option<&Reference>,
    to: Destination<'_>,
    options: &PullOptions,
) -> Result<Vec<NamedImage>, OciError> {
    let (archive, cache, choices) = (path.to_owned(), to.cache.clone(), options.clone());
    let found = blocking(move || {
        let files = Files::open(&archive, &cache, &choices)?;
        find(&files, &cache, &choices)
    })
    .await?;
    let refuse = |reason: &str| OciError::Archive { path: path.to_owned(), reason: reason.to_owned() };
    if name.is_some() && found.len() > 1 {
        return Err(refuse("it holds several images, which cannot all have one name"));
    }
    let Destination { cache, store, news, .. } = to;
    let assembly = Assembly { registries: None, cache, store, options, news };
    let mut images = Vec::new();
    for Found { name: own, manifest, digest } in found {
        let named = match (name, own) {
            (Some(name), _) => name.clone(),
            (None, Some(own)) => own.parse()?,
            (None, None) => return Err(refuse("it does not say how its image is called; give `--name`")),
        };
        images.push(assembly.image(&named, &manifest, digest).await?);
    }
    images.iter().try_for_each(|image| to.named.add(image))?;
    Ok(images)
}

fn find(files: &Files, cache: &BlobCache, options: &PullOptions) -> Result<Vec<Found>, OciError> {
    // Newer versions of Docker write both forms; the layout is the one with digests.
    if files.has("oci-layout") && files.has("index.json") {
        return find_in_layout(files, cache, options);
    }
    if files.has("manifest.json") {
        return find_in_docker(files, cache, options);
    }
    Err(files.bad("it is neither an OCI layout nor an archive of Docker"))
}

fn find_in_layout(files: &Files, cache: &BlobCache, options: &PullOptions) -> Result<Vec<Found>, OciError> {
    let index: Index = read_json(&files.read("index.json")?, "the index of the archive")?;
    // Entries without an image: signatures and such.
    let entries = index
        .manifests
        .iter()
        .filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown"));
    let entries: Vec<&Descriptor> = entries.collect();
    files.check_images(entries.len())?;
    entries
        .into_iter()
        .map(|entry| {
            let (manifest, digest) = resolve(files, entry, options)?;
            for blob in manifest.layers.iter().chain([&manifest.config]) {
                if cache.find(&blob.digest).is_none() {
                    let (digest, _) = files.copy(&blob_name(&blob.digest), cache, blob.size)?;
                    check(&blob.digest, &digest)?;
                }
            }
            Ok(Found { name: name(entry), manifest, digest })
        })
        .collect()
}

/// The full name, or what may be one; a tag alone is none.
fn name(entry: &Descriptor) -> Option<String> {
    let annotation = |key: &str| entry.annotations.get(key).filter(|name| !name.is_empty()).cloned();
    annotation(NAME_ANNOTATION)
        .or_else(|| annotation(TAG_ANNOTATION).filter(|name| name.contains(['/', ':'])))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn resolve(files: &Files, entry: &Descriptor, options: &PullOptions) -> Result<(Manifest, Digest), OciError> {
    let mut entry = entry.clone();
    for _ in 0..MAX_INDEXES {
        let bytes = files.read(&blob_name(&entry.digest))?;
        check(&entry.digest, &Digest::of(&bytes))?;
        match read_manifest(&bytes, Some(&entry.media_type))? {
            AnyManifest::Image(manifest) => return Ok((manifest, entry.digest)),
            AnyManifest::Index(index) => entry = index.choose(&options.platform)?.clone(),
        }
    }
    Err(files.bad("its indexes lead to indexes"))
}

fn check(wanted: &Digest, found: &Digest) -> Result<(), OciError> {
    if wanted == found {
        return Ok(());
    }
    Err(OciError::mismatch(wanted.to_string(), format!("its content has the digest {found}")))
}

/// Images by their configuration and the files of their layers; what these are is found by hashing them.
fn find_in_docker(files: &Files, cache: &BlobCache, options: &PullOptions) -> Result<Vec<Found>, OciError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let entries: Vec<Entry> = read_json(&files.read("manifest.json")?, "the manifest of the archive")?;
    let mut seen: HashMap<String, Descriptor> = HashMap::new();
    let mut take = |file: &str, kind: &str, limit: u64| match seen.get(file) {
        Some(known) => Ok(Descriptor::new(kind, known.digest.clone(), known.size)),
        None => {
            let (digest, size) = files.copy(file, cache, limit)?;
            let descriptor = Descriptor::new(kind, digest, size);
            seen.insert(file.to_owned(), descriptor.clone());
            Ok::<_, OciError>(descriptor)
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        let config = take(&entry.config, OCI_CONFIG, MAX_DOCUMENT)?;
        let layers: Result<_, _> =
            entry.layers.iter().map(|file| take(file, OCI_LAYER, options.max_blob_bytes)).collect();
        let media_type = Some(OCI_MANIFEST.to_owned());
        let manifest = Manifest { schema_version: 2, media_type, config, layers: layers? };
        let bytes = super::export::to_json(&manifest)?;
        // What it holds must read like any manifest: not too many layers.
        read_manifest(&bytes, None)?;
        let names = entry.repo_tags.unwrap_or_default();
        let names: Vec<Option<String>> =
            if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
        let digest = Digest::of(&bytes);
        files.check_images(found.len() + names.len())?;
        found.extend(names.into_iter().map(|name| Found {
            name,
            manifest: manifest.clone(),
            digest: digest.clone(),
        }));
    }
    Ok(found)
}

/// The files of an archive, by name.
enum Files {
    Folder(PathBuf),
    Tar { path: PathBuf, plain: Option<NamedTempFile>, entries: HashMap<String, Place> },
}

/// Where the content of a file is.
enum Place {
    At { offset: u64, bytes: u64 },
    Same(String),
}

impl Files {
    fn open(path: &Path, cache: &BlobCache, options: &PullOptions) -> Result<Self, OciError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let failed = OciError::io("read", path);
        let mut input = BufReader::new(File::open(path).map_err(&failed)?);
        let plain = if is_compressed(&mut input).map_err(&failed)? {
            let mut plain = cache.temporary_file()?;
            copy_plain(input, &mut plain, options.unpack.bytes).map_err(&failed)?;
            Some(plain)
        } else {
            None
        };
        let mut files = Self::Tar { path: path.to_owned(), plain, entries: HashMap::new() };
        let entries = files.scan()?;
        if let Self::Tar { entries: place, .. } = &mut files {
            *place = entries;
        }
        Ok(files)
    }

    fn tar(&self) -> Result<File, OciError> {
        let path = match self {
            Self::Folder(path) | Self::Tar { path, plain: None, .. } => path.as_path(),
            Self::Tar { plain: Some(plain), .. } => plain.path(),
        };
        File::open(path).map_err(OciError::io("read", path))
    }

    fn scan(&self) -> Result<HashMap<String, Place>, OciError> {
        let mut reader = TarReader::new(BufReader::with_capacity(1 << 17, self.tar()?));
        let mut entries = HashMap::new();
        while let Some(entry) = reader.next_entry().map_err(|error| self.bad(&error.to_string()))? {
            let Ok(name) = String::from_utf8(entry.path.clone()) else { continue };
            let name = name.trim_start_matches("./").to_owned();
            let place = match entry.kind {
                Kind::File if !entry.is_sparse() => {
                    let (offset, bytes) = reader.data_at();
                    Place::At { offset, bytes }
                }
                // Docker writes a layer that occurs twice as a link to the first.
                Kind::Symlink | Kind::HardLink => Place::Same(link_target(&name, &entry.target, entry.kind)),
                _ => continue,
            };
            entries.insert(name, place);
            if entries.len() > MAX_ENTRIES {
                return Err(self.bad("it has too many entries"));
            }
        }
        Ok(entries)
    }

    fn bad(&self, reason: &str) -> OciError {
        let (Self::Folder(path) | Self::Tar { path, .. }) = self;
        OciError::Archive { path: path.clone(), reason: reason.to_owned() }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(name).is_file(),
            Self::Tar { entries, .. } => entries.contains_key(name),
        }
    }

    fn check_images(&self, count: usize) -> Result<(), OciError> {
        if count <= MAX_IMAGES {
            return Ok(());
        }
        Err(self.bad(&format!("it names more than {MAX_IMAGES} images")))
    }

    /// The content of a file, at most so much of it, and one byte more where there is more.
    fn content(&self, name: &str, limit: u64) -> Result<Box<dyn Read + '_>, OciError> {
        let Self::Tar { entries, .. } = self else { return self.content_in_folder(name, limit) };
        let missing = || self.bad(&format!("it lacks `{name}`"));
        let mut place = entries.get(name).ok_or_else(missing)?;
        for _ in 0..MAX_LINKS {
            match place {
                Place::Same(other) => place = entries.get(other).ok_or_else(missing)?,
                Place::At { offset, bytes } => {
                    let mut file = self.tar()?;
                    file.seek(SeekFrom::Start(*offset)).map_err(OciError::io("read", Path::new(name)))?;
                    return Ok(Box::new(file.take((*bytes).min(limit + 1))));
                }
            }
        }
        Err(missing())
    }

    /// Only names that the format gives are looked up in folders, never those that documents hold.
    fn content_in_folder(&self, name: &str, limit: u64) -> Result<Box<dyn Read + '_>, OciError> {
        let Self::Folder(folder) = self else { return Err(self.bad("it is no folder")) };
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !name.split('/').all(plain) {
            return Err(self.bad("it names a file outside of it"));
        }
        let path = folder.join(name);
        let failed = OciError::io("read", &path);
        if !std::fs::metadata(&path).map_err(&failed)?.is_file() {
            return Err(self.bad(&format!("`{name}` in it is no file")));
        }
        Ok(Box::new(File::open(&path).map_err(failed)?.take(limit + 1)))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::new();
        let read = self.content(name, MAX_DOCUMENT)?.read_to_end(&mut bytes);
        read.map_err(OciError::io("read", Path::new(name)))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            Err(self.bad(&format!("`{name}` is too long")))
        } else {
            Ok(bytes)
        }
    }

    /// Copies a file into the cache, and says what it is.
    fn copy(&self, name: &str, cache: &BlobCache, limit: u64) -> Result<(Digest, u64), OciError> {
        let mut blob = cache.new_blob()?;
        let copied = io::copy(&mut self.content(name, limit)?, &mut blob);
        if copied.map_err(OciError::io("copy", Path::new(name)))? > limit {
            return Err(self.bad(&format!("`{name}` is longer than {limit} bytes")));
        }
        blob.keep()
    }
}

fn is_compressed(input: &mut impl BufRead) -> io::Result<bool> {
    Ok(matches!(input.fill_buf()?, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]))
}

/// Undoes the compression of an archive that is no longer than `limit` without it.
fn copy_plain(input: impl BufRead, plain: &mut impl io::Write, limit: u64) -> io::Result<()> {
    let copied = io::copy(&mut decompress(input)?.take(limit), plain)?;
    if copied == limit { Err(io::Error::other("it is too large")) } else { Ok(()) }
}

/// The name that a link in the archive leads to.
fn link_target(name: &str, target: &[u8], kind: Kind) -> String {
    let target = String::from_utf8_lossy(target);
    let folder =
        if kind == Kind::Symlink { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
