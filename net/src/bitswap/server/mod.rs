//! Serves what peers want: their wantlists, and who is served next. No I/O, and time is passed in.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | wants of one peer | [`ServerConfig::max_wants`] | a new want takes the place of one of lower priority, or is ignored, which the peer is told if it asked for that |
//! | peers with wants | connections | forgotten when the last connection ends |
//! | bytes handed to one peer's connections, presences and messages counted in | [`ServerConfig::max_outstanding`] | it is passed over until half of them are sent |
//! | blocks of one message | [`TARGET`] bytes, or one block | the rest goes into the next message |

mod queue;
#[cfg(test)]
mod tests;

use super::{
    ledger,
    message::{Entry, Presence, WantType},
};
use cairn_store::{Cid, Multihash};
use libp2p::PeerId;
use queue::Wants;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

/// Bytes of blocks after which a message is sent: small blocks travel together.
pub const TARGET: usize = 16 << 10;
/// Presences in one message.
const MAX_PRESENCES: usize = 512;
/// Bytes that a peer of weight 1 may be sent each time it is its turn.
const QUANTUM: i64 = 64 << 10;
/// Bytes that a presence counts in the order of service.
const PRESENCE_COST: i64 = 64;
/// Time whose share of the upload limit may be sent at once.
const BURST_SECONDS: f64 = 0.1;

/// What the server is set up with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Wants kept for one peer.
    pub max_wants: usize,
    /// Bytes handed to one peer's connections and not yet sent, of blocks and all else (`Internal.Bitswap.MaxOutstandingBytesPerPeer`).
    pub max_outstanding: usize,
    /// Size in bytes up to which the question whether a block is here is answered by the block
    /// (`…WantHaveReplaceSize`).
    pub replace_size: u64,
    /// Bytes per second that all peers get together; `None`: as much as the network takes.
    pub upload_limit: Option<u64>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { max_wants: 1024, max_outstanding: 1 << 20, replace_size: 1024, upload_limit: None }
    }
}

/// What is to be sent to a peer. Its blocks are to be read from the store; those that are gone are skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// To whom.
    pub peer: PeerId,
    /// Blocks, under the names that were asked for.
    pub blocks: Vec<(Cid, u64)>,
    /// What is here and what is not.
    pub presences: Vec<(Cid, Presence)>,
    /// Bytes of blocks that still wait for that peer.
    pub pending: u64,
}

struct Peer {
    wants: Wants,
    /// Bytes that it may still be sent in this round.
    deficit: i64,
    /// What it gives for what it takes; `None`: it is exempt.
    reciprocity: Option<f64>,
    /// As much was handed over as may be; it has room again when half of it is sent, so that messages are made, and
    /// blocks read, several at a time.
    full: bool,
}

/// The server.
pub struct Server {
    config: ServerConfig,
    peers: BTreeMap<PeerId, Peer>,
    /// Who wants a block, by its hash.
    by_hash: HashMap<Multihash, BTreeSet<PeerId>>,
    /// Where the next round goes on.
    turn: Option<PeerId>,
    /// Whether the peer whose turn it is was given its share.
    granted: bool,
    /// Bytes that may be sent now, under a limit, and when that was last counted.
    tokens: Option<(f64, Instant)>,
}

impl Server {
    /// A server without peers.
    pub fn new(config: ServerConfig) -> Self {
        Self { config, peers: BTreeMap::new(), by_hash: HashMap::new(), turn: None, granted: false, tokens: None }
    }

    /// Takes a wantlist. Answers the hashes that are now to be looked up: see [`Server::on_found`].
    pub fn on_wantlist(&mut self, from: PeerId, entries: &[Entry], full: bool) -> Vec<Multihash> {
        if entries.is_empty() && !full {
            return Vec::new();
        }
        let peer = self.peers.entry(from).or_insert_with(|| Peer {
            wants: Wants::default(),
            deficit: 0,
            reciprocity: Some(0.0),
            full: false,
        });
        let mut gone = if full { peer.wants.clear() } else { Vec::new() };
        let mut look_up = Vec::new();
        for entry in entries {
            // Later entries win, so that a cancel sticks; within a list it also beats a want before it.
            if entry.cancel {
                gone.extend(peer.wants.remove(entry.cid.hash()));
                continue;
            }
            match peer.wants.insert(entry, self.config.max_wants) {
                queue::Inserted::New(evicted) => {
                    gone.extend(evicted);
                    self.by_hash.entry(*entry.cid.hash()).or_default().insert(from);
                    look_up.push(*entry.cid.hash());
                }
                queue::Inserted::Unanswered => look_up.push(*entry.cid.hash()),
                queue::Inserted::Queued | queue::Inserted::Refused => {}
            }
        }
        for hash in gone {
            if self.peers.get(&from).is_none_or(|p| !p.wants.contains(&hash)) {
                self.forget(&hash, &from);
            }
        }
        look_up
    }

