//! Real nodes over TCP on loopback.

use super::support::{Newest, TestClock};
use crate::{
    dht::{
        self, Behaviour, Clock, Config, Dht, Mode, Net, Stats, Validator,
        key::Id,
        message::{Kind, Message},
        providers::{ADDRS_TTL, MAX_KEY, RECORD_TTL},
        query::Network as _,
        sweep::{self, KeySource, Keys, Strategy, Sweep},
    },
    routing::{Provider, Routing as _, RoutingError},
};
use cairn_store::{
    Multihash,
    kv::{Kv, MemoryKv},
};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, identify,
    identity::Keypair,
    noise,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Longer than anything here takes; passing it is a failure, never a result.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
struct Parts {
    dht: Behaviour,
    identify: identify::Behaviour,
}

pub(super) struct Node {
    pub(super) peer: PeerId,
    pub(super) addr: Multiaddr,
    pub(super) dht: Arc<Dht>,
    pub(super) clock: Arc<TestClock>,
    orders: mpsc::Sender<Order>,
    /// Protocols that each peer said it speaks.
    pub(super) spoken: Arc<Mutex<HashMap<PeerId, Vec<StreamProtocol>>>>,
    task: JoinHandle<()>,
}

enum Order {
    Dial(Multiaddr),
    Mode(Mode),
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn config(mode: Mode, clock: &Arc<TestClock>, validator: Arc<dyn Validator>) -> Config {
    Config {
        wan: None,
        lan: Some(mode),
        loopback_on_lan: true,
        validator,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ..Config::default()
    }
}

impl Node {
    pub(super) async fn new(mode: Mode) -> Self {
        Self::with(mode, Keypair::generate_ed25519(), Arc::new(MemoryKv::default())).await
    }

    async fn with(mode: Mode, keypair: Keypair, kv: Arc<dyn Kv>) -> Self {
        Self::validated(mode, keypair, kv, Arc::new(Newest)).await
    }

    pub(super) async fn validated(
        mode: Mode,
        keypair: Keypair,
        kv: Arc<dyn Kv>,
        validator: Arc<dyn Validator>,
    ) -> Self {
        let clock = Arc::new(TestClock::at(1_700_000_000));
        let config = config(mode, &clock, validator);
        Self::configured(config, clock, keypair, kv).await
    }

    pub(super) async fn configured(config: Config, clock: Arc<TestClock>, keypair: Keypair, kv: Arc<dyn Kv>) -> Self {
        let (behaviour, dht) = dht::new(config, &keypair, kv);
        let identify = identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), keypair.public()));
        let parts = Parts { dht: behaviour, identify };
        let mut swarm = SwarmBuilder::with_existing_identity(keypair)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("noise")
            .with_behaviour(|_| parts)
            .expect("a behaviour")
            .with_swarm_config(|c| c.with_idle_connection_timeout(LIMIT))
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("listens");
        let addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let peer = *swarm.local_peer_id();
        let (orders, received) = mpsc::channel(64);
        let spoken = Arc::default();
        let task = tokio::spawn(run(swarm, received, Arc::clone(&spoken)));
        Self { peer, addr, dht: Arc::new(dht), clock, orders, spoken, task }
    }

    pub(super) async fn connect(&self, other: &Self) {
        self.dial(other.addr.clone().with_p2p(other.peer).expect("no peer in it")).await;
    }

    pub(super) async fn dial(&self, addr: Multiaddr) {
        self.orders.send(Order::Dial(addr)).await.expect("the node runs");
    }

    pub(super) async fn set_mode(&self, mode: Mode) {
        self.orders.send(Order::Mode(mode)).await.expect("the node runs");
    }

    /// As a peer to ask.
    pub(super) fn contact(&self) -> Provider {
        Provider { peer: self.peer, addrs: vec![self.addr.clone()] }
    }

    pub(super) async fn stats(&self) -> Stats {
        self.dht.stats().await.into_iter().find(|s| s.net == Net::Lan).expect("the LAN DHT is on")
    }

    pub(super) async fn table(&self) -> Vec<PeerId> {
        self.stats().await.buckets.into_iter().flat_map(|b| b.peers).collect()
    }

    pub(super) async fn find(&self, key: Multihash, count: usize) -> Vec<Provider> {
        let stream = Arc::clone(&self.dht).find_providers(key, count, Some(Instant::now() + LIMIT));
        stream.map(|p| p.expect("no error")).collect().await
    }

    async fn values(&self, key: &'static [u8]) -> Vec<Vec<u8>> {
        let stream = Arc::clone(&self.dht).search_value(key.into(), Some(Instant::now() + LIMIT));
        stream.filter_map(|v| async { v.ok().map(|v| v.to_vec()) }).collect().await
    }
}

