//! What joins a connection's handler to the engine: a queue of messages to send, and a few facts.

use super::{handler::Report, message::Message};
use libp2p::{PeerId, swarm::ConnectionId};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{PollSemaphore, PollSender};

/// Messages that wait to be sent over one connection. The engine keeps what does not fit.
pub const OUTGOING: usize = 32;

/// Bytes of a budget of all connections, held until the message that they are of is dealt with.
pub type Permit = OwnedSemaphorePermit;

/// A message that came in, or the part of it that goes one [`Lane`].
#[derive(Debug)]
pub struct Inbound {
    /// From whom.
    pub peer: PeerId,
    /// The message.
    pub message: Message,
    /// Its length on the wire in bytes.
    pub len: usize,
    /// Its share of the budget.
    pub permit: Permit,
}

/// A way into the engine: a queue, and a budget of bytes that all connections share.
#[derive(Clone)]
pub struct Lane {
    queue: PollSender<Inbound>,
    budget: PollSemaphore,
}

impl Lane {
    /// A lane for so many messages of so many bytes together, and where they come out.
    pub(super) fn new(messages: usize, bytes: usize) -> (Self, mpsc::Receiver<Inbound>) {
        let (queue, receiver) = mpsc::channel(messages);
        let budget = PollSemaphore::new(Arc::new(Semaphore::new(bytes)));
        (Self { queue: PollSender::new(queue), budget }, receiver)
    }

    /// Room for a message of that many bytes, which is to be filled by [`Lane::send`]; `None` when the engine has
    /// ended.
    pub(super) fn poll_room(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        // IMPORTANT: the place in the queue is taken before the bytes, or a full queue would hold on to the bytes
        // that it waits for.
        if ready!(self.queue.poll_reserve(cx)).is_err() {
            return Poll::Ready(None);
        }
        let permit = self.budget.poll_acquire_many(cx, u32::try_from(bytes).unwrap_or(u32::MAX).max(1));
        if permit.is_pending() {
            self.queue.abort_send();
        }
        permit
    }

    pub(super) fn send(&mut self, inbound: Inbound) {
        // Whether the engine has ended shows at the next message.
        let _ = self.queue.send_item(inbound);
    }
}

/// A lane for who must not keep the engine alive.
#[derive(Clone)]
pub(super) struct WeakLane {
    queue: Option<mpsc::WeakSender<Inbound>>,
    budget: Arc<Semaphore>,
}

impl Lane {
    pub(super) fn weak(&self) -> WeakLane {
        WeakLane { queue: self.queue.get_ref().map(mpsc::Sender::downgrade), budget: self.budget.clone_inner() }
    }
}

impl WeakLane {
    /// Hands a message to the engine as soon as there is room, if it has not ended.
    pub(super) async fn send(&self, peer: PeerId, message: Message) {
        let Some(queue) = self.queue.as_ref().and_then(mpsc::WeakSender::upgrade) else { return };
        let len = message.data_len() + 64;
        // In this order, as in `Lane::poll_room`.
        let Ok(place) = queue.reserve().await else { return };
        let bytes = u32::try_from(len).unwrap_or(u32::MAX);
        let Ok(permit) = Arc::clone(&self.budget).acquire_many_owned(bytes).await else { return };
        place.send(Inbound { peer, message, len, permit });
    }
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

/// Counts a message as outstanding until it is sent or given up.
#[derive(Debug)]
pub struct Receipt {
    meter: Arc<Meter>,
    cost: u32,
    blocks: u32,
    sent: bool,
}

/// What was handed to the connections of a peer: bytes outstanding, and bytes of blocks sent.
#[derive(Debug)]
pub struct Meter {
    outstanding: AtomicUsize,
    sent: AtomicUsize,
    /// Bytes outstanding at which there is room again.
    low: usize,
    wake: Arc<Notify>,
}

impl Meter {
    /// Rings when no more than `low` bytes are outstanding any more, and when none are.
    pub(super) fn new(low: usize, wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { outstanding: AtomicUsize::new(0), sent: AtomicUsize::new(0), low, wake })
    }

    /// For a message that counts as `cost` bytes while it is outstanding, and brings `blocks` bytes of blocks.
    pub(super) fn receipt(self: &Arc<Self>, cost: u32, blocks: u32) -> Receipt {
        self.outstanding.fetch_add(cost as usize, Ordering::AcqRel);
        Receipt { meter: Arc::clone(self), cost, blocks, sent: false }
    }

