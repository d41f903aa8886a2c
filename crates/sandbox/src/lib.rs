//! Sandboxes: isolated places made from an image, where commands run.
//!
//! What a sandbox can do ([`Sandbox`]) is apart from where it runs ([`Backend`]); `local` is the backend on
//! Linux namespaces, `docker` the one on a container daemon. What runs inside is hostile: nothing that comes out
//! of a sandbox is trusted.

mod api;
mod docker;
mod error;
mod local;
mod shell;

pub use api::{
    Allowlist, Backend, Captured, Change, ChangeKind, ExecOutput, ExecRequest, ExecStatus, FileEntry,
    FileKind, FileStat, Limits, Network, OutputLimit, Sandbox, SandboxSpec, Session, SessionOutput,
    SessionSpec, SessionState, SessionStatus, SideChannel, Terminal, TreeLimits, Upper, Usage,
};
pub use docker::{DockerBackend, DockerConfig, DockerLeftovers, clean_docker_leftovers, guest_main};
pub use error::SandboxError;
pub use local::{
    LeftoverReport, Level, LocalBackend, LocalConfig, Probe, SANDBOX_UID, clean_leftovers, host_base,
    host_package_masks, launcher_main, layer_owner, probe,
};
