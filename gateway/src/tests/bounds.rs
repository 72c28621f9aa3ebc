//! What one client, or what it asks for, may make this gateway hold.

use super::world::{World, get, head_of};
use crate::{Config, Gateway, share::BUDGET};
use cairn_store::{
    Cid,
    cid::codec,
    dag::pb::PbLink,
    unixfs::{
        hamt,
        node::{Data, Kind},
    },
};
use http_body_util::BodyExt as _;
use std::net::IpAddr;

const LOCAL: &str = "127.0.0.1";
/// Links that a block of less than 2 MiB has room for.
const MANY: usize = 30_000;

/// A file with so many parts, each of them of ten bytes: one of a hundred, in turn.
fn parts(world: &World) -> (Cid, String) {
    let leaves: Vec<(Cid, String)> = (0..100)
        .map(|number| {
            let text = format!("part {number:03}!\n");
            (world.file(text.clone()), text)
        })
        .collect();
    let all: Vec<&(Cid, String)> = (0..MANY).map(|at| &leaves[at * 7 % 100]).collect();
    let cids: Vec<Cid> = all.iter().map(|(cid, _)| *cid).collect();
    (world.parts(&cids, 10), all.iter().map(|(_, text)| text.as_str()).collect())
}

/// Bodies of which a piece was taken, and no more.
async fn slow(gateway: &Gateway, target: &str, count: usize) -> Vec<crate::Body> {
    let mut bodies = Vec::new();
    for _ in 0..count {
        let response = head_of(gateway, super::world::CLIENT, LOCAL, target, &[]).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        body.frame().await.expect("a piece").expect("no error");
        bodies.push(body);
    }
    bodies
}

async fn rest(mut body: crate::Body) -> String {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.extend_from_slice(&frame.expect("no error").into_data().expect("data"));
    }
    String::from_utf8(all).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_files_are_in_the_budget() {
    let world = World::new();
    let (cid, text) = parts(&world);
    let gateway = world.gateway();
    let mut bodies = slow(&gateway, &format!("/ipfs/{cid}"), 20).await;
    let held: Vec<usize> = gateway.held();
    assert!(held.iter().filter(|held| **held > 1 << 20).count() < 15, "some have no room for their tables: {held:?}");
    assert!(held.iter().sum::<usize>() < BUDGET + 20 * (128 << 10), "{held:?}");
    for body in [bodies.pop(), bodies.drain(..1).next()].into_iter().flatten() {
        let read = rest(body).await;
        assert!(text.ends_with(&read), "what is read without tables is the same");
        assert!(read.len() + (16 << 10) >= text.len());
    }
    let part = super::world::ask(&gateway, LOCAL, &format!("/ipfs/{cid}"), &[("Range", "bytes=250000-250019")]).await;
    assert_eq!(part.body, text[250_000..250_020]);
}

/// A directory with so many entries: plain, or sharded.
fn folder(world: &World, names: &[String], sharded: bool) -> Cid {
    let cid = world.file("x");
    if !sharded {
        return world.dir(&names.iter().map(|name| (name.as_str(), cid)).collect::<Vec<_>>());
    }
    let entries: Vec<(u64, &String)> = names.iter().map(|name| (hamt::hash_name(name.as_bytes()), name)).collect();
    shard(world, entries, 0, cid)
}

fn shard(world: &World, entries: Vec<(u64, &String)>, level: u32, leaf: Cid) -> Cid {
    let mut slots: Vec<Vec<(u64, &String)>> = vec![Vec::new(); 256];
    for entry in entries {
        slots[hamt::index(entry.0, level, 256).expect("bits are left")].push(entry);
    }
    let (mut links, mut bits) = (Vec::new(), [0u8; 32]);
    for (slot, mut entries) in slots.into_iter().enumerate().filter(|(_, entries)| !entries.is_empty()) {
        bits[31 - slot / 8] |= 1 << (slot % 8);
        let (cid, name) = match entries.pop() {
            Some((_, name)) if entries.is_empty() => (leaf, name.as_str()),
            Some(last) => {
                entries.push(last);
                (shard(world, entries, level + 1, leaf), "")
            }
            None => continue,
        };
        links.push(PbLink::new(cid, format!("{slot:02X}{name}").into_bytes(), 1));
    }
    let mut data = Data::new(Kind::HamtShard);
    let first = bits.iter().position(|byte| *byte != 0).unwrap_or(31);
    data.data = Some(bits[first..].to_vec().into());
    (data.hash_type, data.fanout) = (Some(hamt::HASH_MURMUR3_X64_64), Some(256));
    world.node(links, &data)
}

