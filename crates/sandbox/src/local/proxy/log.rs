//! What a sandbox asked for. Hosts and ports alone: a path may hold a secret.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::head::Target;
use crate::Connection;

/// Most connections that are remembered, the latest.
const MOST: usize = 1000;

/// Connections, oldest first.
#[derive(Default)]
pub(super) struct Log {
    entries: Mutex<VecDeque<Arc<Entry>>>,
}

/// A connection that may still be open.
pub(super) struct Entry {
    target: Target,
    allowed: bool,
    at: SystemTime,
    pub(super) bytes_up: AtomicU64,
    pub(super) bytes_down: AtomicU64,
}

impl Log {
    pub(super) fn add(&self, target: &Target, allowed: bool) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            target: target.clone(),
            allowed,
            at: SystemTime::now(),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == MOST {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        entry
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|entry| entry.connection()).collect()
    }
}

impl Entry {
    fn connection(&self) -> Connection {
        Connection {
            host: self.target.host.to_string(),
            port: self.target.port,
            allowed: self.allowed,
            bytes_up: self.bytes_up.load(Ordering::Relaxed),
            bytes_down: self.bytes_down.load(Ordering::Relaxed),
            at: self.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_are_remembered() {
        let log = Log::default();
        for port in 0..1200 {
            log.add(&Target { host: "a.example".parse().unwrap(), port }, true);
        }
        let connections = log.connections();
        assert_eq!((connections.len(), connections[0].port), (MOST, 200));
    }
}
