//! Cancels: which can wait, and which are told twice.
//!
//! Messages go over a direct connection as soon as there is one. What is on its way over a relayed one may then arrive
//! after what was sent later, and a cancel that comes before its want leaves the want standing: the peer would send what
//! nobody needs. So for a while after another connection was made cancels are remembered, and told once more at its end.

use super::Client;
use crate::bitswap::{message::Entry, session::Peer};
use libp2p::PeerId;
use std::time::{Duration, Instant};

/// Time for which messages over different connections may overtake each other.
pub(super) const CROSSING: Duration = Duration::from_secs(5);
/// Cancels that are remembered for a peer meanwhile; further ones are told once.
const MAX_CROSSED: usize = 4096;

impl Peer {
    /// Notes which of these cancels are to be told once more.
    pub(super) fn note_cancels(&mut self, entries: &[Entry]) {
        if self.crossing.is_some() {
            let room = MAX_CROSSED.saturating_sub(self.crossed.len());
            self.crossed.extend(entries.iter().filter(|entry| entry.cancel).map(|entry| entry.cid).take(room));
        }
    }
}

impl Client {
    /// There is one more connection to a peer.
    pub fn on_another_connection(&mut self, peer: &PeerId, now: Instant) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.crossing = Some(now + CROSSING);
        }
    }

    /// Cancels that could wait so far, and those that are to be told once more: they are sent with the next
    /// [`Client::take_messages`].
    pub fn flush_cancels(&mut self, now: Instant) {
        for (id, peer) in &mut self.peers {
            if peer.crossing.is_some_and(|until| until <= now) {
                peer.crossing = None;
                for cid in std::mem::take(&mut peer.crossed) {
                    let want = self.by_hash.get(cid.hash()).and_then(|want| self.wants.get(want));
                    // What it was asked for again meanwhile stands.
                    if want.is_none_or(|want| !want.asked_of(id) && !want.told.contains(id)) {
                        peer.outbox.entry(cid).or_insert_with(|| Entry::cancel(cid));
                    }
                }
            }
            peer.cancel_now();
        }
    }

    /// Whether a connected peer is still to be told of a cancel.
    pub fn owes_cancels(&self) -> bool {
        self.peers.values().any(|peer| peer.connected && !(peer.later.is_empty() && peer.crossed.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            ClientConfig, Urgency,
            simulation::{cid, peer},
        },
        *,
    };
    use crate::bitswap::session::Order;
    use cairn_store::Cid;

    /// What a peer is sent: what is asked of it, and what is cancelled.
    fn sent(client: &mut Client) -> (Vec<Cid>, Vec<Cid>) {
        let entries: Vec<Entry> = client.take_messages().into_iter().flat_map(|(_, entries)| entries).collect();
        let (cancels, wants): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.cancel);
        let cids = |list: Vec<Entry>| list.into_iter().map(|entry| entry.cid).collect();
        (cids(wants), cids(cancels))
    }

    #[test]
    fn cancels_are_told_twice_while_messages_may_overtake_each_other() {
        let (mut client, now) = (Client::new(ClientConfig::default(), 1), Instant::now());
        client.on_connected(peer(1), false);
        client.open(1, Order::Sequential, now);
        client.open(2, Order::Sequential, now);
        let ask = |client: &mut Client, session, n| {
            client.want(session, &cid(n), Urgency::Awaited, now);
            client.poll(now);
            sent(client)
        };
        assert_eq!(ask(&mut client, 1, 1), (vec![cid(1)], vec![]));
        assert_eq!(ask(&mut client, 2, 2), (vec![cid(2)], vec![]));
        client.on_another_connection(&peer(1), now);
        client.cancel(1, &cid(1));
        client.cancel(2, &cid(2));
        client.flush_cancels(now);
        assert_eq!(sent(&mut client).1.len(), 2);
        assert!(client.owes_cancels());
        client.open(3, Order::Sequential, now);
        assert_eq!(ask(&mut client, 3, 2), (vec![cid(2)], vec![]), "wanted again");
        client.flush_cancels(now + CROSSING / 2);
        assert_eq!(sent(&mut client), (vec![], vec![]), "not yet");
        client.flush_cancels(now + CROSSING);
        assert_eq!(sent(&mut client), (vec![], vec![cid(1)]));
        client.cancel(3, &cid(2));
        client.flush_cancels(now + CROSSING);
        assert_eq!(sent(&mut client), (vec![], vec![cid(2)]));
        client.flush_cancels(now + 3 * CROSSING);
        assert_eq!(sent(&mut client), (vec![], vec![]), "told once again");
        assert!(!client.owes_cancels());
    }
}
