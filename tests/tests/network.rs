//! Daemons on the loopback address: the commands of the network, and what they do together.

use cairn_tests::network::{Following, Online, eventually};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    collections::VecDeque,
    fs,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A few leaves and a node above them.
const FILE: usize = 3_000_000;

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    cairn_tests::keystream::bytes(&format!("network {seed}"), len)
}

#[test]
fn peers_are_connected_listed_pinged_and_disconnected() {
    let (one, two) = (Online::new(), Online::new());
    one.connect(&two);
    let listed = one.ok(["swarm", "peers", "--direction", "--latency", "--streams"]);
    assert!(listed.lines().next().is_some_and(|l| l.ends_with(" outbound")), "{listed}");
    assert!(two.ok(["swarm", "peers", "--direction"]).ends_with(" inbound"));
    let json: serde_json::Value = serde_json::from_str(&one.ok(["swarm", "peers", "-v", "--enc=json"])).expect("JSON");
    let peer = &json["Peers"][0];
    assert_eq!((peer["Peer"].as_str(), peer["Direction"].as_u64()), (Some(two.peer().as_str()), Some(2)), "{json}");
    eventually("the other says who it is", || {
        let text = one.ok(["swarm", "peers", "--identify", "--enc=json"]);
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let identify = &json["Peers"][0]["Identify"];
        identify["ID"] == two.peer() && identify["Protocols"].as_array().is_some_and(|p| !p.is_empty())
    });
    let pong = one.ok(["ping", "-n", "2", &two.peer()]);
    assert_eq!(pong.lines().filter(|l| l.starts_with("Pong received: time=")).count(), 2, "{pong}");
    assert!(pong.starts_with(&format!("PING {}.\n", two.peer())) && pong.contains("\nAverage latency: "), "{pong}");
    let known = one.ok(["swarm", "addrs"]);
    assert!(known.contains(&two.peer()) && known.contains("\t/ip4/127.0.0.1/tcp/"), "{known}");
    let said = one.ok(["swarm", "disconnect", &format!("/p2p/{}", two.peer())]);
    assert_eq!(said, format!("disconnect {} success", two.peer()));
    eventually("neither lists the other", || !one.is_connected(&two) && !two.is_connected(&one));
    let said = one.ok(["swarm", "disconnect", &format!("/p2p/{}", two.peer())]);
    assert_eq!(said, format!("disconnect {} failure: not connected", two.peer()));
}

#[test]
fn a_node_says_who_it_is_and_who_others_are() {
    let (one, two) = (Online::new(), Online::new());
    let id = |node: &Online, args: &[&str]| -> serde_json::Value {
        let args: Vec<&str> = ["id", "--enc=json"].iter().chain(args).copied().collect();
        serde_json::from_str(&node.ok(args)).expect("JSON")
    };
    let own = id(&two, &[]);
    let strings = |value: &serde_json::Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
    };
    let protocols = strings(&own["Protocols"]);
    assert!(protocols.iter().any(|p| p == "/ipfs/bitswap/1.2.0"), "{protocols:?}");
    let end = format!("/p2p/{}", two.peer());
    assert!(
        strings(&own["Addresses"]).iter().all(|a| a.starts_with("/ip4/127.0.0.1/tcp/") && a.ends_with(&end)),
        "{own}"
    );
    one.connect(&two);
    let told = id(&one, &[&two.peer()]);
    assert_eq!(
        (&told["ID"], &told["PublicKey"], &told["AgentVersion"]),
        (&own["ID"], &own["PublicKey"], &own["AgentVersion"])
    );
    // What a node says of itself is what it answers.
    assert_eq!(strings(&told["Protocols"]), protocols);
    let nobody = "12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou";
    assert!(!one.run(["id", "--timeout=10s", nobody]).status.success());
}

