//! Reads tar archives of strangers: ustar, PAX, GNU long names, GNU and PAX sparse files.
//!
//! Nothing that an archive says makes this read or keep more than the limits allow: extended headers are bounded
//! before they are read, maps of sparse files are checked, and data is only ever copied as it comes.

use std::io::{self, Read, Seek, SeekFrom, Write};

use tar::{EntryType, Header};

use super::error::UnpackError;

mod pax;
mod sparse;

use pax::Pax;
use sparse::Extent;

const BLOCK: u64 = 512;
/// An extended header holds names and attributes: the kernel allows 4 KiB for the one and 64 KiB for another.
const MAX_EXTENDED: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    HardLink,
    Fifo,
    /// A device of either kind.
    Device,
}

/// One entry, before its data.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// As the archive has it: nothing about it is checked.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Size of the file, holes included.
    pub(crate) size: u64,
    /// Where a link leads.
    pub(crate) target: Vec<u8>,
    /// Extended attributes, with their full names.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    extents: Option<Vec<Extent>>,
}

impl Entry {
    /// Whether it has holes, so that its data does not stand in the archive as it is.
    pub(crate) fn is_sparse(&self) -> bool {
        self.extents.is_some()
    }

    /// Its name, for messages.
    pub(crate) fn shown(&self) -> String {
        show(&self.path)
    }
}

/// A name of any bytes, for messages.
pub(crate) fn show(path: &[u8]) -> String {
    let text: String = path.escape_ascii().map(char::from).take(200).collect();
    if path.len() > 200 { format!("{text}...") } else { text }
}

