//! Who is asked for what, and when.

use super::{
    super::{
        message::{Entry, WantType},
        session::{Ask, Order, Peer, SessionId, WantId},
    },
    AHEAD, Client, LAPSED, LOOK_AHEAD, MAX_ASKED, MAX_STALLS, TICK,
};
use libp2p::PeerId;
use std::time::{Duration, Instant};

/// Blocks that are smaller than this on average are asked for in order in any case: their peers would answer the
/// question who has them with the blocks themselves.
const RAREST_SIZE: f64 = (8 << 10) as f64;
/// Wants of which a session learns who has them, when it wants the rarest first.
const INTEREST: usize = 256;
/// Wants at the front of a sequence that are asked of a second peer when they are late.
const HEAD: usize = 8;
/// Bytes that a peer has to send before a block, from which on it is worth telling that this one is waited for: what is
/// nearer may be on its way, and would be sent twice.
const MIN_URGED: u64 = 1 << 20;
/// What blocks are taken for there at least: small ones cost little when they are sent twice.
const LARGE: u64 = 64 << 10;

impl Peer {
    /// Whether what it says it has is believed: not after several silences in a row, until it may be tried again.
    pub(super) fn is_trusted(&self, now: Instant) -> bool {
        self.stalls < MAX_STALLS || self.retry_at.is_none_or(|at| at <= now)
    }

    /// Whether one more block may be asked of it.
    fn has_room(&self, size: u64, now: Instant) -> bool {
        self.may_be_asked(now)
            && (self.in_flight == 0 || (!self.stalled && self.in_flight + size <= self.estimator.window()))
    }

    /// The same for one that somebody waits for. It goes before what is fetched ahead, so that this takes no room from it: a
    /// peer that became slow may have much of that to send.
    fn has_room_at_once(&self, size: u64, now: Instant) -> bool {
        let awaited = || self.asked.range(..AHEAD).count() as u64 * size;
        self.has_room(size, now)
            || (self.may_be_asked(now) && !self.stalled && awaited() + size <= self.estimator.window())
    }

    fn may_be_asked(&self, now: Instant) -> bool {
        self.connected && self.asked.len() < MAX_ASKED && self.retry_at.is_none_or(|at| at <= now)
    }
}

impl Client {
    /// Moves everything on: call it after every input, and at [`Client::next_wakeup`].
    pub fn poll(&mut self, now: Instant) {
        self.find_stalled(now);
        // Blocks alone make no want late and leave none without a peer: to go through all wants at each would cost more
        // than all the rest.
        let look =
            std::mem::take(&mut self.stale) || self.looked.is_none_or(|at| now.saturating_duration_since(at) >= TICK);
        if look {
            self.looked = Some(now);
        }
        let ids: Vec<SessionId> = self.sessions.iter().filter(|(_, s)| !s.is_idle()).map(|(id, _)| *id).collect();
        for id in ids {
            self.schedule(id, now);
            if look {
                self.hedge(id, now);
                self.discover(id, now);
            }
        }
    }

    /// Peers that are silent for too long: what was asked of them is wanted of others.
    fn find_stalled(&mut self, now: Instant) {
        let late = |p: &Peer| {
            !p.asked.is_empty() && p.heard.is_some_and(|at| now.saturating_duration_since(at) >= p.estimator.rto())
        };
        let stalled: Vec<PeerId> = self.peers.iter().filter(|(_, p)| late(p)).map(|(id, _)| *id).collect();
        self.stale |= !stalled.is_empty();
        for id in stalled {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.stalled = true;
            peer.stalls += 1;
            peer.estimator.on_stall();
            peer.retry_at = Some(now + peer.estimator.rto());
            peer.in_flight = 0;
            for want_id in std::mem::take(&mut peer.asked) {
                if let Some(want) = self.wants.get_mut(&want_id) {
                    for ask in want.asks.iter_mut().filter(|ask| ask.peer == id) {
                        ask.lapsed = true;
                    }
                }
                self.settle(want_id);
            }
        }
    }

