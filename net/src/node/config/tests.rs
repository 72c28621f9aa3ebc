use super::*;
use cairn_store::config::Config as Repo;
use serde_json::{Value, json};
use std::path::Path;

/// A new repository's configuration, with changes.
fn repo(changes: &[(&str, Value)]) -> Repo {
    let mut repo = Repo::defaults("12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV", "");
    for (key, value) in changes {
        repo.set(key, value.clone()).expect("a known key of the right type");
    }
    repo
}

fn nowhere() -> &'static Path {
    Path::new("/nonexistent")
}

fn read(changes: &[(&str, Value)]) -> Result<Config, ConfigError> {
    Config::read(&repo(changes), nowhere(), false)
}

#[test]
fn a_new_repository_is_a_node_as_kubos() {
    let config = read(&[]).expect("valid");
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    // Without WebTransport and WebRTC, which are not there.
    let want =
        ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1", "/ip6/::/udp/4001/quic-v1"];
    assert_eq!(listen, want);
    assert_eq!(config.connections, ConnMgr::default());
    assert_eq!((config.connections.low, config.connections.high, config.connections.grace.as_secs()), (32, 96, 20));
    assert_eq!(config.routing.kind, RoutingKind::Auto);
    assert!(config.routing.delegated_auto && config.routing.delegated.is_empty());
    assert!(config.mdns && config.nat.port_map && config.nat.autonat_server && config.nat.hole_punching);
    assert_eq!(config.nat.relay_service, Some(RelayService::default()));
    assert_eq!(config.nat.relay_client, Some(RelayClient::default()));
    assert_eq!(config.bootstrap.len(), 7, "\"auto\" is the public network's list");
    assert!(config.pubsub.is_none() && config.swarm_key.is_none() && config.bandwidth);
    assert_eq!(config.transports, Transports::default());
    assert_eq!(config.agent, AGENT);
}

#[test]
fn wrong_values_are_errors_that_name_the_key() {
    let relay = "/ip4/1.2.3.4/tcp/1";
    let cases: &[(&str, Value)] = &[
        ("Addresses.Swarm", json!(["nonsense"])),
        ("Addresses.Swarm", json!(["/ip4/1.2.3.4"])),
        ("Addresses.Swarm", json!(["/ip4/1.2.3.4/tcp/1/tls/ws"])),
        ("Addresses.Announce", json!(["1.2.3.4:5"])),
        ("Addresses.NoAnnounce", json!(["10.0.0.0/8"])),
        ("Swarm.AddrFilters", json!(["/ip4/10.0.0.0"])),
        ("Swarm.AddrFilters", json!(["/ip4/10.0.0.0/ipcidr/33"])),
        ("Swarm.ConnMgr.LowWater", json!(100)),
        ("Swarm.ConnMgr.LowWater", json!(-1)),
        ("Swarm.ConnMgr.Type", json!("fancy")),
        ("Swarm.ResourceMgr.Allowlist", json!(["me"])),
        ("Swarm.RelayClient.StaticRelays", json!([relay])),
        ("Swarm.RelayService.MaxReservations", json!(-3)),
        ("Peering.Peers", json!([{"ID": "nobody"}])),
        ("Peering.Peers", json!([{"Addrs": []}])),
        ("Peering.Peers", json!("all")),
        ("Bootstrap", json!([relay])),
        ("Bootstrap", json!(["somewhere"])),
        ("Routing.Type", json!("custom")),
        ("Routing.IgnoreProviders", json!(["x"])),
        ("Pubsub.Router", json!("floodsub")),
        ("Pubsub.SeenMessagesStrategy", json!("never")),
        ("AutoNAT.ServiceMode", json!("maybe")),
        ("Swarm.Transports.Multiplexers.Yamux", json!(false)),
        ("Version.AgentSuffix", json!("x".repeat(200))),
    ];
    for (key, value) in cases {
        let error = read(&[(key, value.clone())]).expect_err(&format!("{key}: {value}")).to_string();
        assert!(error.starts_with(key), "{key}: {value}: {error}");
    }
    let none = [("Swarm.Transports.Security.TLS", json!(false)), ("Swarm.Transports.Security.Noise", json!(false))];
    assert!(read(&none).expect_err("nothing left").to_string().starts_with("Swarm.Transports.Security"));
    let punch = [("Swarm.EnableHolePunching", json!(true)), ("Swarm.RelayClient.Enabled", json!(false))];
    assert!(read(&punch).expect_err("needs relays").to_string().starts_with("Swarm.EnableHolePunching"));
    let auto = read(&[("AutoConf.Enabled", json!(false))]).expect_err("\"auto\" stands for nothing then");
    assert!(auto.to_string().starts_with("Bootstrap"), "{auto}");
}

