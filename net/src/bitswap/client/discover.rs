//! Who has what: asking connected peers, and looking for providers.

use super::{
    super::{
        message::{Entry, WantType},
        session::{SessionId, WantId},
    },
    Client, Output, Want,
    schedule::priority,
    short,
};
use cairn_store::Cid;
use libp2p::{Multiaddr, PeerId};
use std::time::{Duration, Instant};

/// Longest pause between two searches for providers that brought nothing.
const MAX_SEARCH_DELAY: Duration = Duration::from_secs(60);
/// Pause between two rounds of asking connected peers.
const BROADCAST_DELAY: Duration = Duration::from_millis(500);
/// Wants of a session that are asked round at first, and when that was of no use.
const FIRST_WANTS: usize = 1;
const MORE_WANTS: usize = 8;
/// Peers that are told what a session that wants the rarest first is interested in.
const AUDIENCE: usize = 64;
/// Providers that are being connected to for all sessions.
const MAX_DIALING: usize = 256;

impl Client {
    /// Finds peers for wants that nobody known to the session can serve.
    pub(super) fn discover(&mut self, session: SessionId, now: Instant) {
        let Some(state) = self.sessions.get(&session) else { return };
        let idle = now.saturating_duration_since(state.progress);
        let stalled = idle >= state.search_delay;
        let limit = if stalled { MORE_WANTS } else { FIRST_WANTS };
        let starving: Vec<WantId> = state
            .waiting
            .iter()
            .take(super::LOOK_AHEAD)
            .filter(|id| self.starves(session, **id))
            .take(limit)
            .copied()
            .collect();
        let may_ask = state.next_broadcast.is_none_or(|at| at <= now);
        if !starving.is_empty() && may_ask {
            for id in &starving {
                self.retell(*id, now);
                self.broadcast(*id, now);
            }
            if let Some(state) = self.sessions.get_mut(&session) {
                state.next_broadcast = Some(now + BROADCAST_DELAY);
            }
        }
        // Nobody is connected, or all who are said no: there is nothing to wait for. That shows once they were asked.
        let hopeless = starving
            .first()
            .and_then(|id| self.wants.get(id))
            .is_some_and(|w| w.unanswered == 0 && (may_ask || !w.told.is_empty()));
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let may_search = !state.searching && state.next_search.is_none_or(|at| at <= now);
        let head = starving.first().or_else(|| state.waiting.first()).or_else(|| state.flying.first()).copied();
        if may_search
            && (hopeless || stalled)
            && let Some(want) = head.and_then(|id| self.wants.get(&id))
        {
            state.searching = true;
            self.outputs.push_back(Output::FindProviders { session, cid: want.cid });
        }
    }

    /// Whether no peer of the session may have the block, as far as is known.
    fn starves(&self, session: SessionId, id: WantId) -> bool {
        let (Some(want), Some(state)) = (self.wants.get(&id), self.sessions.get(&session)) else { return false };
        let may = |p: &PeerId| {
            !want.dont_have.contains(p)
                && !want.asked_of(p)
                && self.peers.get(p).is_some_and(|s| s.connected && !s.stalled)
        };
        !state.peers.keys().any(may)
    }

    /// Asks some of the connected peers whether they have a block: friends, then those that were of use, then others
    /// by lot.
    fn broadcast(&mut self, id: WantId, now: Instant) {
        let Some(want) = self.wants.get(&id) else { return };
        if want.unanswered > 0 && self.config.broadcast <= want.told.len() {
            return;
        }
        let lot = want.lot;
        let mut peers: Vec<_> = self
            .peers
            .iter()
            .filter(|(p, s)| s.connected && s.is_trusted(now) && !want.told.contains(p) && !want.dont_have.contains(p))
            .map(|(p, s)| (!s.friend, std::cmp::Reverse(s.useful), short_peer(p) ^ u64::from(lot), *p))
            .collect();
        peers.sort_unstable();
        let friends = peers.iter().take_while(|(other, ..)| !other).count();
        peers.truncate(self.config.broadcast.max(friends));
        let mut strangers = 0;
        peers.retain(|(other, useful, ..)| {
            let stranger = *other && useful.0 == 0;
            strangers += usize::from(stranger);
            !stranger || strangers <= self.config.strangers
        });
        for (.., peer) in peers {
            self.tell(id, peer);
        }
    }

    /// Asks those once more who did not answer: the question may have been lost, or not been welcome at that time.
    fn retell(&mut self, id: WantId, now: Instant) {
        let Some(want) = self.wants.get_mut(&id).filter(|w| w.retell.0 <= now) else { return };
        let pause = want.retell.1;
        want.retell = (now + pause, (2 * pause).min(MAX_SEARCH_DELAY));
        let silent = |p: &&PeerId| !want.have.contains(p) && !want.dont_have.contains(p);
        let silent: Vec<PeerId> = want.told.iter().filter(silent).copied().collect();
        for peer in silent {
            if let Some(want) = self.wants.get_mut(&id) {
                want.told.remove(&peer);
                want.unanswered = want.unanswered.saturating_sub(1);
            }
            self.tell(id, peer);
        }
    }

