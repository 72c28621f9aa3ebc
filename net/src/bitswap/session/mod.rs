//! What a session and its wants remember. Plain state: [`super::client::Client`] moves it on.

pub mod estimator;

use cairn_store::Cid;
use estimator::{Estimator, Mark};
use libp2p::PeerId;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    time::{Duration, Instant},
};

/// A piece of work that fetches blocks: a command, a request.
pub type SessionId = u64;
/// A block that somebody waits for.
pub type WantId = u64;

/// The order in which a session wants its blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were asked for: somebody reads them.
    #[default]
    Sequential,
    /// The rarest among its peers first, so that peers who fetch the same soon have something to give each other.
    Rarest,
}

/// A block that was asked of a peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) peer: PeerId,
    pub(super) at: Instant,
    pub(super) mark: Mark,
    /// Bytes counted against the peer's window.
    pub(super) size: u64,
    /// The peer did not answer in time: the block is wanted of others too.
    pub(super) lapsed: bool,
}

/// A block that is wanted.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) cid: Cid,
    /// Sessions that want it.
    pub(super) sessions: BTreeSet<SessionId>,
    pub(super) asks: Vec<Ask>,
    /// Peers that said that they have it.
    pub(super) have: BTreeSet<PeerId>,
    /// Peers that said that they don't.
    pub(super) dont_have: BTreeSet<PeerId>,
    /// Peers that were asked whether they have it, and may tell later on.
    pub(super) told: BTreeSet<PeerId>,
    /// Of those, who has not answered yet.
    pub(super) unanswered: usize,
    /// When those who did not answer are asked once more, and how long that takes the next time.
    pub(super) retell: (Instant, Duration),
    /// Whether it has been asked of a second peer before the first one was late.
    pub(super) hedged: bool,
    /// Its place since somebody waits for it, if it was asked for ahead of time.
    pub(super) urged: Option<WantId>,
    /// Decides between wants that are equally rare, differently in each node.
    pub(super) lot: u32,
}

impl Want {
    /// Asks that may still be answered in time.
    pub(super) fn live_asks(&self) -> impl Iterator<Item = &Ask> {
        self.asks.iter().filter(|ask| !ask.lapsed)
    }

    pub(super) fn asked_of(&self, peer: &PeerId) -> bool {
        self.asks.iter().any(|ask| ask.peer == *peer)
    }
}

/// A piece of work.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) order: Order,
    /// Wanted and not asked of anybody, in the order asked for.
    pub(super) waiting: BTreeSet<WantId>,
    /// Asked of somebody.
    pub(super) flying: BTreeSet<WantId>,
    /// Peers that had something for this session, and how often in a row they then had not.
    pub(super) peers: BTreeMap<PeerId, u32>,
    /// When something last came, or began.
    pub(super) progress: Instant,
    /// Whether providers are being looked for.
    pub(super) searching: bool,
    /// When they may be looked for again.
    pub(super) next_search: Option<Instant>,
    pub(super) search_delay: Duration,
    /// When peers may be asked again who has its blocks.
    pub(super) next_broadcast: Option<Instant>,
    /// Mean size of its blocks.
    pub(super) mean: f64,
    /// Blocks received, and those among them that were asked of two peers early.
    pub(super) received: u64,
    pub(super) hedges: u64,
}

impl Session {
    /// Size of a block before the first one has come.
    const FIRST_SIZE: f64 = (64 << 10) as f64;

    pub(super) fn new(order: Order, now: Instant, search_delay: Duration) -> Self {
        Self {
            order,
            waiting: BTreeSet::new(),
            flying: BTreeSet::new(),
            peers: BTreeMap::new(),
            progress: now,
            searching: false,
            next_search: None,
            search_delay,
            next_broadcast: None,
            mean: Self::FIRST_SIZE,
            received: 0,
            hedges: 0,
        }
    }

    /// Whether it wants nothing now.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty()
    }

    /// Expected size of a block.
    pub(super) fn size(&self) -> u64 {
        self.mean as u64 + 1
    }

    pub(super) fn on_block(&mut self, size: u64, now: Instant) {
        let weight = if self.received == 0 { 1.0 } else { 0.125 };
        self.mean += (size as f64 - self.mean) * weight;
        self.received += 1;
        self.progress = now;
    }

    /// Whether one more block may be asked of two peers early: 1 in 64, and one more.
    pub(super) fn may_hedge(&self) -> bool {
        self.hedges <= self.received / 64
    }
}

/// A peer, as the client sees it.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) connected: bool,
    /// It does not understand want-have.
    pub(super) old: bool,
    pub(super) estimator: Estimator,
    /// Wants asked of it that have not lapsed, and their bytes.
    pub(super) asked: BTreeSet<WantId>,
    pub(super) in_flight: u64,
    /// Its last message, or when it was first asked after being idle.
    pub(super) heard: Option<Instant>,
    /// It was silent for too long, and is asked for one block at a time until it answers.
    pub(super) stalled: bool,
    /// When a silent peer may be tried again.
    pub(super) retry_at: Option<Instant>,
    /// Silences in a row.
    pub(super) stalls: u32,
    /// Names asked of it lately, so that late blocks are told from unwanted ones.
    pub(super) known: Recent,
    /// Bytes of blocks that it sent and nobody had asked of it.
    pub(super) garbage: u64,
    /// Blocks and HAVEs that were of use: such peers are asked first.
    pub(super) useful: u64,
    /// Wants and cancels to be sent, by block.
    pub(super) outbox: BTreeMap<Cid, super::message::Entry>,
    /// Cancels that can wait for the next message.
    pub(super) later: VecDeque<Cid>,
    /// Until when what is told over one connection may overtake what was told over another, and what was cancelled since.
    pub(super) crossing: Option<Instant>,
    pub(super) crossed: Vec<Cid>,
    /// Exempt from limits of broadcasts.
    pub(super) friend: bool,
}

impl Peer {
    /// Sends the cancels that could wait with the next message. IMPORTANT: not those of what is wanted again: of a
    /// want and a cancel in one message others keep the cancel.
    pub(super) fn cancel_now(&mut self) {
        for cid in self.later.drain(..) {
            self.outbox.entry(cid).or_insert_with(|| super::message::Entry::cancel(cid));
        }
    }
}

/// A set that forgets its oldest half when it is full.
#[derive(Debug, Default)]
pub(super) struct Recent {
    new: HashSet<u64>,
    old: HashSet<u64>,
}

impl Recent {
    /// Names in each half, 8 bytes each.
    const HALF: usize = 8192;

    pub(super) fn insert(&mut self, name: u64) {
        if self.new.len() >= Self::HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(name);
    }

    pub(super) fn contains(&self, name: u64) -> bool {
        self.new.contains(&name) || self.old.contains(&name)
    }
}
