//! From the archive of a layer to a layer of the store.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::error::UnpackError;
use super::unpack::{LeftOut, Unpacker};
use super::untar::{TarReader, read_failed};
use super::{Digest, OciError};
use crate::{Begin, Layer, LayerStore, Recipe};

/// Raised when unpacking changes, so that layers unpacked before are not taken for its result.
const UNPACK_VERSION: u32 = 2;
const RECIPE_KIND: &str = "oci-layer";

/// What one layer may take. Layers of published images have some 100,000 entries and a few GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of its archive before compression.
    pub bytes: u64,
    /// Entries, folders that are made for them included.
    pub entries: u64,
    /// Bytes before compression for each byte after it, past [`Self::free_bytes`].
    pub ratio: u64,
    /// Bytes before compression that need no excuse.
    pub free_bytes: u64,
    /// Length of a path.
    pub name_bytes: usize,
    /// Folders above an entry.
    pub depth: usize,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
            ratio: 200,
            free_bytes: 1 << 30,
            name_bytes: 3500,
            depth: 200,
        }
    }
}

impl UnpackLimits {
    fn of_archive(&self, compressed: u64) -> u64 {
        self.bytes.min(self.free_bytes.max(compressed.saturating_mul(self.ratio)))
    }
}

/// A layer to be had from an archive.
pub(crate) struct Source<'a> {
    /// The archive: a tar file, compressed or not.
    pub(crate) archive: &'a Path,
    /// Digest of the archive as it is, for messages.
    pub(crate) digest: &'a Digest,
    /// Digest of the tar file.
    pub(crate) diff_id: &'a Digest,
}

/// The recipe of a layer that stands for itself.
pub(crate) fn recipe(diff_id: &Digest) -> Result<Recipe, OciError> {
    make_recipe(&(diff_id, UNPACK_VERSION))
}

/// The recipe of a layer with hard links to files below it.
fn recipe_upon(diff_id: &Digest, below: &[Layer]) -> Result<Recipe, OciError> {
    let below: Vec<&str> = below.iter().map(|layer| layer.id.as_str()).collect();
    make_recipe(&(diff_id, UNPACK_VERSION, below))
}

fn make_recipe(inputs: &impl serde::Serialize) -> Result<Recipe, OciError> {
    Recipe::new(RECIPE_KIND, inputs).map_err(|error| OciError::unsupported("the layer", error.to_string()))
}

/// Finds the layer in the store, whether it stands for itself or has hard links to files below it.
pub(crate) fn find(store: &LayerStore, diff_id: &Digest, below: &[Layer]) -> Result<Option<Layer>, OciError> {
    Ok(store.find(&recipe(diff_id)?).or(store.find(&recipe_upon(diff_id, below)?)))
}

/// Unpacks the layer into the store, unless it is there. `None`: it has hard links to files below it.
pub(crate) fn add(
    store: &LayerStore,
    source: &Source<'_>,
    limits: &UnpackLimits,
) -> Result<Option<(Layer, LeftOut)>, OciError> {
    match build(store, &recipe(source.diff_id)?, source, &[], limits) {
        Err(OciError::Layer { source: UnpackError::NoLinkTarget { .. }, .. }) => Ok(None),
        built => built.map(Some),
    }
}

/// Unpacks a layer that has hard links to files of the layers below it.
pub(crate) fn add_upon(
    store: &LayerStore,
    source: &Source<'_>,
    below: &[Layer],
    limits: &UnpackLimits,
) -> Result<(Layer, LeftOut), OciError> {
    let folders: Vec<PathBuf> = below.iter().map(|layer| layer.path.clone()).collect();
    build(store, &recipe_upon(source.diff_id, below)?, source, &folders, limits)
}

fn build(
    store: &LayerStore,
    recipe: &Recipe,
    source: &Source<'_>,
    below: &[PathBuf],
    limits: &UnpackLimits,
) -> Result<(Layer, LeftOut), OciError> {
    let build = match store.begin(recipe)? {
        Begin::Ready(layer) => return Ok((layer, LeftOut::default())),
        Begin::Build(build) => build,
    };
    let failed = |error| OciError::Layer { digest: source.digest.to_string(), source: error };
    let (diff_id, left_out) = unpack(source.archive, &build.files(), below, limits).map_err(failed)?;
    if diff_id != *source.diff_id {
        let reason = format!("it holds {diff_id}, and the configuration promises {}", source.diff_id);
        return Err(OciError::mismatch(format!("the layer `{}`", source.digest), reason));
    }
    build.own_tree(&build.files())?;
    // Bytecode in it is checked against the times of its sources, and git's index against those of its files.
    Ok((build.commit_as_made()?, left_out))
}

/// Unpacks an archive into a folder, and says what it was before compression.
pub(crate) fn unpack(
    archive: &Path,
    into: &Path,
    below: &[PathBuf],
    limits: &UnpackLimits,
) -> Result<(Digest, LeftOut), UnpackError> {
    let file = File::open(archive).map_err(read_failed)?;
    let compressed = file.metadata().map_err(read_failed)?.len();
    let guard = Guard::new(
        decompress(BufReader::with_capacity(1 << 17, file)).map_err(read_failed)?,
        limits.of_archive(compressed),
    );
    let mut reader = TarReader::new(BufReader::with_capacity(1 << 17, guard));
    let left_out = Unpacker::new(into, below, limits)?.run(&mut reader)?;
    // The digest is that of everything, what follows the end of the archive included.
    let mut rest = reader.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(read_failed)?;
    Ok((Digest::from_hash(rest.into_inner().hash), left_out))
}

/// Undoes gzip or zstd, whichever the first bytes speak of.
pub(crate) fn decompress<'a>(mut input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match input.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(input)?)
        }
        _ => Box::new(input),
    })
}

/// Hashes what passes through, and ends it where it becomes too much.
struct Guard<R> {
    input: R,
    left: u64,
    limit: u64,
    hash: Sha256,
}

impl<R> Guard<R> {
    fn new(input: R, limit: u64) -> Self {
        Self { input, left: limit, limit, hash: Sha256::new() }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let reason = format!("the layer unpacks to more than {} bytes", self.limit);
            io::Error::other(UnpackError::Limit(reason))
        })?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}