    /// One of several connections to a peer ended. What was written to it last may never have arrived, and answers may
    /// have been lost with it: what is open there is asked once more over those that are left.
    pub fn on_connection_lost(&mut self, peer: &PeerId) {
        let told =
            |want: &Want| want.told.contains(peer) && !want.have.contains(peer) && !want.dont_have.contains(peer);
        let silent: Vec<WantId> = self.wants.iter().filter(|(_, want)| told(want)).map(|(id, _)| *id).collect();
        let Some(state) = self.peers.get_mut(peer) else { return };
        for id in &state.asked {
            if let Some(want) = self.wants.get(id) {
                let again = Entry::want(want.cid, WantType::Block, priority(want.urged.unwrap_or(*id)));
                state.outbox.entry(want.cid).or_insert(again);
            }
        }
        for id in silent {
            if let Some(want) = self.wants.get_mut(&id) {
                want.told.remove(peer);
                want.unanswered = want.unanswered.saturating_sub(1);
            }
            self.tell(id, *peer);
        }
    }

    /// Asks a peer whether it has a block, once.
    pub(super) fn tell(&mut self, id: WantId, peer: PeerId) {
        let (Some(want), Some(state)) = (self.wants.get_mut(&id), self.peers.get_mut(&peer)) else { return };
        if !want.told.insert(peer) {
            return;
        }
        if !want.have.contains(&peer) && !want.dont_have.contains(&peer) {
            want.unanswered += 1;
        }
        state.known.insert(short(want.cid.hash()));
        if !want.asks.iter().any(|ask| ask.peer == peer) {
            // A peer that does not know the question is asked for the block.
            let kind = if state.old { WantType::Block } else { WantType::Have };
            let entry = Entry::want(want.cid, kind, priority(id));
            let queued = state.outbox.entry(want.cid).or_insert_with(|| entry.clone());
            if queued.cancel {
                *queued = entry;
            }
        }
    }

    /// Peers that are told what a session wants next.
    pub(super) fn audience(&self, session: SessionId, now: Instant) -> Vec<PeerId> {
        let members = self.sessions.get(&session).into_iter().flat_map(|s| s.peers.keys());
        let others = self.peers.iter().filter(|(_, s)| s.connected && s.is_trusted(now)).map(|(p, _)| p);
        let mut peers: Vec<PeerId> = Vec::new();
        for peer in members.chain(others) {
            let old = self.peers.get(peer).is_none_or(|s| s.old);
            if peers.len() < AUDIENCE && !old && !peers.contains(peer) {
                peers.push(*peer);
            }
        }
        peers
    }

    /// A peer that connected a moment ago is asked for what nobody had.
    pub(super) fn ask_newcomer(&mut self, peer: PeerId) {
        let sessions: Vec<SessionId> = self.sessions.iter().filter(|(_, s)| !s.is_idle()).map(|(id, _)| *id).collect();
        for session in sessions {
            let Some(state) = self.sessions.get(&session) else { continue };
            let ids: Vec<WantId> =
                state.waiting.iter().filter(|id| self.starves(session, **id)).take(FIRST_WANTS).copied().collect();
            for id in ids {
                self.tell(id, peer);
            }
        }
    }

    /// A search found a provider. At [`MAX_DIALING`] providers that are being connected to, further ones are ignored.
    pub fn on_provider(&mut self, session: SessionId, cid: &Cid, peer: PeerId, addrs: Vec<Multiaddr>) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        // Of what has come meanwhile no want is left: it is likely to have what the session wants next.
        let id = self.by_hash.get(cid.hash()).copied().unwrap_or_default();
        if self.peers.get(&peer).is_some_and(|p| p.connected) {
            self.has(peer, session, id);
        } else if self.dialing.len() < MAX_DIALING || self.dialing.contains_key(&peer) {
            self.dialing.entry(peer).or_default().insert((session, id));
            self.outputs.push_back(Output::Connect { peer, addrs });
        }
    }

    /// A provider can't be reached.
    pub fn on_dial_failed(&mut self, peer: &PeerId) {
        self.stale = true;
        self.dialing.remove(peer);
    }

    /// A search ended.
    pub fn on_search_end(&mut self, session: SessionId, now: Instant) {
        self.stale = true;
        if let Some(state) = self.sessions.get_mut(&session) {
            state.searching = false;
            state.next_search = Some(now + state.search_delay);
            state.search_delay = (2 * state.search_delay).min(MAX_SEARCH_DELAY);
        }
    }
}

fn short_peer(peer: &PeerId) -> u64 {
    let bytes = peer.to_bytes();
    let mut tail = [0; 8];
    let len = bytes.len().min(8);
    tail[..len].copy_from_slice(&bytes[bytes.len() - len..]);
    u64::from_le_bytes(tail)
}
