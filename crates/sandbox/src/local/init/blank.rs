//! A blank: a process 1 that has set up all of a sandbox that does not follow from its image, and waits for
//! the rest. The launcher makes them ahead, when nothing is asked of it.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::MsgFlags;

use super::{Surroundings, begin, serve_as};
use crate::local::protocol::{CreateSpec, Envelope, receive};
use crate::local::sys;

/// Prepares a sandbox like `template`, then becomes the one that comes over `launcher`, with the control socket
/// of its owner. It ends when the launcher does, or closes the other end.
pub(crate) fn run_blank(launcher: OwnedFd, template: &CreateSpec, surroundings: &Surroundings<'_>) -> ! {
    if let Ok(kept) = sys::keep_only(vec![launcher])
        && let Some(launcher) = kept.into_iter().next()
        && let Ok(beginnings) = begin(template, surroundings)
        && let Ok(Some((Envelope { body: spec, .. }, descriptors))) =
            receive::<CreateSpec>(launcher.as_fd(), MsgFlags::empty())
        && let Some(control) = descriptors.into_iter().next()
    {
        drop(launcher);
        serve_as(control, None, &spec, surroundings, Ok(beginnings));
    }
    sys::exit_now(0)
}