#[test]
fn keys_reach_their_places() {
    let peer = "12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV";
    let config = read(&[
        ("Addresses.Swarm", json!(["/ip4/127.0.0.1/tcp/0/ws"])),
        ("Addresses.NoAnnounce", json!(["/ip4/10.0.0.0/ipcidr/8", "/ip4/1.2.3.4/tcp/5"])),
        ("Swarm.AddrFilters", json!(["/ip6/fc00::/ipcidr/7"])),
        ("Swarm.ConnMgr.HighWater", json!(1000)),
        ("Swarm.ConnMgr.GracePeriod", json!("1m")),
        ("Swarm.ResourceMgr.MaxMemory", json!("1GB")),
        (
            "Swarm.ResourceMgr.Allowlist",
            json!([format!("/ip4/1.2.3.4/p2p/{peer}"), "/ip4/10.0.0.0/ipcidr/8", "/ip4/9.9.9.9"]),
        ),
        ("Swarm.Transports.Security.TLS", json!(300)),
        ("Swarm.Transports.Network.QUIC", json!(false)),
        ("Swarm.RelayService.ConnectionDataLimit", json!(5000)),
        ("Swarm.DisableNatPortMap", json!(true)),
        ("Swarm.DisableBandwidthMetrics", json!(true)),
        ("Peering.Peers", json!([{"ID": peer, "Addrs": [format!("/ip4/1.2.3.4/tcp/1/p2p/{peer}")]}])),
        ("Bootstrap", json!([])),
        ("Routing.Type", json!("dhtserver")),
        ("Routing.DelegatedRouters", json!(["https://example.com"])),
        ("Pubsub.Enabled", json!(true)),
        ("Pubsub.SeenMessagesTTL", json!("10s")),
        ("AutoNAT.ServiceMode", json!("disabled")),
        ("Discovery.MDNS.Enabled", json!(false)),
        ("Version.AgentSuffix", json!("test")),
    ])
    .expect("valid");
    assert_eq!(config.announce.never.len(), 2);
    assert_eq!(config.filters[0].to_string(), "/ip6/fc00::/ipcidr/7");
    assert_eq!((config.connections.high, config.connections.grace.as_secs()), (1000, 60));
    assert_eq!((config.limits.inbound, config.limits.memory), (2000, Some(1_000_000_000)));
    assert_eq!((config.limits.trusted_peers.len(), config.limits.trusted_networks.len()), (1, 2));
    assert_eq!(config.transports.security, [Security::Noise, Security::Tls]);
    assert!(!config.transports.quic && !config.nat.port_map && !config.bandwidth && !config.nat.autonat_server);
    assert_eq!(config.nat.relay_service.map(|s| s.bytes), Some(5000));
    assert_eq!(config.peering[0].1[0].to_string(), "/ip4/1.2.3.4/tcp/1");
    assert!(config.bootstrap.is_empty() && !config.mdns);
    assert_eq!((config.routing.kind, config.routing.delegated_auto), (RoutingKind::DhtServer, false));
    assert_eq!(config.pubsub.map(|p| p.seen_ttl.as_secs()), Some(10));
    assert!(config.agent.ends_with("/test"));
}

const KEY: &str = "/key/swarm/psk/1.0.0/\n/base16/\n000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

#[test]
fn a_private_swarm_fails_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(Config::read(&repo(&[]), dir.path(), true), Err(ConfigError::Pnet(_))), "forced, and no key");
    std::fs::write(dir.path().join("swarm.key"), KEY).expect("written");
    let error = Config::read(&repo(&[]), dir.path(), false).expect_err("QUIC is configured").to_string();
    assert!(error.starts_with("Addresses.Swarm: /ip4/0.0.0.0/udp/4001/quic-v1"), "{error}");
    let without = Config::read(&repo(&[("Swarm.Transports.Network.QUIC", json!(false))]), dir.path(), true);
    let config = without.expect("valid");
    assert!(config.swarm_key.is_some() && !config.transports.quic);
    assert!(config.bootstrap.is_empty(), "the public network is not told of it");
    assert_eq!(config.routing.kind, RoutingKind::Dht, "nor are public routers");
    let delegated = repo(&[("Swarm.Transports.Network.QUIC", json!(false)), ("Routing.Type", json!("delegated"))]);
    let config = Config::read(&delegated, dir.path(), true).expect("valid");
    assert!(!config.routing.delegated_auto, "whatever the kind of routing");
    let tcp = repo(&[("Addresses.Swarm", json!(["/ip4/127.0.0.1/tcp/0"]))]);
    assert!(!Config::read(&tcp, dir.path(), false).expect("valid").transports.quic, "and QUIC is not dialed either");
    std::fs::write(dir.path().join("swarm.key"), "broken").expect("written");
    let error = Config::read(&tcp, dir.path(), false).expect_err("no key").to_string();
    assert!(error.contains("swarm.key"), "{error}");
}

