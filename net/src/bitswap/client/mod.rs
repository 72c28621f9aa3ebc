//! Gets blocks from peers: which ones are wanted, who has them, who is asked for what. No I/O, and time is passed in.
//!
//! Wants of all sessions are kept together, so that a block that two of them want is asked for once; which peers are
//! likely to have more of what a session wants is known for each session. How much is asked of a peer at once follows
//! from what it has delivered, over all sessions.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | wants asked of one peer | [`MAX_ASKED`], and its window in bytes | others are asked, or the want waits |
//! | peers asked who has a block | [`BROADCAST`] at a time | the others are asked when nobody had it |
//! | wants looked at when room turns up | [`LOOK_AHEAD`] | those behind them wait |
//! | wants, sessions | what callers ask for; see [`crate::exchange`] | |

mod cancels;
#[cfg(test)]
mod churn;
mod discover;
mod receive;
mod schedule;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use super::{
    message::{Entry, Version},
    session::{Ask, Order, Peer, Session, SessionId, Want, WantId},
};
use cairn_store::{Cid, Multihash};
use libp2p::{Multiaddr, PeerId};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// Wants asked of one peer at once: half of what servers keep for a peer.
pub const MAX_ASKED: usize = 512;
/// Peers asked at a time who has a block, those that were of use first.
pub const BROADCAST: usize = 32;
/// Waiting wants of a session that are looked at in one go.
pub const LOOK_AHEAD: usize = 1024;
/// Times in a row that a peer may lack what a session wants before it counts as having no more of it.
const MAX_MISSES: u32 = 16;
/// Silences in a row after which what a peer says it has is not believed any more.
const MAX_STALLS: u32 = 3;
/// Time after which a block that a peer did not deliver may be asked of it once more.
const LAPSED: Duration = Duration::from_secs(15);
/// Bytes that nobody had asked for, beyond which a peer is refused; plus a tenth of what it was good for.
const MAX_GARBAGE: u64 = 1 << 20;
/// What a block that nobody asked for counts at least, in bytes: many small ones are as bad as a few large ones.
const MIN_GARBAGE: u64 = 32 << 10;
/// Time after which peers that did not say whether they have a block are asked once more; doubled each time.
const RETELL: Duration = Duration::from_secs(4);
/// How often the state is looked at while something is wanted and comes in, and while nothing does.
const TICK: Duration = Duration::from_millis(20);
const SLOW_TICK: Duration = Duration::from_millis(250);

/// What the client is set up with.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Time without progress after which providers are looked for (`Internal.Bitswap.ProviderSearchDelay`).
    pub search_delay: Duration,
    /// Most peers that are asked who has a block, 0 for none but friends (`…BroadcastControl.MaxPeers`).
    pub broadcast: usize,
    /// Most peers among those that were of no use so far (`…BroadcastControl.MaxRandomPeers`).
    pub strangers: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { search_delay: Duration::from_secs(1), broadcast: BROADCAST, strangers: usize::MAX }
    }
}

/// What the client asks for, besides messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Find out who has a block, and say so by [`Client::on_provider`], then [`Client::on_search_end`].
    FindProviders {
        /// For whom.
        session: SessionId,
        /// The block.
        cid: Cid,
    },
    /// Connect to a peer.
    Connect {
        /// The peer.
        peer: PeerId,
        /// Where it may be found.
        addrs: Vec<Multiaddr>,
    },
    /// Have nothing to do with that peer any more.
    Refuse(PeerId),
}

/// Whether somebody waits for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Yes.
    Awaited,
    /// Not yet: it is fetched ahead, after all that is awaited.
    Ahead,
}

/// Ids of wants that nobody waits for begin here: they come after all others.
const AHEAD: WantId = 1 << 40;

/// What a block is to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody waits for it.
    Wanted,
    /// It was asked of that peer, and has come from somewhere by now.
    Duplicate,
    /// It was never asked of that peer.
    Garbage,
}