    fn schedule(&mut self, session: SessionId, now: Instant) {
        let Some(state) = self.sessions.get(&session) else { return };
        let rarest = state.order == Order::Rarest && state.received > 0 && state.mean >= RAREST_SIZE;
        let audience = if rarest { self.audience(session, now) } else { Vec::new() };
        // With one peer there is nothing to choose.
        let rarest = audience.len() > 1;
        if rarest {
            self.ask_around(session, &audience);
        }
        let Some(state) = self.sessions.get(&session) else { return };
        let size = state.size();
        let awaited = state.waiting.first().is_some_and(|id| *id < AHEAD);
        let has_room = |p: &Peer| if awaited { p.has_room_at_once(size, now) } else { p.has_room(size, now) };
        if !state.peers.keys().any(|id| self.peers.get(id).is_some_and(has_room)) {
            return;
        }
        if rarest {
            self.schedule_rarest(session, now);
        } else {
            let wants: Vec<WantId> = state.waiting.iter().take(LOOK_AHEAD).copied().collect();
            self.assign(session, &wants, false, now);
        }
    }

    /// The rarest wants first; only peers that said that they have a block are asked for it.
    fn schedule_rarest(&mut self, session: SessionId, now: Instant) {
        let Some(state) = self.sessions.get(&session) else { return };
        let known = |id: &WantId| self.wants.get(id).filter(|w| !w.have.is_empty()).map(|w| (w.have.len(), w.lot, *id));
        let mut wants: Vec<_> = state.waiting.iter().take(LOOK_AHEAD).filter_map(known).collect();
        wants.sort_unstable();
        let wants: Vec<WantId> = wants.into_iter().map(|(_, _, id)| id).collect();
        self.assign(session, &wants, true, now);
    }

    /// Gives wants to peers that have room, in that order.
    fn assign(&mut self, session: SessionId, wants: &[WantId], only_known: bool, now: Instant) {
        let Some(state) = self.sessions.get(&session) else { return };
        let size = state.size();
        let members: Vec<PeerId> = state.peers.keys().copied().collect();
        let has_room = |client: &Self, peer: &PeerId, ahead: bool| {
            let state = client.peers.get(peer);
            state.is_some_and(|p| if ahead { p.has_room(size, now) } else { p.has_room_at_once(size, now) })
        };
        // For what is waited for, and for what is fetched ahead.
        let mut free = [false, true]
            .map(|ahead| members.iter().filter(|id| has_room(self, id, ahead)).copied().collect::<Vec<PeerId>>());
        let total: f64 = members.iter().filter_map(|id| self.peers.get(id)?.estimator.rate()).sum();
        let left = (state.waiting.len() + state.flying.len()) as u64;
        for id in wants {
            let ahead = *id > AHEAD;
            let free = &mut free[usize::from(ahead)];
            if free.is_empty() {
                continue;
            }
            let Some(best) = self.choose(*id, free, &members, only_known, size, total, left) else { continue };
            self.ask(*id, best, size, now);
            if !has_room(self, &best, ahead) {
                free.retain(|p| *p != best);
            }
        }
    }

    /// The peer with room that is expected to deliver a want first; nobody if all the others together would be done
    /// with everything long before it.
    #[expect(clippy::too_many_arguments, reason = "one look at everything that matters, in one place")]
    fn choose(
        &self,
        id: WantId,
        free: &[PeerId],
        members: &[PeerId],
        only_known: bool,
        size: u64,
        total: f64,
        left: u64,
    ) -> Option<PeerId> {
        let want = self.wants.get(&id)?;
        let able =
            |p: &&PeerId| !want.dont_have.contains(p) && !want.asked_of(p) && (!only_known || want.have.contains(p));
        let time = |p: &PeerId| self.peers.get(p).map(|s| s.estimator.expected(s.in_flight, size));
        let (best, expected) =
            free.iter().filter(able).filter_map(|p| Some((*p, time(p)?))).min_by_key(|(p, t)| (*t, *p))?;
        let fastest = members.iter().filter(able).filter_map(time).min().unwrap_or(expected);
        let rest = Duration::from_secs_f64((left * size) as f64 / total.clamp(1.0, 1e12));
        (total == 0.0 || expected <= 2 * (fastest + rest)).then_some(best)
    }

    fn ask(&mut self, id: WantId, peer: PeerId, size: u64, now: Instant) {
        let (Some(want), Some(state)) = (self.wants.get_mut(&id), self.peers.get_mut(&peer)) else { return };
        let idle = state.asked.is_empty();
        if idle {
            state.heard = Some(now);
        }
        let mark = state.estimator.mark(now, idle);
        want.asks.push(Ask { peer, at: now, mark, size, lapsed: false });
        state.asked.insert(id);
        state.in_flight += size;
        state.known.insert(super::short(want.cid.hash()));
        state.outbox.insert(want.cid, Entry::want(want.cid, WantType::Block, priority(want.urged.unwrap_or(id))));
        self.settle(id);
    }

