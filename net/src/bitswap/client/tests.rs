//! The client against scripted and simulated peers.

use super::{
    super::{
        message::{Entry, Presence, WantType},
        session::Order,
    },
    Client, ClientConfig, Output, Urgency, Verdict,
    simulation::{Conduct, Network, cid, peer},
};
use cairn_store::Cid;
use std::time::{Duration, Instant};

const SIZE: u64 = 256 << 10;

fn list(count: u64) -> Vec<Cid> {
    (0..count).map(cid).collect()
}

/// Holders of everything with those uplinks (bytes per second) and round trips (milliseconds), and a reader that has
/// that many blocks under way.
fn holders(links: &[(f64, u64)], blocks: u64, ahead: usize) -> (Network, libp2p::PeerId) {
    holders_in(Order::Sequential, links, blocks, ahead)
}

fn holders_in(order: Order, links: &[(f64, u64)], blocks: u64, ahead: usize) -> (Network, libp2p::PeerId) {
    let mut network = Network::new(SIZE);
    let reader = network.add(1000, 1e9, 0, Conduct::Honest);
    let list = list(blocks);
    for (n, (rate, rtt)) in links.iter().enumerate() {
        let id = network.add(n as u64, *rate, rtt / 2, Conduct::Honest);
        network.nodes.get_mut(&id).expect("a node").store.extend(list.iter().map(|c| *c.hash()));
    }
    network.connect_all();
    network.fetch(reader, &list, order, ahead);
    (network, reader)
}

#[test]
fn eight_holders_give_nine_tenths_of_their_sum() {
    let blocks = 512;
    let (mut network, reader) = holders(&[(4e6, 20); 8], blocks, 64);
    let took = network.run(&[reader], Duration::from_secs(60)).expect("completes").as_secs_f64();
    let node = &network.nodes[&reader];
    let (bytes, sum) = ((blocks * SIZE) as f64, 8.0 * 4e6);
    assert!(bytes / took >= 0.9 * sum, "{:.1} MB/s of {:.1}", bytes / took / 1e6, sum / 1e6);
    assert!(node.duplicates as f64 <= 0.02 * bytes, "{} duplicate bytes", node.duplicates);
}

#[test]
fn the_rarest_first_is_as_quick_where_all_have_everything() {
    let blocks = 512;
    for holders in [1, 8] {
        let (mut network, reader) = holders_in(Order::Rarest, &vec![(4e6, 20); holders], blocks, 1024);
        let took = network.run(&[reader], Duration::from_secs(600)).expect("completes").as_secs_f64();
        let (bytes, sum) = ((blocks * SIZE) as f64, holders as f64 * 4e6);
        assert!(bytes / took >= 0.9 * sum, "{holders}: {:.1} MB/s of {:.1}", bytes / took / 1e6, sum / 1e6);
    }
}

#[test]
fn the_first_block_of_a_connected_provider_takes_two_round_trips() {
    const RTT: u64 = 100;
    let mut network = Network::new(SIZE);
    let reader = network.add(1000, 1e9, 0, Conduct::Honest);
    let holder = network.add(0, 1e9, RTT / 2, Conduct::Honest);
    network.nodes.get_mut(&holder).expect("a node").store.insert(*cid(0).hash());
    // Others have nothing, and are slow to say so.
    for n in 1..10 {
        network.add(n, 1e9, 10 * RTT, Conduct::Honest);
    }
    network.connect_all();
    network.fetch(reader, &list(1), Order::Sequential, 1);
    let took = network.run(&[reader], Duration::from_secs(60)).expect("completes");
    let trip = Duration::from_millis(RTT);
    assert!((2 * trip..2 * trip + trip / 2).contains(&took), "{took:?}");
}

#[test]
fn bytes_follow_throughput() {
    let links = [(8e6, 5), (4e6, 20), (2e6, 50), (8e6, 80), (4e6, 120), (2e6, 160), (6e6, 200), (1e6, 10)];
    let blocks = 1024;
    let (mut network, reader) = holders(&links, blocks, 256);
    let took = network.run(&[reader], Duration::from_secs(120)).expect("completes").as_secs_f64();
    let node = &network.nodes[&reader];
    let (bytes, sum): (f64, f64) = ((blocks * SIZE) as f64, links.iter().map(|(rate, _)| rate).sum());
    for (n, (rate, rtt)) in links.iter().enumerate() {
        let got = node.from.get(&peer(n as u64)).copied().unwrap_or(0);
        println!("{rate} B/s, {rtt} ms: {:.2} MB/s", got as f64 / took / 1e6);
    }
    assert!(bytes / took >= 0.8 * sum, "{:.1} MB/s of {:.1}", bytes / took / 1e6, sum / 1e6);
    for (n, (rate, rtt)) in links.iter().enumerate() {
        let share = node.from.get(&peer(n as u64)).copied().unwrap_or(0) as f64 / bytes;
        let fair = rate / sum;
        assert!((0.6..1.5).contains(&(share / fair)), "holder at {rate} B/s and {rtt} ms: {share:.3}, fair {fair:.3}");
    }
    assert!(node.duplicates as f64 <= 0.02 * bytes, "{} duplicate bytes", node.duplicates);
}

