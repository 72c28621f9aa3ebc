//! The provide sweep on a simulated network.

use super::{
    sim::{SimNet, random_key, random_peer},
    support::TestClock,
};
use crate::{
    dht::{
        Net,
        key::{Id, Prefix},
        message::{Kind, Message},
        query::{Network, Walk, lookup::K, region},
        sweep::{
            Config, KeySource, Keys, ProvideTarget, Strategy, Sweep,
            internals::{Counters, Keystore, Rows, Schedule, Server},
        },
    },
    routing::Provider,
};
use cairn_store::{Multihash, kv::MemoryKv};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::sync::{Arc, atomic::Ordering};

const INTERVAL: u64 = 22 * 3600;

async fn calibrate(network: &Arc<dyn Network>, rng: &mut StdRng) {
    for _ in 0..4 {
        let question = Message::ask(Kind::FindNode, random_key(rng).to_bytes());
        Walk::start(Arc::clone(network), question).await.closest().await;
    }
}

fn server(net: &Arc<SimNet>, keys: &[Multihash], rng: &mut StdRng) -> Server {
    let network: Arc<dyn Network> = Arc::clone(net) as Arc<dyn Network>;
    let own = Provider { peer: random_peer(rng), addrs: vec!["/ip4/9.9.9.9/tcp/1".parse().expect("an address")] };
    let store = Arc::new(Keystore::new(Arc::new(MemoryKv::default())));
    store.refresh(Box::new(keys.iter().copied().map(Ok)), &[], false).expect("memory");
    Server {
        target: ProvideTarget::fixed(Net::Wan, network, own),
        keys: store,
        counters: Arc::new(Counters::default()),
        connections: 20,
    }
}

