//! How the tmpfs of a sandbox is laid out, for whoever sets it up and whoever visits it later.
//!
//! The tmpfs is the root of the sandbox's mount namespace. Everything inside has the overlay in it as its root
//! and cannot get out of that, so nothing here is reachable for it.
//!
//! The folder [`FAMILY`] holds what a fork needs of its parent: the parent's writable layers, and the family
//! that the parent has from its own parent. A fork gets it as a whole, as one read-only tree of mounts.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Layers of the image, by number, lowest first: what is read is mounted there.
pub(super) const LAYERS: &str = "l";
/// Links to writable layers that the sandbox began with, by number, lowest first; they do not change any more.
pub(super) const INHERITED: &str = "a";
/// What forks get.
pub(super) const FAMILY: &str = "f";
/// Its own writable layers, by number, lowest first, and their work folders. The last one is in use.
pub(super) const STORE: &str = "f/s";
/// The family of its parent.
pub(super) const PARENT: &str = "f/p";
/// Folders of the checkpoint that it was made from.
pub(super) const CHECKPOINT: &str = "f/c";
/// The lowest layer.
pub(super) const SKELETON: &str = "skeleton";
/// Where the overlay is mounted.
pub(super) const ROOT: &str = "root";
/// Where the next overlay is mounted, before it becomes the root.
pub(super) const NEXT: &str = "next";
/// A folder that stays empty.
pub(super) const EMPTY: &str = "empty";

/// Layers of an overlay, the image's included, above which a fork copies rather than adds one. The kernel takes
/// 500, and their names, of up to 7 bytes, must fit in a page with the other options.
const MOST_LAYERS: usize = 400;

/// How many layers of each kind a sandbox has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack {
    pub(super) image: usize,
    pub(super) inherited: usize,
    /// At least one.
    pub(super) own: usize,
}

impl Stack {
    /// Looks at the tmpfs, which is the working directory.
    pub(super) fn read() -> io::Result<Self> {
        Ok(Self { image: count(LAYERS)?, inherited: count(INHERITED)?, own: count(STORE)?.max(1) })
    }

    /// Whether there is room for one more.
    pub(super) fn may_grow(self) -> bool {
        self.image + self.inherited + self.own < MOST_LAYERS
    }

    /// The writable layers, lowest first; the last one is in use.
    pub(super) fn uppers(self) -> Vec<String> {
        let inherited = (0..self.inherited).map(|number| format!("{INHERITED}/{number}"));
        inherited.chain((0..self.own).map(upper)).collect()
    }

    /// The same, as a fork finds them in the family.
    pub(super) fn in_family(self) -> io::Result<Vec<PathBuf>> {
        let inherited = (0..self.inherited).map(|number| {
            let link = fs::read_link(Path::new(INHERITED).join(number.to_string()))?;
            let below = link.strip_prefix("../f").map_err(io::Error::other)?;
            Ok(below.to_path_buf())
        });
        inherited.chain((0..self.own).map(|number| Ok(PathBuf::from(format!("s/{number}"))))).collect()
    }

    /// The layers below the writable one in use, topmost first.
    pub(super) fn lowers(self) -> Vec<String> {
        let mut uppers = self.uppers();
        uppers.pop();
        uppers.reverse();
        uppers.extend(self.of_image());
        uppers
    }

    /// The layers of the image, topmost first.
    pub(super) fn of_image(self) -> Vec<String> {
        let layers = (0..self.image).rev().map(|number| format!("{LAYERS}/{number}"));
        layers.chain([SKELETON.to_owned()]).collect()
    }
}

fn count(folder: &str) -> io::Result<usize> {
    let names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
    Ok(names.filter(|name| name.to_str().is_some_and(|name| name.parse::<usize>().is_ok())).count())
}

/// A writable layer of the sandbox's own.
pub(super) fn upper(number: usize) -> String {
    format!("{STORE}/{number}")
}

/// The work folder beside it.
pub(super) fn work(number: usize) -> String {
    format!("{STORE}/w{number}")
}

/// Makes the links to inherited layers, which lie at these paths in the family.
pub(super) fn link_inherited(in_family: impl IntoIterator<Item = PathBuf>) -> io::Result<()> {
    in_family.into_iter().enumerate().try_for_each(|(number, path)| {
        symlink(Path::new("..").join(FAMILY).join(path), Path::new(INHERITED).join(number.to_string()))
    })
}

/// The options of an overlay of these layers, topmost first. Read-only without a writable layer and its work
/// folder; there must be two layers then.
pub(super) fn overlay_options(lowers: &[String], writable: Option<(&str, &str)>, privileged: bool) -> String {
    let lowers = lowers.join(":");
    let writable =
        writable.map(|(upper, work)| format!(",upperdir={upper},workdir={work}")).unwrap_or_default();
    let attributes = if privileged { "" } else { ",userxattr" };
    // No redirects or indexes: a layer must mean the same on every kernel.
    format!("lowerdir={lowers}{writable},redirect_dir=nofollow,index=off,metacopy=off{attributes}")
}

/// The attribute that marks a folder of a writable layer that hides those below it; its value is [`OPAQUE`].
pub(super) fn opaque_attribute(privileged: bool) -> &'static CStr {
    if privileged { c"trusted.overlay.opaque" } else { c"user.overlay.opaque" }
}

/// What marks a folder that hides those below it.
pub(super) const OPAQUE: u8 = b'y';
