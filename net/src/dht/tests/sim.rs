//! A DHT of many peers in one process: k-bucket tables, answers without delay, everything from a seed.

use crate::{
    dht::{
        key::Id,
        message::{Kind, Message},
        query::{Network, Walk, lookup::K, size::NetworkSize},
        router::announce,
        wire::WireError,
    },
    routing::Provider,
};
use async_trait::async_trait;
use cairn_store::Multihash;
use libp2p::PeerId;
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Honest,
    Dead,
    /// Names only its own kind, keeps nothing.
    Sybil,
}

struct SimPeer {
    id: Id,
    contact: Provider,
    table: Vec<usize>,
    nature: Nature,
}

/// The network, seen by a node that is not part of it but has a routing table.
pub(crate) struct SimNet {
    peers: Vec<SimPeer>,
    numbers: HashMap<PeerId, usize>,
    table: Vec<usize>,
    size: Mutex<NetworkSize>,
    /// Key → who keeps whose announcement.
    pub(crate) kept: Mutex<HashMap<Vec<u8>, HashSet<usize>>>,
    pub(crate) lookups: AtomicU64,
    pub(crate) messages: AtomicU64,
    /// After so many messages, peers begin to die.
    churn: Mutex<Option<(u64, StdRng)>>,
    died: Mutex<HashSet<usize>>,
    /// Keys whose announcements nobody takes.
    pub(crate) untaken: Mutex<HashSet<Vec<u8>>>,
    /// Whether the next announcement panics.
    pub(crate) panics: AtomicBool,
}

pub(crate) fn random_peer(rng: &mut StdRng) -> PeerId {
    let digest: [u8; 32] = rng.random();
    let multihash = libp2p::multihash::Multihash::wrap(0x12, &digest).expect("32 bytes fit");
    PeerId::from_multihash(multihash).expect("a sha2-256 multihash is a peer id")
}

pub(crate) fn random_key(rng: &mut StdRng) -> Multihash {
    let digest: [u8; 32] = rng.random();
    Multihash::wrap(0x12, &digest).expect("32 bytes fit")
}

/// The buckets of a table at `local`: up to 20 random peers for each number of shared bits.
fn table(local: &Id, ids: &[Id], rng: &mut StdRng) -> Vec<usize> {
    let mut buckets: HashMap<usize, Vec<usize>> = HashMap::new();
    for (n, id) in ids.iter().enumerate().filter(|(_, id)| *id != local) {
        buckets.entry(local.common_bits(id)).or_default().push(n);
    }
    let mut buckets: Vec<_> = buckets.into_iter().collect();
    buckets.sort_unstable();
    let mut table = Vec::new();
    for (_, mut members) in buckets {
        members.shuffle(rng);
        table.extend(members.into_iter().take(K));
    }
    table
}

impl SimNet {
    pub(crate) fn new(honest: usize, sybils: Vec<PeerId>, rng: &mut StdRng) -> Self {
        let mut all: Vec<(PeerId, Nature)> = (0..honest).map(|_| (random_peer(rng), Nature::Honest)).collect();
        all.extend(sybils.into_iter().map(|peer| (peer, Nature::Sybil)));
        let ids: Vec<Id> = all.iter().map(|(peer, _)| Id::of_peer(peer)).collect();
        let peers: Vec<SimPeer> = all
            .iter()
            .zip(&ids)
            .map(|((peer, nature), id)| SimPeer {
                id: *id,
                contact: Provider { peer: *peer, addrs: vec!["/ip4/1.2.3.4/tcp/1".parse().expect("an address")] },
                table: table(id, &ids, rng),
                nature: *nature,
            })
            .collect();
        Self {
            numbers: all.iter().enumerate().map(|(n, (peer, _))| (*peer, n)).collect(),
            peers,
            table: table(&Id(rng.random()), &ids, rng),
            size: Mutex::default(),
            kept: Mutex::default(),
            lookups: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            churn: Mutex::new(None),
            died: Mutex::default(),
            untaken: Mutex::default(),
            panics: AtomicBool::new(false),
        }
    }

    /// Peers die from now on, one in every `every` messages.
    pub(crate) fn churn(&self, every: u64, seed: u64) {
        *self.churn.lock() = Some((every, StdRng::seed_from_u64(seed)));
    }

    pub(crate) fn kill(&mut self, share: f64, rng: &mut StdRng) {
        for peer in &mut self.peers {
            if rng.random_bool(share) {
                peer.nature = Nature::Dead;
            }
        }
    }

    fn is_alive(&self, n: usize) -> bool {
        self.peers[n].nature != Nature::Dead && !self.died.lock().contains(&n)
    }

    pub(crate) fn alive(&self) -> usize {
        (0..self.peers.len()).filter(|n| self.is_alive(*n)).count()
    }