async fn run(
    mut swarm: Swarm<Parts>,
    mut orders: mpsc::Receiver<Order>,
    spoken: Arc<Mutex<HashMap<PeerId, Vec<StreamProtocol>>>>,
) {
    let mut remotes: HashMap<ConnectionId, Multiaddr> = HashMap::new();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { connection_id, endpoint, .. } => {
                    remotes.insert(connection_id, endpoint.get_remote_address().clone());
                }
                SwarmEvent::Behaviour(PartsEvent::Identify(identify::Event::Received {
                    peer_id, info, connection_id,
                })) => {
                    swarm.behaviour_mut().dht.identified(peer_id, &info, &remotes[&connection_id]);
                    spoken.lock().insert(peer_id, info.protocols);
                }
                _ => {}
            },
            Some(order) = orders.recv() => match order {
                Order::Dial(addr) => swarm.dial(addr).expect("dials"),
                Order::Mode(mode) => swarm.behaviour_mut().dht.set_mode(mode),
            },
        }
    }
}

pub(super) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Servers that all know the first, and through it each other.
async fn network(count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::new(Mode::Server).await);
    }
    for node in &nodes[1..] {
        node.connect(&nodes[0]).await;
    }
    for node in &nodes {
        until("everybody has somebody in the table", async || !node.table().await.is_empty()).await;
    }
    until("the first has everybody", async || nodes[0].table().await.len() == count - 1).await;
    nodes
}

pub(super) fn key(n: u8) -> Multihash {
    Multihash::wrap(0x12, &[n; 32]).expect("32 bytes fit")
}

#[tokio::test]
async fn a_provider_is_found_with_its_address_and_the_search_ends_early() {
    let nodes = network(8).await;
    nodes[3].dht.provide(key(1), Some(Instant::now() + LIMIT)).await.expect("somebody takes it");
    nodes[4].dht.provide(key(1), Some(Instant::now() + LIMIT)).await.expect("somebody takes it");
    until("the announcements are kept", async || nodes[7].find(key(1), 0).await.len() == 2).await;
    let mut found = nodes[7].find(key(1), 0).await;
    found.sort_by_key(|p| p.peer != nodes[3].peer);
    let expected: Vec<_> = [&nodes[3], &nodes[4]].map(|n| (n.peer, vec![n.addr.clone()])).into();
    assert_eq!(found.into_iter().map(|p| (p.peer, p.addrs)).collect::<Vec<_>>(), expected);
    assert_eq!(nodes[7].find(key(1), 1).await.len(), 1);
    assert_eq!(nodes[7].find(key(2), 0).await, []);
    let past = Some(Instant::now());
    let late: Vec<_> = Arc::clone(&nodes[7].dht).find_providers(key(2), 0, past).collect().await;
    assert!(matches!(&late[..], [Err(RoutingError::TimedOut)]), "{late:?}");
}

#[tokio::test]
async fn peers_are_found_and_a_lonely_node_says_so() {
    let nodes = network(5).await;
    let found = nodes[1].dht.find_peer(nodes[4].peer, Some(Instant::now() + LIMIT)).await.expect("found");
    assert_eq!(found, Provider { peer: nodes[4].peer, addrs: vec![nodes[4].addr.clone()] });
    let nobody = nodes[1].dht.find_peer(PeerId::random(), Some(Instant::now() + LIMIT)).await;
    assert!(matches!(nobody, Err(RoutingError::NotFound)), "{nobody:?}");
    let target = nodes[2].peer.to_bytes();
    assert!(nodes[1].dht.get_closest_peers(target).await.contains(&nodes[2].peer));
    let alone = Node::new(Mode::Server).await;
    let found: Vec<_> = Arc::clone(&alone.dht).find_providers(key(1), 0, None).collect().await;
    assert!(matches!(&found[..], [Err(RoutingError::NoPeers)]), "{found:?}");
    assert!(matches!(alone.dht.provide(key(1), None).await, Err(RoutingError::NoPeers)));
}

