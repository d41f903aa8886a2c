//! Opening files for the owner: in a process of its own, with the rights of any other in the sandbox.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::serve::Client;
use crate::local::protocol::GuestReply;

/// Neither a pipe nor a terminal may hold us up, or become ours.
const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;

/// Opens a regular file and passes it on.
pub(super) fn read(client: &Client<'_>, path: &str) {
    match OpenOptions::new().read(true).custom_flags(FLAGS).open(path).and_then(regular) {
        Ok(file) => client.reply(GuestReply::Opened, &[file.as_fd()]),
        Err(error) => client.reply(failure(&error), &[]),
    }
}

/// Replaces the content of a regular file, made when it is not there, by that of the descriptor.
pub(super) fn write(client: &Client<'_>, path: &str, content: Vec<OwnedFd>) {
    let reply = match replace(Path::new(path), content) {
        Ok(()) => GuestReply::Written,
        Err(error) => failure(&error),
    };
    client.reply(reply, &[] as &[BorrowedFd<'_>]);
}

fn replace(path: &Path, content: Vec<OwnedFd>) -> io::Result<()> {
    let mut content = File::from(content.into_iter().next().ok_or(io::ErrorKind::InvalidInput)?);
    content.rewind()?;
    match path.parent().map_or(Ok(()), fs::create_dir_all) {
        // A file where a folder should be: opening says so.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let file = OpenOptions::new().write(true).create(true).mode(0o644).custom_flags(FLAGS).open(path);
    let mut file = file.and_then(regular)?;
    file.set_len(0)?;
    io::copy(&mut content, &mut file)?;
    Ok(())
}

fn regular(file: File) -> io::Result<File> {
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

pub(super) fn failure(error: &io::Error) -> GuestReply {
    let errno = error.raw_os_error();
    let message = match errno {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    };
    GuestReply::FileError { message, errno }
}