    /// The 20 nearest live peers of a key.
    pub(crate) fn nearest(&self, key: &[u8]) -> HashSet<usize> {
        let target = Id::of(key);
        let mut order: Vec<usize> = (0..self.peers.len()).filter(|n| self.is_alive(*n)).collect();
        if order.len() > K {
            order.select_nth_unstable_by_key(K - 1, |n| self.peers[*n].id.distance(&target));
            order.truncate(K);
        }
        order.into_iter().collect()
    }

    fn receive(&self, peer: &Provider) -> Result<usize, WireError> {
        let count = self.messages.fetch_add(1, Ordering::Relaxed);
        if let Some((every, rng)) = &mut *self.churn.lock()
            && count.is_multiple_of(*every)
        {
            self.died.lock().insert(rng.random_range(0..self.peers.len()));
        }
        let number = self.numbers.get(&peer.peer).copied().ok_or(WireError::Unreachable)?;
        if self.is_alive(number) { Ok(number) } else { Err(WireError::Unreachable) }
    }

    fn closest_in(&self, table: &[usize], target: &Id) -> Vec<Provider> {
        let mut order = table.to_vec();
        order.sort_by_key(|n| self.peers[*n].id.distance(target));
        order.into_iter().take(K).map(|n| self.peers[n].contact.clone()).collect()
    }

    fn sybils(&self) -> Vec<Provider> {
        self.peers.iter().filter(|p| p.nature == Nature::Sybil).map(|p| p.contact.clone()).collect()
    }
}

#[async_trait]
impl Network for SimNet {
    async fn seeds(&self, target: &Id) -> Vec<Provider> {
        self.closest_in(&self.table, target)
    }

    async fn ask(&self, peer: &Provider, message: &Message) -> Result<Message, WireError> {
        let number = self.receive(peer)?;
        let mut answer = Message::ask(message.kind, message.key.clone());
        if self.peers[number].nature == Nature::Sybil {
            answer.closer = self.sybils();
            return Ok(answer);
        }
        answer.closer = self.closest_in(&self.peers[number].table, &Id::of(&message.key));
        if message.kind == Kind::GetProviders && self.kept.lock().get(&message.key).is_some_and(|k| k.contains(&number))
        {
            answer.providers = vec![Provider { peer: peer.peer, addrs: Vec::new() }];
        }
        Ok(answer)
    }

    async fn tell(&self, peer: &Provider, messages: &[Message]) -> Result<(), WireError> {
        let number = self.receive(peer)?;
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a worker is meant to panic");
        if messages.iter().any(|message| self.untaken.lock().contains(&message.key)) {
            return Err(WireError::TimedOut);
        }
        if self.peers[number].nature == Nature::Honest {
            let mut kept = self.kept.lock();
            for message in messages {
                kept.entry(message.key.clone()).or_default().insert(number);
            }
        }
        Ok(())
    }

    fn unresponsive(&self, _: &PeerId) {}

    fn admit(&self, answer: Vec<Provider>) -> Vec<Provider> {
        answer
    }

    fn size(&self) -> Option<f64> {
        self.size.lock().estimate()
    }

    fn observed(&self, distances: &[Id]) {
        self.size.lock().observe(distances);
    }

    fn count_lookup(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }
}

async fn closest(net: &Arc<SimNet>, key: Vec<u8>) -> HashSet<usize> {
    let network: Arc<dyn Network> = Arc::clone(net) as Arc<dyn Network>;
    let walk = Walk::start(network, Message::ask(Kind::FindNode, key)).await;
    walk.closest().await.iter().map(|p| net.numbers[&p.peer]).collect()
}

#[tokio::test]
async fn a_walk_finds_the_nearest_live_peers() {
    let seed = 11;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut net = SimNet::new(1000, Vec::new(), &mut rng);
    net.kill(0.2, &mut rng);
    let net = Arc::new(net);
    let (mut found, mut expected) = (0, 0);
    for _ in 0..200 {
        let key = random_key(&mut rng).to_bytes();
        let nearest = net.nearest(&key);
        found += closest(&net, key).await.intersection(&nearest).count();
        expected += nearest.len();
    }
    // One in five is dead and stays in the tables, so a few of the nearest are in no table that was asked.
    assert!(found as f64 >= expected as f64 * 0.98, "seed {seed}: {found} of {expected}");
    let messages = net.messages.load(Ordering::Relaxed) / 200;
    assert!(messages < 100, "seed {seed}: {messages} messages per walk");
}

/// A network with 20 Sybils nearer to a key than any honest peer, out of 100,000 ids that cost nothing.
fn besieged(rng: &mut StdRng) -> (Vec<u8>, Arc<SimNet>) {
    loop {
        let key = random_key(rng).to_bytes();
        let net = Arc::new(SimNet::new(1000, sybils_at(&key, rng), rng));
        if net.nearest(&key).iter().all(|n| net.peers[*n].nature == Nature::Sybil) {
            return (key, net);
        }
    }
}

