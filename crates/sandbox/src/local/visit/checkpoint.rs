//! Copying all writable layers out.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::sys::stat::{Mode, mkdirat};

use super::{open_layer, stack};
use crate::local::beneath::open_folder;
use crate::local::copy::{Pipes, copy_layer};
use crate::local::protocol::{SetupError, Step};

/// Copies every writable layer into a folder of its own in `target`, by number, lowest first. Returns how many.
pub(super) fn write(target: &OwnedFd, privileged: bool) -> Result<usize, SetupError> {
    let uppers = stack()?.uppers();
    for (number, upper) in uppers.iter().enumerate() {
        let name = number.to_string();
        mkdirat(target, name.as_str(), Mode::S_IRWXU).step("make a folder")?;
        let to = open_folder(target, Path::new(&name)).step("open a folder")?;
        copy_layer(&open_layer(upper)?, &to, privileged, Pipes::LeftOut).step("copy a layer")?;
    }
    Ok(uppers.len())
}
