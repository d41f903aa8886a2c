//! PAX extended headers: `LENGTH KEY=VALUE` a line, where a value may hold anything.

use super::super::error::UnpackError;
use super::sparse::{Extent, MAX_EXTENTS};

const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// What an extended header says about the next entry.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Size of a sparse file.
    pub(super) real_size: Option<u64>,
    /// Map of a sparse file, in the two forms that keep it here.
    pub(super) extents: Vec<Extent>,
    /// Whether the map stands before the data.
    pub(super) sparse_in_data: bool,
    real_name: Option<Vec<u8>>,
}

impl Pax {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, UnpackError> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or_else(|| bad("its extended header is damaged"))?;
            pax.take(key, value).ok_or_else(|| bad("its extended header holds a wrong value"))?;
            bytes = rest;
        }
        pax.long_name = pax.real_name.take().or(pax.long_name);
        Ok(pax)
    }

    /// `None` where the value does not fit the key.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.long_name = Some(value.to_vec()),
            b"linkpath" => self.long_target = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.name" => self.real_name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real_size = Some(number(value)?),
            b"GNU.sparse.major" => self.sparse_in_data = number(value)? == 1,
            b"GNU.sparse.map" => self.extents = map(value)?,
            b"GNU.sparse.offset" if self.extents.len() < MAX_EXTENTS => {
                self.extents.push(Extent { offset: number(value)?, bytes: 0 });
            }
            b"GNU.sparse.numbytes" => self.extents.last_mut()?.bytes = number(value)?,
            _ => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE) {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Some(())
    }
}

/// The first record, and what comes after it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..blank])?).ok()?;
    let line = bytes.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = line.iter().position(|byte| *byte == b'=')?;
    Some((&line[..equals], &line[equals + 1..], &bytes[length..]))
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// Seconds since 1970 with a fraction, maybe negative.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}")[..9].parse().ok()?;
    // A fraction of a negative time leads further back; a whole second is near enough.
    Some(if seconds < 0 || whole.starts_with('-') { (seconds, 0) } else { (seconds, nanoseconds) })
}

fn map(text: &[u8]) -> Option<Vec<Extent>> {
    let numbers: Option<Vec<u64>> = text.split(|byte| *byte == b',').map(number).collect();
    let numbers = numbers?;
    let pairs = numbers.chunks_exact(2);
    let whole = pairs.remainder().is_empty() && numbers.len() / 2 <= MAX_EXTENTS;
    whole.then(|| pairs.map(|pair| Extent { offset: pair[0], bytes: pair[1] }).collect())
}

fn bad(reason: &'static str) -> UnpackError {
    UnpackError::Entry { path: "extended header".to_owned(), reason }
}
