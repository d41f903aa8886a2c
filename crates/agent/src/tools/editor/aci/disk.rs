//! Files as Python's `pathlib` and `open` have them.

use swegym_sandbox::SandboxError;

use super::raised::EditorError;
use super::text::universal_newlines;
use crate::EditorVersion;
use crate::python::repr_text;
use crate::tools::editor::files::{EditorFiles, quoted};

/// Bytes of a file that is viewed or edited: upstream's limit in 0.3.3, and ours for all versions.
const SIZE_LIMIT: u64 = 10 << 20;
/// Bytes by which 0.3.3 tells what is binary.
const SAMPLE: usize = 1024;
/// Files of these kinds are shown converted in 0.3.3, and not edited.
const CONVERTED: [&str; 8] = [".docx", ".xlsx", ".pptx", ".pdf", ".mp3", ".wav", ".m4a", ".flac"];
const BOM: &str = "\u{feff}";

/// Numbers of errors on Linux.
const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;
const EISDIR: i32 = 21;
const ENAMETOOLONG: i32 = 36;
const ELOOP: i32 = 40;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing; why, where the kernel was asked.
    Absent(Option<i32>),
    Folder,
    File,
}

/// The text of a file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Whether a byte order mark, which is no part of `text`, stands before it.
    pub(super) marked: bool,
}

impl Text {
    pub(super) fn bytes(&self, text: &str) -> String {
        if self.marked { format!("{BOM}{text}") } else { text.to_owned() }
    }
}

/// `str(Path(path))`.
pub(super) fn normalized(path: &str) -> String {
    let root = match path.as_bytes() {
        [b'/', b'/', b'/', ..] => "/",
        // POSIX leaves the meaning of just two slashes to the system.
        [b'/', b'/', ..] => "//",
        [b'/', ..] => "/",
        _ => "",
    };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match format!("{root}{}", parts.join("/")) {
        empty if empty.is_empty() => ".".to_owned(),
        path => path,
    }
}

/// The suffix of a path when it is one that 0.3.3 converts.
pub(super) fn converted_suffix(version: EditorVersion, path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let dot = name.rfind('.').filter(|dot| *dot > 0)?;
    let known = version >= EditorVersion::Aci033 && CONVERTED.contains(&name[dot..].to_lowercase().as_str());
    known.then_some(&name[dot..])
}

pub(super) async fn kind(files: &dyn EditorFiles, path: &str) -> Result<Kind, EditorError> {
    if path.contains('\0') {
        return Ok(Kind::Absent(None));
    }
    match files.read(path, 0).await {
        Ok(_) => Ok(Kind::File),
        Err(SandboxError::File { errno: Some(errno), .. }) => match errno {
            ENOENT | ENOTDIR | ELOOP => Ok(Kind::Absent(Some(errno))),
            EISDIR => Ok(Kind::Folder),
            ENAMETOOLONG => Err(os_error(errno, path)),
            _ => Ok(Kind::File),
        },
        Err(SandboxError::File { .. }) => Ok(Kind::File),
        Err(error) => Err(EditorError::Files(error)),
    }
}

/// Reads a file as the version does.
pub(super) async fn read(
    version: EditorVersion,
    files: &dyn EditorFiles,
    path: &str,
) -> Result<Text, EditorError> {
    let bytes = match files.read(path, SIZE_LIMIT + 1).await {
        Ok(bytes) => bytes,
        Err(error) => return Err(file_error(error, path).while_trying_to("read", path)),
    };
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(too_large(files, path).await?);
    }
    if version < EditorVersion::Aci033 {
        let text = std::str::from_utf8(&bytes).map_err(|error| undecodable(&bytes, error));
        let text = text.map_err(|error| error.while_trying_to("read", path))?;
        return Ok(Text { text: universal_newlines(text).into_owned(), marked: false });
    }
    check_text_033(path, &bytes)?;
    let text = decoded_033(&bytes)?;
    let (marked, text) = text.strip_prefix(BOM).map_or((false, text), |text| (true, text));
    Ok(Text { text: universal_newlines(text).into_owned(), marked })
}

/// Writes a file; upstream makes no folders.
pub(super) async fn write(files: &dyn EditorFiles, path: &str, text: &str) -> Result<(), EditorError> {
    try_write(files, path, text).await.map_err(|error| error.while_trying_to("write to", path))
}