#[test]
fn without_autoconf_there_is_no_public_router() {
    let config = read(&[("AutoConf.Enabled", json!(false)), ("Bootstrap", json!([]))]).expect("valid, as in Kubo");
    assert!(!config.routing.delegated_auto);
}

#[test]
fn announced_addresses_may_end_with_the_nodes_name_and_no_other() {
    let own = "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV";
    for key in ["Addresses.Announce", "Addresses.AppendAnnounce"] {
        let config = read(&[(key, json!([own]))]).expect("valid");
        let fixed: Vec<String> = config.announce.fixed().map(ToString::to_string).collect();
        assert_eq!(fixed, ["/ip4/8.8.8.8/tcp/1"]);
        assert!(config.announce.allows(&"/ip4/8.8.8.8/tcp/1".parse().expect("an address")));
        let other = format!("/ip4/8.8.8.8/tcp/1/p2p/{}", libp2p::PeerId::random());
        let error = read(&[(key, json!([other]))]).expect_err("another's").to_string();
        assert!(error.starts_with(key), "{error}");
    }
}

#[test]
fn without_a_resource_manager_only_handshakes_are_bounded() {
    let config = read(&[("Swarm.ResourceMgr.Enabled", json!(false))]).expect("valid");
    assert_eq!(config.limits.per_ip, u32::MAX);
    assert!(config.limits.pending_inbound < 1000, "what is being opened stays bounded");
}

#[test]
fn broadcasts_are_bounded_as_the_configuration_says() {
    let control = |keys: &[(&str, serde_json::Value)]| {
        let keys: Vec<_> =
            keys.iter().map(|(k, v)| (format!("Internal.Bitswap.BroadcastControl.{k}"), v.clone())).collect();
        let keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        read(&keys).map(|config| {
            let client = config.bitswap.client;
            (client.broadcast, client.strangers, config.bitswap.always_ask)
        })
    };
    assert_eq!(control(&[]).expect("valid"), (32, usize::MAX, (true, true)));
    let some = [("MaxPeers", json!(7)), ("MaxRandomPeers", json!(2)), ("LocalPeers", json!(true))];
    assert_eq!(control(&some).expect("valid"), (7, 2, (false, true)));
    assert_eq!(control(&[("MaxPeers", json!(-1)), ("PeeredPeers", json!(true))]).expect("valid").2, (true, false));
    let off = [("Enable", json!(false)), ("MaxPeers", json!(7))];
    assert_eq!(control(&off).expect("valid"), (usize::MAX, usize::MAX, (true, true)));
    let wrong = control(&[("MaxPeers", json!(-2))]).expect_err("no number of peers");
    assert!(wrong.to_string().contains("BroadcastControl.MaxPeers"), "{wrong}");
}

#[test]
fn bitswap_has_keys_of_its_own() {
    let peer = "12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV";
    let config = read(&[
        ("Bitswap.UploadLimit", json!("10MB")),
        ("Bitswap.AllowPeers", json!([peer])),
        ("Bitswap.DenyPeers", json!([peer])),
        ("Internal.Bitswap.ProviderSearchDelay", json!("2s")),
        ("Internal.Bitswap.WantHaveReplaceSize", json!(0)),
    ])
    .expect("valid");
    let (bitswap, peer) = (config.bitswap, peer.parse().expect("a peer id"));
    assert_eq!(bitswap.server.upload_limit, Some(10_000_000));
    assert_eq!(bitswap.filter.allow, Some([peer].into()));
    assert!(bitswap.filter.deny.contains(&peer));
    assert_eq!((bitswap.client.search_delay.as_secs(), bitswap.server.replace_size), (2, 0));
    let none = read(&[("Bitswap.UploadLimit", json!("")), ("Bitswap.AllowPeers", json!([]))]).expect("valid").bitswap;
    assert!(none.server.upload_limit.is_none() && none.filter.allow.is_none());
    let wrong = read(&[("Bitswap.DenyPeers", json!(["me"]))]).expect_err("no peer id");
    assert!(wrong.to_string().contains("Bitswap.DenyPeers"), "{wrong}");
}
