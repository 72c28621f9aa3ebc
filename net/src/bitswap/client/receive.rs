//! What peers answer.

use super::{
    super::message::Presence, Client, MAX_GARBAGE, MAX_MISSES, MAX_SATISFIED, MIN_GARBAGE, Output, Verdict, short,
};
use cairn_store::{Cid, Multihash};
use libp2p::PeerId;
use std::time::Instant;

impl Client {
    /// A message came, with blocks (hash and length) and presences. Says what each block is.
    pub fn on_message(
        &mut self,
        from: PeerId,
        blocks: &[(Multihash, u64)],
        presences: &[(Cid, Presence)],
        now: Instant,
    ) -> Vec<Verdict> {
        if let Some(peer) = self.peers.get_mut(&from) {
            // A peer that has only ever said what it has does not count as heard of.
            if !blocks.is_empty() || peer.stalls == 0 {
                peer.heard = Some(now);
            }
        }
        self.stale |= !presences.is_empty();
        for (cid, presence) in presences {
            self.on_presence(from, cid, *presence, now);
        }
        blocks.iter().map(|(hash, size)| self.on_block(from, hash, *size, now)).collect()
    }

    fn on_block(&mut self, from: PeerId, hash: &Multihash, size: u64, now: Instant) -> Verdict {
        let Some(&id) = self.by_hash.get(hash) else { return self.unwanted(from, hash, size) };
        let asked = self.peers.get(&from).is_some_and(|p| p.known.contains(short(hash)));
        if !asked {
            return self.unwanted(from, hash, size);
        }
        let ask = self.wants.get(&id).and_then(|w| w.asks.iter().find(|a| a.peer == from).copied());
        if let Some(peer) = self.peers.get_mut(&from) {
            if let Some(ask) = &ask {
                peer.estimator.on_block(now, &ask.mark, size);
            }
            peer.useful += 1;
            peer.stalled = false;
            peer.stalls = 0;
            peer.retry_at = None;
        }
        let Some(want) = self.finish(id, Some(from)) else { return Verdict::Duplicate };
        if want.told.len() > 1 {
            if self.satisfied.len() >= MAX_SATISFIED {
                self.satisfied.pop_front();
            }
            self.satisfied.push_back((short(hash), want.sessions.clone()));
        }
        for session in &want.sessions {
            if let Some(state) = self.sessions.get_mut(session) {
                state.on_block(size, now);
                state.peers.insert(from, 0);
                state.search_delay = self.config.search_delay;
            }
        }
        Verdict::Wanted
    }

    /// A block was stored by somebody else: nobody is asked for it any more.
    pub fn on_stored(&mut self, hash: &Multihash, now: Instant) {
        let want = self.by_hash.get(hash).copied().and_then(|id| self.finish(id, None));
        for session in want.into_iter().flat_map(|want| want.sessions) {
            if let Some(state) = self.sessions.get_mut(&session) {
                state.progress = now;
            }
        }
    }

    fn unwanted(&mut self, from: PeerId, hash: &Multihash, size: u64) -> Verdict {
        let Some(peer) = self.peers.get_mut(&from) else { return Verdict::Garbage };
        if peer.known.contains(short(hash)) {
            return Verdict::Duplicate;
        }
        self.on_garbage(from, size);
        Verdict::Garbage
    }

    /// A peer sent bytes that nobody had asked for, or that are not what they are said to be.
    pub fn on_garbage(&mut self, from: PeerId, size: u64) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.garbage += size.max(MIN_GARBAGE);
        if peer.garbage > MAX_GARBAGE + peer.estimator.delivered() / 10 {
            self.outputs.push_back(Output::Refuse(from));
            self.on_disconnected(&from);
        }
    }

    fn on_presence(&mut self, from: PeerId, cid: &Cid, presence: Presence, now: Instant) {
        let Some(&id) = self.by_hash.get(cid.hash()) else {
            if presence == Presence::Have {
                self.on_late_have(from, short(cid.hash()), now);
            }
            return;
        };
        let Some(want) = self.wants.get_mut(&id) else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !want.have.contains(&from) && !want.dont_have.contains(&from) && want.told.contains(&from) {
            want.unanswered = want.unanswered.saturating_sub(1);
        }
        if presence == Presence::Have {
            if peer.is_trusted(now) && peer.known.contains(short(cid.hash())) {
                for session in want.sessions.clone() {
                    self.has(from, session, id);
                }
            }
            return;
        }
        want.dont_have.insert(from);
        want.have.remove(&from);
        let Some(at) = want.asks.iter().position(|ask| ask.peer == from) else { return };
        let ask = want.asks.remove(at);
        let sessions = want.sessions.clone();
        peer.estimator.on_response(now, &ask.mark);
        peer.heard = Some(now);
        peer.stalled = false;
        peer.stalls = 0;
        peer.retry_at = None;
        if !ask.lapsed {
            self.release(&ask, id);
        }
        self.settle(id);
        for session in sessions {
            if let Some(state) = self.sessions.get_mut(&session)
                && let Some(misses) = state.peers.get_mut(&from)
            {
                *misses += 1;
                if *misses >= MAX_MISSES {
                    state.peers.remove(&from);
                }
            }
        }
    }

    /// A peer had a block that others were quicker to send.
    fn on_late_have(&mut self, from: PeerId, name: u64, now: Instant) {
        if !self.peers.get(&from).is_some_and(|p| p.is_trusted(now) && p.known.contains(name)) {
            return;
        }
        let Some((_, sessions)) = self.satisfied.iter().find(|(satisfied, _)| *satisfied == name) else { return };
        for session in sessions {
            if let Some(state) = self.sessions.get_mut(session) {
                state.peers.entry(from).or_insert(0);
            }
        }
    }
}
