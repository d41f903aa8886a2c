//! A blank: a process 1 that has set up all of a sandbox that can be known before it is asked for, and waits for the
//! rest. The launcher makes them ahead, when nothing is asked of it.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::MsgFlags;

use super::spare::Spare;
use super::{Held, Surroundings, begin, finish, serve_as};
use crate::local::protocol::{CreateSpec, Envelope, SetupError, receive};
use crate::local::sys;

/// How far a blank is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Up to what follows from the image.
    AnyImage,
    /// To the end: its first command can be started at once.
    ThisImage,
}

/// Prepares a sandbox like `template`, then becomes the one that comes over `launcher`, with the control socket
/// of its owner. It ends when the launcher does, or closes the other end.
pub(crate) fn run_blank(
    launcher: OwnedFd,
    template: &CreateSpec,
    extent: Extent,
    surroundings: &Surroundings<'_>,
) -> ! {
    if let Ok(kept) = sys::keep_only(vec![launcher])
        && let Some(launcher) = kept.into_iter().next()
        && let Ok(beginnings) = begin(template, surroundings)
    {
        match extent {
            Extent::AnyImage => wait_with(launcher, |spec| finish(spec, None, surroundings, beginnings)),
            Extent::ThisImage => {
                if let Ok(held) = finish(template, None, surroundings, beginnings) {
                    let held = with_spare(held, template.processes);
                    wait_with(launcher, |_| Ok(held));
                }
            }
        }
    }
    sys::exit_now(0)
}

fn wait_with(launcher: OwnedFd, finish: impl FnOnce(&CreateSpec) -> Result<Held, SetupError>) {
    if let Ok(Some((Envelope { body: spec, .. }, descriptors))) =
        receive::<CreateSpec>(launcher.as_fd(), MsgFlags::empty())
        && let Some(control) = descriptors.into_iter().next()
    {
        drop(launcher);
        serve_as(control, finish(&spec), spec.processes);
    }
}

/// Without a spare, the first command only takes longer.
fn with_spare(mut held: Held, processes: u64) -> Held {
    held.is_forking_commands(true);
    held.spare = Spare::fork(processes).ok();
    held.is_forking_commands(false);
    held
}
