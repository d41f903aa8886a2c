//! The `local` backend: Linux namespaces, overlayfs and control groups, as root or as an ordinary user.
//!
//! Three kinds of processes: the owner (whoever uses [`LocalBackend`]), its launcher (one thread, forks the
//! sandboxes), and in each sandbox an init, process 1 of it, that starts the commands. Owner and init talk over
//! a socket of their own; the launcher only starts and ends sandboxes. When the owner ends, however that
//! happens, the launcher ends all of its sandboxes. What a sandbox may not do to itself (to fork, to compare its
//! files) is done by a visitor, a process that the launcher forks for the one purpose.

mod archive;
mod backend;
mod base;
mod beneath;
mod blanks;
mod capture;
pub(crate) mod cgroup;
pub(crate) mod channel;
mod checkpoint;
mod copy;
mod doctor;
mod exec;
pub(crate) mod identity;
pub(crate) mod init;
mod launched;
mod launcher;
mod layout;
pub(crate) mod leftovers;
mod listing;
pub(crate) mod protocol;
pub(crate) mod proxy;
mod remove;
pub(crate) mod sandbox;
mod session;
mod snapshot;
pub(crate) mod sys;
mod trees;
mod undertaker;
mod visit;

pub use backend::{LocalBackend, LocalConfig};
pub use base::{host_base, host_package_masks};
pub use doctor::{Level, Probe, probe};
pub use identity::{SANDBOX_UID, layer_owner};
pub use launcher::launcher_main;
pub use leftovers::{LeftoverReport, clean_leftovers};
