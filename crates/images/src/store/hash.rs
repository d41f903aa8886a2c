//! SHA-256 of files that hostile programs left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::libc;
use sha2::{Digest, Sha256};

const CHUNK: usize = 128 << 10;

/// Hexadecimal SHA-256 of some bytes.
pub(super) fn hex_digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Hexadecimal SHA-256 of a regular file. No link is followed.
pub(super) fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = open_file(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex(&hasher.finalize())),
            length => hasher.update(&chunk[..length]),
        }
    }
}

/// Opens a file also where its mode does not let its owner read it.
fn open_file(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = with_access(path, 0o400, open)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Does something to a file; where that is denied, once more while its owner has the permission `bits`.
pub(super) fn with_access<T>(path: &Path, bits: u32, work: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match work() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let about = path.symlink_metadata()?;
            let mode = about.permissions().mode();
            if about.is_symlink() || mode & bits == bits {
                return Err(error);
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode | bits))?;
            let result = work();
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            result
        }
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