/// The archive.
pub(crate) struct TarReader<R> {
    input: R,
    /// Bytes read.
    position: u64,
    /// What is left of the data of the current entry, and of the padding after it.
    data: u64,
    padding: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, position: 0, data: 0, padding: 0 }
    }

    /// Where in the archive the data of the current entry begins, right after [`Self::next_entry`], and its length
    /// there.
    pub(crate) fn data_at(&self) -> (u64, u64) {
        (self.position, self.data)
    }

    /// The reader that it reads from; nothing of the archive is left to it to know.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }

    /// Skips what is left of the current entry and reads the next.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, UnpackError> {
        let mut pax = Pax::default();
        let (mut long_name, mut long_target) = (None, None);
        loop {
            self.skip(self.data + self.padding)?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| bad(&header, "its size is no number"))?;
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(self.long_text(&header, size)?),
                EntryType::GNULongLink => long_target = Some(self.long_text(&header, size)?),
                EntryType::XHeader => pax = Pax::parse(&self.extended(&header, size)?)?,
                // Comments, and defaults that no tool writes into layers.
                EntryType::XGlobalHeader => drop(self.extended(&header, size)?),
                _ => {
                    pax.long_name = long_name.or(pax.long_name);
                    pax.long_target = long_target.or(pax.long_target);
                    return self.entry(&header, size, pax).map(Some);
                }
            }
        }
    }

    /// Copies the data of the current entry, with holes where the archive has them.
    pub(crate) fn copy_to(&mut self, entry: &Entry, out: &mut (impl Write + Seek)) -> io::Result<()> {
        match &entry.extents {
            None => self.copy(entry.size, out),
            Some(extents) => {
                for extent in extents {
                    out.seek(SeekFrom::Start(extent.offset))?;
                    self.copy(extent.bytes, out)?;
                }
                Ok(())
            }
        }
    }

    fn copy(&mut self, bytes: u64, out: &mut impl Write) -> io::Result<()> {
        let copied = io::copy(&mut (&mut self.input).take(bytes), out)?;
        self.position += copied;
        self.data = self.data.saturating_sub(copied);
        if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn entry(&mut self, header: &Header, size: u64, mut pax: Pax) -> Result<Entry, UnpackError> {
        let path = pax.long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = kind(header, &path).ok_or_else(|| bad(header, "its type is not known"))?;
        let stored = if kind == Kind::File { pax.size.unwrap_or(size) } else { 0 };
        self.expect(stored);
        let mut entry = Entry {
            mode: header.mode().map_err(|_| bad(header, "its mode is no number"))?,
            mtime: pax.mtime.unwrap_or_else(|| (seconds(header), 0)),
            target: pax
                .long_target
                .take()
                .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                .unwrap_or_default(),
            attributes: std::mem::take(&mut pax.attributes),
            size: stored,
            extents: None,
            path,
            kind,
        };
        if kind == Kind::File {
            self.sparse(header, &pax, &mut entry)?;
        }
        Ok(entry)
    }

    /// Reads the map of a sparse file, wherever it stands.
    fn sparse(&mut self, header: &Header, pax: &Pax, entry: &mut Entry) -> Result<(), UnpackError> {
        let map = if header.entry_type() == EntryType::GNUSparse {
            let data = self.data;
            let map = sparse::of_gnu(header, || self.block())?;
            self.expect(data);
            Some(map)
        } else if pax.sparse_in_data {
            let (map, read) = sparse::of_data(pax, || self.block())?;
            self.data =
                self.data.checked_sub(read).ok_or_else(|| bad(header, "its map is longer than it is"))?;
            Some(map)
        } else {
            sparse::of_pax(pax)
        };
        if let Some((size, extents)) = map {
            sparse::check(&extents, size, self.data).map_err(|reason| bad(header, reason))?;
            (entry.size, entry.extents) = (size, Some(extents));
        }
        Ok(())
    }

    /// `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]).map_err(read_failed)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(read_failed(io::ErrorKind::UnexpectedEof.into())),
                read => filled += read,
            }
        }
        self.position += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum().ok() == Some(checksum(&block)) {
            Ok(Some(header))
        } else {
            Err(bad(&header, "its checksum is wrong"))
        }
    }

    fn extended(&mut self, header: &Header, size: u64) -> Result<Vec<u8>, UnpackError> {
        if size > MAX_EXTENDED {
            return Err(bad(header, "its extended header is longer than 1 MiB"));
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.copy(size, &mut bytes).map_err(read_failed)?;
        Ok(bytes)
    }

    fn long_text(&mut self, header: &Header, size: u64) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = self.extended(header, size)?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn block(&mut self) -> Result<[u8; BLOCK as usize], UnpackError> {
        let mut block = [0; BLOCK as usize];
        self.input.read_exact(&mut block).map_err(read_failed)?;
        self.position += BLOCK;
        Ok(block)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), UnpackError> {
        let skipped = io::copy(&mut (&mut self.input).take(bytes), &mut io::sink()).map_err(read_failed)?;
        self.position += skipped;
        (self.data, self.padding) = (0, 0);
        if skipped == bytes { Ok(()) } else { Err(read_failed(io::ErrorKind::UnexpectedEof.into())) }
    }
}

fn kind(header: &Header, path: &[u8]) -> Option<Kind> {
    Some(match header.entry_type() {
        // Before POSIX, a folder was a file whose name ends like one.
        EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char | EntryType::Block => Kind::Device,
        EntryType::Directory => Kind::Folder,
        EntryType::Fifo => Kind::Fifo,
        _ => return None,
    })
}

/// Times before 1970 are stored in a form that few write and that says nothing of use here.
fn seconds(header: &Header) -> i64 {
    header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default()
}

/// The sum of all bytes, with blanks for the field that holds it.
fn checksum(block: &[u8]) -> u32 {
    let field = 148..156;
    let bytes = block.iter().enumerate();
    bytes.map(|(at, byte)| if field.contains(&at) { 32 } else { u32::from(*byte) }).sum()
}

fn bad(header: &Header, reason: &'static str) -> UnpackError {
    UnpackError::Entry { path: show(&header.path_bytes()), reason }
}

/// What limits or damaged compression have to say comes through here.
pub(crate) fn read_failed(source: io::Error) -> UnpackError {
    match source.downcast::<UnpackError>() {
        Ok(error) => error,
        Err(source) => {
            UnpackError::Io { action: "read the archive of", path: "the layer".to_owned(), source }
        }
    }
}

#[cfg(test)]
mod tests;