#[test]
fn nobody_can_be_pinged_or_connected_who_is_not_there() {
    let (one, mut two) = (Online::new(), Online::new());
    let (peer, address) = (two.peer(), two.address());
    two.stop();
    let outcome = one.run(["swarm", "connect", "--timeout=10s", &address]);
    assert!(!outcome.status.success());
    assert!(outcome.errors().contains(&format!("connect {peer} failure: ")), "{}", outcome.errors());
    assert!(!one.run(["ping", "--timeout=10s", &peer]).status.success());
    let own = one.run(["ping", &one.peer()]);
    assert!(own.errors().contains("can't ping self"), "{}", own.errors());
    for wrong in ["/ip4/127.0.0.1/tcp/1", "127.0.0.1:1", "/ip4/127.0.0.1/tcp/1/p2p/x"] {
        assert!(!one.run(["swarm", "connect", wrong]).status.success(), "{wrong}");
    }
}

#[test]
fn a_peer_of_peering_is_connected_again() {
    let (one, two) = (Online::new(), Online::new());
    let said = one.ok(["swarm", "peering", "add", &two.address()]);
    assert_eq!(said, format!("add {} success", two.peer()));
    eventually("they are connected", || one.is_connected(&two));
    let listed = one.ok(["swarm", "peering", "ls"]);
    assert!(listed.starts_with(&format!("{}\n\t/ip4/127.0.0.1/tcp/", two.peer())), "{listed}");
    two.ok(["swarm", "disconnect", &format!("/p2p/{}", one.peer())]);
    eventually("they are connected again", || one.is_connected(&two));
    assert_eq!(one.ok(["swarm", "peering", "rm", &two.peer()]), format!("remove {} success", two.peer()));
    assert_eq!(one.ok(["swarm", "peering", "ls"]), "");
}

#[test]
fn a_filtered_network_is_left_alone() {
    let (one, two) = (Online::new(), Online::new());
    let network = "/ip4/127.0.0.0/ipcidr/8";
    assert_eq!(one.ok(["swarm", "filters", "add", network]), network);
    assert_eq!(one.ok(["swarm", "filters"]), network);
    assert!(!one.run(["swarm", "connect", "--timeout=10s", &two.address()]).status.success());
    assert!(!two.run(["swarm", "connect", "--timeout=10s", &one.address()]).status.success());
    assert_eq!(one.ok(["swarm", "filters", "rm", network]), network);
    assert_eq!(one.ok(["swarm", "filters"]), "");
    // Who failed may pause before it tries again, so the one that did not try last time does.
    eventually("they can be connected", || one.run(["swarm", "connect", &two.address()]).status.success());
}

#[test]
fn bootstrap_peers_are_found_when_the_daemon_starts() {
    let (mut one, two) = (Online::new(), Online::new());
    let address = two.address();
    assert_eq!(one.ok(["bootstrap", "add", &address]), format!("added {address}"));
    assert_eq!(one.ok(["bootstrap"]), address);
    assert!(one.stop().success());
    // Without a daemon the list is the same.
    assert_eq!(one.ok(["bootstrap", "list"]), address);
    one.start();
    eventually("they are connected", || one.is_connected(&two));
    assert_eq!(one.ok(["bootstrap", "rm", "--all"]), format!("removed {address}"));
    assert_eq!(one.ok(["bootstrap", "list"]), "");
}

#[test]
fn a_node_finds_its_peers_again() {
    let (mut one, two) = (Online::new(), Online::new());
    if one.program().is_kubo() {
        return cairn_tests::skip("keeping peers over a restart: Kubo has none");
    }
    one.connect(&two);
    assert!(one.stop().success());
    eventually("it is gone", || !two.ok(["swarm", "peers"]).contains(&one.peer()));
    one.start();
    eventually("they are connected again", || one.is_connected(&two));
}

