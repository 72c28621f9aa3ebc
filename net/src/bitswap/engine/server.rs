//! The task that owns the server: looks up what is wanted, reads it, and hands it to connections.

use super::{
    super::{
        handler::MAX_ATTEMPTS,
        link::{Inbound, Meter, Outgoing, Receipt},
        message::{Message, Payload, Presence, prefix_of},
        server::{Envelope, Server},
    },
    Shared, count, unix_now,
};
use cairn_store::{Cid, Multihash};
use libp2p::PeerId;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{
    Semaphore,
    mpsc::{self, error::SendTimeoutError},
    oneshot,
};

/// Look-ups, and reads of blocks, on the blocking pool at a time.
const READERS: usize = 8;
/// How long a message waits for room in a connection's queue before it is given up.
const SEND_TIME: Duration = Duration::from_secs(60);
/// What a message counts at least of the bytes that a peer may have outstanding: it is a task and a place in a queue.
const MIN_COST: u32 = 4096;

/// Bytes of blocks that one trip to the blocking pool reads, unless the first message alone has more.
const READ_BATCH: u64 = 512 << 10;
/// Wantlists and other events handled before messages go out.
const BURST: usize = 64;

/// What happens to the server.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// A look-up ended.
    Found { peer: PeerId, found: Vec<(Multihash, Option<u64>)> },
    /// Blocks were stored.
    NewBlocks(Vec<(Multihash, u64)>),
    /// The last connection to a peer ended.
    Disconnected(PeerId),
    /// This node has nothing to do with a peer any more.
    Refused(PeerId),
    /// What does a peer want?
    WantlistOf(PeerId, oneshot::Sender<Vec<Cid>>),
    /// The node ends.
    Stop,
}

struct Task {
    shared: Arc<Shared>,
    server: Server,
    meters: HashMap<PeerId, Arc<Meter>>,
    readers: Arc<Semaphore>,
}

pub(super) async fn run(shared: Arc<Shared>, mut events: mpsc::Receiver<Event>, mut wants: mpsc::Receiver<Inbound>) {
    let server = Server::new(shared.config.server.clone());
    let sent = Arc::clone(&shared.sent);
    let mut task = Task { shared, server, meters: HashMap::new(), readers: Arc::new(Semaphore::new(READERS)) };
    loop {
        let wakeup = task.server.next_wakeup();
        let sleep = async move {
            match wakeup {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let (mut event, mut wantlist) = (None, None);
        tokio::select! {
            next = events.recv() => event = Some(next.unwrap_or(Event::Stop)),
            Some(next) = wants.recv() => wantlist = Some(next),
            () = sent.notified() => {}
            () = sleep => {}
        }
        for _ in 0..BURST {
            match event.take().or_else(|| events.try_recv().ok()) {
                Some(Event::Stop) => return,
                Some(event) => task.on_event(event),
                None if wantlist.is_none() && wants.is_empty() => break,
                None => {}
            }
            if let Some(inbound) = wantlist.take().or_else(|| wants.try_recv().ok()) {
                task.on_wantlist(inbound).await;
            }
        }
        task.settle();
        task.serve();
    }
}

impl Task {
    fn on_event(&mut self, event: Event) {
        match event {
            Event::Found { peer, found } => self.server.on_found(&peer, &found),
            Event::NewBlocks(blocks) => self.server.on_new_blocks(&blocks),
            // One that is connected again may have said what it wants.
            Event::Disconnected(peer) if self.shared.links.contains(&peer) => {}
            Event::Disconnected(peer) | Event::Refused(peer) => {
                self.server.on_disconnected(&peer);
                self.meters.remove(&peer);
            }
            Event::WantlistOf(peer, reply) => {
                let _ = reply.send(self.server.wantlist(&peer));
            }
            Event::Stop => {}
        }
    }

    async fn on_wantlist(&mut self, inbound: Inbound) {
        let Inbound { peer, message, len, permit: _permit } = inbound;
        // IMPORTANT: a connection is taken off the list before its end is told. A peer that is still on it will be
        // told of later, and what is noted here is forgotten then.
        if !self.shared.links.contains(&peer) || !self.shared.admits(&peer) {
            return;
        }
        if len > 0 {
            count(&self.shared.counters.messages, 1);
        }
        if !self.shared.config.server_enabled {
            return;
        }
        let hashes = self.server.on_wantlist(peer, &message.wants, message.full);
        if self.shared.config.server.upload_limit.is_some() {
            let friend = self.shared.connected.lock().get(&peer).copied().unwrap_or(false);
            let reciprocity = (!friend).then(|| self.shared.ledger.lock().account(&peer).reciprocity());
            self.server.set_reciprocity(&peer, reciprocity);
        }
        if hashes.is_empty() {
            return;
        }
        // Waiting here holds up further wantlists: their senders wait in turn.
        let Ok(turn) = Arc::clone(&self.readers).acquire_owned().await else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let store = Arc::clone(&shared.store);
            let found = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let entries = store.entries(&hashes);
                // A store that fails is a store without the block.
                let size = |e: Result<Option<cairn_store::blockstore::Entry>, _>| e.ok().flatten().map(|e| e.size);
                hashes.into_iter().zip(entries).map(|(hash, entry)| (hash, size(entry))).collect()
            });
            let Ok(found) = found.await else { return };
            let _ = shared.server.send(Event::Found { peer, found }).await;
        });
    }

    /// Brings what was sent meanwhile to the ledger, and makes room for more.
    fn settle(&mut self) {
        let weighs = self.shared.config.server.upload_limit.is_some();
        for (peer, meter) in &self.meters {
            self.server.set_outstanding(peer, meter.outstanding());
            let sent = meter.take_sent();
            if sent > 0 {
                let mut ledger = self.shared.ledger.lock();
                ledger.on_sent(*peer, sent as u64, unix_now());
                if weighs && !self.shared.connected.lock().get(peer).copied().unwrap_or(false) {
                    self.server.set_reciprocity(peer, Some(ledger.account(peer).reciprocity()));
                }
            }
        }
    }

    /// Sends what peers have room for.
    fn serve(&mut self) {
        let mut batches: HashMap<PeerId, (Vec<(Envelope, Receipt)>, u64)> = HashMap::new();
        while let Some(envelope) = self.server.next_envelope(Instant::now()) {
            let (peer, size) = (envelope.peer, envelope.cost());
            if !self.shared.links.contains(&peer) {
                continue;
            }
            let receipt = self.receipt(&envelope);
            let (batch, bytes) = batches.entry(peer).or_default();
            if *bytes > 0 && *bytes + size > READ_BATCH {
                let batch = std::mem::take(batch);
                *bytes = 0;
                self.send(peer, batch);
            }
            if let Some((batch, bytes)) = batches.get_mut(&peer) {
                batch.push((envelope, receipt));
                *bytes += size;
            }
        }
        for (peer, (batch, _)) in batches {
            self.send(peer, batch);
        }
    }

    /// Counts a message as outstanding.
    fn receipt(&mut self, envelope: &Envelope) -> Receipt {
        let peer = envelope.peer;
        let (wake, low) = (Arc::clone(&self.shared.sent), self.shared.config.server.max_outstanding / 2);
        let meter = Arc::clone(self.meters.entry(peer).or_insert_with(|| Meter::new(low, wake)));
        let bytes = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let blocks: u64 = envelope.blocks.iter().map(|(_, size)| size).sum();
        let receipt = meter.receipt(bytes(envelope.cost()).max(MIN_COST), bytes(blocks));
        self.server.set_outstanding(&peer, meter.outstanding());
        receipt
    }

    /// Reads the blocks of envelopes and hands the messages to a connection, in order.
    fn send(&self, peer: PeerId, batch: Vec<(Envelope, Receipt)>) {
        let (shared, readers) = (Arc::clone(&self.shared), Arc::clone(&self.readers));
        tokio::spawn(async move {
            let Some(messages) = read(&shared, &readers, batch).await else { return };
            for (message, receipt) in messages {
                hand_over(&shared, &peer, Outgoing { message, receipt: Some(receipt) }).await;
            }
        });
    }
}

