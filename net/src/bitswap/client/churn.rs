//! Fetching while holders come and go, in virtual time.

use super::{
    super::session::Order,
    simulation::{Conduct, Network, cid},
};
use cairn_store::Cid;
use libp2p::PeerId;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::time::Duration;

const HOLDERS: u64 = 8;
const BLOCKS: u64 = 100;
const SIZE: u64 = 50_000;
/// Longest virtual time of a run: the slowest holder alone takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(200);

/// Eight holders of different speed and distance, and who fetches from them.
fn network(rng: &mut StdRng) -> (Network, Vec<PeerId>, PeerId, Vec<Cid>) {
    let mut network = Network::new(SIZE);
    let list: Vec<Cid> = (0..BLOCKS).map(cid).collect();
    let holders: Vec<PeerId> = (1..=HOLDERS)
        .map(|n| network.add(n, rng.random_range(250e3..4e6), rng.random_range(2..150), Conduct::Honest))
        .collect();
    for holder in &holders {
        let node = network.nodes.get_mut(holder).expect("a node");
        node.store.extend(list.iter().map(|cid| *cid.hash()));
    }
    let reader = network.add(100, 10e6, 5, Conduct::Honest);
    network.connect_all();
    (network, holders, reader, list)
}

fn order(rng: &mut StdRng) -> Order {
    if rng.random() { Order::Sequential } else { Order::Rarest }
}

/// Every run is one of another seed.
fn runs(count: u64, one: impl Fn(u64) -> bool) {
    let first: u64 = rand::random();
    println!("seeds {first} to {}", first.wrapping_add(count - 1));
    let failed: Vec<u64> = (0..count).map(|n| first.wrapping_add(n)).filter(|seed| !one(*seed)).collect();
    assert!(failed.is_empty(), "{} of {count} runs did not end; seeds {failed:?}", failed.len());
}

fn fetched(network: &Network, reader: &PeerId, list: &[Cid]) -> bool {
    list.iter().all(|cid| network.nodes[reader].store.contains(cid.hash()))
}

#[test]
fn with_a_fifth_of_the_holders_offline_at_all_times_everything_is_fetched() {
    runs(1_000, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut network, mut holders, reader, list) = network(&mut rng);
        // Two of eight, others each time, at moments of their own.
        let every = Duration::from_millis(rng.random_range(100..3_000));
        let mut now = Duration::ZERO;
        while now < LIMIT {
            holders.shuffle(&mut rng);
            for holder in &holders[..2] {
                let jitter = every.mul_f64(rng.random_range(0.0..0.5));
                network.die_at(*holder, now + jitter);
                network.return_at(*holder, now + jitter + every.mul_f64(0.99));
            }
            now += every;
        }
        let order = order(&mut rng);
        network.fetch(reader, &list, order, 64);
        network.run(&[reader], LIMIT).is_some() && fetched(&network, &reader, &list)
    });
}

#[test]
fn when_holders_die_in_the_middle_it_completes_as_long_as_one_remains() {
    runs(300, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut network, mut holders, reader, list) = network(&mut rng);
        holders.shuffle(&mut rng);
        let dead = rng.random_range(HOLDERS / 2..HOLDERS) as usize;
        for holder in &holders[..dead] {
            network.die_at(*holder, Duration::from_millis(rng.random_range(1..2_000)));
        }
        let order = order(&mut rng);
        network.fetch(reader, &list, order, 64);
        network.run(&[reader], LIMIT).is_some() && fetched(&network, &reader, &list)
    });
}