#[tokio::test]
async fn values_are_kept_when_valid_and_corrected_when_old() {
    let nodes = network(6).await;
    let name: &[u8] = b"/ipns/name";
    nodes[1].dht.put_value(name.into(), b"1"[..].into(), None).await.expect("taken");
    until("the value is found", async || nodes[5].values(b"/ipns/name").await == [b"1".to_vec()]).await;
    // One node alone has a newer one.
    nodes[2].dht.keep_value(Net::Lan, name.to_vec(), b"2".to_vec()).await;
    until("the best value is the last", async || nodes[4].values(b"/ipns/name").await.last() == Some(&b"2".to_vec()))
        .await;
    until("the search brought the others up to date", async || {
        nodes[1].dht.local_value(Net::Lan, name).await == Some(b"2".to_vec())
    })
    .await;
    let bad = nodes[1].dht.put_value(name.into(), b"bad"[..].into(), None).await;
    assert!(matches!(bad, Err(RoutingError::Invalid(_))), "{bad:?}");
    let none: Vec<_> = Arc::clone(&nodes[1].dht).search_value(b"/ipns/none"[..].into(), None).collect().await;
    assert!(matches!(&none[..], [Err(RoutingError::NotFound)]), "{none:?}");
}

#[tokio::test]
async fn servers_refuse_what_is_wrong_and_keep_nothing_of_it() {
    let nodes = network(2).await;
    let link = &nodes[1].dht.links[0];
    let server = Provider { peer: nodes[0].peer, addrs: vec![nodes[0].addr.clone()] };
    let own = Provider { peer: nodes[1].peer, addrs: vec![nodes[1].addr.clone()] };
    let forged = Provider { peer: PeerId::random(), addrs: vec![nodes[1].addr.clone()] };
    for wrong in [
        Message::announce(key(1).to_bytes(), forged),
        Message::announce(vec![7; MAX_KEY + 1], own.clone()),
        Message::announce(Vec::new(), own.clone()),
        Message::announce(key(1).to_bytes(), Provider { addrs: Vec::new(), ..own.clone() }),
    ] {
        // Its stream is reset, which Yamux shows as an end.
        let _ = link.tell(&server, &[wrong]).await;
    }
    link.tell(&server, &[Message::announce(key(2).to_bytes(), own)]).await.expect("the stream is read");
    until("the right one is kept", async || nodes[0].stats().await.provider_records == 1).await;
    let huge = vec![b'1'; 11 * 1024];
    for (key, value) in [(&b"/ipns/x"[..], &b"no digits"[..]), (b"/other/x", b"1"), (b"", b"1"), (b"/ipns/x", &huge)] {
        let put = link.ask(&server, &Message::put(key.to_vec(), value.to_vec())).await;
        assert!(put.is_err(), "what is not kept is not echoed: {put:?}");
    }
    let other = Message { key: b"/ipns/other".to_vec(), ..Message::put(b"/ipns/x".to_vec(), b"1".to_vec()) };
    assert!(link.ask(&server, &other).await.is_err(), "a record of another key");
    let good = Message::put(b"/ipns/x".to_vec(), b"2".to_vec());
    assert_eq!(link.ask(&server, &good).await.expect("kept"), good);
    let old = Message::put(b"/ipns/x".to_vec(), b"1".to_vec());
    assert!(link.ask(&server, &old).await.is_err(), "a newer one is known");
    let stats = nodes[0].stats().await;
    assert_eq!((stats.provider_records, stats.values, stats.refused), (1, 1, 10));
}

#[tokio::test]
async fn forged_answers_are_not_believed() {
    let nodes = network(3).await;
    let link = &nodes[1].dht.links[0];
    // A record under another key, and one that is not valid: a server that lies is played by asking the validator's side.
    nodes[0].dht.keep_value(Net::Lan, b"/ipns/a".to_vec(), b"5".to_vec()).await;
    let server = Provider { peer: nodes[0].peer, addrs: vec![nodes[0].addr.clone()] };
    let answer = link.ask(&server, &Message::ask(Kind::GetValue, b"/ipns/a".to_vec())).await.expect("answers");
    assert_eq!(answer.record, Some((b"/ipns/a".to_vec(), b"5".to_vec())));
    // Peers without an address of the right kind, and this node itself, are nobody to ask.
    let public: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().expect("an address");
    let heard = vec![
        Provider { peer: PeerId::random(), addrs: vec![public] },
        Provider { peer: PeerId::random(), addrs: Vec::new() },
        Provider { peer: nodes[1].peer, addrs: vec![nodes[1].addr.clone()] },
        server.clone(),
    ];
    assert_eq!(link.admit(heard), [server]);
}

