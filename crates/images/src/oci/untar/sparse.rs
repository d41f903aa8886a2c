//! Maps of sparse files: which parts of a file the archive holds. The rest is holes.

use tar::Header;

use super::super::error::UnpackError;
use super::pax::{Pax, number};

type Block = [u8; 512];
type Map = (u64, Vec<Extent>);

/// No file system of a layer has more pieces in one file for a reason.
pub(super) const MAX_EXTENTS: usize = 1 << 16;

/// A part of a file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The oldest form: four pieces in the header, the others in blocks after it.
pub(super) fn of_gnu(
    header: &Header,
    mut next: impl FnMut() -> Result<Block, UnpackError>,
) -> Result<Map, UnpackError> {
    let gnu = header.as_gnu().ok_or_else(|| bad("its map is not in the header"))?;
    let size = gnu.real_size().map_err(|_| bad("its size is no number"))?;
    let mut extents = Vec::new();
    let add = |part: &tar::GnuSparseHeader, extents: &mut Vec<Extent>| {
        let numbers = part.offset().and_then(|offset| Ok((offset, part.length()?)));
        let (offset, bytes) = numbers.map_err(|_| bad("its map holds what is no number"))?;
        extents.push(Extent { offset, bytes });
        Ok::<(), UnpackError>(())
    };
    gnu.sparse.iter().filter(|part| !part.is_empty()).try_for_each(|part| add(part, &mut extents))?;
    let mut extended = gnu.is_extended();
    while extended {
        let mut more = tar::GnuExtSparseHeader::new();
        more.as_mut_bytes().copy_from_slice(&next()?);
        more.sparse().iter().filter(|part| !part.is_empty()).try_for_each(|part| add(part, &mut extents))?;
        extended = more.is_extended();
        if extents.len() > MAX_EXTENTS {
            return Err(bad("its map has too many pieces"));
        }
    }
    Ok((size, extents))
}

/// The newest form: decimal numbers, a line each, in blocks before the data. Says how many bytes they took.
pub(super) fn of_data(
    pax: &Pax,
    mut next: impl FnMut() -> Result<Block, UnpackError>,
) -> Result<(Map, u64), UnpackError> {
    let mut text = Vec::new();
    let (mut wanted, mut blocks) = (None, 0_u64);
    let size = pax.real_size.ok_or_else(|| bad("its size is missing"))?;
    loop {
        text.extend_from_slice(&next()?);
        blocks += 1;
        // Numbers are short: so many blocks hold the longest map there may be.
        if blocks > (MAX_EXTENTS as u64 * 2 * 21) / 512 + 1 {
            return Err(bad("its map has too many pieces"));
        }
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        if wanted.is_none() && lines > 0 {
            let first = text.split(|byte| *byte == b'\n').next().and_then(number);
            let first = first.and_then(|count| usize::try_from(count).ok());
            wanted =
                Some(first.filter(|count| *count <= MAX_EXTENTS).ok_or_else(|| bad("its map is damaged"))?);
        }
        if wanted.is_some_and(|count| lines > count * 2) {
            break;
        }
    }
    let numbers: Option<Vec<u64>> =
        text.split(|byte| *byte == b'\n').skip(1).take(wanted.unwrap_or(0) * 2).map(number).collect();
    let numbers = numbers.ok_or_else(|| bad("its map is damaged"))?;
    let extents = numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], bytes: pair[1] }).collect();
    Ok(((size, extents), blocks * 512))
}

/// The forms in between: all of it in the extended header.
pub(super) fn of_pax(pax: &Pax) -> Option<Map> {
    pax.real_size.map(|size| (size, pax.extents.clone()))
}

/// Refuses maps that go backwards, beyond the file, or beyond the data.
pub(super) fn check(extents: &[Extent], size: u64, data: u64) -> Result<(), &'static str> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for extent in extents {
        let next = extent.offset.checked_add(extent.bytes).filter(|next| *next <= size);
        let next = next.ok_or("its map leads beyond its end")?;
        if extent.offset < end {
            return Err("its map goes backwards");
        }
        (end, sum) = (next, sum + extent.bytes);
    }
    if sum == data { Ok(()) } else { Err("its map does not fit its data") }
}

fn bad(reason: &'static str) -> UnpackError {
    UnpackError::Entry { path: "sparse file".to_owned(), reason }
}
