//! The server against scripted peers.

use super::{
    super::message::{Entry, Presence, WantType},
    Server, ServerConfig,
};
use cairn_store::{Cid, Multihash, cid::codec};
use libp2p::PeerId;
use std::time::{Duration, Instant};

fn cid(n: u64) -> Cid {
    let digest = cairn_store::hash::sha256(&n.to_le_bytes());
    Cid::new_v1(codec::RAW, Multihash::wrap(0x12, &digest).expect("32 bytes"))
}

fn want(n: u64, kind: WantType) -> Entry {
    Entry::want(cid(n), kind, 1)
}

fn peers(count: usize) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = (0..count).map(|_| PeerId::random()).collect();
    peers.sort_unstable();
    peers
}

/// A server whose store has a block of that size under every number.
fn serve_all(server: &mut Server, peer: PeerId, entries: &[Entry], size: u64) {
    let found: Vec<_> = server.on_wantlist(peer, entries, false).into_iter().map(|h| (h, Some(size))).collect();
    server.on_found(&peer, &found);
}

#[test]
fn questions_are_answered_as_they_were_asked() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    let quiet = Entry { send_dont_have: false, ..want(4, WantType::Block) };
    let looked = server.on_wantlist(
        p,
        &[want(1, WantType::Have), want(2, WantType::Have), want(3, WantType::Block), quiet],
        false,
    );
    assert_eq!(looked.len(), 4);
    server.on_found(
        &p,
        &[(*cid(1).hash(), Some(1024)), (*cid(2).hash(), Some(1025)), (*cid(3).hash(), None), (*cid(4).hash(), None)],
    );
    let envelope = server.next_envelope(now).expect("an answer");
    assert_eq!(envelope.blocks, [(cid(1), 1024)], "small blocks answer the question themselves");
    assert_eq!(envelope.presences, [(cid(2), Presence::Have), (cid(3), Presence::DontHave)]);
    assert_eq!(server.next_envelope(now), None, "a DONT_HAVE is sent only when it was asked for");
    // What was not here comes later, for those who still want it.
    server.on_wantlist(p, &[Entry::cancel(cid(4))], false);
    server.on_new_blocks(&[(*cid(3).hash(), 10), (*cid(4).hash(), 10)]);
    assert_eq!(server.next_envelope(now).expect("the late block").blocks, [(cid(3), 10)]);
    assert!(server.wantlist(&p).is_empty());
}

#[test]
fn a_full_wantlist_replaces_and_a_disconnect_forgets() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    server.on_wantlist(p, &[want(1, WantType::Block), want(2, WantType::Block)], false);
    server.on_wantlist(p, &[want(2, WantType::Have), want(3, WantType::Block)], true);
    let mut left = vec![cid(2), cid(3)];
    left.sort_unstable();
    assert_eq!(server.wantlist(&p), left);
    server.on_disconnected(&p);
    server.on_new_blocks(&[(*cid(2).hash(), 10), (*cid(3).hash(), 10)]);
    assert_eq!(server.next_envelope(now), None);
    assert!(server.by_hash.is_empty() && server.peers.is_empty());
}

#[test]
fn a_want_for_the_block_beats_a_question() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    server.on_wantlist(p, &[want(1, WantType::Block)], false);
    server.on_found(&p, &[(*cid(1).hash(), Some(5000))]);
    assert!(server.on_wantlist(p, &[want(1, WantType::Have)], false).is_empty(), "the block waits to be sent");
    assert_eq!(server.next_envelope(now).expect("the block").blocks, [(cid(1), 5000)]);
}

#[test]
fn a_want_that_became_urgent_is_served_first() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    let entry = |n, priority| Entry::want(cid(n), WantType::Block, priority);
    serve_all(&mut server, p, &[entry(1, 30), entry(2, 20), entry(3, 10)], 300_000);
    assert!(server.on_wantlist(p, &[entry(3, 40), entry(2, 5)], false).is_empty(), "their blocks wait to be sent");
    let mut sent = Vec::new();
    while let Some(envelope) = server.next_envelope(now) {
        sent.extend(envelope.blocks.into_iter().map(|(cid, _)| cid));
    }
    assert_eq!(sent, [cid(3), cid(1), cid(2)]);
    assert!(server.by_hash.is_empty());
}

#[test]
fn a_want_for_the_block_outlives_a_have_that_was_queued_before_it() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    serve_all(&mut server, p, &[want(1, WantType::Have)], 5000);
    // The HAVE waits to be sent when the block is asked for, and goes out while that is looked up.
    let looked = server.on_wantlist(p, &[want(1, WantType::Block)], false);
    assert_eq!(looked, [*cid(1).hash()]);
    assert_eq!(server.next_envelope(now).expect("the HAVE").presences, [(cid(1), Presence::Have)]);
    server.on_found(&p, &[(*cid(1).hash(), Some(5000))]);
    assert_eq!(server.next_envelope(now).expect("the block").blocks, [(cid(1), 5000)]);
    // The same if it is not here any more, and comes again later.
    serve_all(&mut server, p, &[want(2, WantType::Have)], 5000);
    server.on_wantlist(p, &[want(2, WantType::Block)], false);
    server.next_envelope(now).expect("the HAVE");
    server.on_found(&p, &[(*cid(2).hash(), None)]);
    assert_eq!(server.next_envelope(now).expect("an answer").presences, [(cid(2), Presence::DontHave)]);
    server.on_new_blocks(&[(*cid(2).hash(), 5000)]);
    assert_eq!(server.next_envelope(now).expect("the block").blocks, [(cid(2), 5000)]);
    assert!(server.by_hash.is_empty());
}