/// The client.
pub struct Client {
    config: ClientConfig,
    rng: StdRng,
    peers: BTreeMap<PeerId, Peer>,
    wants: BTreeMap<WantId, Want>,
    by_hash: HashMap<Multihash, WantId>,
    sessions: BTreeMap<SessionId, Session>,
    /// Providers that are being connected to, and for whom.
    dialing: BTreeMap<PeerId, BTreeSet<(SessionId, WantId)>>,
    /// Sessions of wants that were asked round and have been satisfied, by short name, oldest first: peers that are
    /// far away say only now that they had it, and are likely to have more.
    satisfied: VecDeque<(u64, BTreeSet<SessionId>)>,
    outputs: VecDeque<Output>,
    next_want: WantId,
    /// When all wants were last looked at, and whether more has happened since than that blocks came.
    looked: Option<Instant>,
    stale: bool,
}

/// Satisfied wants that are remembered for the sake of late answers.
const MAX_SATISFIED: usize = 256;

/// The name of a block in a peer's memory of what it was asked.
fn short(hash: &Multihash) -> u64 {
    let digest = hash.digest();
    let mut bytes = [0; 8];
    let len = digest.len().min(8);
    bytes[..len].copy_from_slice(&digest[digest.len() - len..]);
    u64::from_le_bytes(bytes)
}

impl Client {
    /// A client without peers. The seed decides between what is equally good.
    pub fn new(config: ClientConfig, seed: u64) -> Self {
        Self {
            config,
            rng: StdRng::seed_from_u64(seed),
            peers: BTreeMap::new(),
            wants: BTreeMap::new(),
            by_hash: HashMap::new(),
            sessions: BTreeMap::new(),
            dialing: BTreeMap::new(),
            satisfied: VecDeque::new(),
            outputs: VecDeque::new(),
            next_want: 0,
            looked: None,
            stale: true,
        }
    }

    /// Begins a session.
    pub fn open(&mut self, session: SessionId, order: Order, now: Instant) {
        self.sessions.entry(session).or_insert_with(|| Session::new(order, now, self.config.search_delay));
    }

    /// Ends a session, and gives up what only it wants.
    pub fn close(&mut self, session: SessionId) {
        let Some(ended) = self.sessions.get(&session) else { return };
        let ids: Vec<WantId> = ended.waiting.iter().chain(&ended.flying).copied().collect();
        for id in ids {
            self.unwant(session, id);
        }
        self.sessions.remove(&session);
        self.dialing.retain(|_, targets| {
            targets.retain(|(of, _)| *of != session);
            !targets.is_empty()
        });
    }

    /// Wants a block for a session that was opened.
    pub fn want(&mut self, session: SessionId, cid: &Cid, urgency: Urgency, now: Instant) {
        if urgency == Urgency::Awaited {
            self.promote(cid.hash());
        }
        let Some(state) = self.sessions.get_mut(&session) else { return };
        self.stale = true;
        if state.is_idle() {
            state.progress = now;
            state.next_broadcast = None;
            state.next_search = None;
        }
        let id = *self.by_hash.entry(*cid.hash()).or_insert_with(|| {
            self.next_want += 1;
            self.next_want + if urgency == Urgency::Ahead { AHEAD } else { 0 }
        });
        let lot = self.rng.random();
        let want = self.wants.entry(id).or_insert_with(|| Want {
            cid: *cid,
            sessions: BTreeSet::new(),
            asks: Vec::new(),
            have: BTreeSet::new(),
            dont_have: BTreeSet::new(),
            told: BTreeSet::new(),
            unanswered: 0,
            retell: (now + RETELL, 2 * RETELL),
            hedged: false,
            urged: None,
            lot,
        });
        want.sessions.insert(session);
        if want.live_asks().next().is_some() {
            state.flying.insert(id)
        } else {
            state.waiting.insert(id)
        };
    }