/// Gives a message to one of the peer's connections.
async fn hand_over(shared: &Shared, peer: &PeerId, mut outgoing: Outgoing) {
    count(&shared.counters.blocks_sent, outgoing.message.blocks.len() as u64);
    count(&shared.counters.data_sent, outgoing.message.data_len() as u64);
    // When a connection ends meanwhile the next one is taken.
    for _ in 0..MAX_ATTEMPTS {
        let Some(queue) = shared.links.queue(peer) else { return };
        match queue.send_timeout(outgoing, SEND_TIME).await {
            Err(SendTimeoutError::Closed(back)) => outgoing = back,
            Ok(()) | Err(SendTimeoutError::Timeout(_)) => return,
        }
    }
}

/// The messages of envelopes, with their blocks under the names that were asked for. Empty ones are left out.
async fn read(
    shared: &Shared,
    readers: &Semaphore,
    batch: Vec<(Envelope, Receipt)>,
) -> Option<Vec<(Message, Receipt)>> {
    let names: Vec<Cid> = batch.iter().flat_map(|(e, _)| &e.blocks).map(|(cid, _)| *cid).collect();
    let mut found = Vec::new().into_iter();
    if !names.is_empty() {
        let _turn = readers.acquire().await.ok()?;
        let store = Arc::clone(&shared.store);
        found = tokio::task::spawn_blocking(move || store.get_many(&names)).await.ok()?.into_iter();
    }
    let mut messages = Vec::with_capacity(batch.len());
    for (envelope, receipt) in batch {
        let pending_bytes = i32::try_from(envelope.pending).unwrap_or(i32::MAX);
        let mut message = Message { presences: envelope.presences, pending_bytes, ..Message::default() };
        for (cid, _) in envelope.blocks {
            match (prefix_of(&cid), found.next().and_then(Result::ok).flatten()) {
                (Some(prefix), Some(block)) => message.blocks.push(Payload { prefix, data: block.into_data() }),
                // It went away since it was looked up: whoever waits for it may ask others at once.
                _ => message.presences.push((cid, Presence::DontHave)),
            }
        }
        if !message.is_empty() {
            messages.push((message, receipt));
        }
    }
    Some(messages)
}
