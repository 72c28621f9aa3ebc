//! Who enters the routing tables, by what peers say of themselves.

use crate::dht::{self, Behaviour, Config, Mode, Net};
use cairn_store::kv::MemoryKv;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{Endpoint, transport::ListenerId},
    identify,
    identity::Keypair,
    swarm::{ConnectionId, FromSwarm, NetworkBehaviour as _, NewListenAddr, behaviour::ExternalAddrConfirmed},
};
use std::{collections::HashMap, sync::Arc};

const REMOTE: &str = "/ip4/192.168.1.7/tcp/50000";

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn behaviour() -> Behaviour {
    let config = Config { wan: Some(Mode::Server), lan: Some(Mode::Server), ..Config::default() };
    dht::new(config, &Keypair::generate_ed25519(), Arc::new(MemoryKv::default())).0
}

/// A peer that says this, and its id.
fn said(addrs: &[&str], protocols: &[&'static str]) -> (PeerId, identify::Info) {
    let public_key = Keypair::generate_ed25519().public();
    let info = identify::Info {
        protocol_version: "ipfs/0.1.0".into(),
        agent_version: "test".into(),
        listen_addrs: addrs.iter().map(|a| a.parse().expect("an address")).collect(),
        protocols: protocols.iter().map(|p| StreamProtocol::new(p)).collect(),
        observed_addr: "/ip4/9.9.9.9/tcp/1".parse().expect("an address"),
        signed_peer_record: None,
        public_key,
    };
    (info.public_key.to_peer_id(), info)
}

fn members(behaviour: &mut Behaviour, net: Net) -> Vec<PeerId> {
    behaviour.stats(net).expect("on").buckets.into_iter().flat_map(|b| b.peers).collect()
}

const WAN: &str = "/ipfs/kad/1.0.0";
const LAN: &str = "/ipfs/lan/kad/1.0.0";

#[tokio::test]
async fn a_table_takes_servers_with_addresses_of_its_kind() {
    let mut dht = behaviour();
    let public = "/ip4/1.2.3.4/tcp/4001";
    let private = "/ip4/192.168.1.2/tcp/4001";
    let (both, info) = said(&[public, private], &[WAN, LAN]);
    dht.identified(both, &info, &addr(REMOTE));
    assert_eq!((members(&mut dht, Net::Wan), members(&mut dht, Net::Lan)), (vec![both], vec![both]));
    for (addrs, protocols) in [
        (&[private][..], &[WAN][..]),
        (&[public], &[LAN]),
        (&[public, private], &["/ipfs/id/1.0.0"]),
        (&[], &[WAN, LAN]),
    ] {
        let (peer, info) = said(addrs, protocols);
        dht.identified(peer, &info, &addr(REMOTE));
        assert_eq!(members(&mut dht, Net::Wan).len(), 1, "{addrs:?} {protocols:?}");
        assert_eq!(members(&mut dht, Net::Lan).len(), 1, "{addrs:?} {protocols:?}");
    }
    // What somebody says with another's key is not believed.
    let (_, stolen) = said(&["/ip4/7.7.7.7/tcp/1"], &[WAN]);
    dht.identified(PeerId::random(), &stolen, &addr(REMOTE));
    assert_eq!(members(&mut dht, Net::Wan), [both]);
    // A server that became a client leaves.
    dht.identified(both, &identify::Info { protocols: Vec::new(), ..info }, &addr(REMOTE));
    assert_eq!((members(&mut dht, Net::Wan), members(&mut dht, Net::Lan)), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_public_table_stays_diverse_and_a_local_one_need_not() {
    let mut dht = behaviour();
    let mut crowd = Vec::new();
    for n in 0..40 {
        // Each says that it is elsewhere; where it is connected from counts.
        let (peer, info) = said(&[&format!("/ip4/{}.6.1.1/tcp/1", n + 20)], &[WAN]);
        dht.identified(peer, &info, &addr(&format!("/ip4/6.6.{n}.1/tcp/1")));
        crowd.push(peer);
        let (peer, info) = said(&[&format!("/ip4/10.0.{n}.1/tcp/1")], &[LAN]);
        dht.identified(peer, &info, &addr(&format!("/ip4/10.0.{n}.1/tcp/1")));
    }
    let stats = dht.stats(Net::Wan).expect("on");
    let mut per_bucket: HashMap<usize, usize> = HashMap::new();
    for bucket in &stats.buckets {
        *per_bucket.entry(bucket.shared_bits).or_default() += bucket.peers.len();
    }
    assert_eq!(per_bucket.values().sum::<usize>(), 3, "three of one /16");
    assert!(per_bucket.values().all(|n| *n <= 2), "two in one bucket: {per_bucket:?}");
    assert!(members(&mut dht, Net::Lan).len() > 20);
    for n in 0..10 {
        // All say that they are where the crowd is.
        let (peer, info) = said(&["/ip4/6.6.1.1/tcp/1"], &[WAN]);
        dht.identified(peer, &info, &addr(&format!("/ip4/{}.1.1.1/tcp/1", 30 + n)));
        assert!(members(&mut dht, Net::Wan).contains(&peer), "others still enter");
    }
    let (peer, info) = said(&["/ip4/60.1.1.1/tcp/1"], &[WAN]);
    dht.identified(peer, &info, &addr(&format!("/ip4/61.1.1.1/tcp/1/p2p/{}/p2p-circuit", PeerId::random())));
    assert!(!members(&mut dht, Net::Wan).contains(&peer), "behind a relay nobody knows where it is");
    // The same peer again takes no second place.
    let again = members(&mut dht, Net::Wan).into_iter().find(|p| crowd.contains(p)).expect("three are in");
    assert_eq!(members(&mut dht, Net::Wan).iter().filter(|p| **p == again).count(), 1);
}

#[tokio::test]
async fn a_peer_of_the_internet_is_not_in_the_local_table() {
    let mut dht = behaviour();
    // As every node behind a NAT says of itself.
    let (peer, info) = said(&["/ip4/1.2.3.4/tcp/4001", "/ip4/192.168.0.2/tcp/4001"], &[WAN, LAN]);
    dht.identified(peer, &info, &addr("/ip4/1.2.3.4/tcp/4001"));
    assert_eq!((members(&mut dht, Net::Wan), members(&mut dht, Net::Lan)), (vec![peer], vec![]));
    assert_eq!(dht.addresses_of(&peer), [addr("/ip4/1.2.3.4/tcp/4001")], "its own network is not passed on");
    dht.identified(peer, &info, &addr(&format!("/ip4/10.0.0.1/tcp/1/p2p/{}/p2p-circuit", PeerId::random())));
    assert_eq!(members(&mut dht, Net::Lan), []);
    dht.identified(peer, &info, &addr("/ip4/192.168.0.2/tcp/4001"));
    assert_eq!(members(&mut dht, Net::Lan), [peer]);
}

#[tokio::test]
async fn a_member_has_the_addresses_that_it_lists_now() {
    let mut dht = behaviour();
    let (peer, info) = said(&["/ip4/1.2.3.4/tcp/1"], &[WAN]);
    for n in 1..100 {
        let listen_addrs = vec![addr(&format!("/ip4/1.2.3.4/tcp/{n}")), addr(&format!("/ip4/1.2.3.4/udp/{n}/quic-v1"))];
        let info = identify::Info { listen_addrs: listen_addrs.clone(), ..info.clone() };
        dht.identified(peer, &info, &addr("/ip4/1.2.3.4/tcp/5"));
        assert_eq!(dht.table_addresses(&peer), listen_addrs);
    }
}

#[tokio::test]
async fn what_is_not_announced_is_not_known_to_others() {
    let private = addr("/ip4/10.0.0.1/tcp/1");
    let never = private.clone();
    let config = Config { announces: Arc::new(move |addr| *addr != never), ..Config::default() };
    let (mut dht, _handle) = dht::new(config, &Keypair::generate_ed25519(), Arc::new(MemoryKv::default()));
    let public = addr("/ip4/1.2.3.4/tcp/1");
    for addr in [&private, &public] {
        let listener_id = ListenerId::next();
        dht.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr }));
        dht.on_swarm_event(FromSwarm::ExternalAddrConfirmed(ExternalAddrConfirmed { addr }));
    }
    assert_eq!(dht.own_addresses(), [public]);
}

#[tokio::test]
async fn what_strangers_say_where_a_peer_is_is_dialled_within_bounds() {
    let mut dht = behaviour();
    let peer = PeerId::random();
    let kad = dht.inner.kad(Net::Wan).expect("on");
    // libp2p-kad takes what the answers to its own walks say as it takes this.
    kad.add_address(&peer, addr("/ip4/192.168.0.1/tcp/22"));
    kad.add_address(&peer, addr("/ip4/127.0.0.1/tcp/5001"));
    for n in 1..100 {
        kad.add_address(&peer, addr(&format!("/ip4/1.2.3.{n}/tcp/1")));
    }
    let connection = ConnectionId::new_unchecked(1);
    let found = dht.handle_pending_outbound_connection(connection, Some(peer), &[], Endpoint::Dialer);
    let found = found.expect("the DHT denies no dial");
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|addr| addr.to_string().starts_with("/ip4/1.2.3.")), "{found:?}");
}