async fn try_write(files: &dyn EditorFiles, path: &str, text: &str) -> Result<(), EditorError> {
    if path.contains('\0') {
        return Err(EditorError::Raised { kind: "ValueError", message: "embedded null byte".to_owned() });
    }
    if let Kind::Absent(Some(errno)) = kind(files, path).await? {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if kind(files, &format!("{folder}/")).await? != Kind::Folder {
            return Err(os_error(errno, path));
        }
    }
    files.write(path, text.as_bytes()).await.map_err(|error| file_error(error, path))
}

/// What 0.3.3 takes for binary, by its first bytes. Its detector of encodings reports what has more than 1 % of
/// control characters, and is not UTF-8, in a way for which it was not made, and so an exception comes of that.
pub(super) fn check_text_033(path: &str, bytes: &[u8]) -> Result<(), EditorError> {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let decoded = std::str::from_utf8(sample);
    let cut_off = decoded.is_err_and(|error| error.error_len().is_none());
    let is_utf8 = !sample.is_ascii() && (decoded.is_ok() || cut_off);
    let separated = sample.iter().all(is_ascii_text_or_nul) && share(sample, |byte| *byte == 0) <= 0.05;
    if !is_utf8 && !separated && share(sample, |byte| matches!(byte, 0..=8 | 0x0e..=0x1f)) > 0.01 {
        let message = "name 'unicode' is not defined".to_owned();
        return Err(EditorError::Raised { kind: "NameError", message });
    }
    let unprintable = share(sample, |byte| !matches!(byte, 8..=10 | 12 | 13 | b' '..=b'~'));
    let low = share(sample, |byte| *byte < 0x7f);
    let likely = (unprintable > 0.3 && low < 0.05) || (unprintable > 0.8 && low > 0.8);
    let binary = likely || sample.contains(&0) || sample.contains(&0xff);
    if binary && !sample.is_empty() && (!is_utf8 || cut_off) {
        let why = "File appears to be binary and this file type cannot be read or edited by this tool.";
        return Err(refused_033(path, why));
    }
    Ok(())
}

fn is_ascii_text_or_nul(byte: &u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | b'\r' | b' '..=b'~')
}

fn share(bytes: &[u8], counted: impl Fn(&u8) -> bool) -> f64 {
    bytes.iter().filter(|byte| counted(byte)).count() as f64 / bytes.len().max(1) as f64
}

/// 0.3.3 guesses the encoding of what is not UTF-8, and fails where there is no good guess; here there is none.
fn decoded_033(bytes: &[u8]) -> Result<&str, EditorError> {
    std::str::from_utf8(bytes)
        .map_err(|_| EditorError::type_error("'>' not supported between instances of 'NoneType' and 'float'"))
}

async fn too_large(files: &dyn EditorFiles, path: &str) -> Result<EditorError, EditorError> {
    let printed = files.shell(&format!("wc -c < {}", quoted(path))).await.map_err(EditorError::Files)?;
    let bytes = printed.stdout.trim().parse().unwrap_or(SIZE_LIMIT + 1);
    let mebibyte = f64::from(1 << 20);
    let size = bytes as f64 / mebibyte;
    let why = format!("File is too large ({size:.1}MB). Maximum allowed size is {}MB.", SIZE_LIMIT >> 20);
    Ok(refused_033(path, &why))
}

fn refused_033(path: &str, why: &str) -> EditorError {
    EditorError::Refused(format!("File validation failed for {path}: {why}"))
}

fn undecodable(bytes: &[u8], error: std::str::Utf8Error) -> EditorError {
    let start = error.valid_up_to();
    let length = error.error_len().unwrap_or(bytes.len() - start);
    let why = match error.error_len() {
        None => "unexpected end of data",
        Some(1) if !(0xc2..=0xf4).contains(&bytes[start]) => "invalid start byte",
        Some(_) => "invalid continuation byte",
    };
    let place = match length {
        1 => format!("byte {:#04x} in position {start}", bytes[start]),
        _ => format!("bytes in position {start}-{}", start + length - 1),
    };
    let message = format!("'utf-8' codec can't decode {place}: {why}");
    EditorError::Raised { kind: "UnicodeDecodeError", message }
}

fn file_error(error: SandboxError, path: &str) -> EditorError {
    match error {
        SandboxError::File { errno: Some(errno), .. } => os_error(errno, path),
        SandboxError::File { message, .. } => EditorError::Raised { kind: "OSError", message },
        error => EditorError::Files(error),
    }
}

fn os_error(errno: i32, path: &str) -> EditorError {
    let shown = std::io::Error::from_raw_os_error(errno).to_string();
    let why = shown.split(" (os error").next().unwrap_or_default();
    let message = format!("[Errno {errno}] {why}: {}", repr_text(path));
    EditorError::Raised { kind: "OSError", message }
}
