//! The `local` backend: Linux namespaces, overlayfs and control groups, as root or as an ordinary user.
//!
//! Three kinds of processes: the owner (whoever uses [`LocalBackend`]), its launcher (one thread, forks the
//! sandboxes), and in each sandbox an init, process 1 of it, that starts the commands. Owner and init talk over
//! a socket of their own; the launcher only starts and ends sandboxes. When the owner ends, however that
//! happens, the launcher ends all of its sandboxes.

mod backend;
mod base;
mod blanks;
mod capture;
mod cgroup;
mod channel;
mod doctor;
mod exec;
mod identity;
mod init;
mod launcher;
mod leftovers;
mod protocol;
mod proxy;
mod sandbox;
mod sys;
mod undertaker;

pub use backend::{LocalBackend, LocalConfig};
pub use base::{host_base, host_package_masks};
pub use doctor::{Level, Probe, probe};
pub use identity::{SANDBOX_UID, layer_owner};
pub use launcher::launcher_main;
pub use leftovers::{LeftoverReport, clean_leftovers};
