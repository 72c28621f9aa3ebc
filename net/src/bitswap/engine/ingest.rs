//! Takes incoming messages apart, and hashes their blocks.

use super::{
    super::{
        link::{Inbound, Permit},
        message::{Payload, Presence},
    },
    ClientEvent, Shared, count,
};
use cairn_store::{Block, Cid, block::Prefix};
use libp2p::PeerId;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{Semaphore, mpsc};

/// Batches that are hashed at once.
const HASHERS: usize = 4;
/// Bytes of blocks that one batch holds, unless its first message alone has more.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes of blocks that are hashed where they are, as it takes no longer than it took to decrypt them; more goes to the
/// blocking pool.
const INLINE: usize = 512 << 10;
/// Messages that one batch holds.
const BATCH_MESSAGES: usize = 64;

/// A message whose blocks were hashed. It counts against the budget of incoming bytes until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Hashed {
    pub(in super::super) peer: PeerId,
    pub(in super::super) blocks: Vec<Block>,
    pub(in super::super) presences: Vec<(Cid, Presence)>,
    pub(in super::super) permit: Permit,
}

pub(super) async fn run(shared: Arc<Shared>, mut ingress: mpsc::Receiver<Inbound>) {
    let hashers = Arc::new(Semaphore::new(HASHERS));
    while let Some(first) = ingress.recv().await {
        let mut bytes = first.len;
        let mut batch = vec![first];
        while bytes < BATCH_BYTES && batch.len() < BATCH_MESSAGES {
            let Ok(next) = ingress.try_recv() else { break };
            bytes += next.len;
            batch.push(next);
        }
        let mut with_blocks = Vec::new();
        for message in batch {
            if let Some(message) = route(&shared, message).await {
                with_blocks.push(message);
            }
        }
        if with_blocks.is_empty() {
            continue;
        }
        if bytes <= INLINE && hashers.available_permits() == HASHERS {
            for message in hash(with_blocks) {
                if shared.client.send(ClientEvent::Message(message)).await.is_err() {
                    return;
                }
            }
            continue;
        }
        let Ok(turn) = Arc::clone(&hashers).acquire_owned().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _turn = turn;
            let Ok(hashed) = tokio::task::spawn_blocking(move || hash(with_blocks)).await else { return };
            for message in hashed {
                if shared.client.send(ClientEvent::Message(message)).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Answers the message if it has blocks. Presences alone go to the client at once.
async fn route(shared: &Shared, mut inbound: Inbound) -> Option<Inbound> {
    if !shared.admits(&inbound.peer) {
        return None;
    }
    count(&shared.counters.messages, 1);
    let message = &mut inbound.message;
    if !message.blocks.is_empty() {
        return Some(inbound);
    }
    if !message.presences.is_empty() {
        let presences = std::mem::take(&mut message.presences);
        let hashed = Hashed { peer: inbound.peer, blocks: Vec::new(), presences, permit: inbound.permit };
        shared.client.send(ClientEvent::Message(hashed)).await.ok()?;
    }
    None
}

/// Names all blocks, those of one prefix in lockstep.
fn hash(batch: Vec<Inbound>) -> Vec<Hashed> {
    let mut out = Vec::with_capacity(batch.len());
    let mut by_prefix: HashMap<Prefix, Vec<(usize, bytes::Bytes)>> = HashMap::new();
    for (index, inbound) in batch.into_iter().enumerate() {
        let Inbound { peer, message, permit, .. } = inbound;
        for Payload { prefix, data } in message.blocks {
            by_prefix.entry(prefix).or_default().push((index, data));
        }
        out.push(Hashed { peer, blocks: Vec::new(), presences: message.presences, permit });
    }
    for (prefix, group) in by_prefix {
        let (indices, data): (Vec<usize>, Vec<bytes::Bytes>) = group.into_iter().unzip();
        // It fails only for identity hashes, which no payload may have.
        for (index, block) in indices.into_iter().zip(Block::seal_many(prefix, data).unwrap_or_default()) {
            out[index].blocks.push(block);
        }
    }
    out
}