    /// A block that was asked for ahead of time is waited for now: whoever has much to send before it is told.
    pub(super) fn urge(&mut self, id: WantId) {
        let Some(want) = self.wants.get_mut(&id).filter(|want| want.urged.is_none()) else { return };
        let mut behind = Vec::new();
        for ask in want.live_asks() {
            let Some(state) = self.peers.get(&ask.peer) else { continue };
            // What size blocks have shows late: the first one is the root.
            let size = ask.size.max(LARGE);
            if state.asked.range(..id).count() as u64 * size >= MIN_URGED {
                behind.push(ask.peer);
            }
        }
        if behind.is_empty() {
            return;
        }
        self.next_want += 1;
        want.urged = Some(self.next_want);
        for peer in behind {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.outbox.insert(want.cid, Entry::want(want.cid, WantType::Block, priority(self.next_want)));
            }
        }
    }

    /// Late blocks are asked of a second peer, within a budget of duplicates.
    fn hedge(&mut self, session: SessionId, now: Instant) {
        let Some(state) = self.sessions.get(&session) else { return };
        let head = match state.order {
            _ if state.waiting.is_empty() => usize::MAX,
            Order::Sequential => HEAD,
            Order::Rarest => 0,
        };
        let flying: Vec<WantId> = state.flying.iter().take(head).copied().collect();
        let (size, tail) = (state.size(), state.waiting.is_empty());
        let members: Vec<PeerId> = state.peers.keys().copied().collect();
        for id in flying {
            self.drop_lapsed(id, now);
            let Some(want) = self.wants.get(&id).filter(|w| !w.hedged && w.live_asks().count() == 1) else { continue };
            let Some(ask) = want.live_asks().next().copied() else { continue };
            let Some(owner) = self.peers.get(&ask.peer) else { continue };
            let age = now.saturating_duration_since(ask.at);
            let left = owner.estimator.expected(owner.in_flight, 0).saturating_sub(age);
            let late = age >= owner.estimator.late_after();
            let able = |p: &&PeerId| !want.dont_have.contains(p) && !want.asked_of(p);
            let room = |p: &PeerId| {
                let s = self.peers.get(p).filter(|s| s.has_room(size, now) && s.stalls == 0)?;
                Some((s.estimator.expected(s.in_flight, size), *p))
            };
            let Some((expected, best)) = members.iter().filter(able).filter_map(room).min() else { continue };
            let worth = late || (tail && 3 * expected < left);
            let Some(state) = self.sessions.get_mut(&session).filter(|s| worth && s.may_hedge()) else { continue };
            state.hedges += 1;
            if let Some(want) = self.wants.get_mut(&id) {
                want.hedged = true;
            }
            self.ask(id, best, size, now);
        }
        let waiting: Vec<WantId> =
            self.sessions.get(&session).map_or_else(Vec::new, |s| s.waiting.iter().take(LOOK_AHEAD).copied().collect());
        for id in waiting {
            self.drop_lapsed(id, now);
        }
    }

    /// What a peer did not deliver for long may be asked of it once more: the want may have been lost.
    fn drop_lapsed(&mut self, id: WantId, now: Instant) {
        if let Some(want) = self.wants.get_mut(&id) {
            want.asks.retain(|ask| !ask.lapsed || now.saturating_duration_since(ask.at) < LAPSED);
        }
    }

    /// Asks connected peers which of the next blocks they have. Those that don't will tell when they do.
    fn ask_around(&mut self, session: SessionId, peers: &[PeerId]) {
        let Some(state) = self.sessions.get(&session) else { return };
        let ids: Vec<WantId> = state.waiting.iter().take(INTEREST).copied().collect();
        for id in ids {
            if self.wants.get(&id).is_some_and(|want| want.told.len() >= peers.len()) {
                continue;
            }
            for peer in peers {
                self.tell(id, *peer);
            }
        }
    }
}

/// Earlier wants first, and those that nobody waits for after all others.
pub(super) fn priority(id: WantId) -> i32 {
    let base = if id > AHEAD { i32::MAX / 2 } else { i32::MAX };
    base - i32::try_from(id & 0x3fff_ffff).unwrap_or(0)
}