#[test]
fn half_of_the_holders_die_and_the_rest_completes() {
    let (mut network, reader) = holders(&[(4e6, 20); 8], 256, 64);
    for n in 0..4 {
        network.die_at(peer(n), Duration::from_millis(300 + 100 * n));
    }
    let took = network.run(&[reader], Duration::from_secs(60)).expect("completes").as_secs_f64();
    assert!(took < 1.5 * (256 * SIZE) as f64 / 16e6, "{took:.1} s");
}

#[test]
fn one_honest_holder_among_twenty_completes() {
    let mut network = Network::new(SIZE);
    let reader = network.add(1000, 1e9, 0, Conduct::Honest);
    let blocks = list(128);
    let honest = network.add(1, 4e6, 10, Conduct::Honest);
    network.nodes.get_mut(&honest).expect("a node").store.extend(blocks.iter().map(|c| *c.hash()));
    for n in 2..21 {
        let conduct = [Conduct::Silent, Conduct::Boasting, Conduct::Garbage][n as usize % 3];
        network.add(n, 1e8, 1, conduct);
    }
    network.connect_all();
    network.fetch(reader, &blocks, Order::Sequential, 64);
    let took = network.run(&[reader], Duration::from_secs(120)).expect("completes").as_secs_f64();
    let alone = (128 * SIZE) as f64 / 4e6;
    assert!(took < 1.5 * alone + 2.0, "{took:.1} s, alone {alone:.1} s");
}

/// Time and copies that the seed sent, for so many nodes that want the same 64 MiB at once.
fn swarm(leechers: u64) -> (f64, f64) {
    let mut network = Network::new(SIZE);
    let blocks = list(256);
    let seed = network.add(0, 10e6, 5, Conduct::Honest);
    network.nodes.get_mut(&seed).expect("a node").store.extend(blocks.iter().map(|c| *c.hash()));
    let nodes: Vec<_> = (1..=leechers).map(|n| network.add(n, 10e6, 5, Conduct::Honest)).collect();
    network.connect_all();
    for node in &nodes {
        network.fetch(*node, &blocks, Order::Rarest, 1024);
    }
    let took = network.run(&nodes, Duration::from_secs(600)).expect("completes").as_secs_f64();
    let bytes = (256 * SIZE) as f64;
    (took / (bytes / 10e6), network.nodes[&seed].sent as f64 / bytes)
}

#[test]
fn capacity_grows_with_a_swarm() {
    for leechers in [2, 4, 8, 16] {
        let (time, copies) = swarm(leechers);
        println!("{leechers} nodes: {time:.2} times one copy, the seed sent {copies:.2} copies");
        assert!(time <= 2.5 && copies <= 2.5, "{leechers} nodes: {time:.2} times, {copies:.2} copies");
    }
}

#[test]
fn discovery_costs_a_tenth_of_a_plain_broadcast() {
    let mut network = Network::new(SIZE);
    let reader = network.add(5000, 1e9, 10, Conduct::Honest);
    for n in 0..853 {
        network.add(n, 1e8, 10, Conduct::Honest);
    }
    let ids: Vec<_> = network.nodes.keys().copied().filter(|id| *id != reader).collect();
    for id in &ids {
        network.nodes.get_mut(&reader).expect("a node").client.on_connected(*id, false);
    }
    network.fetch(reader, &list(1), Order::Sequential, 1);
    // Nobody has it: the search for providers begins once those who were asked have said so.
    assert!(network.run(&[reader], Duration::from_millis(400)).is_none());
    let messages: u64 = network.nodes.values().map(|n| n.messages).sum();
    assert!(messages <= 171, "{messages} messages");
}

fn one_want() -> (Client, Instant) {
    let mut client = Client::new(ClientConfig::default(), 1);
    let now = Instant::now();
    client.open(1, Order::Sequential, now);
    client.want(1, &cid(1), Urgency::Awaited, now);
    (client, now)
}

