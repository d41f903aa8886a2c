//! What a rollout asked of the network.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the stored form of [`Connections`].
pub const CONNECTIONS_SCHEMA_VERSION: u32 = 1;

/// A connection that a sandbox with an allowlist asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// When it was asked for.
    pub at: Timestamp,
    /// Name in lower case, or address; one of version 6 in brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether it was allowed; it may have failed nevertheless.
    pub allowed: bool,
    /// Bytes that the sandbox sent.
    pub bytes_up: u64,
    /// Bytes that it received.
    pub bytes_down: u64,
}

/// How often a sandbox asked for connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// To hosts on the list.
    pub allowed: u64,
    /// To others.
    pub refused: u64,
    /// To the service of the owner, such as the recording gateway, which knows them itself: they are not listed.
    pub service: u64,
}

/// `connections.json`: what the sandbox of a rollout asked for through its allowlist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// [`CONNECTIONS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All of them, those that are not listed any more included.
    #[serde(flatten)]
    pub counts: ConnectionCounts,
    /// The latest allowed and the latest refused ones, in the order in which they were asked for.
    pub latest: Vec<Connection>,
}
