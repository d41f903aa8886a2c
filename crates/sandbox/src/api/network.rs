//! What a sandbox can reach.

use std::net::SocketAddr;

/// What a sandbox can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// Its own loopback, nothing else.
    None,
    /// Some hosts, by HTTP and HTTPS, through a proxy that its environment names.
    Allowlist(Allowlist),
    /// Whatever the host reaches. For building images.
    Host,
}

/// Hosts that a sandbox can reach.
///
/// An address that is not public (loopback, private, link-local and the like) is reached only where an entry
/// names it, whatever a name resolves to. Names are checked, contents are not: a server that lets its clients
/// publish something is a way out of the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist {
    /// `name`, `*.name` for every name below it, or an address; `:port` after it, otherwise ports 80 and 443. An
    /// address of IP version 6 stands in brackets.
    pub hosts: Vec<String>,
    /// A server of the owner's that commands reach at [`Sandbox::service`](crate::Sandbox::service), without a proxy:
    /// the one place outside that they need not name. It must not trust them.
    pub service: Option<SocketAddr>,
}