#[test]
fn without_peers_providers_are_looked_for_at_once() {
    let (mut client, now) = one_want();
    client.poll(now);
    assert_eq!(client.next_output(), Some(Output::FindProviders { session: 1, cid: cid(1) }));
    client.on_provider(1, &cid(1), peer(1), Vec::new());
    assert!(matches!(client.next_output(), Some(Output::Connect { .. })));
    client.on_connected(peer(1), false);
    client.poll(now);
    // A provider is asked for the block itself: there is nothing to find out.
    let messages = client.take_messages();
    assert_eq!(messages.len(), 1);
    assert!(messages[0].1.iter().any(|e| e.cid == cid(1) && e.want == WantType::Block));
}

#[test]
fn a_dont_have_is_asked_of_the_next_peer_and_a_dropped_want_is_cancelled() {
    let (mut client, now) = one_want();
    for n in 1..=2 {
        client.on_connected(peer(n), false);
    }
    client.poll(now);
    let haves = client.take_messages();
    assert!(haves.iter().all(|(_, e)| e[0].want == WantType::Have) && haves.len() == 2);
    for n in 1..=2 {
        client.on_message(peer(n), &[], &[(cid(1), Presence::Have)], now);
    }
    client.poll(now);
    let first = client.take_messages();
    assert_eq!(first.len(), 1, "one peer is asked for the block");
    client.on_message(first[0].0, &[], &[(cid(1), Presence::DontHave)], now);
    client.poll(now);
    let second = client.take_messages();
    assert!(second.len() == 1 && second[0].0 != first[0].0);
    client.cancel(1, &cid(1));
    let cancels = client.take_messages();
    assert!(cancels.iter().any(|(p, e)| *p == second[0].0 && e[0].cancel));
    assert!(client.wantlist().is_empty());
}

#[test]
fn what_may_have_been_lost_with_a_connection_is_asked_once_more() {
    let (mut client, now) = one_want();
    client.on_connected(peer(1), false);
    client.poll(now);
    let questions = client.take_messages();
    client.on_connection_lost(&peer(1));
    assert_eq!(client.take_messages(), questions, "whether it has the block");
    client.on_message(peer(1), &[], &[(cid(1), Presence::Have)], now);
    client.poll(now);
    let asked = client.take_messages();
    assert!(asked[0].1.iter().any(|entry| entry.want == WantType::Block));
    client.on_connection_lost(&peer(2));
    assert!(client.take_messages().is_empty(), "nothing is open there");
    client.on_connection_lost(&peer(1));
    assert_eq!(client.take_messages(), asked, "the block itself");
    client.on_message(peer(1), &[(*cid(1).hash(), SIZE)], &[], now);
    client.take_messages();
    client.on_connection_lost(&peer(1));
    assert!(client.take_messages().is_empty(), "it came");
}

#[test]
fn who_sends_what_nobody_asked_for_is_refused_and_late_blocks_are_no_crime() {
    let (mut client, now) = one_want();
    client.on_connected(peer(1), false);
    client.poll(now);
    client.take_messages();
    client.cancel(1, &cid(1));
    for _ in 0..100 {
        assert_eq!(client.on_message(peer(1), &[(*cid(1).hash(), SIZE)], &[], now), [Verdict::Duplicate]);
    }
    while let Some(output) = client.next_output() {
        assert!(!matches!(output, Output::Refuse(_)));
    }
    for n in 0..100 {
        client.on_message(peer(1), &[(*cid(100 + n).hash(), 10)], &[], now);
    }
    assert_eq!(client.next_output(), Some(Output::Refuse(peer(1))));
}

/// A client that fetches so many blocks ahead, and knows nobody yet.
fn ahead(blocks: u64) -> (Client, Instant) {
    let mut client = Client::new(ClientConfig::default(), 1);
    let now = Instant::now();
    client.open(1, Order::Sequential, now);
    for n in 1..=blocks {
        client.want(1, &cid(n), Urgency::Ahead, now);
    }
    (client, now)
}

#[test]
fn what_is_awaited_goes_before_what_is_fetched_ahead() {
    let (mut client, now) = ahead(20);
    client.want(1, &cid(20), Urgency::Awaited, now);
    client.on_connected(peer(1), false);
    client.on_provider(1, &cid(1), peer(1), Vec::new());
    client.poll(now);
    let entries = client.take_messages().remove(0).1;
    let blocks: Vec<Cid> = entries.iter().filter(|e| e.want == WantType::Block).map(|e| e.cid).collect();
    assert!(blocks.len() > 1, "{entries:?}");
    assert_eq!(blocks[0], cid(20));
}

