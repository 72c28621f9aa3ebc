//! Connections over each transport, and what nodes learn of each other.

use super::*;
use libp2p::pnet::PreSharedKey;

async fn meet(listen: &str) {
    let (one, two) = (start_at(listen).await, start_at(listen).await);
    connect(&one, &two).await;
    let (from_one, from_two) = (identified(&one).await, identified(&two).await);
    assert_eq!((from_one.peer, from_one.direction), (two.peer_id(), Direction::Outbound));
    assert_eq!((from_two.peer, from_two.direction), (one.peer_id(), Direction::Inbound));
    assert!(from_one.agent.starts_with("cairn/"), "{}", from_one.agent);
    assert_eq!(from_one.protocol_version, "ipfs/0.1.0");
    assert_eq!(from_one.public_key, Some(two.public_key()));
    assert!(from_one.protocols.iter().any(|p| p == "/ipfs/ping/1.0.0"), "{:?}", from_one.protocols);
    for listener in two.listeners().await {
        assert!(from_one.listen_addrs.contains(&listener), "{listener} in {:?}", from_one.listen_addrs);
    }
    assert!(one.ping(two.peer_id()).await.expect("an answer") < LIMIT);
    assert!(two.ping(one.peer_id()).await.is_ok());
    one.disconnect(two.peer_id()).await.expect("was connected");
    until_connected(&two, 0).await;
    assert_eq!(one.ping(two.peer_id()).await, Err(PingError::NotConnected(two.peer_id())));
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn nodes_meet_in_memory() {
    let (one, two) = (start(Config::listening([memory()])).await, start(Config::listening([memory()])).await);
    connect(&one, &two).await;
    assert_eq!(identified(&one).await.peer, two.peer_id());
    assert!(one.ping(two.peer_id()).await.is_ok());
}

#[tokio::test]
async fn nodes_meet_over_tcp() {
    meet("/ip4/127.0.0.1/tcp/0").await;
}

#[tokio::test]
async fn nodes_meet_over_quic() {
    meet("/ip4/127.0.0.1/udp/0/quic-v1").await;
}

#[tokio::test]
async fn nodes_meet_over_websocket() {
    meet("/ip4/127.0.0.1/tcp/0/ws").await;
}

/// Neither the first question nor its answer waits for a stream to be negotiated.
#[tokio::test]
async fn streams_for_blocks_are_open_before_anything_is_wanted() {
    let (one, two) = (start_at("/ip4/127.0.0.1/tcp/0").await, start_at("/ip4/127.0.0.1/tcp/0").await);
    connect(&one, &two).await;
    for node in [&one, &two] {
        until("a stream each way", || async {
            let peers = node.peers().await;
            let streams = peers.first().map(|peer| peer.streams.clone()).unwrap_or_default();
            streams.iter().any(|(name, open)| name == "/ipfs/bitswap/1.2.0" && *open == 2)
        })
        .await;
    }
}

#[tokio::test]
async fn noise_alone_and_tls_alone_meet_whoever_has_both() {
    for kind in [config::Security::Noise, config::Security::Tls] {
        let mut config = Config::listening([addr("/ip4/127.0.0.1/tcp/0")]);
        config.transports.security = vec![kind];
        let (one, two) = (start(config).await, start_at("/ip4/127.0.0.1/tcp/0").await);
        connect(&one, &two).await;
        assert_eq!(identified(&two).await.peer, one.peer_id());
    }
}

#[tokio::test]
async fn whoever_has_another_key_is_not_the_peer_that_was_meant() {
    let (one, two) = (start_at("/ip4/127.0.0.1/tcp/0").await, start_at("/ip4/127.0.0.1/tcp/0").await);
    let meant = PeerId::random();
    let error = one.connect(meant, two.listeners().await, deadline()).await.expect_err("another peer");
    assert!(matches!(&error, NodeError::Dial { peer, why } if *peer == meant && !why.is_empty()), "{error}");
    let nobody = one.connect(meant, Vec::new(), deadline()).await.expect_err("no address");
    assert!(nobody.to_string().contains("failed to dial"), "{nobody}");
}

fn private(key: u8, listen: &str) -> Config {
    Config { swarm_key: Some(PreSharedKey::new([key; 32])), ..Config::listening([addr(listen)]) }
}

#[tokio::test]
async fn a_private_swarm_admits_those_with_its_key() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"] {
        let (one, two) = (start(private(1, listen)).await, start(private(1, listen)).await);
        connect(&one, &two).await;
        assert_eq!(identified(&one).await.peer, two.peer_id());
        // Neither side can tell a wrong key from noise: each waits until its handshake times out.
        let (without, other) = (start_at(listen).await, start(private(2, listen)).await);
        let (to_two, to_without) = (two.listeners().await, without.listeners().await);
        let results = tokio::join!(
            without.connect(two.peer_id(), to_two.clone(), deadline()),
            other.connect(two.peer_id(), to_two, deadline()),
            two.connect(without.peer_id(), to_without, deadline()),
        );
        for result in [results.0, results.1, results.2] {
            assert!(matches!(result, Err(NodeError::Dial { .. })), "{result:?}");
        }
        assert_eq!(two.peers().await.len(), 1);
    }
}

#[tokio::test]
async fn a_private_swarm_has_no_quic_whatever_the_configuration_says() {
    let kv = kv();
    let blocks = Arc::new(KvBlocks::open(Arc::clone(&kv)).expect("tables open"));
    let config = private(1, "/ip4/127.0.0.1/udp/0/quic-v1");
    let error = Node::start(config, Keypair::generate_ed25519(), blocks, kv).await.expect_err("nowhere to listen");
    assert!(matches!(error, StartError::Listen(_)), "{error}");
}

