//! Files of an export. Each appears whole when all of it is written, and not at all when anything fails.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::export::Export;
use crate::error::IoContext;
use crate::{AtomicFile, DataError};

/// A file of JSON lines, compressed by gzip where its name ends in `.gz`.
pub(crate) struct Lines {
    file: Packed,
    path: PathBuf,
    rows: usize,
    not_utf8: usize,
}

enum Packed {
    Plain(AtomicFile),
    Gzip(Box<GzEncoder<AtomicFile>>),
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(file) => file.flush(),
        }
    }
}

impl Lines {
    pub(crate) fn create(path: &Path) -> Result<Self, DataError> {
        make_parent(path)?;
        let plain = AtomicFile::create(path)?;
        let file = match path.extension().is_some_and(|extension| extension == "gz") {
            true => Packed::Gzip(Box::new(GzEncoder::new(plain, Compression::default()))),
            false => Packed::Plain(plain),
        };
        Ok(Self { file, path: path.to_owned(), rows: 0, not_utf8: 0 })
    }

    pub(crate) fn row(&mut self, row: &impl Serialize) -> Result<(), DataError> {
        let written = serde_json::to_writer(&mut self.file, row).map_err(io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).context("write", &self.path)?;
        self.rows += 1;
        Ok(())
    }

    /// Notes that the last row could not hold its patch exactly.
    pub(crate) fn note_not_utf8(&mut self, not_utf8: bool) {
        self.not_utf8 += usize::from(not_utf8);
    }

    pub(crate) fn commit(self) -> Result<Export, DataError> {
        let Self { file, path, rows, not_utf8 } = self;
        let file = match file {
            Packed::Plain(file) => file,
            Packed::Gzip(file) => file.finish().context("write", &path)?,
        };
        file.commit()?;
        Ok(Export { path, rows, not_utf8 })
    }
}

/// One file for each sample: those of other programs hold one row an instance.
pub(crate) struct Samples<F> {
    /// Where sample 0 goes.
    path: PathBuf,
    /// Where the others go.
    place: fn(&Path, u32) -> PathBuf,
    open: BTreeMap<u32, F>,
}

impl<F> Samples<F> {
    /// The others stand beside it: `output.jsonl` of sample 3 is `output.3.jsonl`.
    pub(crate) fn beside(path: PathBuf) -> Self {
        Self { path, place: numbered, open: BTreeMap::new() }
    }

    /// The others have folders of their own: `preds.json` of sample 3 is `sample-3/preds.json`.
    pub(crate) fn in_folders(path: PathBuf) -> Self {
        let place = |path: &Path, sample| {
            let folder = path.with_file_name(format!("sample-{sample}"));
            folder.join(path.file_name().unwrap_or_default())
        };
        Self { path, place, open: BTreeMap::new() }
    }

    /// The file of a sample, which `create` begins.
    pub(crate) fn of(
        &mut self,
        sample: u32,
        create: impl FnOnce(&Path) -> Result<F, DataError>,
    ) -> Result<&mut F, DataError> {
        match self.open.entry(sample) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let path = if sample == 0 { self.path.clone() } else { (self.place)(&self.path, sample) };
                Ok(entry.insert(create(&path)?))
            }
        }
    }

    pub(crate) fn into_files(self) -> impl Iterator<Item = F> {
        self.open.into_values()
    }
}

fn numbered(path: &Path, sample: u32) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name.split_once('.') {
        Some((stem, end)) => path.with_file_name(format!("{stem}.{sample}.{end}")),
        None => path.with_file_name(format!("{name}.{sample}")),
    }
}

/// Writes a whole JSON file, over one that was there.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DataError> {
    make_parent(path)?;
    let mut file = AtomicFile::create(path)?;
    serde_json::to_writer(&mut file, value).map_err(io::Error::from).context("write", path)?;
    file.commit()
}

pub(crate) fn make_parent(path: &Path) -> Result<(), DataError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    fs::create_dir_all(folder).context("make folder", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_names_of_their_own() {
        let names = ["a/output.with_completions.jsonl.gz", "predictions.jsonl", "x"];
        let names = names.map(|name| numbered(Path::new(name), 2).display().to_string());
        assert_eq!(names, ["a/output.2.with_completions.jsonl.gz", "predictions.2.jsonl", "x.2"]);
    }
}