#[test]
fn what_was_asked_for_ahead_and_is_awaited_now_is_asked_for_again_if_it_is_far_behind() {
    let (mut client, now) = ahead(500);
    client.on_connected(peer(1), false);
    client.on_provider(1, &cid(1), peer(1), Vec::new());
    let mut asked: Vec<Entry> = Vec::new();
    // The peer is quick, so that much is asked of it at once.
    for round in 0..5 {
        let now = now + Duration::from_millis(round);
        let came: Vec<_> = asked.iter().map(|e| (*e.cid.hash(), 64 << 10)).collect();
        client.on_message(peer(1), &came, &[], now);
        client.poll(now);
        let messages = client.take_messages().into_iter().flat_map(|(_, entries)| entries);
        asked = messages.filter(|e| e.want == WantType::Block && !e.cancel).collect();
    }
    let now = now + Duration::from_millis(5);
    let (first, last) = (asked.first().expect("some"), asked.last().expect("some"));
    assert!(asked.len() > 16, "{}: this shows nothing", asked.len());
    client.want(1, &first.cid, Urgency::Awaited, now);
    client.poll(now);
    assert!(client.take_messages().is_empty(), "the first one is on its way");
    for _ in 0..2 {
        client.want(1, &last.cid, Urgency::Awaited, now);
    }
    client.poll(now);
    let again = client.take_messages().remove(0).1;
    assert_eq!(again.iter().map(|e| e.cid).collect::<Vec<_>>(), [last.cid]);
    assert!(again[0].priority > first.priority && again[0].want == WantType::Block && !again[0].cancel);
    client.poll(now);
    assert!(client.take_messages().is_empty(), "once");
}

#[test]
fn what_is_awaited_is_asked_for_at_once_of_a_peer_that_has_much_to_send_ahead() {
    let (mut client, now) = ahead(20);
    client.on_connected(peer(1), false);
    client.on_provider(1, &cid(1), peer(1), Vec::new());
    client.poll(now);
    let asked = client.take_messages().remove(0).1;
    assert!(!asked.iter().any(|e| e.cid == cid(20) && e.want == WantType::Block), "its window is full");
    client.want(1, &cid(20), Urgency::Awaited, now);
    client.want(1, &cid(30), Urgency::Awaited, now);
    client.poll(now);
    let again = client.take_messages().remove(0).1;
    let blocks: Vec<Cid> = again.iter().filter(|e| e.want == WantType::Block).map(|e| e.cid).collect();
    assert_eq!(blocks, [cid(20), cid(30)]);
}

/// A client with peers that are connected, all asked who has block 1.
fn asked_round(peers: u64) -> (Client, Instant) {
    let (mut client, now) = one_want();
    for n in 1..=peers {
        client.on_connected(peer(n), false);
    }
    client.poll(now);
    client.take_messages();
    while client.next_output().is_some() {}
    (client, now)
}

fn searches(client: &mut Client) -> bool {
    std::iter::from_fn(|| client.next_output()).any(|o| matches!(o, Output::FindProviders { .. }))
}

#[test]
fn a_cancel_and_a_new_want_of_one_block_do_not_go_out_together() {
    let (mut client, now) = asked_round(1);
    // Given up, to be told with the next message; then wanted again.
    client.cancel(1, &cid(1));
    client.want(1, &cid(1), Urgency::Awaited, now);
    client.poll(now);
    let entries = client.take_messages().remove(0).1;
    assert!(matches!(&entries[..], [entry] if !entry.cancel), "{entries:?}");
    // The cancel of a block that was asked for waits to be sent when it is wanted again.
    client.on_message(peer(1), &[], &[(cid(1), Presence::Have)], now);
    client.poll(now);
    client.take_messages();
    client.cancel(1, &cid(1));
    client.open(2, Order::Sequential, now);
    client.want(2, &cid(1), Urgency::Awaited, now);
    client.poll(now);
    let entries = client.take_messages().remove(0).1;
    assert!(matches!(&entries[..], [entry] if !entry.cancel), "{entries:?}");
}

#[test]
fn silence_does_not_exclude_a_peer_for_good() {
    let (mut client, mut now) = asked_round(1);
    client.on_message(peer(1), &[], &[(cid(1), Presence::Have)], now);
    for _ in 0..30 {
        client.poll(now);
        client.take_messages();
        now += Duration::from_secs(10);
    }
    assert!(client.peers[&peer(1)].stalls >= super::MAX_STALLS, "it was asked again and again, and said nothing");
    client.cancel(1, &cid(1));
    client.close(1);
    now += Duration::from_secs(60);
    // Another session asks it all the same, and believes it.
    client.open(2, Order::Sequential, now);
    client.want(2, &cid(2), Urgency::Awaited, now);
    client.poll(now);
    let told = client.take_messages();
    assert!(told.iter().any(|(_, e)| e.iter().any(|e| e.cid == cid(2))), "{told:?}");
    client.on_message(peer(1), &[], &[(cid(2), Presence::Have)], now);
    client.poll(now);
    let asked = client.take_messages();
    assert!(asked.iter().any(|(_, e)| e.iter().any(|e| e.cid == cid(2) && e.want == WantType::Block)), "{asked:?}");
    // A DONT_HAVE is an answer too.
    client.on_message(peer(1), &[], &[(cid(2), Presence::DontHave)], now);
    assert_eq!(client.peers[&peer(1)].stalls, 0);
}

