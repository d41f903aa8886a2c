//! Looking at files, and taking whole trees in and out: in a process of its own, with the rights of any other
//! in the sandbox.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::files;
use super::serve::Client;
use crate::TreeLimits;
use crate::local::archive::{self, Rules, TreeError};
use crate::local::listing::{WireEntry, WireStat};
use crate::local::protocol::GuestReply;

/// Longest listing, as a message; below what a message may have.
const LISTING_BYTES: usize = 48 << 20;

pub(super) fn stat(client: &Client<'_>, path: &str) {
    answer(
        client,
        WireStat::of(Path::new(path)).map(GuestReply::Stat).map_err(|error| files::failure(&error)),
    );
}

pub(super) fn list(client: &Client<'_>, path: &str) {
    answer(client, entries(Path::new(path)).map(GuestReply::Listed).map_err(|error| files::failure(&error)));
}

fn answer(client: &Client<'_>, reply: Result<GuestReply, GuestReply>) {
    let (Ok(reply) | Err(reply)) = reply;
    client.reply(reply, &[]);
}

fn entries(folder: &Path) -> io::Result<Vec<WireEntry>> {
    let limit = TreeLimits::default().entries;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
        if names.len() as u64 > limit {
            return Err(io::Error::other(format!("it holds more than {limit} entries")));
        }
    }
    names.sort();
    let mut entries = Vec::new();
    let mut bytes = 0;
    for name in names {
        let entry = match WireEntry::of(folder, name) {
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entry => entry?,
        };
        bytes += serde_json::to_vec(&entry)?.len() + 1;
        if bytes > LISTING_BYTES {
            return Err(io::Error::other("the names in it are too long together"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Writes everything below `path` into the pipe that came along.
pub(super) fn pack(client: &Client<'_>, path: &str, limits: TreeLimits, pipe: Vec<OwnedFd>) {
    let packed =
        with(pipe, open_folder(Path::new(path)), |folder, pipe| archive::pack(&folder, pipe, limits));
    answer(client, packed.map(|()| GuestReply::Packed));
}

/// Makes what comes through the pipe below `path`. What is there, and is no folder, gives way; links are not
/// followed below `path`.
pub(super) fn unpack(client: &Client<'_>, path: &str, pipe: Vec<OwnedFd>) {
    let limits = TreeLimits { bytes: u64::MAX, entries: u64::MAX };
    let rules = Rules { replace: true, modes: 0o7777, closed_folders: true, limits };
    let folder = fs::create_dir_all(path).and_then(|()| open_folder(Path::new(path)));
    let unpacked = with(pipe, folder, |folder, pipe| archive::unpack(&folder, pipe, rules));
    answer(client, unpacked.map(|()| GuestReply::Unpacked));
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_DIRECTORY | libc::O_CLOEXEC;
    Ok(File::options().read(true).custom_flags(flags).open(path)?.into())
}

fn with(
    pipe: Vec<OwnedFd>,
    folder: io::Result<OwnedFd>,
    body: impl FnOnce(OwnedFd, File) -> Result<(), TreeError>,
) -> Result<(), GuestReply> {
    let folder = folder.map_err(|error| files::failure(&error))?;
    let pipe = pipe.into_iter().next().ok_or_else(|| files::failure(&io::ErrorKind::InvalidInput.into()))?;
    body(folder, File::from(pipe))
        .map_err(|TreeError { message, errno }| GuestReply::FileError { message, errno })
}
