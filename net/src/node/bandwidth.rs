//! Bytes by direction: all of them, by protocol, and by peer.
//!
//! Counted are the bytes of streams, as Kubo counts them: what encryption and packets add is not.

mod stream;

pub(super) use stream::Counted;

use libp2p::PeerId;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Protocols that are counted one by one; further ones are counted together as [`OTHER`].
const MAX_PROTOCOLS: usize = 128;
/// What the protocols above the limit are counted as.
const OTHER: &str = "other";
/// How fast a rate follows: it is an average that weighs a second this much.
const WEIGHT: f64 = 0.25;

/// Bytes each way.
#[derive(Debug, Default)]
pub(super) struct Counter {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Counter {
    fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    fn now(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.sent.load(Relaxed))
    }
}

/// A meter: a counter, and how fast it moves.
#[derive(Debug, Default)]
struct Meter {
    counter: Arc<Counter>,
    last: (u64, u64),
    rate: (f64, f64),
}

impl Meter {
    fn sample(&mut self, seconds: f64) {
        let now = self.counter.now();
        let step = |now: u64, last: u64, rate: f64| rate + WEIGHT * ((now - last) as f64 / seconds - rate);
        self.rate = (step(now.0, self.last.0, self.rate.0), step(now.1, self.last.1, self.rate.1));
        self.last = now;
    }

    fn read(&self) -> Bandwidth {
        let (received, sent) = self.counter.now();
        // A rate below a byte a second is the rest of an average, not traffic.
        let rate = |rate: f64| if rate < 1.0 { 0.0 } else { rate };
        Bandwidth { received, sent, receive_rate: rate(self.rate.0), send_rate: rate(self.rate.1) }
    }
}

/// Bytes, and bytes a second, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bandwidth {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes a second received of late.
    pub receive_rate: f64,
    /// Bytes a second sent of late.
    pub send_rate: f64,
}

/// Streams of one connection's peer, by protocol.
#[derive(Debug, Default)]
pub(super) struct Peer {
    meter: Mutex<Meter>,
    counter: Arc<Counter>,
    streams: Mutex<BTreeMap<Arc<str>, usize>>,
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    total: Meter,
    protocols: HashMap<Arc<str>, Meter>,
    /// Connected peers: as many as there are connections.
    peers: HashMap<PeerId, Arc<Peer>>,
    sampled: Option<Instant>,
}

/// The meters of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Meters {
    table: Arc<Mutex<Table>>,
    total: Arc<Counter>,
    /// Whether protocols and peers are counted too.
    detailed: bool,
}

impl Meters {
    pub fn new(detailed: bool) -> Self {
        let total = Arc::new(Counter::default());
        let table = Table { total: Meter { counter: Arc::clone(&total), ..Meter::default() }, ..Table::default() };
        Self { table: Arc::new(Mutex::new(table)), total, detailed }
    }

    /// The counters of a peer that a connection is made with; [`Meters::left`] ends it.
    fn joined(&self, peer: PeerId) -> Arc<Peer> {
        let mut table = self.table.lock();
        let counters = table.peers.entry(peer).or_insert_with(|| {
            let counter = Arc::new(Counter::default());
            let meter = Meter { counter: Arc::clone(&counter), ..Meter::default() };
            Arc::new(Peer { meter: Mutex::new(meter), counter, ..Peer::default() })
        });
        counters.connections.fetch_add(1, Relaxed);
        Arc::clone(counters)
    }

    fn left(&self, peer: PeerId, counters: &Peer) {
        let mut table = self.table.lock();
        if counters.connections.fetch_sub(1, Relaxed) == 1 {
            table.peers.remove(&peer);
        }
    }

    /// The counters of a protocol.
    fn protocol(&self, name: &str) -> (Arc<str>, Arc<Counter>) {
        let mut table = self.table.lock();
        let name =
            if table.protocols.len() >= MAX_PROTOCOLS && !table.protocols.contains_key(name) { OTHER } else { name };
        if let Some((name, meter)) = table.protocols.get_key_value(name) {
            return (Arc::clone(name), Arc::clone(&meter.counter));
        }
        let name: Arc<str> = name.into();
        let meter = table.protocols.entry(Arc::clone(&name)).or_default();
        (name, Arc::clone(&meter.counter))
    }

    /// Brings the rates up to date: about once a second.
    pub fn sample(&self, now: Instant) {
        let mut table = self.table.lock();
        let since = table.sampled.replace(now).map_or(Duration::from_secs(1), |last| now.duration_since(last));
        let seconds = since.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        table.total.sample(seconds);
        table.protocols.values_mut().for_each(|meter| meter.sample(seconds));
        for peer in table.peers.values() {
            peer.meter.lock().sample(seconds);
        }
    }

    /// All bytes.
    pub fn total(&self) -> Bandwidth {
        self.table.lock().total.read()
    }

    /// The bytes of a protocol.
    pub fn of_protocol(&self, name: &str) -> Bandwidth {
        self.table.lock().protocols.get(name).map(Meter::read).unwrap_or_default()
    }

    /// All protocols that had bytes.
    pub fn by_protocol(&self) -> BTreeMap<String, Bandwidth> {
        self.table.lock().protocols.iter().map(|(name, meter)| (name.to_string(), meter.read())).collect()
    }

    /// The bytes of a connected peer.
    pub fn of_peer(&self, peer: &PeerId) -> Bandwidth {
        let peer = self.table.lock().peers.get(peer).cloned();
        peer.map(|peer| peer.meter.lock().read()).unwrap_or_default()
    }

    /// Open streams with a connected peer, by protocol.
    pub fn streams(&self, peer: &PeerId) -> Vec<(String, usize)> {
        let peer = self.table.lock().peers.get(peer).cloned();
        let Some(peer) = peer else { return Vec::new() };
        peer.streams.lock().iter().map(|(name, open)| (name.to_string(), *open)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_and_die_away() {
        let meters = Meters::new(true);
        let start = Instant::now();
        meters.sample(start);
        for second in 1..=40 {
            meters.total.received(1000);
            meters.sample(start + Duration::from_secs(second));
        }
        let busy = meters.total();
        assert_eq!((busy.received, busy.sent), (40_000, 0));
        assert!((990.0..=1000.0).contains(&busy.receive_rate), "{busy:?}");
        for second in 41..=120 {
            meters.sample(start + Duration::from_secs(second));
        }
        assert_eq!(meters.total().receive_rate, 0.0);
    }

    #[test]
    fn names_of_strangers_do_not_grow_the_table() {
        let meters = Meters::new(true);
        for i in 0..10 * MAX_PROTOCOLS {
            meters.protocol(&format!("/x/{i}")).1.sent(1);
        }
        let all = meters.by_protocol();
        assert_eq!(all.len(), MAX_PROTOCOLS + 1);
        assert_eq!(all.values().map(|b| b.sent).sum::<u64>(), 10 * MAX_PROTOCOLS as u64);
    }

    #[test]
    fn a_peer_is_forgotten_with_its_last_connection() {
        let meters = Meters::new(true);
        let peer = PeerId::random();
        let (one, two) = (meters.joined(peer), meters.joined(peer));
        one.counter.sent(5);
        meters.left(peer, &one);
        assert_eq!(meters.of_peer(&peer).sent, 5);
        meters.left(peer, &two);
        assert_eq!(meters.of_peer(&peer).sent, 0);
    }
}
