//! What a sandbox asked for. Hosts and ports alone: a path may hold a secret.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use swegym_core::{CONNECTIONS_SCHEMA_VERSION, Connection, ConnectionCounts, Connections};

use super::head::Target;

/// Most connections that are remembered of the allowed ones, and of the refused ones: many of one kind must not hide
/// the other.
const MOST: usize = 500;

/// What was asked for so far.
#[derive(Default)]
pub(super) struct Log {
    kept: Mutex<Kept>,
}

/// Connections, oldest first.
#[derive(Default)]
struct Kept {
    counts: ConnectionCounts,
    allowed: VecDeque<Arc<Entry>>,
    refused: VecDeque<Arc<Entry>>,
}

/// A connection that may still be open.
pub(super) struct Entry {
    target: Target,
    allowed: bool,
    at: Timestamp,
    pub(super) traffic: Traffic,
}

/// Bytes that were passed on.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) up: AtomicU64,
    pub(super) down: AtomicU64,
}

impl Log {
    pub(super) fn add(&self, target: &Target, allowed: bool) -> Arc<Entry> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Inside the lock, so that the order is that of the times.
        let at = Timestamp::now();
        let entry = Arc::new(Entry { target: target.clone(), allowed, at, traffic: Traffic::default() });
        let Kept { counts, allowed: allowed_ones, refused } = &mut *kept;
        let (count, entries) =
            if allowed { (&mut counts.allowed, allowed_ones) } else { (&mut counts.refused, refused) };
        *count += 1;
        if entries.len() == MOST {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        entry
    }

    /// Counts a connection to the service.
    pub(super) fn add_service(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).counts.service += 1;
    }

    pub(super) fn connections(&self) -> Connections {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = kept.allowed.iter().chain(&kept.refused);
        let mut latest: Vec<Connection> = entries.map(|entry| entry.connection()).collect();
        latest.sort_by_key(|connection| connection.at);
        Connections { schema_version: CONNECTIONS_SCHEMA_VERSION, counts: kept.counts, latest }
    }
}

impl Entry {
    fn connection(&self) -> Connection {
        Connection {
            at: self.at,
            host: self.target.host.to_string(),
            port: self.target.port,
            allowed: self.allowed,
            bytes_up: self.traffic.up.load(Ordering::Relaxed),
            bytes_down: self.traffic.down.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_all_are_counted() {
        let log = Log::default();
        let add = |port, allowed| log.add(&Target { host: "a.example".parse().unwrap(), port }, allowed);
        add(7, false);
        for port in 0..1200 {
            add(port, true);
        }
        log.add_service();
        let Connections { counts, latest, .. } = log.connections();
        assert_eq!(counts, ConnectionCounts { allowed: 1200, refused: 1, service: 1 });
        let ports: Vec<u16> = latest.iter().map(|connection| connection.port).collect();
        let expected: Vec<u16> = [7].into_iter().chain(700..1200).collect();
        assert_eq!(ports, expected);
    }
}
