//! Sandboxes: isolated places made from an image, where commands run.
//!
//! What a sandbox can do ([`Sandbox`]) is apart from where it runs ([`Backend`]); `local` is the backend on
//! Linux namespaces. What runs inside is hostile: nothing that comes out of a sandbox is trusted.

mod api;
mod error;

pub use api::{
    Backend, Captured, ExecOutput, ExecRequest, ExecStatus, Limits, Network, OutputLimit, Sandbox,
    SandboxSpec, Upper,
};
pub use error::SandboxError;
