//! Shell sessions: a bash that init starts like any command, and that this process talks to directly.
//!
//! Nothing is in between: commands are written to a socket that bash reads, its reports are read from another
//! (see `crate::shell`), output comes through a pipe or a terminal. Init helps only to start, interrupt and kill.
//! Output is read all the time, so that what runs in the background can go on, but only so much of it is kept.

mod calls;
mod dialog;
mod handle;
mod open;
mod output;
mod speech;

pub(super) use dialog::Progress;
pub(super) use open::open;