#[tokio::test]
async fn clients_ask_and_are_in_no_table() {
    let nodes = network(4).await;
    let client = Node::new(Mode::Client).await;
    client.connect(&nodes[0]).await;
    until("the client knows a server", async || !client.table().await.is_empty()).await;
    nodes[2].dht.provide(key(9), None).await.expect("taken");
    until("the client finds", async || client.find(key(9), 0).await.len() == 1).await;
    client.dht.provide(key(8), None).await.expect("taken");
    until("the client is found", async || nodes[3].find(key(8), 0).await.len() == 1).await;
    for node in &nodes {
        assert!(!node.table().await.contains(&client.peer), "a client is in a table");
    }
    assert_eq!(client.stats().await.mode, Mode::Client);
}

#[tokio::test]
async fn records_survive_a_restart_and_end_in_time() {
    let keypair = Keypair::generate_ed25519();
    let kv: Arc<dyn Kv> = Arc::new(MemoryKv::default());
    let server = Node::with(Mode::Server, keypair.clone(), Arc::clone(&kv)).await;
    let other = Node::new(Mode::Server).await;
    other.connect(&server).await;
    until("they know each other", async || !other.table().await.is_empty()).await;
    other.dht.provide(key(1), None).await.expect("taken");
    other.dht.put_value(b"/ipns/n"[..].into(), b"7"[..].into(), None).await.expect("taken");
    until("both are kept", async || {
        let stats = server.stats().await;
        (stats.provider_records, stats.values) == (1, 1)
    })
    .await;
    let rows = |kind: u8| {
        let prefix = [1, kind];
        kv.scan(cairn_store::kv::Table::Net, &prefix, Some(&[1, kind + 1])).count()
    };
    until("both are written down", async || (rows(b'p'), rows(b'v')) == (1, 1)).await;
    drop(server);
    let server = Node::with(Mode::Server, keypair, Arc::clone(&kv)).await;
    until("both are read back", async || {
        let stats = server.stats().await;
        (stats.provider_records, stats.values) == (1, 1)
    })
    .await;
    let multihash = key(1).to_bytes();
    let providers = || server.dht.local_providers(Net::Lan, &multihash);
    assert_eq!(providers().await, [Provider { peer: other.peer, addrs: vec![other.addr.clone()] }]);
    server.clock.set(1_700_000_000 + ADDRS_TTL);
    assert_eq!(providers().await, [Provider { peer: other.peer, addrs: Vec::new() }]);
    server.clock.set(1_700_000_000 + RECORD_TTL);
    assert_eq!(providers().await, []);
    assert_eq!(server.dht.local_value(Net::Lan, b"/ipns/n").await, None);
}

struct Fixed(Vec<Multihash>);

impl KeySource for Fixed {
    fn keys(&self, _: Strategy) -> Keys<'_> {
        Box::new(self.0.iter().copied().map(Ok))
    }
}

#[tokio::test]
async fn the_sweep_announces_over_real_streams() {
    let nodes = network(6).await;
    let keys: Vec<Multihash> = (0..100).map(key).collect();
    let clock: Arc<dyn Clock> = Arc::clone(&nodes[1].clock) as Arc<dyn Clock>;
    let kv = Arc::new(MemoryKv::default());
    let targets = nodes[1].dht.provide_targets();
    let sweep = Sweep::start(sweep::Config::default(), targets, Arc::new(Fixed(keys)), kv, clock);
    for node in nodes.iter().filter(|n| n.peer != nodes[1].peer) {
        until("each of the five others has all keys", async || node.stats().await.provider_records == 100).await;
    }
    assert_eq!(nodes[0].find(key(50), 0).await, [Provider { peer: nodes[1].peer, addrs: vec![nodes[1].addr.clone()] }]);
    until("all is counted", async || sweep.stats(Net::Lan).await.expect("lan").operations.past.keys_provided == 100)
        .await;
}

/// Peers that speak bytes instead of messages, over the real handlers.
#[tokio::test]
async fn length_bombs_are_refused_by_both_sides() {
    let nodes = network(2).await;
    let link = &nodes[1].dht.links[0];
    // A server must not wait for, or make room for, what a length promises.
    for bomb in [&[0xff; 16][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01], &[0xff, 0xff, 0xff, 0x7f]] {
        let answer = link.send_raw(nodes[0].peer, bomb.to_vec()).await;
        assert!(answer.is_err(), "{bomb:02x?}: {answer:?}");
    }
    // And it goes on to serve.
    let server = Provider { peer: nodes[0].peer, addrs: Vec::new() };
    let seeds = link.seeds(&Id::of(b"x")).await;
    assert_eq!(seeds.len(), 1);
    link.ask(&server, &Message::ask(Kind::FindNode, b"x".to_vec())).await.expect("the server is well");
}