#[test]
fn messages_reach_those_who_are_subscribed() {
    let (one, two, three) = (Online::new(), Online::new(), Online::new());
    one.connect(&two);
    two.connect(&three);
    // The one in the middle passes on what it is subscribed to.
    let middle = Following::start(&two, &["pubsub", "sub", "news"]);
    let end = Following::start(&three, &["pubsub", "sub", "news"]);
    eventually("the subscription is known", || {
        // By and by the outer two may meet through the DHT.
        let knows = |node: &Online, other: &Online| node.ok(["pubsub", "peers", "news"]).contains(&other.peer());
        knows(&one, &two) && knows(&two, &three)
    });
    assert_eq!(two.ok(["pubsub", "ls"]), "news");
    eventually("the message arrives", || {
        one.feed_bytes(["pubsub", "pub", "news"], "hello\n");
        middle.has(|line| line == "hello") && end.has(|line| line == "hello")
    });
    drop(end);
    eventually("the end of it is known", || two.ok(["pubsub", "peers", "news"]).is_empty());
}

#[test]
fn bytes_are_counted() {
    let (one, two) = (Online::new(), Online::new());
    one.connect(&two);
    one.ok(["ping", "-n", "1", &two.peer()]);
    let text = one.ok(["stats", "bw"]);
    let labels: Vec<_> = text.lines().filter_map(|l| l.split(':').next()).collect();
    assert_eq!(labels, ["Bandwidth", "TotalIn", "TotalOut", "RateIn", "RateOut"]);
    assert!(!one.run(["stats", "bw", "-p", &two.peer(), "-t", "/ipfs/ping/1.0.0"]).status.success());
    let resources = one.ok(["swarm", "resources"]);
    assert!(resources.starts_with("Scope") && resources.contains("system"), "{resources}");
}

#[test]
fn what_one_adds_the_other_has() {
    let (one, two) = (Online::new(), Online::new());
    one.connect(&two);
    let content = bytes(1, FILE);
    let cid = one.add(&["--cid-version=1"], &one.file("file", &content));
    assert!(two.bytes(["cat", "--timeout=20s", &cid]) == content, "the file differs");
    let (folder, out) = (one.work().join("folder"), two.work().join("out"));
    fs::create_dir(&folder).expect("the temporary directory is writable");
    for number in 0..200 {
        fs::write(folder.join(number.to_string()), bytes(100 + number, 1000)).expect("it is writable");
    }
    let root = one.add(&["-r"], &folder);
    two.ok(["get", "--timeout=60s", "-o", &out.display().to_string(), &root]);
    assert_eq!(two.add(&["-r"], &out), root, "what came back has another CID");
    let (pinned, peer) = (one.add(&["--pin=false"], &one.file("pinned", bytes(2, FILE))), one.peer());
    two.ok(["pin", "add", "--timeout=20s", &pinned]);
    assert_eq!(two.dag_stat(&pinned), one.dag_stat(&pinned));
    let ledger = two.ok(["bitswap", "ledger", &peer]);
    assert!(ledger.starts_with(&format!("Ledger for {peer}\n")), "{ledger}");
}

