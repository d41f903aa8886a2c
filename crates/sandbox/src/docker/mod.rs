//! The `docker` backend: sandboxes are containers of a daemon on this machine, Docker or Podman.
//!
//! The daemon only starts and removes containers. In each of them our own program is process 1, the same code
//! as the init of the `local` backend, and the owner talks to it directly: over a Unix socket in a folder that
//! is mounted into the container, which the program connects to once, before anything else runs. So a command
//! costs no round trip to the daemon, and a container ends with its owner: its process 1 ends when the socket
//! closes. Program, loader and libraries come from the host, so the image needs nothing in it.

mod backend;
mod changes;
mod container;
mod control;
mod daemon;
mod guest;
mod images;
mod kit;
mod leftovers;
mod limits;
mod sandbox;

pub use backend::{DockerBackend, DockerConfig};
pub use guest::guest_main;
pub use leftovers::{DockerLeftovers, clean_docker_leftovers};
