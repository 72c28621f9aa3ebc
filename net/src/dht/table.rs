//! The routing table of one DHT: libp2p-kad set up for the public network, and what may enter.

use super::{
    Config, Mode, Net,
    disk::Journal,
    diversity,
    key::Id,
    message::without_peer,
    query::lookup::{ALPHA, K},
    records::Records,
};
use crate::routing::Provider;
use libp2p::{Multiaddr, PeerId, kad};
use std::{collections::HashMap, num::NonZeroUsize, sync::Arc, time::Duration};

/// Addresses of one peer in the routing table; the rest is not taken.
pub(super) const MAX_PEER_ADDRS: usize = 8;
/// Largest message that is answered. The largest that is asked in earnest is an IPNS record of 10 KiB.
const MAX_INBOUND: usize = 64 * 1024;
/// Time for one of libp2p-kad's own walks, which are refreshes.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) type Kad = kad::Behaviour<Records>;

/// libp2p-kad with the settings of the public network.
pub(super) fn kad(config: &Config, net: Net, local: PeerId, journal: Journal, mode: Mode) -> Kad {
    let records = Records::new(
        net,
        &local,
        config.max_provider_records,
        Arc::clone(&config.validator),
        Arc::clone(&config.clock),
        journal,
    );
    let mut settings = kad::Config::new(net.protocol());
    settings
        .set_replication_factor(NonZeroUsize::new(K).unwrap_or(kad::K_VALUE))
        .set_parallelism(NonZeroUsize::new(ALPHA).unwrap_or(kad::ALPHA_VALUE))
        .disjoint_query_paths(true)
        .set_query_timeout(REFRESH_TIMEOUT)
        .set_max_packet_size(MAX_INBOUND)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .set_periodic_bootstrap_interval(Some(config.refresh))
        // Publishers republish; a node that republished for others would keep dead records alive.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None);
    let mut kad = Kad::with_config(local, records, settings);
    kad.set_mode(Some(kad_mode(mode)));
    kad
}

/// The mode in its terms.
pub(super) fn kad_mode(mode: Mode) -> kad::Mode {
    match mode {
        Mode::Client => kad::Mode::Client,
        Mode::Server => kad::Mode::Server,
    }
}

/// Whether a table stays diverse with one more peer.
pub(super) fn is_diverse(kad: &mut Kad, net: Net, peer: &PeerId, addrs: &[Multiaddr]) -> bool {
    // All of a local network is one group.
    if net == Net::Lan {
        return true;
    }
    // A bucket holds the distances between two powers of two, so the lower one names it.
    let Some(here) = kad.kbucket(*peer).map(|b| b.range().0.ilog2()) else { return false };
    let rows: Vec<(Option<u32>, Vec<Multiaddr>)> = kad
        .kbuckets()
        .flat_map(|b| {
            let at = b.range().0.ilog2();
            b.iter()
                .filter(|e| e.node.key.preimage() != peer)
                .map(|e| (at, e.node.value.iter().cloned().collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        })
        .collect();
    diversity::admits(rows.iter().map(|(at, addrs)| (*at, addrs.iter().collect())), here, addrs)
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
    let mut peers: Vec<(Id, Provider)> = Vec::new();
    for bucket in kad.kbuckets() {
        for entry in bucket.iter() {
            let peer = *entry.node.key.preimage();
            let contact = Provider { peer, addrs: plain(entry.node.value, &peer).collect() };
            peers.push((id(entry.node.key).distance(target), contact));
        }
    }
    peers.sort_by_key(|(distance, _)| *distance);
    peers.into_iter().take(count).map(|(_, contact)| contact).collect()
}

/// Addresses that peers are connected at, to answer "where is it" for peers that are in no table.
#[derive(Default)]
pub(super) struct ConnectedAddrs(HashMap<PeerId, Vec<Multiaddr>>);

/// Peers whose addresses are remembered while they are connected; more are not.
const MAX_CONNECTED: usize = 4096;

impl ConnectedAddrs {
    pub(super) fn identified(&mut self, peer: PeerId, addrs: &[Multiaddr]) {
        if self.0.len() < MAX_CONNECTED || self.0.contains_key(&peer) {
            let own = addrs.iter().filter_map(|a| without_peer(a.clone(), &peer));
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
