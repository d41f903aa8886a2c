//! What a sandbox has used.

use std::time::Duration;

/// What everything in a sandbox together has used; `None` where the machine does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Most memory at any time, in bytes, tmpfs files and cached files included.
    pub peak_memory: Option<u64>,
    /// User and system time.
    pub cpu: Option<Duration>,
    /// Processes and threads now, those that the backend runs inside included.
    pub processes: Option<u64>,
}