#[tokio::test]
async fn bytes_are_counted_by_protocol_and_peer() {
    let (one, two) = (start_at("/ip4/127.0.0.1/tcp/0").await, start_at("/ip4/127.0.0.1/tcp/0").await);
    connect(&one, &two).await;
    identified(&one).await;
    let before = one.bandwidth_of_protocol("/ipfs/ping/1.0.0");
    one.ping(two.peer_id()).await.expect("an answer");
    let ping = one.bandwidth_of_protocol("/ipfs/ping/1.0.0");
    assert!(ping.sent >= before.sent + 32 && ping.received >= before.received + 32, "{before:?} {ping:?}");
    let (all, peer) = (one.bandwidth(), one.bandwidth_of_peer(&two.peer_id()));
    assert!(one.bandwidth_by_protocol().contains_key("/ipfs/id/1.0.0"));
    assert!(peer.sent > 0 && all.sent >= peer.sent && all.received >= ping.received);
    let metrics = one.metrics();
    assert!(metrics.contains("cairn_network_sent_bytes") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains("libp2p_swarm_connections_established"), "{metrics}");
}

#[tokio::test]
async fn a_restart_finds_the_network_without_bootstrap_peers() {
    let other = start_at("/ip4/127.0.0.1/tcp/0").await;
    let (keys, kv) = (Keypair::generate_ed25519(), kv());
    let config = || Config::listening([addr("/ip4/127.0.0.1/tcp/0")]);
    let node = start_with(config(), keys.clone(), Arc::clone(&kv)).await;
    connect(&node, &other).await;
    identified(&node).await;
    node.shutdown().await;
    until_connected(&other, 0).await;
    let node = start_with(config(), keys, kv).await;
    assert!(node.known_addresses().await.contains_key(&other.peer_id()));
    until_connected(&node, 1).await;
    assert_eq!(node.peers().await[0].peer, other.peer_id());
}

#[tokio::test]
async fn bootstrap_peers_are_dialed_at_the_start() {
    let other = start_at("/ip4/127.0.0.1/tcp/0").await;
    let bootstrap = other.listeners().await.into_iter().map(|a| a.with_p2p(other.peer_id()).expect("no other peer"));
    let node = start(Config { bootstrap: bootstrap.collect(), ..Config::default() }).await;
    until_connected(&node, 1).await;
}

#[tokio::test]
async fn a_peered_peer_is_dialed_again_when_it_is_lost() {
    let (one, two) = (start_at("/ip4/127.0.0.1/tcp/0").await, start_at("/ip4/127.0.0.1/tcp/0").await);
    one.add_peering(two.peer_id(), two.listeners().await).await.expect("room");
    until_connected(&one, 1).await;
    assert!(one.protection().is_protected(&two.peer_id()));
    two.disconnect(one.peer_id()).await.expect("was connected");
    until_connected(&one, 0).await;
    until_connected(&one, 1).await;
    assert_eq!(one.peering().await.len(), 1);
    assert!(one.remove_peering(two.peer_id()).await && !one.remove_peering(two.peer_id()).await);
    assert!(!one.protection().is_protected(&two.peer_id()));
}

#[tokio::test]
async fn a_shut_down_node_says_so_and_tells_its_peers() {
    let (one, two) = (start_at("/ip4/127.0.0.1/tcp/0").await, start_at("/ip4/127.0.0.1/tcp/0").await);
    connect(&one, &two).await;
    let start = Instant::now();
    one.shutdown().await;
    assert!(start.elapsed() < SHUTDOWN);
    until_connected(&two, 0).await;
    assert_eq!(one.connect(two.peer_id(), Vec::new(), None).await, Err(NodeError::Closed));
    one.shutdown().await;
}

#[tokio::test]
async fn only_what_is_announced_is_told() {
    let mut config = Config::listening([addr("/ip4/127.0.0.1/tcp/0")]);
    config.announce.instead = vec![addr("/dns4/node.example/tcp/4001")];
    let (one, two) = (start(config).await, start_at("/ip4/127.0.0.1/tcp/0").await);
    connect(&two, &one).await;
    assert_eq!(identified(&two).await.listen_addrs, [addr("/dns4/node.example/tcp/4001")]);
    assert_eq!(one.addresses().await, [addr("/dns4/node.example/tcp/4001")]);
}

#[tokio::test]
async fn the_protocols_that_a_node_names_are_those_that_peers_hear_of() {
    let mut all = Config::listening([addr("/ip4/127.0.0.1/tcp/0")]);
    all.nat = config::Nat {
        port_map: false,
        autonat_server: true,
        relay_client: Some(config::RelayClient::default()),
        relay_service: Some(config::RelayService::default()),
        hole_punching: true,
    };
    all.announce.besides = vec![addr("/ip4/127.0.0.1/tcp/1")];
    all.routing.kind = RoutingKind::DhtServer;
    all.pubsub = Some(config::PubSubConfig::default());
    all.ipns_pubsub = true;
    for config in [all, Config::listening([addr("/ip4/127.0.0.1/tcp/0")])] {
        // One that speaks PubSub too: to others it is not offered once they refused it.
        let hearing = Config { pubsub: Some(config::PubSubConfig::default()), ..Config::default() };
        let (node, other) = (start(config).await, start(hearing).await);
        connect(&other, &node).await;
        let mut heard = identified(&other).await.protocols;
        let mut named = node.protocols();
        // It is offered on relayed connections only.
        named.retain(|protocol| protocol != "/libp2p/dcutr");
        heard.sort();
        named.sort();
        assert_eq!(named, heard);
    }
}
