//! Source distributions: gzipped tar files with one folder at the top. Hostile input.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use crate::EnvironmentError;

/// More than any package that this is meant for.
const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// Unpacks the regular files of the source distribution `archive` into `folder`, without the folder at its top.
/// Links and special files are left out.
///
/// # Errors
/// [`EnvironmentError::Unpack`] when it is malformed, too large, or names a path outside.
pub fn unpack_sdist(archive: &Path, folder: &Path) -> Result<(), EnvironmentError> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    unpack(archive, folder).map_err(|message| EnvironmentError::Unpack { file: name, message })
}

fn unpack(archive: &Path, folder: &Path) -> Result<(), String> {
    let file = File::open(archive).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_UNPACKED_BYTES));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(|error| error.to_string())?;
        let target = folder.join(below_top(&path)?);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|error| error.to_string())?;
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|error| error.to_string())?;
        fs::write(&target, content).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn below_top(path: &Path) -> Result<PathBuf, String> {
    let outside = || format!("the path `{}` leads outside", path.display());
    let mut parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    if !parts.next().as_ref().is_some_and(plain) {
        return Err(outside());
    }
    let rest: Vec<_> = parts.collect();
    if rest.is_empty() || !rest.iter().all(plain) {
        return Err(outside());
    }
    Ok(rest.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn archive(paths: &[&str]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(GzEncoder::new(file.reopen().unwrap(), Compression::fast()));
        for path in paths {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(3);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            builder.append(&header, &b"abc"[..]).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        file
    }

    #[test]
    fn files_land_below_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        unpack_sdist(archive(&["p-1/setup.py", "p-1/tests/t.py"]).path(), folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join("setup.py")).unwrap(), b"abc");
        assert_eq!(fs::read(folder.path().join("tests/t.py")).unwrap(), b"abc");
    }

    #[test]
    fn paths_cannot_leave_the_folder() {
        for bad in ["p-1/../../x", "/etc/x", "../x", "p-1/./../x", "x"] {
            let outer = tempfile::tempdir().unwrap();
            let folder = outer.path().join("in");
            fs::create_dir(&folder).unwrap();
            let error = unpack_sdist(archive(&[bad]).path(), &folder).unwrap_err();
            assert!(error.to_string().contains("leads outside"), "{bad}: {error}");
            assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "{bad} wrote outside");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"not gzip").unwrap();
        assert!(unpack_sdist(file.path(), Path::new("/nonexistent")).is_err());
    }
}