#[test]
fn a_missing_block_is_given_up_in_time() {
    let (one, two) = (Online::new(), Online::new());
    one.connect(&two);
    let begun = Instant::now();
    let outcome =
        one.run(["block", "get", "--timeout=2s", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"]);
    assert!(!outcome.status.success() && begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    eventually("the other is told that it is not wanted any more", || {
        two.ok(["bitswap", "wantlist", "--peer", &one.peer()]).is_empty()
    });
    // And the node goes on.
    let cid = two.add(&[], &two.file("file", b"after"));
    assert_eq!(one.ok(["cat", "--timeout=20s", &cid]), "after");
}

#[test]
fn a_provider_is_found_through_a_third_node() {
    let (one, two, three) = (Online::new(), Online::new(), Online::new());
    one.connect(&two);
    three.connect(&two);
    let content = bytes(3, FILE);
    let cid = one.add(&["--cid-version=1"], &one.file("file", &content));
    eventually("it is announced", || one.run(["routing", "provide", "--timeout=10s", &cid]).status.success());
    eventually("it is found", || three.ok(["routing", "findprovs", "-n", "1", "--timeout=5s", &cid]) == one.peer());
    let found = three.ok(["routing", "findpeer", "--timeout=10s", &one.peer()]);
    assert!(found.contains("/ip4/127.0.0.1/tcp/"), "{found}");
    // What is waited for is announced by the end of the command.
    let waited = one.add(&["--fast-provide-wait"], &one.file("waited", b"waited for"));
    assert_eq!(three.ok(["routing", "findprovs", "-n", "1", "--timeout=20s", &waited]), one.peer());
    assert!(three.bytes(["cat", "--timeout=20s", &cid]) == content, "the file differs");
    let tables = two.ok(["stats", "dht", "lan"]);
    assert!(tables.contains(&one.peer()) && tables.contains(&three.peer()), "{tables}");
}

#[test]
fn others_may_ask_a_daemon_for_providers_over_http() {
    let (one, mut two) = (Online::new(), Online::new());
    one.connect(&two);
    let cid = one.add(&["--cid-version=1"], &one.file("file", b"announced"));
    eventually("it is announced", || one.run(["routing", "provide", "--timeout=10s", &cid]).status.success());
    let (head, body) = two.gateway(&format!("/routing/v1/providers/{cid}"));
    assert!(head.starts_with("HTTP/1.1 200 ") && head.to_ascii_lowercase().contains("allow-origin: *"), "{head}");
    assert!(body.contains(&one.peer()) && body.contains("/ip4/127.0.0.1/tcp/"), "{body}");
    let (head, _) = two.gateway("/routing/v1/providers/nonsense");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(two.log().contains("Routing V1 API exposed at http://127.0.0.1:"), "{}", two.log());
    assert!(two.stop().success());
    let closed: Online = Online::with(&[("Gateway.ExposeRoutingAPI", "false")]);
    assert!(!closed.log().contains("Routing V1 API"), "{}", closed.log());
}

#[test]
fn what_was_fetched_outlives_a_kill() {
    let (one, mut two) = (Online::new(), Online::new());
    one.connect(&two);
    let content = bytes(4, FILE);
    let cid = one.add(&[], &one.file("file", &content));
    two.ok(["pin", "add", "--timeout=20s", &cid]);
    two.kill();
    drop(one);
    two.start();
    assert!(two.bytes(["cat", &cid]) == content, "the file differs");
    fs::remove_dir_all(two.work()).expect("it is there");
}

#[test]
fn a_flood_of_connections_leaves_a_node_well() {
    const FLOOD: usize = 10_000;
    let (node, honest) = (Online::new(), Online::new());
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised");
    // Some are for this process itself.
    let most = limit.current.map_or(FLOOD, |files| usize::try_from(files.saturating_sub(200)).unwrap_or(FLOOD));
    let address = node.address();
    let port: u16 = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let mut held = VecDeque::new();
    for _ in 0..FLOOD {
        // They say nothing. What is refused is refused.
        held.extend(TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).ok());
        if held.len() > most {
            held.pop_front();
        }
    }
    assert!(node.ok(["id"]).contains(&node.peer()), "it answers");
    let peak = node.peak() >> 20;
    assert!(peak < 256, "{peak} MiB");
    drop(held);
    eventually("there is room again", || honest.run(["swarm", "connect", &address]).status.success());
    let file = node.file("x", bytes(1, 100_000));
    let root = node.ok(["add", "-Q", &file.to_string_lossy()]);
    assert_eq!(honest.bytes(["cat", "--timeout=20s", &root]), bytes(1, 100_000));
}

#[test]
fn what_a_get_fetched_can_be_collected_soon() {
    let (one, two) = (Online::new(), Online::new());
    one.connect(&two);
    let file = one.file("x", bytes(5, FILE));
    let root = one.ok(["add", "-Q", &file.to_string_lossy()]);
    let out = two.work().join("out");
    two.ok(["get", "-o", &out.to_string_lossy(), &root]);
    assert_eq!(fs::read(out).expect("a file"), bytes(5, FILE));
    two.ok(["refs", "-r", "--offline", &root]);
    // The daemon keeps who it asked for the next question, and with that guards what came, for a few seconds.
    eventually("it is collected", || {
        two.ok(["repo", "gc", "-q"]);
        !two.run(["block", "stat", "--offline", &root]).status.success()
    });
}

#[test]
fn a_line_of_the_log_names_request_session_and_block() {
    let (one, two) = (Online::new(), Online::new());
    let root = one.feed_bytes(["add", "-Q"], bytes(70, FILE));
    two.connect(&one);
    assert_eq!(two.ok(["log", "level", "net", "debug"]), "Changed log level of 'net' to 'debug'");
    two.ok(["log", "level", "bitswap", "debug"]);
    two.ok(["log", "level", "rpc", "debug"]);
    let followed = Following::start(&two, &["log", "tail"]);
    eventually("the log is followed", || {
        two.ok(["pubsub", "ls"]);
        followed.has(|line| line.contains("\"cmd\":\"pubsub/ls\""))
    });
    two.ok(["cat", &root]);
    let block = format!(":block{{cid={root}}}: a block came (peer: {}) (bytes: ", one.peer());
    eventually("the line is printed", || {
        two.log().lines().any(|line| {
            let begun =
                line.starts_with("Debug: request{id=") && line.contains(&format!(" cmd=cat arg={root}}}:session{{id="));
            begun && line.contains(&block)
        })
    });
    eventually("followers get its spans", || {
        followed.has(|line| {
            let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let spans = json["spans"].as_array();
            let names: Vec<_> = spans.into_iter().flatten().filter_map(|span| span["name"].as_str()).collect();
            names == ["request", "session", "block"]
                && json["spans"][2]["cid"] == *root
                && json["spans"][0]["cmd"] == "cat"
        })
    });
    eventually("the end of the request is told, with its time", || {
        followed.has(|line| line.contains("\"cmd\":\"cat\"") && line.contains("\"msg\":\"ended (took: "))
    });
    two.ok(["log", "level", "all", "warn"]);
    let said = two.log().len();
    two.ok(["pubsub", "ls"]);
    assert_eq!(two.log().len(), said, "nothing is said any more");
}

#[test]
fn options_of_the_daemon_stand_in_for_settings() {
    let mut node = Online::with(&[("Pubsub.Enabled", "false")]);
    assert!(!node.run(["pubsub", "ls"]).status.success());
    node.stop();
    node.start_with(&["--enable-pubsub-experiment", "--agent-version-suffix=house", "--manage-fdlimit=false"]);
    assert_eq!(node.ok(["pubsub", "ls"]), "");
    assert!(node.ok(["id", "-f=<aver>"]).ends_with("/house"));
    let check: serde_json::Value = serde_json::from_str(&node.ok(["version", "check", "--enc=json"])).expect("JSON");
    assert_eq!((check["PeersSampled"].as_u64(), check["UpdateAvailable"].as_bool()), (Some(1), Some(false)), "{check}");
    let files = fs::read_to_string(format!("/proc/{}/limits", node.pid())).expect("it runs");
    let limit = |text: &str| text.lines().find(|line| line.starts_with("Max open files")).map(str::to_owned);
    assert_eq!(limit(&files), limit(&fs::read_to_string("/proc/self/limits").expect("this runs")));
}

#[test]
fn a_whole_dag_is_announced_where_only_roots_would_be() {
    let provider = Online::with(&[("Provide.Strategy", "\"roots\"")]);
    let (server, asker) = (Online::new(), Online::new());
    provider.connect(&server);
    asker.connect(&server);
    eventually("the server is in the tables", || {
        [&provider, &asker].iter().all(|node| node.ok(["stats", "dht", "lan"]).contains(&server.peer()))
    });
    let content = bytes(77, FILE);
    let root =
        provider.add(&["--cid-version=1", "--fast-provide-dag", "--fast-provide-wait"], &provider.file("f", &content));
    let leaf = provider.ok(["refs", &root]).lines().next_back().expect("it has leaves").to_owned();
    eventually("a leaf is found", || {
        asker.ok(["routing", "findprovs", "--timeout=10s", "-n", "1", &leaf]).contains(&provider.peer())
    });
}