/// What a page lists, in its order.
fn listed(page: &str) -> Vec<String> {
    let rows = page.split("<tr><th scope=row>").skip(1);
    rows.map(|row| row.split("\">").nth(1).and_then(|r| r.split("</a>").next()).unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_are_in_the_budget_and_go_on_where_they_were() {
    for (count, sharded) in [(900, false), (900, true), (6_000, false), (6_000, true)] {
        let world = World::new();
        let names: Vec<String> = (0..count).map(|number| format!("entry-{number:06}-{}", "x".repeat(30))).collect();
        let cid = folder(&world, &names, sharded);
        let gateway = world.gateway();
        let target = format!("/ipfs/{cid}/");
        let whole = get(&gateway, LOCAL, &target).await;
        let mut sorted = listed(&whole.body);
        sorted.sort();
        assert_eq!(sorted, names, "{count} {sharded}");
        let mut bodies = slow(&gateway, &target, 30).await;
        gateway.sweep(std::time::Instant::now() + std::time::Duration::from_secs(1));
        let held = gateway.held();
        assert!(held.iter().all(|held| *held == 0), "slow readers hold nothing: {held:?}");
        let rest = rest(bodies.pop().expect("one of them")).await;
        assert!(whole.body.ends_with(&rest) && !rest.is_empty(), "{count} {sharded}: it goes on where it was");
        // Those whose client is slow all the time get the same, piece by piece.
        let mut body = bodies.pop().expect("one of them");
        let mut all = String::new();
        while let Some(frame) = body.frame().await {
            all += std::str::from_utf8(&frame.expect("no error").into_data().expect("data")).expect("whole characters");
            gateway.sweep(std::time::Instant::now() + std::time::Duration::from_secs(1));
        }
        assert!(whole.body.ends_with(&all), "{count} {sharded}");
    }
}

#[tokio::test]
async fn names_without_measure_make_no_page_without_measure() {
    let world = World::new();
    let names: Vec<String> = (0..500).map(|number| format!("{number:04}{}", "\u{1}".repeat(1900))).collect();
    let gateway = world.gateway();
    let page = get(&gateway, LOCAL, &format!("/ipfs/{}/", folder(&world, &names, false))).await.body;
    assert!(page.len() < 500 * (12 << 10), "{} bytes", page.len());
    let plain: String = "n".repeat(300);
    let page =
        get(&gateway, LOCAL, &format!("/ipfs/{}/", folder(&world, std::slice::from_ref(&plain), false))).await.body;
    assert!(page.contains(&format!("/{plain}\">{}\u{2026}</a>", "n".repeat(255))), "{page}");
    assert!(!page.contains("filename=nnn"));
    let huge = "h".repeat(100_000);
    let page = get(&gateway, LOCAL, &format!("/ipfs/{}/", folder(&world, &[huge], false))).await.body;
    assert!(page.len() < 64 << 10, "{} bytes", page.len());
    let long = format!("/ipfs/{}{}", folder(&world, &[], false), "/a".repeat(7000));
    let error = super::world::ask(&gateway, LOCAL, &long, &[("Accept", "text/html")]).await;
    assert_eq!(error.status, 404);
    assert!(error.body.len() < 1 << 20, "{} bytes", error.body.len());
}

/// An answer that is made at once is not given away at once: it has a place, and a share.
#[tokio::test]
async fn large_answers_that_are_made_at_once_have_a_share() {
    let world = World::new();
    let mut cbor = vec![0x78 + 2, 0, 0x17, 0, 0];
    cbor.extend(std::iter::repeat_n(1, 0x17_0000));
    let doc = world.put(World::seal(codec::DAG_CBOR, cbor));
    let gateway = world.with(Config { convert_codecs: true, ..Config::default() });
    let mut bodies = Vec::new();
    let mut turned_away = 0;
    for _ in 0..20 {
        let target = format!("/ipfs/{doc}?format=dag-json");
        let response = head_of(&gateway, super::world::CLIENT, LOCAL, &target, &[]).await;
        match response.status().as_u16() {
            200 => bodies.push(response.into_body()),
            429 => turned_away += 1,
            status => panic!("{status}"),
        }
    }
    assert!(turned_away > 0 && !bodies.is_empty(), "{turned_away} of 20");
    let length = rest(bodies.pop().expect("one of them")).await.len();
    assert!(length > 5 << 20, "control characters are escaped: {length}");
    bodies.clear();
    assert_eq!(get(&gateway, LOCAL, &format!("/ipfs/{doc}?format=dag-json")).await.body.len(), length);
}

#[tokio::test]
async fn one_client_leaves_room_for_the_walks_of_others() {
    let world = World::new();
    let file = world.parts(&[world.file(vec![1; 1 << 20])], 1 << 20);
    let gateway = world.gateway();
    let target = format!("/ipfs/{file}?format=car");
    let [a, b] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
    let mut held = Vec::new();
    loop {
        let response = head_of(&gateway, a, LOCAL, &target, &[]).await;
        if response.status() == 429 {
            break;
        }
        held.push(response);
    }
    assert!(held.len() < crate::limits::MAX_WALKS, "{}", held.len());
    assert_eq!(head_of(&gateway, b, LOCAL, &target, &[]).await.status(), 200);
}