    /// Bytes that were handed over and are neither sent nor given up.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Bytes of blocks sent since this was last asked.
    pub(super) fn take_sent(&self) -> usize {
        self.sent.swap(0, Ordering::AcqRel)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.sent {
            self.meter.sent.fetch_add(self.blocks as usize, Ordering::AcqRel);
        }
        let before = self.meter.outstanding.fetch_sub(self.cost as usize, Ordering::AcqRel);
        let after = before.saturating_sub(self.cost as usize);
        if after == 0 || (after <= self.meter.low && before > self.meter.low) {
            self.meter.wake.notify_one();
        }
    }
}

/// One connection, as the engine sees it.
#[derive(Debug)]
pub struct Link {
    /// The peer at the other end.
    pub peer: PeerId,
    /// What the behaviour is to be told; of two only the last one counts.
    report: Mutex<Option<Report>>,
}

impl Link {
    pub(super) fn report(&self, report: Report) {
        *self.report.lock() = Some(report);
    }

    pub(super) fn take_report(&self) -> Option<Report> {
        self.report.lock().take()
    }
}

/// A peer with all of its connections.
#[derive(Debug)]
struct Peer {
    /// Messages go out over the first.
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    relayed: bool,
    queue: mpsc::Sender<Outgoing>,
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

impl LinkGuard {
    pub(super) fn close(&self) {
        self.links.close(&self.peer, self.connection);
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.close();
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
    /// A new connection: its link, and the messages that its handler has to send. Direct ones go before relayed ones,
    /// and older before newer ones.
    pub(super) fn open(&self, peer: PeerId, id: ConnectionId, relayed: bool) -> (Arc<Link>, mpsc::Receiver<Outgoing>) {
        let (queue, receiver) = mpsc::channel(OUTGOING);
        let mut peers = self.peers.lock();
        let connections = &mut peers.entry(peer).or_insert_with(|| Peer { connections: Vec::new() }).connections;
        let place = connections.iter().position(|c| c.relayed && !relayed).unwrap_or(connections.len());
        connections.insert(place, Connection { id, relayed, queue });
        (Arc::new(Link { peer, report: Mutex::default() }), receiver)
    }

    /// A connection ended, or was never used.
    pub(super) fn close(&self, peer: &PeerId, connection: ConnectionId) {
        let mut peers = self.peers.lock();
        if let Some(entry) = peers.get_mut(peer) {
            entry.connections.retain(|c| c.id != connection);
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
        for connection in &entry.connections {
            match connection.queue.try_send(outgoing) {
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
        self.peers.lock().get(peer)?.connections.first().map(|c| c.queue.clone())
    }

    /// Whether there is a connection.
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.peers.lock().contains_key(peer)
    }

    /// Peers that are connected.
    pub fn peers(&self) -> Vec<PeerId> {
        let mut peers: Vec<PeerId> = self.peers.lock().keys().copied().collect();
        peers.sort_unstable();
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::handler::{Handler, Lanes},
        *,
    };

    fn numbered(n: i32) -> Outgoing {
        Outgoing { message: Message { pending_bytes: n, full: true, ..Message::default() }, receipt: None }
    }

    fn received(receiver: &mut mpsc::Receiver<Outgoing>) -> Vec<i32> {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|o| o.message.pending_bytes).collect()
    }

    #[test]
    fn messages_go_over_the_direct_connection_and_move_when_it_ends() {
        let (links, peer) = (Arc::new(Links::default()), PeerId::random());
        let [first, second, third] = [1, 2, 3].map(ConnectionId::new_unchecked);
        let (_relayed, mut over_relay) = links.open(peer, first, true);
        links.send(&peer, numbered(1)).expect("room");
        assert_eq!(received(&mut over_relay), [1]);
        let (direct, over_direct) = links.open(peer, second, false);
        let (_other, mut over_other) = links.open(peer, third, false);
        for n in 2..5 {
            links.send(&peer, numbered(n)).expect("room");
        }
        assert!(received(&mut over_relay).is_empty() && received(&mut over_other).is_empty());
        let lanes = Lanes { wants: Lane::new(1, 1).0, answers: Lane::new(1, 1).0 };
        let guard = LinkGuard { links: Arc::clone(&links), peer, connection: second };
        drop(Handler::new(guard, direct, over_direct, lanes));
        assert_eq!(received(&mut over_other), [2, 3, 4], "in order");
        links.close(&peer, third);
        links.send(&peer, numbered(5)).expect("room");
        assert_eq!(received(&mut over_relay), [5]);
    }

    #[test]
    fn a_message_without_blocks_counts_as_outstanding_and_not_as_sent() {
        let meter = Meter::new(1 << 19, Arc::default());
        let receipt = meter.receipt(4096, 0);
        assert_eq!(meter.outstanding(), 4096);
        Outgoing { receipt: Some(receipt), ..numbered(1) }.sent();
        assert_eq!((meter.outstanding(), meter.take_sent()), (0, 0));
    }
}