/// Runs one cycle in virtual time, minute by minute; the number of lookups.
async fn one_cycle(net: &Arc<SimNet>, server: &Server, rng: &mut StdRng) -> u64 {
    let start = 1_000_000_000;
    let position = crate::dht::sweep::internals::Position { cycle_start: start, served: 0 };
    let mut schedule = Schedule::new(INTERVAL, start, Some(position));
    let before = net.lookups.load(Ordering::Relaxed);
    let mut served = 0;
    let mut hours = [0u64; 22];
    for now in (start..start + INTERVAL).step_by(60) {
        let len = region::prefix_len(net.size().expect("calibrated"));
        while let Some(due) = schedule.next(now, len) {
            let keys = server.serve(Rows::All, due.prefix, rng.random()).await.expect("there are peers").announced;
            schedule.served(due);
            served += keys;
            hours[((now - start) / 3600) as usize] += keys;
        }
    }
    let total = server.keys.len();
    assert!(served >= total, "{served} of {total}");
    let most = hours.iter().max().copied().unwrap_or(0);
    assert!(most < total / 5, "work is spread over the interval, not {most} of {total} in one hour");
    net.lookups.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn a_sweep_takes_few_lookups_and_brings_every_key_to_its_nearest_peers() {
    let seed = 42;
    let mut rng = StdRng::seed_from_u64(seed);
    let net = Arc::new(SimNet::new(1000, Vec::new(), &mut rng));
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    calibrate(&network, &mut rng).await;
    let keys: Vec<Multihash> = (0..100_000).map(|_| random_key(&mut rng)).collect();
    let server = server(&net, &keys, &mut rng);
    let lookups = one_cycle(&net, &server, &mut rng).await;
    eprintln!("seed {seed}: {lookups} lookups for {} keys in a network of 1000", keys.len());
    assert!(lookups <= keys.len() as u64 * 3 / 100, "seed {seed}: {lookups} lookups");
    let kept = net.kept.lock();
    let wrong = keys
        .iter()
        .map(cairn_store::Multihash::to_bytes)
        .filter(|key| kept.get(key).is_none_or(|holders| !net.nearest(key).is_subset(holders)))
        .count();
    assert_eq!(wrong, 0, "seed {seed}: keys that are not at all of their 20 nearest peers");
    let records: usize = kept.values().map(std::collections::HashSet::len).sum();
    assert_eq!(records, keys.len() * K, "seed {seed}: and nowhere else");
}

#[tokio::test]
async fn under_churn_nearly_every_announcement_is_where_it_is_looked_for() {
    let seed = 43;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut net = SimNet::new(1000, Vec::new(), &mut rng);
    net.kill(0.2, &mut rng);
    let net = Arc::new(net);
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    calibrate(&network, &mut rng).await;
    let keys: Vec<Multihash> = (0..10_000).map(|_| random_key(&mut rng)).collect();
    let server = server(&net, &keys, &mut rng);
    net.churn(50, seed);
    one_cycle(&net, &server, &mut rng).await;
    let kept = net.kept.lock();
    let (mut right, mut least) = (0, K);
    for key in keys.iter().map(cairn_store::Multihash::to_bytes) {
        let nearest = net.nearest(&key);
        let held = kept.get(&key).map_or(0, |holders| holders.intersection(&nearest).count());
        right += held;
        least = least.min(held);
    }
    eprintln!("seed {seed}: {} alive, mean {:.2} of 20, least {least}", net.alive(), right as f64 / keys.len() as f64);
    assert!(net.alive() < 790, "seed {seed}: peers died meanwhile");
    // Those that die after a region was served take their records along; the next nearest never got them.
    assert!(right as f64 >= keys.len() as f64 * K as f64 * 0.9, "seed {seed}: {right}");
    assert!(least >= 10, "seed {seed}: {least}");
}

struct Fixed(Vec<Multihash>);

impl KeySource for Fixed {
    fn keys(&self, _: Strategy) -> Keys<'_> {
        Box::new(self.0.iter().copied().map(Ok))
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if done().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn the_sweep_announces_all_at_first_then_what_is_new_and_goes_on_after_a_restart() {
    let seed = 44;
    let mut rng = StdRng::seed_from_u64(seed);
    let net = Arc::new(SimNet::new(200, Vec::new(), &mut rng));
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    let own = Provider { peer: random_peer(&mut rng), addrs: vec!["/ip4/9.9.9.9/tcp/1".parse().expect("an address")] };
    let target = || vec![ProvideTarget::fixed(Net::Wan, Arc::clone(&network), own.clone())];
    let keys: Vec<Multihash> = (0..500).map(|_| random_key(&mut rng)).collect();
    let kv = Arc::new(MemoryKv::default());
    let clock = Arc::new(TestClock::at(2_000_000_000));
    let start = |keys: &[Multihash]| {
        let source = Arc::new(Fixed(keys.to_vec()));
        Sweep::start(Config::default(), target(), source, kv.clone(), clock.clone())
    };
    let sweep = start(&keys);
    until("all keys are announced", async || net.kept.lock().len() == 500).await;
    let new: Vec<Multihash> = (0..50).map(|_| random_key(&mut rng)).collect();
    sweep.add(new.clone()).await.expect("memory");
    until("new keys are announced", async || {
        let kept = net.kept.lock();
        new.iter().all(|key| kept.contains_key(&key.to_bytes()))
    })
    .await;
    until("workers are idle", async || sweep.stats(Net::Wan).await.expect("wan").workers.active == 0).await;
    let stats = sweep.stats(Net::Wan).await.expect("wan");
    assert_eq!((stats.queues.pending_key_provides, stats.operations.past.keys_failed), (0, 0));
    assert!(stats.network.avg_holders > 19.9, "{}", stats.network.avg_holders);
    sweep.close();
    drop(sweep);
    // Another run: nothing is due, so nothing is announced until an eleventh of the interval has passed, but for keys that
    // came up while it was off.
    net.kept.lock().clear();
    let late: Vec<Multihash> = (0..10).map(|_| random_key(&mut rng)).collect();
    let sweep = start(&[keys, late.clone()].concat());
    until("the source was read again", async || sweep.stats(Net::Wan).await.expect("wan").schedule.keys == 510).await;
    until("what came up meanwhile is announced", async || {
        let kept = net.kept.lock();
        late.iter().all(|key| kept.contains_key(&key.to_bytes()))
    })
    .await;
    let resumed = net.kept.lock().len();
    assert!(resumed < 250, "seed {seed}: {resumed} keys were announced again at once");
    clock.set(2_000_000_000 + INTERVAL + 60);
    // Wakes the task, which would notice a clock that jumps after ten minutes.
    sweep.add(Vec::new()).await.expect("memory");
    until("the whole keyspace came round", async || net.kept.lock().len() == 510).await;
}

#[tokio::test]
async fn a_new_key_that_nobody_took_goes_on_waiting() {
    let mut rng = StdRng::seed_from_u64(45);
    let net = Arc::new(SimNet::new(100, Vec::new(), &mut rng));
    let server = server(&net, &[], &mut rng);
    let keys = [random_key(&mut rng), random_key(&mut rng)];
    server.keys.add(&keys, &[Net::Wan]).expect("memory");
    net.untaken.lock().insert(keys[0].to_bytes());
    let all = Prefix::new(&Id([0; 32]), 0);
    let outcome = server.serve(Rows::New(Net::Wan), all, 45).await.expect("one is taken");
    assert_eq!((outcome.announced, outcome.left), (1, 1));
    let waiting = server.keys.chunk(Rows::New(Net::Wan), all, Id([0; 32])).expect("memory");
    assert_eq!(waiting.into_iter().map(|key| key.multihash).collect::<Vec<_>>(), [keys[0].to_bytes()]);
}

#[tokio::test]
async fn a_worker_that_panics_leaves_its_place_and_its_keys() {
    let mut rng = StdRng::seed_from_u64(46);
    let net = Arc::new(SimNet::new(100, Vec::new(), &mut rng));
    let network: Arc<dyn Network> = Arc::clone(&net) as Arc<dyn Network>;
    let own = Provider { peer: random_peer(&mut rng), addrs: vec!["/ip4/9.9.9.9/tcp/1".parse().expect("an address")] };
    let target = vec![ProvideTarget::fixed(Net::Wan, network, own)];
    let clock = Arc::new(TestClock::at(2_000_000_000));
    let kv = Arc::new(MemoryKv::default());
    let sweep = Sweep::start(Config::default(), target, Arc::new(Fixed(Vec::new())), kv, clock.clone());
    let stats = async || sweep.stats(Net::Wan).await.expect("wan");
    until("it is online and idle", async || {
        let stats = stats().await;
        stats.connectivity.status == "online" && stats.workers.active == 0
    })
    .await;
    net.panics.store(true, Ordering::Relaxed);
    let keys: Vec<Multihash> = (0..10).map(|_| random_key(&mut rng)).collect();
    sweep.add(keys).await.expect("memory");
    until("a worker panicked", async || !net.panics.load(Ordering::Relaxed)).await;
    until("its place is free", async || stats().await.workers.active == 0).await;
    assert!(stats().await.queues.pending_key_provides > 0, "those of its region wait");
    clock.set(2_000_000_000 + 61);
    sweep.add(Vec::new()).await.expect("memory");
    until("the keys are announced", async || net.kept.lock().len() == 10).await;
}
