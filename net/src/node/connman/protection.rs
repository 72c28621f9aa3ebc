//! Which peers matter, and how much.

use super::Worth;
use libp2p::PeerId;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Peers that may be known here; further ones are neither protected nor valued.
const MAX_PEERS: usize = 16_384;

#[derive(Debug, Default)]
struct Entry {
    protected: HashSet<&'static str>,
    values: HashMap<&'static str, i32>,
}

/// Says which peers the connection manager keeps. Each user has a tag of its own, so that one does not undo what
/// another said.
#[derive(Debug, Clone, Default)]
pub struct Protection(Arc<Mutex<HashMap<PeerId, Entry>>>);

impl Protection {
    fn change(&self, peer: PeerId, change: impl FnOnce(&mut Entry)) -> bool {
        let mut peers = self.0.lock();
        if peers.len() >= MAX_PEERS && !peers.contains_key(&peer) {
            return false;
        }
        let entry = peers.entry(peer).or_default();
        change(entry);
        if entry.protected.is_empty() && entry.values.is_empty() {
            peers.remove(&peer);
        }
        true
    }

    /// Keeps a peer's connections. `false`: there are too many such peers.
    pub fn protect(&self, peer: PeerId, tag: &'static str) -> bool {
        self.change(peer, |entry| {
            entry.protected.insert(tag);
        })
    }

    /// Takes back [`Protection::protect`] of that tag.
    pub fn unprotect(&self, peer: PeerId, tag: &'static str) {
        self.change(peer, |entry| {
            entry.protected.remove(tag);
        });
    }

    /// Says how much a peer is worth to whom the tag stands for; 0 takes it back. `false`: there are too many peers.
    pub fn set_value(&self, peer: PeerId, tag: &'static str, value: i32) -> bool {
        self.change(peer, |entry| match value {
            0 => _ = entry.values.remove(tag),
            value => _ = entry.values.insert(tag, value),
        })
    }

    /// Whether somebody protects a peer.
    pub fn is_protected(&self, peer: &PeerId) -> bool {
        self.worth(peer).protected
    }

    /// What a peer is worth.
    pub fn worth(&self, peer: &PeerId) -> Worth {
        match self.0.lock().get(peer) {
            None => Worth { protected: false, value: 0 },
            Some(entry) => Worth {
                protected: !entry.protected.is_empty(),
                value: entry.values.values().map(|value| i64::from(*value)).sum(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_do_not_undo_each_other() {
        let (all, peer) = (Protection::default(), PeerId::random());
        assert!(all.protect(peer, "peering") && all.protect(peer, "bitswap"));
        all.unprotect(peer, "bitswap");
        assert!(all.is_protected(&peer));
        all.unprotect(peer, "peering");
        assert!(!all.is_protected(&peer));
        assert!(all.set_value(peer, "dht", 5) && all.set_value(peer, "bitswap", -2));
        assert_eq!(all.worth(&peer).value, 3);
        assert!(all.set_value(peer, "dht", 0) && all.set_value(peer, "bitswap", 0));
        assert!(all.0.lock().is_empty(), "what nobody needs is forgotten");
    }
}