#[test]
fn a_look_up_that_ends_late_does_not_take_a_block_back() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    server.on_wantlist(p, &[want(1, WantType::Block)], false);
    server.on_new_blocks(&[(*cid(1).hash(), 5000)]);
    server.on_found(&p, &[(*cid(1).hash(), None)]);
    let envelope = server.next_envelope(now).expect("the block");
    assert_eq!((envelope.blocks, envelope.presences), (vec![(cid(1), 5000)], vec![]));
}

#[test]
fn who_asks_again_is_answered_again() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    for _ in 0..2 {
        assert_eq!(server.on_wantlist(p, &[want(1, WantType::Block)], false), [*cid(1).hash()]);
        server.on_found(&p, &[(*cid(1).hash(), None)]);
        assert_eq!(server.next_envelope(now).expect("an answer").presences, [(cid(1), Presence::DontHave)]);
    }
}

#[test]
fn a_million_wants_take_the_room_of_a_thousand() {
    let mut server = Server::new(ServerConfig::default());
    let p = peers(1)[0];
    for n in 0..1000 {
        let entries: Vec<Entry> = (0..1000).map(|i| want(1000 * n + i, WantType::Block)).collect();
        let looked = server.on_wantlist(p, &entries, false);
        let found: Vec<_> = looked.into_iter().map(|h| (h, None)).collect();
        server.on_found(&p, &found);
    }
    assert_eq!(server.wantlist(&p).len(), 1024);
    assert_eq!(server.by_hash.len(), 1024);
    // A want of higher priority still finds a place.
    server.on_wantlist(p, &[Entry::want(cid(5_000_000), WantType::Block, 2)], false);
    assert!(server.wantlist(&p).contains(&cid(5_000_000)));
    assert_eq!(server.wantlist(&p).len(), 1024);
    let mut told = 0;
    while let Some(envelope) = server.next_envelope(Instant::now()) {
        told += envelope.presences.len();
    }
    assert!(told <= 2 * 1024 + 1024, "{told} answers for wants that were not taken");
}

#[test]
fn small_blocks_travel_together_and_large_ones_alone() {
    let mut server = Server::new(ServerConfig::default());
    let (p, now) = (peers(1)[0], Instant::now());
    let entries: Vec<Entry> = (0..64).map(|n| want(n, WantType::Block)).collect();
    serve_all(&mut server, p, &entries, 1000);
    assert_eq!(server.next_envelope(now).expect("blocks").blocks.len(), 17, "as many as fill 16 KiB");
    let mut server = Server::new(ServerConfig::default());
    serve_all(&mut server, p, &entries, 300_000);
    assert_eq!(server.next_envelope(now).expect("a block").blocks.len(), 1);
    server.set_outstanding(&p, 1 << 20);
    assert_eq!(server.next_envelope(now), None, "a peer that does not read is passed over");
}

/// Bytes that each peer gets within a second of a limited uplink, all of them wanting as much as they can.
fn shares(reciprocity: &[Option<f64>]) -> Vec<u64> {
    let limit = 10 << 20;
    let mut server = Server::new(ServerConfig { upload_limit: Some(limit), ..ServerConfig::default() });
    let peers = peers(reciprocity.len());
    let mut got = vec![0u64; peers.len()];
    let start = Instant::now();
    let entries: Vec<Entry> = (0..1000).map(|n| want(n, WantType::Block)).collect();
    for (p, r) in peers.iter().zip(reciprocity) {
        serve_all(&mut server, *p, &entries, 100_000);
        server.set_reciprocity(p, *r);
    }
    for ms in 0..1000 {
        while let Some(envelope) = server.next_envelope(start + Duration::from_millis(ms)) {
            let at = peers.iter().position(|p| *p == envelope.peer).expect("one of them");
            got[at] += envelope.blocks.iter().map(|(_, size)| size).sum::<u64>();
        }
    }
    got
}

#[test]
fn a_saturated_uplink_goes_to_those_who_give() {
    let got = shares(&[Some(1.0), Some(1.0), Some(0.0), None]);
    assert!(got[2] > 0 && got[2] as f64 <= 0.26 * got[0] as f64, "{got:?}");
    assert!((got[0] as f64 / got[3] as f64 - 1.0).abs() < 0.2, "friends weigh as much as contributors: {got:?}");
    let alone = shares(&[Some(0.0)]);
    let whole = f64::from(10 << 20);
    assert!(alone[0] as f64 > 0.95 * whole && (alone[0] as f64) < 1.25 * whole, "{alone:?}");
}

#[test]
fn without_a_limit_all_peers_get_the_same() {
    let mut server = Server::new(ServerConfig::default());
    let peers = peers(3);
    let entries: Vec<Entry> = (0..600).map(|n| want(n, WantType::Block)).collect();
    // One wants large blocks, one small ones, one a few.
    for (p, size) in peers.iter().zip([500_000, 3_000, 100_000]) {
        serve_all(&mut server, *p, &entries, size);
    }
    let mut got = [0u64; 3];
    for _ in 0..100 {
        let envelope = server.next_envelope(Instant::now()).expect("there is enough");
        let at = peers.iter().position(|p| *p == envelope.peer).expect("one of them");
        got[at] += envelope.blocks.iter().map(|(_, size)| size).sum::<u64>();
    }
    let (most, least) = (got.iter().max().expect("three"), got.iter().min().expect("three"));
    assert!(most - least < 1_200_000, "{got:?}");
}
