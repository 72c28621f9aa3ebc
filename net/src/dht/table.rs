//! The routing table of one DHT: libp2p-kad set up for the public network, and what may enter.
//!
//! libp2p-kad runs as a client always: it keeps the table and refreshes it. Others are answered by [`super::serve`].

use super::{
    Config, Net,
    diversity::{self, Group},
    key::Id,
    message::without_peer,
    query::lookup::{ALPHA, K},
};
use crate::{
    addr::{is_relayed, scope},
    routing::Provider,
};
use libp2p::{
    Multiaddr, PeerId,
    kad::{self, store::MemoryStore},
};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    time::Duration,
};

/// Addresses of one peer in the routing table; the rest is not taken.
pub(super) const MAX_PEER_ADDRS: usize = 8;
/// Largest answer that a refresh reads.
const MAX_ANSWER: usize = 64 * 1024;
/// Time for one of libp2p-kad's own walks, which are refreshes.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) type Kad = kad::Behaviour<MemoryStore>;

/// libp2p-kad with the settings of the public network.
pub(super) fn kad(config: &Config, net: Net, local: PeerId) -> Kad {
    let mut settings = kad::Config::new(net.protocol());
    settings
        .set_replication_factor(NonZeroUsize::new(K).unwrap_or(kad::K_VALUE))
        .set_parallelism(NonZeroUsize::new(ALPHA).unwrap_or(kad::ALPHA_VALUE))
        .disjoint_query_paths(true)
        .set_query_timeout(REFRESH_TIMEOUT)
        .set_max_packet_size(MAX_ANSWER)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .set_periodic_bootstrap_interval(Some(config.refresh))
        // Its store stays empty.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None);
    let mut kad = Kad::with_config(local, MemoryStore::new(local), settings);
    kad.set_mode(Some(kad::Mode::Client));
    kad
}

/// The networks that members of a table were connected from when they entered.
#[derive(Default)]
pub(super) struct Groups(HashMap<PeerId, Group>);

/// Peers whose group is remembered before those that left the table are looked for. A table of the public network has
/// some 300.
const MAX_GROUPS: usize = 2048;

impl Groups {
    /// Whether a table stays diverse with one more peer, connected from this address; if so, the peer is counted.
    pub(super) fn admit(&mut self, kad: &mut Kad, peer: PeerId, remote: &Multiaddr) -> bool {
        // All peers of a relay would be of one group.
        let Some(group) = diversity::group(remote).filter(|_| !is_relayed(remote)) else { return false };
        // A bucket holds the distances between two powers of two, so the lower one names it.
        let Some(here) = kad.kbucket(peer).map(|b| b.range().0.ilog2()) else { return false };
        let mut members = HashSet::new();
        let mut rows = Vec::new();
        for bucket in kad.kbuckets() {
            let at = bucket.range().0.ilog2();
            for entry in bucket.iter() {
                let member = *entry.node.key.preimage();
                members.insert(member);
                if member != peer {
                    let theirs = match self.0.get(&member) {
                        Some(group) => vec![*group],
                        None => diversity::groups(&entry.node.value.iter().cloned().collect::<Vec<_>>())
                            .into_iter()
                            .collect(),
                    };
                    rows.push((at, theirs));
                }
            }
        }
        let admitted = diversity::admits(rows.into_iter(), here, group);
        if admitted {
            if self.0.len() >= MAX_GROUPS {
                self.0.retain(|peer, _| members.contains(peer));
            }
            self.0.insert(peer, group);
        }
        admitted
    }
}

/// Gives a member these addresses and no others. At least one.
pub(super) fn set_addresses(kad: &mut Kad, peer: &PeerId, addrs: &[Multiaddr]) {
    for addr in addrs {
        kad.add_address(peer, addr.clone());
    }
    for old in entry_of(kad, peer).iter().filter(|old| !addrs.contains(old)) {
        kad.remove_address(peer, old);
    }
}

/// A member's addresses; none of a peer that is not in the table.
pub(super) fn entry_of(kad: &mut Kad, peer: &PeerId) -> Vec<Multiaddr> {
    let Some(bucket) = kad.kbucket(*peer) else { return Vec::new() };
    let entry = bucket.iter().find(|entry| entry.node.key.preimage() == peer);
    entry.map(|entry| plain(entry.node.value, peer).collect()).unwrap_or_default()
}

fn id<T>(key: &kad::KBucketKey<T>) -> Id {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.hashed_bytes());
    Id(bytes)
}

/// Addresses without the peer at their end.
pub(super) fn plain<'a>(addrs: &'a kad::Addresses, peer: &'a PeerId) -> impl Iterator<Item = Multiaddr> + 'a {
    addrs.iter().filter_map(|addr| without_peer(addr.clone(), peer))
}

/// libp2p-kad orders by the hash of a preimage, which a point of the keyspace does not have; a table is small enough to
/// be sorted.
pub(super) fn nearest(kad: &mut Kad, target: &Id, count: usize) -> Vec<Provider> {
    let mut order: Vec<Id> = Vec::new();
    for bucket in kad.kbuckets() {
        order.extend(bucket.iter().map(|e| id(e.node.key).distance(target)));
    }
    order.sort_unstable();
    order.truncate(count);
    let Some(farthest) = order.last() else { return Vec::new() };
    let mut peers: Vec<(Id, Provider)> = Vec::with_capacity(order.len());
    for bucket in kad.kbuckets() {
        for entry in bucket.iter() {
            let distance = id(entry.node.key).distance(target);
            if distance <= *farthest {
                let peer = *entry.node.key.preimage();
                peers.push((distance, Provider { peer, addrs: plain(entry.node.value, &peer).collect() }));
            }
        }
    }
    peers.sort_unstable_by_key(|(distance, _)| *distance);
    peers.into_iter().map(|(_, contact)| contact).collect()
}

/// Where connected peers say that they are, to answer "where is it" for peers that are in no table.
#[derive(Default)]
pub(super) struct ConnectedAddrs(HashMap<PeerId, Vec<Multiaddr>>);

/// Peers whose addresses are remembered while they are connected; more are not.
const MAX_CONNECTED: usize = 4096;

impl ConnectedAddrs {
    /// `remote` is where the peer is connected from: one elsewhere can't be reached at a loopback address, and one in the
    /// internet not at a private one.
    pub(super) fn identified(&mut self, peer: PeerId, addrs: &[Multiaddr], remote: &Multiaddr) {
        if self.0.len() < MAX_CONNECTED || self.0.contains_key(&peer) {
            let floor = scope(remote);
            let own = addrs.iter().filter_map(|a| without_peer(a.clone(), &peer)).filter(|a| scope(a) >= floor);
            self.0.insert(peer, own.take(MAX_PEER_ADDRS * 2).collect());
        }
    }

    pub(super) fn of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.0.get(peer).cloned().unwrap_or_default()
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }
}
