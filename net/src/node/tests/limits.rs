//! Who gets in, and who stays.

use super::*;
use libp2p::multiaddr::Protocol;

fn loopback() -> Config {
    Config::listening([addr("/ip4/127.0.0.1/tcp/0")])
}

#[tokio::test]
async fn filtered_networks_are_neither_dialed_nor_let_in() {
    let mut config = loopback();
    config.filters = vec!["/ip4/127.0.0.0/ipcidr/8".parse().expect("a mask")];
    let (closed, open) = (start(config).await, start(loopback()).await);
    let out = closed.connect(open.peer_id(), open.listeners().await, deadline()).await;
    assert!(matches!(out, Err(NodeError::Dial { .. })), "{out:?}");
    // The TCP connection is made, and closed before the handshake.
    let into = open.connect(closed.peer_id(), closed.listeners().await, deadline()).await;
    assert!(into.is_err(), "{into:?}");
    // A name does not get round it.
    let name: Vec<_> =
        open.listeners().await.iter().map(|a| a.replace(0, |_| Some(Protocol::Dns4("localhost".into())))).collect();
    let named = closed.connect(open.peer_id(), name.into_iter().flatten().collect(), deadline()).await;
    assert!(named.is_err(), "{named:?}");
    let mask = closed.filters().list()[0];
    assert!(closed.filters().remove(&mask) && closed.filters().list().is_empty());
    connect(&closed, &open).await;
}

#[tokio::test]
async fn a_blocked_peer_is_disconnected_and_stays_out() {
    let (one, two) = (start(loopback()).await, start(loopback()).await);
    connect(&one, &two).await;
    assert!(one.block(two.peer_id()).await);
    until_connected(&one, 0).await;
    assert!(one.connect(two.peer_id(), two.listeners().await, deadline()).await.is_err());
    // The other side may see the connection for a moment.
    let _ = two.connect(one.peer_id(), one.listeners().await, deadline()).await;
    until_connected(&two, 0).await;
    assert!(one.peers().await.is_empty());
    assert!(one.filters().unblock(&two.peer_id()));
    connect(&one, &two).await;
}

#[tokio::test]
async fn one_address_has_only_so_many_connections() {
    let mut config = loopback();
    config.limits.count_loopback = true;
    config.limits.per_ip = 3;
    let node = start(config).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        let other = start(Config::default()).await;
        let result = other.connect(node.peer_id(), node.listeners().await, deadline()).await;
        others.push((other, result.is_ok()));
    }
    assert_eq!(others.iter().map(|(_, ok)| *ok).collect::<Vec<_>>(), [true, true, true, false, false]);
    others[0].0.disconnect(node.peer_id()).await.expect("was connected");
    until_connected(&node, 2).await;
    connect(&others[4].0, &node).await;
    until_connected(&node, 3).await;
}

#[tokio::test]
async fn the_total_is_bounded() {
    let mut config = loopback();
    config.limits.total = 2;
    let node = start(config).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let other = start(Config::default()).await;
        // The refusal comes after the handshake: the dialer may see a connection that is then closed.
        let _ = other.connect(node.peer_id(), node.listeners().await, deadline()).await;
        others.push(other);
    }
    until_connected(&node, 2).await;
    until("the others are told", || async {
        let mut connected = 0;
        for other in &others {
            connected += other.peers().await.len();
        }
        connected == 2
    })
    .await;
}

#[tokio::test]
async fn too_many_connections_are_trimmed_and_protected_ones_stay() {
    let mut config = loopback();
    config.connections = config::ConnMgr { low: 2, high: 4, grace: Duration::ZERO, silence: Duration::from_secs(3600) };
    let node = start(config).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(start(Config::default()).await);
    }
    for other in &others {
        assert!(node.protection().protect(other.peer_id(), "test"));
        connect(other, &node).await;
    }
    for _ in 0..3 {
        let other = start(Config::default()).await;
        connect(&other, &node).await;
        others.push(other);
    }
    until_connected(&node, 2).await;
    let mut left: Vec<PeerId> = node.peers().await.iter().map(|peer| peer.peer).collect();
    let mut kept = vec![others[0].peer_id(), others[1].peer_id()];
    left.sort_unstable();
    kept.sort_unstable();
    assert_eq!(left, kept);
}

#[tokio::test]
async fn an_unreachable_peer_is_left_alone_for_a_while_unless_somebody_insists() {
    let (node, other) = (start(loopback()).await, start(loopback()).await);
    let (peer, listeners) = (other.peer_id(), other.listeners().await);
    other.shutdown().await;
    for _ in 0..2 {
        // An explicit dial is never held back: it fails with what happened, and not with a pause.
        let error = node.connect(peer, listeners.clone(), deadline()).await.expect_err("nobody is there");
        assert!(!error.to_string().contains("not dialed again"), "{error}");
    }
}

#[tokio::test]
async fn members_of_the_dhts_tables_are_worth_more_than_others() {
    let serving = || {
        let mut config = loopback();
        config.routing = config::RoutingConfig {
            kind: RoutingKind::DhtServer,
            loopback_on_lan: true,
            ..config::RoutingConfig::default()
        };
        config
    };
    let (node, member, other) = (start(serving()).await, start(serving()).await, start(loopback()).await);
    connect(&node, &other).await;
    identified(&node).await;
    connect(&node, &member).await;
    let worth = |peer: &Node| node.protection().worth(&peer.peer_id()).value;
    until("it is in the table", || async { worth(&member) > 0 }).await;
    assert_eq!(worth(&other), 0);
}

#[tokio::test]
async fn a_peer_that_is_to_stay_connected_is_let_past_the_limits() {
    let mut config = loopback();
    config.limits.total = 1;
    let (node, first, friend) = (start(config).await, start(loopback()).await, start(loopback()).await);
    connect(&first, &node).await;
    until_connected(&node, 1).await;
    let _ = friend.connect(node.peer_id(), node.listeners().await, deadline()).await;
    until_connected(&friend, 0).await;
    node.add_peering(friend.peer_id(), friend.listeners().await).await.expect("room");
    until_connected(&node, 2).await;
    assert!(node.remove_peering(friend.peer_id()).await);
    node.disconnect(friend.peer_id()).await.expect("connected");
    until_connected(&friend, 0).await;
    let _ = friend.connect(node.peer_id(), node.listeners().await, deadline()).await;
    until_connected(&friend, 0).await;
    assert_eq!(node.peers().await.len(), 1);
}
