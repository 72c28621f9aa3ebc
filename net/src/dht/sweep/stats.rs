//! Figures for `provide stat`, under Kubo's names.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Announcements sent.
    pub(crate) records: AtomicU64,
    /// Keys announced to somebody.
    pub(crate) keys: AtomicU64,
    /// Keys announced to nobody.
    pub(crate) keys_failed: AtomicU64,
    /// Sums for the mean number of holders.
    pub(crate) holders: AtomicU64,
    /// Regions explored.
    pub(crate) regions: AtomicU64,
    /// Sum of their peers.
    pub(crate) region_peers: AtomicU64,
    /// Peers that did not take what was sent.
    pub(crate) unreachable: AtomicU64,
    /// Regions of the schedule served.
    pub(crate) regions_served: AtomicU64,
    /// The same in the running cycle, and in the one before.
    pub(crate) regions_this_cycle: AtomicU64,
    pub(crate) regions_last_cycle: AtomicU64,
    /// Keys and milliseconds of served regions.
    pub(crate) keys_reprovided: AtomicU64,
    pub(crate) reprovide_millis: AtomicU64,
    /// Workers.
    pub(crate) periodic: AtomicU64,
    pub(crate) burst: AtomicU64,
}

impl Counters {
    pub(crate) fn told(&self, keys: u64, holders: usize) {
        if holders == 0 {
            self.keys_failed.fetch_add(keys, Ordering::Relaxed);
        } else {
            self.keys.fetch_add(keys, Ordering::Relaxed);
            self.holders.fetch_add(holders as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn explored(&self, peers: usize) {
        self.regions.fetch_add(1, Ordering::Relaxed);
        self.region_peers.fetch_add(peers as u64, Ordering::Relaxed);
    }
}

pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(crate) fn mean(sum: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum as f64 / count as f64 }
}

/// The sweep of one DHT. Serialises to the shape of Kubo's `provide stat --enc=json` under `Sweep`; durations are
/// nanoseconds and times RFC 3339 there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Whether it has stopped.
    pub closed: bool,
    /// Whether there is a network.
    pub connectivity: Connectivity,
    /// What waits.
    pub queues: Queues,
    /// What comes next.
    pub schedule: Schedule,
    /// Who works.
    pub workers: Workers,
    /// When.
    pub timing: Timing,
    /// What was done.
    pub operations: Operations,
    /// What was found.
    pub network: Network,
}

/// Whether there is a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connectivity {
    /// `online` or `offline`.
    pub status: String,
    /// Unix seconds of the last change.
    pub since: u64,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queues {
    /// New keys.
    pub pending_key_provides: u64,
    /// Regions with new keys.
    pub pending_region_provides: u64,
    /// Regions of the schedule that are overdue.
    pub pending_region_reprovides: u64,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Keys that are announced.
    pub keys: u64,
    /// Regions of the keyspace.
    pub regions: u64,
    /// Bits of their prefixes.
    pub avg_prefix_length: f64,
    /// Unix seconds of the next region.
    pub next_reprovide_at: u64,
    /// Its prefix, in bits.
    pub next_reprovide_prefix: String,
}

/// Who works.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workers {
    /// At most.
    pub max: usize,
    /// Now.
    pub active: u64,
    /// Of these, on the schedule.
    pub active_periodic: u64,
    /// Of these, on new keys.
    pub active_burst: u64,
    /// Kept free for the schedule.
    pub dedicated_periodic: usize,
    /// Kept free for new keys.
    pub dedicated_burst: usize,
    /// Peers that one worker sends to at a time.
    pub max_provide_conns_per_worker: usize,
}

/// When.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Nanoseconds since the start.
    pub uptime: u64,
    /// Nanoseconds of a cycle.
    pub reprovides_interval: u64,
    /// Unix seconds of the start of the cycle.
    pub cycle_start: u64,
    /// Nanoseconds since then.
    pub current_time_offset: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operations {
    /// Since the start.
    pub past: PastOperations,
}

/// Since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastOperations {
    /// Announcements sent.
    pub records_provided: u64,
    /// Keys announced to somebody.
    pub keys_provided: u64,
    /// Keys announced to nobody.
    pub keys_failed: u64,
    /// Mean nanoseconds per region.
    pub reprovide_duration: u64,
    /// Mean keys per region.
    pub avg_keys_per_reprovide: f64,
    /// Regions of the last whole cycle.
    pub regions_reprovided_last_cycle: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    /// Peers of the explored regions, all in all.
    pub peers: u64,
    /// Of these, those that took what was sent.
    pub reachable: u64,
    /// Mean peers of a region.
    pub avg_region_size: f64,
    /// Mean peers that took a key.
    pub avg_holders: f64,
    /// Peers that should.
    pub replication_factor: usize,
}