#[test]
fn providers_that_cannot_be_used_take_no_room() {
    let (mut client, _) = one_want();
    let dials = |client: &mut Client, n| {
        client.on_provider(1, &cid(1), peer(n), Vec::new());
        std::iter::from_fn(|| client.next_output()).any(|o| matches!(o, Output::Connect { .. }))
    };
    for n in 0..300 {
        assert!(dials(&mut client, n), "provider {n}");
        // It turned out not to speak Bitswap.
        client.on_disconnected(&peer(n));
    }
    assert!(dials(&mut client, 1000));
    client.close(1);
    assert!(client.dialing.is_empty());
}

#[test]
fn a_provider_found_after_the_block_came_joins_the_session() {
    let (mut client, now) = asked_round(2);
    client.on_message(peer(1), &[(*cid(1).hash(), SIZE)], &[], now);
    client.on_provider(1, &cid(1), peer(2), Vec::new());
    client.on_provider(1, &cid(1), peer(3), Vec::new());
    assert_eq!(client.next_output(), Some(Output::Connect { peer: peer(3), addrs: Vec::new() }));
    client.on_connected(peer(3), false);
    let members: Vec<_> = client.sessions[&1].peers.keys().copied().collect();
    assert!((1..=3).all(|n| members.contains(&peer(n))), "{members:?}");
}

#[test]
fn who_leaves_without_an_answer_is_not_waited_for() {
    let (mut client, now) = asked_round(2);
    client.on_message(peer(1), &[], &[(cid(1), Presence::DontHave)], now);
    client.poll(now);
    assert!(!searches(&mut client), "the other one may have it");
    client.on_disconnected(&peer(2));
    client.poll(now);
    assert!(searches(&mut client));
}

#[test]
fn providers_are_not_looked_for_before_connected_peers_were_asked() {
    let (mut client, now) = asked_round(2);
    client.want(1, &cid(2), Urgency::Awaited, now);
    client.cancel(1, &cid(1));
    client.poll(now);
    assert!(!searches(&mut client), "block 2 was not asked round yet");
    let later = now + Duration::from_millis(600);
    client.poll(later);
    assert!(client.take_messages().iter().any(|(_, e)| e.iter().any(|e| e.cid == cid(2))));
}

#[test]
fn a_pause_of_our_own_is_no_silence_of_theirs() {
    let (mut client, now) = asked_round(1);
    client.on_message(peer(1), &[], &[(cid(1), Presence::Have)], now);
    client.poll(now);
    let pause = Duration::from_secs(30);
    client.paused(pause);
    client.poll(now + pause);
    assert_eq!(client.peers[&peer(1)].stalls, 0);
    client.poll(now + 2 * pause);
    assert_eq!(client.peers[&peer(1)].stalls, 1);
}

#[test]
fn what_was_stored_by_somebody_else_is_taken_back() {
    let (mut client, now) = asked_round(1);
    client.on_message(peer(1), &[], &[(cid(1), Presence::Have)], now);
    client.poll(now);
    client.take_messages();
    client.on_stored(cid(1).hash(), now);
    assert!(client.wantlist().is_empty());
    assert!(client.take_messages()[0].1[0].cancel);
}

#[test]
fn no_more_strangers_are_asked_than_the_configuration_allows() {
    let now = Instant::now();
    for (broadcast, strangers, friends, expected) in
        [(8, usize::MAX, 0, 8), (8, 2, 0, 2), (8, 2, 3, 5), (0, usize::MAX, 3, 3), (0, usize::MAX, 0, 0)]
    {
        let config = ClientConfig { broadcast, strangers, ..ClientConfig::default() };
        let mut client = super::Client::new(config, 1);
        (0..10).for_each(|n| client.on_connected(peer(n), n < friends));
        client.open(1, Order::Sequential, now);
        client.want(1, &cid(1), Urgency::Awaited, now);
        client.poll(now);
        assert_eq!(client.take_messages().len(), expected, "{broadcast} {strangers} {friends}");
    }
}