    fn forget(&mut self, hash: &Multihash, peer: &PeerId) {
        if let Some(peers) = self.by_hash.get_mut(hash) {
            peers.remove(peer);
            if peers.is_empty() {
                self.by_hash.remove(hash);
            }
        }
    }

    /// What a look-up for a peer found: the size of each block, or that it is not here.
    pub fn on_found(&mut self, peer: &PeerId, found: &[(Multihash, Option<u64>)]) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        for (hash, size) in found {
            state.wants.answer(hash, *size, self.config.replace_size, true);
        }
    }

    /// Blocks have arrived: whoever waits for them is answered.
    pub fn on_new_blocks(&mut self, blocks: &[(Multihash, u64)]) {
        for (hash, size) in blocks {
            for peer in self.by_hash.get(hash).into_iter().flatten() {
                if let Some(state) = self.peers.get_mut(peer) {
                    state.wants.answer(hash, Some(*size), self.config.replace_size, false);
                }
            }
        }
    }

    /// The last connection to a peer ended: its wants are forgotten.
    pub fn on_disconnected(&mut self, peer: &PeerId) {
        let Some(mut state) = self.peers.remove(peer) else { return };
        for hash in state.wants.clear() {
            self.forget(&hash, peer);
        }
        if self.turn == Some(*peer) {
            self.granted = false;
        }
    }

    /// What a peer earned; `None`: it is exempt from weighing.
    pub fn set_reciprocity(&mut self, peer: &PeerId, reciprocity: Option<f64>) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.reciprocity = reciprocity;
        }
    }

    /// Bytes that were handed to a peer's connections and are neither sent nor given up.
    pub fn set_outstanding(&mut self, peer: &PeerId, bytes: usize) {
        if let Some(state) = self.peers.get_mut(peer) {
            let max = self.config.max_outstanding;
            state.full = bytes >= max || (state.full && bytes > max / 2);
        }
    }

    /// What to send next; `None` when nobody who has room waits for anything, or the limit is used up.
    pub fn next_envelope(&mut self, now: Instant) -> Option<Envelope> {
        if !self.may_send(now) {
            return None;
        }
        let weights = self.weights();
        if weights.is_empty() {
            return None;
        }
        // Each round grants at least a quantum's share to somebody; the largest block is reached after so many.
        let rounds = 2 + (cairn_store::block::MAX_BLOCK_SIZE as i64 / QUANTUM) as usize * 200;
        for _ in 0..rounds * weights.len() {
            let (peer, weight) = self.current(&weights)?;
            if let Some(envelope) = self.serve(peer, weight) {
                if let Some((tokens, _)) = &mut self.tokens {
                    *tokens -= envelope.cost() as f64;
                }
                return Some(envelope);
            }
            self.advance(peer);
        }
        None
    }

    /// Peers that wait for something and have room, with their weights.
    fn weights(&self) -> BTreeMap<PeerId, f64> {
        let waiting: Vec<(&PeerId, &Peer)> =
            self.peers.iter().filter(|(_, p)| !p.wants.is_quiet() && !p.full).collect();
        let weights = if self.config.upload_limit.is_some() {
            ledger::weights(&waiting.iter().map(|(_, p)| p.reciprocity).collect::<Vec<_>>())
        } else {
            vec![1.0; waiting.len()]
        };
        waiting.into_iter().map(|(id, _)| *id).zip(weights).collect()
    }

    /// Whose turn it is.
    fn current(&mut self, weights: &BTreeMap<PeerId, f64>) -> Option<(PeerId, f64)> {
        let next = self.turn.and_then(|turn| weights.range(turn..).next()).or_else(|| weights.iter().next());
        let (peer, weight) = next?;
        if self.turn != Some(*peer) {
            self.turn = Some(*peer);
            self.granted = false;
        }
        Some((*peer, *weight))
    }

    fn advance(&mut self, peer: PeerId) {
        // The smallest id after this one: ids are compared as bytes, and none is between it and itself.
        self.turn = self
            .peers
            .range((std::ops::Bound::Excluded(peer), std::ops::Bound::Unbounded))
            .next()
            .or_else(|| self.peers.iter().next())
            .map(|(id, _)| *id);
        self.granted = false;
    }

    /// A message for a peer, if it has saved up enough for one (deficit round robin).
    fn serve(&mut self, id: PeerId, weight: f64) -> Option<Envelope> {
        let granted = std::mem::replace(&mut self.granted, true);
        let peer = self.peers.get_mut(&id)?;
        if !granted {
            peer.deficit += ((QUANTUM as f64 * weight) as i64).max(1);
        }
        let mut envelope = Envelope { peer: id, blocks: Vec::new(), presences: Vec::new(), pending: 0 };
        let mut bytes = 0;
        while bytes < TARGET && envelope.presences.len() < MAX_PRESENCES {
            let Some(next) = peer.wants.peek() else { break };
            let cost = next.size().map_or(PRESENCE_COST, |size| size as i64 + PRESENCE_COST);
            let fits = next.size().is_none_or(|size| bytes == 0 || bytes as u64 + size <= 2 * TARGET as u64);
            if cost > peer.deficit || !fits {
                break;
            }
            peer.deficit -= cost;
            match peer.wants.pop() {
                Some(queue::Answer::Block { cid, size }) => {
                    bytes += usize::try_from(size).unwrap_or(usize::MAX);
                    envelope.blocks.push((cid, size));
                }
                Some(queue::Answer::Presence { cid, presence }) => envelope.presences.push((cid, presence)),
                None => break,
            }
        }
        if peer.wants.is_quiet() {
            // Nothing is saved up while nothing is wanted.
            peer.deficit = 0;
        }
        envelope.pending = peer.wants.pending_bytes();
        let told = envelope.presences.iter().filter(|(_, p)| *p == Presence::Have).map(|(cid, _)| *cid.hash());
        let done: Vec<Multihash> = envelope.blocks.iter().map(|(cid, _)| *cid.hash()).chain(told).collect();
        for hash in &done {
            // More may be wanted of it by now than was told.
            if self.peers.get(&id).is_none_or(|p| !p.wants.contains(hash)) {
                self.forget(hash, &id);
            }
        }
        (!envelope.blocks.is_empty() || !envelope.presences.is_empty()).then_some(envelope)
    }

    /// Whether the upload limit lets something through.
    fn may_send(&mut self, now: Instant) -> bool {
        let Some(limit) = self.config.upload_limit else { return true };
        let burst = limit as f64 * BURST_SECONDS;
        let (tokens, at) = self.tokens.get_or_insert((burst, now));
        *tokens = (*tokens + now.saturating_duration_since(*at).as_secs_f64() * limit as f64).min(burst);
        *at = now;
        // A message may overdraw it; the next one waits for that.
        *tokens > 0.0
    }

    /// When something may be sent again, if it is the limit that holds it up.
    pub fn next_wakeup(&self) -> Option<Instant> {
        let limit = self.config.upload_limit? as f64;
        let (tokens, at) = self.tokens.filter(|(tokens, _)| *tokens <= 0.0)?;
        let waits = self.peers.values().any(|p| !p.wants.is_quiet());
        waits.then(|| at + std::time::Duration::from_secs_f64((1.0 - tokens) / limit + 1e-3))
    }

    /// Blocks that a peer wants.
    pub fn wantlist(&self, peer: &PeerId) -> Vec<Cid> {
        self.peers.get(peer).map_or_else(Vec::new, |p| p.wants.cids())
    }
}

impl Envelope {
    /// Bytes that it will take, about.
    pub fn cost(&self) -> u64 {
        self.blocks.iter().map(|(_, size)| size).sum::<u64>() + PRESENCE_COST as u64 * self.presences.len() as u64
    }
}

/// Whether an answer to a want is the block itself.
fn sends_block(want: WantType, size: u64, replace_size: u64) -> bool {
    want == WantType::Block || size <= replace_size
}
