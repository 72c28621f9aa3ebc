//! What joins a connection's handler to the engine: a queue of messages to send, and a few facts.

use super::{
    handler::Report,
    message::Message,
};
use libp2p::{PeerId, swarm::ConnectionId};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

/// Messages that wait to be sent over one connection. The engine keeps what does not fit.
pub const OUTGOING: usize = 32;

/// A message that came in. Its bytes count against a budget of all connections until it is dropped.
#[derive(Debug)]
pub struct Inbound {
    /// From whom.
    pub peer: PeerId,
    /// The message.
    pub message: Message,
    /// Its length on the wire in bytes.
    pub len: usize,
    /// Its share of the budget.
    pub permit: OwnedSemaphorePermit,
}

/// A message to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The message.
    pub message: Message,
    /// Told when it is sent or given up.
    pub receipt: Option<Receipt>,
}

impl Outgoing {
    /// Notes that the message was written.
    pub fn sent(self) {
        if let Some(mut receipt) = self.receipt {
            receipt.sent = true;
        }
    }
}

/// Counts the bytes of a message as outstanding until it is sent or given up.
#[derive(Debug)]
pub struct Receipt {
    meter: Arc<Meter>,
    bytes: usize,
    sent: bool,
}

/// Bytes handed to the connections of a peer.
#[derive(Debug)]
pub struct Meter {
    outstanding: AtomicUsize,
    sent: AtomicUsize,
    wake: Arc<Notify>,
}

impl Meter {
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { outstanding: AtomicUsize::new(0), sent: AtomicUsize::new(0), wake })
    }

    pub(super) fn receipt(self: &Arc<Self>, bytes: usize) -> Receipt {
        self.outstanding.fetch_add(bytes, Ordering::AcqRel);
        Receipt { meter: Arc::clone(self), bytes, sent: false }
    }

    /// Bytes that were handed over and are neither sent nor given up.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Bytes sent since this was last asked.
    pub(super) fn take_sent(&self) -> usize {
        self.sent.swap(0, Ordering::AcqRel)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.sent {
            self.meter.sent.fetch_add(self.bytes, Ordering::AcqRel);
        }
        self.meter.outstanding.fetch_sub(self.bytes, Ordering::AcqRel);
        self.meter.wake.notify_one();
    }
}

/// One connection, as the engine sees it.
#[derive(Debug)]
pub struct Link {
    /// The peer at the other end.
    pub peer: PeerId,
    /// Set while something is wanted over it, by either side: the connection is kept then.
    needed: Arc<AtomicBool>,
    reports: Mutex<VecDeque<Report>>,
}

impl Link {
    pub(super) fn is_needed(&self) -> bool {
        self.needed.load(Ordering::Relaxed)
    }

    pub(super) fn report(&self, report: Report) {
        let mut reports = self.reports.lock();
        // Only the last one counts.
        reports.clear();
        reports.push_back(report);
    }

    pub(super) fn take_report(&self) -> Option<Report> {
        self.reports.lock().pop_front()
    }
}

/// A peer with all of its connections.
#[derive(Debug)]
struct Peer {
    /// Oldest first: messages go out over the first.
    connections: Vec<(ConnectionId, mpsc::Sender<Outgoing>)>,
    needed: Arc<AtomicBool>,
}

/// All connected peers. As many as the swarm has connections.
#[derive(Debug, Default)]
pub struct Links {
    peers: Mutex<HashMap<PeerId, Peer>>,
}

/// Takes a connection off the list when its handler is gone, whether or not it was ever used.
#[derive(Debug)]
pub(super) struct LinkGuard {
    pub(super) links: Arc<Links>,
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.links.close(&self.peer, self.connection);
    }
}

/// What came of an attempt to send.
#[derive(Debug)]
pub enum SendError {
    /// The queue of the connection is full.
    Full,
    /// There is no connection.
    Gone,
}

impl Links {
    /// A new connection: its link, and the messages that its handler has to send.
    pub(super) fn open(&self, peer: PeerId, connection: ConnectionId) -> (Arc<Link>, mpsc::Receiver<Outgoing>) {
        let (sender, receiver) = mpsc::channel(OUTGOING);
        let mut peers = self.peers.lock();
        let entry = peers.entry(peer).or_insert_with(|| Peer {
            connections: Vec::new(),
            needed: Arc::default(),
        });
        entry.connections.push((connection, sender));
        let link = Link { peer, needed: Arc::clone(&entry.needed), reports: Mutex::default() };
        (Arc::new(link), receiver)
    }

    /// A connection ended, or was never used.
    pub(super) fn close(&self, peer: &PeerId, connection: ConnectionId) {
        let mut peers = self.peers.lock();
        if let Some(entry) = peers.get_mut(peer) {
            entry.connections.retain(|(id, _)| *id != connection);
            if entry.connections.is_empty() {
                peers.remove(peer);
            }
        }
    }

    /// Hands a message to one of the peer's connections.
    pub(super) fn send(&self, peer: &PeerId, outgoing: Outgoing) -> Result<(), (SendError, Outgoing)> {
        let peers = self.peers.lock();
        let Some(entry) = peers.get(peer) else { return Err((SendError::Gone, outgoing)) };
        let mut outgoing = outgoing;
        let mut error = SendError::Gone;
        for (_, sender) in &entry.connections {
            match sender.try_send(outgoing) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(back)) => {
                    // The order of messages matters: they are not spread over connections.
                    return Err((SendError::Full, back));
                }
                Err(mpsc::error::TrySendError::Closed(back)) => {
                    outgoing = back;
                    error = SendError::Gone;
                }
            }
        }
        Err((error, outgoing))
    }

    /// The queue of the peer's first connection.
    pub(super) fn queue(&self, peer: &PeerId) -> Option<mpsc::Sender<Outgoing>> {
        self.peers.lock().get(peer)?.connections.first().map(|(_, sender)| sender.clone())
    }

    /// Whether there is a connection.
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.lock().contains_key(peer)
    }

    /// Whether the peer's connections are to be kept.
    pub(super) fn set_needed(&self, peer: &PeerId, needed: bool) {
        if let Some(entry) = self.peers.lock().get(peer) {
            entry.needed.store(needed, Ordering::Relaxed);
        }
    }

    /// Peers that are connected and are not known not to speak Bitswap.
    pub fn peers(&self) -> Vec<PeerId> {
        let mut peers: Vec<PeerId> = self.peers.lock().keys().copied().collect();
        peers.sort_unstable();
        peers
    }
}
