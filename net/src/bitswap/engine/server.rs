//! The task that owns the server: looks up what is wanted, reads it, and hands it to connections.

use super::{
    super::{
        link::{Meter, Outgoing},
        message::{Entry, Message, Payload, prefix_of},
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
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Look-ups, and reads of blocks, on the blocking pool at a time.
const READERS: usize = 8;
/// How long a message waits for room in a connection's queue before it is given up.
const SEND_TIME: Duration = Duration::from_secs(60);

/// What happens to the server.
#[derive(Debug)]
pub(in super::super) enum Event {
    /// A wantlist came.
    Wantlist { peer: PeerId, wants: Vec<Entry>, full: bool },
    /// A look-up ended.
    Found { peer: PeerId, found: Vec<(Multihash, Option<u64>)> },
    /// Blocks were stored.
    NewBlocks(Vec<(Multihash, u64)>),
    /// The last connection to a peer ended.
    Disconnected(PeerId),
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

pub(super) async fn run(shared: Arc<Shared>, mut events: mpsc::Receiver<Event>) {
    let server = Server::new(shared.config.server.clone());
    let sent = Arc::clone(&shared.sent);
    let mut task =
        Task { shared, server, meters: HashMap::new(), readers: Arc::new(Semaphore::new(READERS)) };
    loop {
        let wakeup = task.server.next_wakeup();
        let sleep = async move {
            match wakeup {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => match event {
                None | Some(Event::Stop) => return,
                Some(event) => task.on_event(event).await,
            },
            () = sent.notified() => {}
            () = sleep => {}
        }
        while let Ok(event) = events.try_recv() {
            if matches!(event, Event::Stop) {
                return;
            }
            task.on_event(event).await;
        }
        task.settle();
        while let Some(envelope) = task.server.next_envelope(Instant::now()) {
            task.send(envelope);
        }
    }
}

impl Task {
    async fn on_event(&mut self, event: Event) {
        match event {
            Event::Wantlist { peer, wants, full } => self.on_wantlist(peer, &wants, full).await,
            Event::Found { peer, found } => self.server.on_found(&peer, &found),
            Event::NewBlocks(blocks) => self.server.on_new_blocks(&blocks),
            Event::Disconnected(peer) => {
                self.server.on_disconnected(&peer);
                self.meters.remove(&peer);
            }
            Event::WantlistOf(peer, reply) => {
                let _ = reply.send(self.server.wantlist(&peer));
            }
            Event::Stop => {}
        }
    }

    async fn on_wantlist(&mut self, peer: PeerId, wants: &[Entry], full: bool) {
        // IMPORTANT: a connection is taken off the list before its end is told. A peer that is still on it will be
        // told of later, and what is noted here is forgotten then.
        if !self.shared.links.contains(&peer) {
            return;
        }
        let hashes = self.server.on_wantlist(peer, wants, full);
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

    /// Reads the blocks of an envelope and hands the message to a connection.
    fn send(&mut self, envelope: Envelope) {
        let peer = envelope.peer;
        let Some(queue) = self.shared.links.queue(&peer) else { return };
        let wake = Arc::clone(&self.shared.sent);
        let meter = Arc::clone(self.meters.entry(peer).or_insert_with(|| Meter::new(wake)));
        let bytes: u64 = envelope.blocks.iter().map(|(_, size)| size).sum();
        let receipt = meter.receipt(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.server.set_outstanding(&peer, meter.outstanding());
        let (shared, readers) = (Arc::clone(&self.shared), Arc::clone(&self.readers));
        tokio::spawn(async move {
            let Some(message) = read(&shared, &readers, envelope).await else { return };
            count(&shared.counters.blocks_sent, message.blocks.len() as u64);
            count(&shared.counters.data_sent, message.data_len() as u64);
            let outgoing = Outgoing { message, receipt: Some(receipt) };
            let _ = tokio::time::timeout(SEND_TIME, queue.send(outgoing)).await;
        });
    }
}

/// The message of an envelope, with its blocks under the names that were asked for.
async fn read(shared: &Shared, readers: &Semaphore, envelope: Envelope) -> Option<Message> {
    let pending_bytes = i32::try_from(envelope.pending).unwrap_or(i32::MAX);
    let mut message = Message { presences: envelope.presences, pending_bytes, ..Message::default() };
    if !envelope.blocks.is_empty() {
        let _turn = readers.acquire().await.ok()?;
        let store = Arc::clone(&shared.store);
        let cids: Vec<Cid> = envelope.blocks.into_iter().map(|(cid, _)| cid).collect();
        let blocks = tokio::task::spawn_blocking(move || store.get_many(&cids)).await.ok()?;
        for block in blocks.into_iter().filter_map(|b| b.ok().flatten()) {
            if let Some(prefix) = prefix_of(block.cid()) {
                message.blocks.push(Payload { prefix, data: block.into_data() });
            }
        }
    }
    (!message.is_empty()).then_some(message)
}