fn sybils_at(key: &[u8], rng: &mut StdRng) -> Vec<PeerId> {
    let target = Id::of(key);
    let mut candidates: Vec<PeerId> = (0..100_000).map(|_| random_peer(rng)).collect();
    candidates.sort_by_cached_key(|peer| Id::of_peer(peer).distance(&target));
    candidates.truncate(K);
    candidates
}

#[tokio::test]
async fn a_key_surrounded_by_sybils_is_still_provided_and_found() {
    let (seed, runs) = (5, 20);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut kept_in_all, mut found_in_all) = (0, 0);
    for run in 0..runs {
        let (key, net) = besieged(&mut rng);
        let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
        for _ in 0..8 {
            closest(&net, random_key(&mut rng).to_bytes()).await;
        }
        let own = Provider { peer: random_peer(&mut rng), addrs: Vec::new() };
        announce(Arc::clone(&network), Message::announce(key.clone(), own), 15).await;
        kept_in_all += net.kept.lock().get(&key).map_or(0, HashSet::len);
        // Somebody else, who looks for it.
        let question = Message::ask(Kind::GetProviders, key.clone());
        let mut walk = Walk::start(Arc::clone(&network), question.clone()).await;
        let mut found = 0;
        while let Some((_, answer)) = walk.next().await {
            found += answer.providers.len();
        }
        assert!(walk.lookup().is_crowded(), "seed {seed}, run {run}: the attack was not noticed");
        for peer in crate::dht::query::region::around(&network, &key, rng.random()).await {
            let answer = network.ask(&peer, &question).await;
            found += answer.map_or(0, |a| a.providers.len());
        }
        found_in_all += usize::from(found > 0);
    }
    assert_eq!(found_in_all, runs, "seed {seed}");
    assert!(kept_in_all / runs >= 15, "seed {seed}: {kept_in_all} honest holders in {runs} runs");
}

#[tokio::test]
async fn no_crowd_is_seen_where_there_is_none() {
    let seed = 3;
    let mut rng = StdRng::seed_from_u64(seed);
    let net = Arc::new(SimNet::new(2000, Vec::new(), &mut rng));
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    for _ in 0..300 {
        let question = Message::ask(Kind::FindNode, random_key(&mut rng).to_bytes());
        let mut walk = Walk::start(Arc::clone(&network), question).await;
        while walk.next().await.is_some() {}
        assert!(!walk.lookup().is_crowded(), "seed {seed}");
    }
}

#[tokio::test]
async fn an_announcement_reaches_the_nearest_and_returns_before_the_end() {
    let seed = 9;
    let mut rng = StdRng::seed_from_u64(seed);
    let net = Arc::new(SimNet::new(500, Vec::new(), &mut rng));
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    for _ in 0..10 {
        closest(&net, random_key(&mut rng).to_bytes()).await;
    }
    let own = Provider { peer: random_peer(&mut rng), addrs: Vec::new() };
    let (mut right, mut stray) = (0, 0);
    for _ in 0..100 {
        let key = random_key(&mut rng).to_bytes();
        announce(Arc::clone(&network), Message::announce(key.clone(), own.clone()), K).await;
        let kept = net.kept.lock().get(&key).cloned().unwrap_or_default();
        let nearest = net.nearest(&key);
        right += kept.intersection(&nearest).count();
        stray += kept.difference(&nearest).count();
    }
    assert!(right >= 1980, "seed {seed}: {right} of 2000 announcements are where they belong");
    assert!(stray <= 100, "seed {seed}: {stray} announcements are where they are not looked for");
}

/// One peer in five lies: it answers every question with its own kind and nobody else.
#[tokio::test]
async fn liars_on_the_way_do_not_hide_the_nearest() {
    let seed = 21;
    let mut rng = StdRng::seed_from_u64(seed);
    let liars: Vec<PeerId> = (0..250).map(|_| random_peer(&mut rng)).collect();
    let net = Arc::new(SimNet::new(1000, liars, &mut rng));
    let (mut found, mut expected) = (0, 0);
    for _ in 0..200 {
        let key = random_key(&mut rng).to_bytes();
        let honest = |all: HashSet<usize>| -> HashSet<usize> {
            all.into_iter().filter(|n| net.peers[*n].nature == Nature::Honest).collect()
        };
        let nearest = honest(net.nearest(&key));
        expected += nearest.len();
        found += honest(closest(&net, key).await).intersection(&nearest).count();
    }
    assert!(found as f64 >= expected as f64 * 0.95, "seed {seed}: {found} of {expected}");
}
