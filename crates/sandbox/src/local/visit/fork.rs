//! Preparing a fork: what the parent has written so far becomes a layer of both.
//!
//! Nothing is copied where the parent can be given a new writable layer above the present one. Otherwise (other
//! processes run in it, something is open for writing, or its layers are as many as the kernel takes) the fork
//! copies the present one, while all processes of the parent are stopped.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};

use super::{Answer, ForkPlan, Place, VisitReply, stack, switch};
use crate::local::layout::{FAMILY, SKELETON, Stack, work};
use crate::local::protocol::{SetupError, Step};
use crate::local::sys;

/// Answers with what the fork is made from, and the family of the parent.
pub(super) fn fork(quiet: bool, place: &Place) -> Result<Answer, SetupError> {
    let stack = stack()?;
    let mut uppers = stack.in_family().step("find the layers")?;
    let in_use = uppers.pop();
    let mut old_root = None;
    let mut plan = ForkPlan { uppers, copied: None, switched: false };
    if !is_untouched(stack).step("look at the writable layer")? {
        if quiet && may_switch(stack) {
            old_root = switch::switch(stack, place)?;
        }
        plan.switched = old_root.is_some();
        if plan.switched {
            plan.uppers.extend(in_use);
        } else {
            plan.copied = in_use;
        }
    }
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    let family = sys::clone_tree(Path::new(FAMILY), true, attributes).step("clone the layers")?;
    Ok(Answer { reply: VisitReply::Forked(plan), descriptor: Some(family), held: old_root })
}

/// Whether nothing was written since the writable layer was made. A fork does not need it then, and whatever
/// runs in the parent may go on writing there.
fn is_untouched(stack: Stack) -> io::Result<bool> {
    let mode = |path: &str| fs::metadata(path).map(|about| about.permissions().mode());
    let uppers = stack.uppers();
    let mut topmost = uppers.iter().rev().map(String::as_str);
    let (in_use, below) = (topmost.next().unwrap_or_default(), topmost.next().unwrap_or(SKELETON));
    Ok(fs::read_dir(in_use)?.next().is_none() && mode(in_use)? == mode(below)?)
}

/// A folder of the host that the sandbox was told to write into is the only one it may write into.
fn may_switch(stack: Stack) -> bool {
    stack.may_grow() && Path::new(&work(stack.own - 1)).exists()
}
