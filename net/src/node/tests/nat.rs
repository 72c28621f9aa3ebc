//! Relays and reachability, on loopback. Real NATs are for a test with network namespaces.

use super::*;
use libp2p::multiaddr::Protocol;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";

/// A relay that says where it is: nobody can find out from outside.
async fn relay() -> (Node, Multiaddr) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let at = addr(&format!("/ip4/127.0.0.1/tcp/{port}"));
    let mut config = Config::listening([at.clone()]);
    config.announce.besides = vec![at.clone()];
    config.nat.relay_service = Some(config::RelayService::default());
    let relay = start(config).await;
    let at = at.with(Protocol::P2p(relay.peer_id()));
    (relay, at)
}

fn behind(relay: &Multiaddr, punch: bool) -> Config {
    let mut config = Config::listening([addr(TCP)]);
    config.nat.relay_client = Some(config::RelayClient { static_relays: vec![relay.clone()] });
    config.nat.hole_punching = punch;
    config
}

async fn relayed(node: &Node) -> Multiaddr {
    let find = || async { node.addresses().await.into_iter().find(is_relayed) };
    until("a place at the relay", || async { find().await.is_some() }).await;
    find().await.expect("just seen")
}

#[tokio::test]
async fn nodes_meet_through_a_relay() {
    let (relay, at) = relay().await;
    let (hidden, caller) = (start(behind(&at, false)).await, start(behind(&at, false)).await);
    let way = relayed(&hidden).await;
    assert!(hidden.protection().is_protected(&relay.peer_id()), "losing the relay is losing the place");
    caller.connect(hidden.peer_id(), vec![way], deadline()).await.expect("a connection");
    let seen = caller.peers().await.into_iter().find(|info| info.peer == hidden.peer_id()).expect("connected");
    assert!(is_relayed(&seen.addr), "{}", seen.addr);
    caller.ping(hidden.peer_id()).await.expect("an answer through the relay");
}

#[tokio::test]
async fn a_relayed_connection_becomes_a_direct_one() {
    let (_relay, at) = relay().await;
    let (hidden, caller) = (start(behind(&at, true)).await, start(behind(&at, true)).await);
    let way = relayed(&hidden).await;
    caller.connect(hidden.peer_id(), vec![way], deadline()).await.expect("a connection");
    until("a direct connection", || async {
        let peers = caller.peers().await;
        let all = peers.iter().filter(|info| info.peer == hidden.peer_id()).flat_map(|info| &info.connections);
        all.into_iter().any(|connection| !is_relayed(&connection.addr))
    })
    .await;
}

#[tokio::test]
async fn a_relay_gives_only_so_many_places() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let at = addr(&format!("/ip4/127.0.0.1/tcp/{port}"));
    let mut config = Config::listening([at.clone()]);
    config.announce.besides = vec![at.clone()];
    config.nat.relay_service = Some(config::RelayService { reservations: 1, ..config::RelayService::default() });
    let full = start(config).await;
    let at = at.with(Protocol::P2p(full.peer_id()));
    let first = start(behind(&at, false)).await;
    relayed(&first).await;
    let second = start(behind(&at, false)).await;
    until("the second asked", || async { second.peers().await.iter().any(|p| p.peer == full.peer_id()) }).await;
    identified(&second).await;
    assert!(!second.addresses().await.iter().any(is_relayed));
}

#[tokio::test]
async fn a_node_that_is_reached_in_its_own_network_only_relays_for_nobody() {
    let mut config = Config::listening([addr(TCP)]);
    config.nat.relay_service = Some(config::RelayService::default());
    let mut judge = Config::listening([addr(TCP)]);
    judge.nat.autonat_server = true;
    let (node, judge, other) = (start(config).await, start(judge).await, start_at(TCP).await);
    connect(&node, &judge).await;
    until("a confirmed address", || async { node.metrics().contains("libp2p_swarm_external_addr_confirmed_total{") })
        .await;
    connect(&other, &node).await;
    let heard = identified(&other).await.protocols;
    assert!(!heard.iter().any(|protocol| protocol.ends_with("/hop")), "{heard:?}");
}

#[tokio::test]
async fn others_find_out_whether_a_node_can_be_reached() {
    let mut config = Config::listening([addr(TCP)]);
    config.nat.autonat_server = true;
    let (server, node) = (start(config).await, start_at(TCP).await);
    connect(&node, &server).await;
    until("a confirmed address", || async { node.metrics().contains("libp2p_swarm_external_addr_confirmed_total{") })
        .await;
    // Reachable, but on loopback: that is not the internet.
    assert_ne!(*node.reachability().borrow(), Reachability::Public);
}