    /// Lets a want that nobody waited for so far go before those that nobody waits for.
    fn promote(&mut self, hash: &Multihash) {
        let Some(&old) = self.by_hash.get(hash).filter(|id| **id > AHEAD) else { return };
        let Some(want) = self.wants.get(&old) else { return };
        if !want.asks.is_empty() {
            return self.urge(old);
        }
        self.next_want += 1;
        let new = self.next_want;
        for session in &want.sessions {
            if let Some(state) = self.sessions.get_mut(session)
                && state.waiting.remove(&old)
            {
                state.waiting.insert(new);
            }
        }
        for targets in self.dialing.values_mut() {
            *targets = targets.iter().map(|(s, id)| (*s, if *id == old { new } else { *id })).collect();
        }
        if let Some(want) = self.wants.remove(&old) {
            self.wants.insert(new, want);
            self.by_hash.insert(*hash, new);
        }
    }

    /// A session does not want a block any more.
    pub fn cancel(&mut self, session: SessionId, cid: &Cid) {
        if let Some(&id) = self.by_hash.get(cid.hash()) {
            self.unwant(session, id);
        }
    }

    fn unwant(&mut self, session: SessionId, id: WantId) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.waiting.remove(&id);
            state.flying.remove(&id);
        }
        let Some(want) = self.wants.get_mut(&id) else { return };
        want.sessions.remove(&session);
        if want.sessions.is_empty() {
            self.finish(id, None);
        }
    }

    /// Forgets a want and tells everybody who was asked, but for the one who delivered.
    fn finish(&mut self, id: WantId, from: Option<PeerId>) -> Option<Want> {
        let want = self.wants.remove(&id)?;
        self.by_hash.remove(want.cid.hash());
        for session in &want.sessions {
            if let Some(state) = self.sessions.get_mut(session) {
                state.waiting.remove(&id);
                state.flying.remove(&id);
            }
        }
        for ask in &want.asks {
            if !ask.lapsed {
                self.release(ask, id);
            }
            if Some(ask.peer) != from
                && let Some(peer) = self.peers.get_mut(&ask.peer)
            {
                peer.outbox.insert(want.cid, Entry::cancel(want.cid));
            }
        }
        for peer in &want.told {
            // Who was asked for the block too has been told above; who delivered it knows.
            if Some(*peer) != from
                && !want.asked_of(peer)
                && let Some(peer) = self.peers.get_mut(peer)
            {
                // What waits to be sent may be asked for the second time: the first one has to be taken back.
                peer.outbox.remove(&want.cid);
                peer.later.push_back(want.cid);
            }
        }
        Some(want)
    }

    /// Gives an ask's bytes back to its peer's window.
    fn release(&mut self, ask: &Ask, id: WantId) {
        if let Some(peer) = self.peers.get_mut(&ask.peer)
            && peer.asked.remove(&id)
        {
            peer.in_flight = peer.in_flight.saturating_sub(ask.size);
        }
    }

    /// A peer is connected. Friends are always asked who has a block.
    pub fn on_connected(&mut self, peer: PeerId, friend: bool) {
        self.stale = true;
        let state = self.peers.entry(peer).or_default();
        state.connected = true;
        state.friend = friend;
        for (session, id) in self.dialing.remove(&peer).unwrap_or_default() {
            self.has(peer, session, id);
        }
        self.ask_newcomer(peer);
    }

    /// A peer said, or is said, to have a block.
    fn has(&mut self, peer: PeerId, session: SessionId, id: WantId) {
        self.stale = true;
        if let Some(want) = self.wants.get_mut(&id) {
            want.have.insert(peer);
            want.dont_have.remove(&peer);
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            state.peers.insert(peer, 0);
        }
    }

    /// The last connection to a peer ended: what was asked of it is asked of others.
    pub fn on_disconnected(&mut self, peer: &PeerId) {
        self.stale = true;
        self.dialing.remove(peer);
        let Some(state) = self.peers.remove(peer) else { return };
        for id in state.asked {
            if let Some(want) = self.wants.get_mut(&id) {
                want.asks.retain(|ask| ask.peer != *peer);
            }
            self.settle(id);
        }
        for want in self.wants.values_mut() {
            want.asks.retain(|ask| ask.peer != *peer);
            let answered = want.have.remove(peer) | want.dont_have.remove(peer);
            if want.told.remove(peer) && !answered {
                want.unanswered = want.unanswered.saturating_sub(1);
            }
        }
        for session in self.sessions.values_mut() {
            session.peers.remove(peer);
        }
    }

    /// Puts a want among those that wait or those that fly, by what is asked.
    fn settle(&mut self, id: WantId) {
        let Some(want) = self.wants.get(&id) else { return };
        let flies = want.live_asks().next().is_some();
        for session in &want.sessions {
            if let Some(state) = self.sessions.get_mut(session) {
                let (from, to) = if flies {
                    (&mut state.waiting, &mut state.flying)
                } else {
                    (&mut state.flying, &mut state.waiting)
                };
                from.remove(&id);
                to.insert(id);
            }
        }
    }

    /// What a peer speaks.
    pub fn on_version(&mut self, peer: &PeerId, version: Version) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.old = version < Version::V1_2;
        }
    }

    /// What is to be sent to each peer now. The caller puts back what it can't send: see [`Client::put_back`].
    pub fn take_messages(&mut self) -> Vec<(PeerId, Vec<Entry>)> {
        let mut messages = Vec::new();
        for (id, peer) in self.peers.iter_mut().filter(|(_, p)| p.connected && !p.outbox.is_empty()) {
            peer.cancel_now();
            let mut entries: Vec<Entry> = std::mem::take(&mut peer.outbox).into_values().collect();
            peer.note_cancels(&entries);
            entries.sort_by_key(|entry| (!entry.cancel, -i64::from(entry.priority)));
            messages.push((*id, entries));
        }
        messages
    }

    /// Entries that could not be sent yet.
    pub fn put_back(&mut self, peer: &PeerId, entries: Vec<Entry>) {
        if let Some(state) = self.peers.get_mut(peer) {
            for entry in entries {
                // What was decided meanwhile is newer.
                state.outbox.entry(entry.cid).or_insert(entry);
            }
        }
    }

    /// The next thing to be done.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Client::poll`] is to be called next; `None` while nothing is wanted.
    pub fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        let busy = self.sessions.values().filter(|s| !s.is_idle()).map(|s| s.progress).max()?;
        let tick = if now.saturating_duration_since(busy) < 4 * SLOW_TICK { TICK } else { SLOW_TICK };
        Some(now + tick)
    }

    /// Everything that is wanted.
    pub fn wantlist(&self) -> Vec<Cid> {
        self.wants.values().map(|want| want.cid).collect()
    }

    /// Whether a peer is among those that may be asked.
    pub fn knows(&self, peer: &PeerId) -> bool {
        self.peers.contains_key(peer)
    }

    /// Connected peers of which something is wanted, or probably will be.
    pub fn needed(&self) -> HashSet<PeerId> {
        let asked = self.peers.iter().filter(|(_, p)| !p.asked.is_empty()).map(|(id, _)| id);
        let members = self.sessions.values().filter(|s| !s.is_idle()).flat_map(|s| s.peers.keys());
        asked.chain(members).filter(|id| self.peers.contains_key(id)).copied().collect()
    }

    /// For that long nothing was heard of anybody, through no fault of theirs.
    pub fn paused(&mut self, time: Duration) {
        for heard in self.peers.values_mut().filter_map(|peer| peer.heard.as_mut()) {
            *heard += time;
        }
    }

    /// Measurements of a peer: smoothed response time, and bytes per second.
    pub fn speed(&self, peer: &PeerId) -> Option<(Option<Duration>, Option<f64>)> {
        self.peers.get(peer).map(|p| (p.estimator.rtt(), p.estimator.rate()))
    }
}
