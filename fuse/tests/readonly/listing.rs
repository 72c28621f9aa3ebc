//! Listings, without a kernel.

use crate::support::{World, settings};
use cairn_fuse::core::{Dirent, Filesystem, Found, Kind, Layout, ROOT, Room, Writable};
use cairn_store::{
    Cid,
    fetch::OneBlock,
    unixfs::{meta::FileMeta, profile::Profile},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A mount, and a directory in it that is open.
async fn open(world: &Arc<World>, dir: &Cid) -> (Arc<Filesystem>, u64) {
    let fs = Filesystem::new(world.sources(), Writable::default(), settings(Layout::Ipfs, PATIENCE));
    let Ok(Found::Entry(entry)) = fs.lookup(ROOT, dir.to_string().as_bytes()).await else { panic!("it is there") };
    let handle = fs.opendir(entry.attr.ino).await.expect("opens").handle;
    (fs, handle)
}

fn room(lines: usize) -> Room {
    Room { bytes: lines * 200, line: 152, plus: true }
}

/// What the lines say, but for `.` and `..`: names, kinds and sizes.
fn told(lines: &[Dirent]) -> Vec<(String, Option<Kind>, Option<u64>)> {
    let name = |line: &Dirent| String::from_utf8(line.name.to_vec()).expect("text");
    let lines = lines.iter().filter(|line| !line.name.starts_with(b"."));
    lines.map(|line| (name(line), line.kind, line.entry.as_ref().map(|entry| entry.attr.size))).collect()
}

#[tokio::test]
async fn files_of_one_block_are_listed_without_reading_them() {
    let world = World::new();
    let profile = Profile::unixfs_v0_2015();
    let file = |text: &str| world.file(&profile, 1000, text.as_bytes(), FileMeta::NONE);
    let (known, unknown, away) = (file("known"), file("not known"), file("neither here"));
    world.known.lock().expect("lock").insert(known, OneBlock { len: 5, block: 11 });
    // It is known all the same: nobody reads it.
    world.stall(&known);
    world.stall(&away);
    let dir = world.dir(&[(b"a", known, 11), (b"b", unknown, 15), (b"c", away, 18)]);
    let (fs, handle) = open(&world, &dir).await;
    let lines = fs.readdir(handle, 0, room(50)).await.expect("lists");
    let expected = [
        ("a".to_owned(), Some(Kind::File), Some(5)),
        ("b".to_owned(), Some(Kind::File), Some(9)),
        ("c".to_owned(), None, None),
    ];
    assert_eq!(told(&lines), expected);
}

#[tokio::test]
async fn the_next_page_is_made_ready_and_is_the_right_one() {
    const FILES: usize = 100;
    let world = World::new();
    let profile = Profile::unixfs_v0_2015();
    let names: Vec<String> = (0..FILES).map(|n| format!("file {n:03}")).collect();
    let files: Vec<Cid> =
        names.iter().map(|name| world.file(&profile, 1000, name.as_bytes(), FileMeta::NONE)).collect();
    let entries: Vec<_> = names.iter().zip(&files).map(|(name, cid)| (name.as_bytes(), *cid, 20)).collect();
    let dir = world.dir(&entries);
    let (fs, handle) = open(&world, &dir).await;
    let first = fs.readdir(handle, 0, room(20)).await.expect("lists");
    assert!((10..30).contains(&first.len()), "{}", first.len());
    let next = first.last().expect("lines").next;
    // The blocks of the next page are read, though nobody has asked for it.
    let ready = async {
        while world.fetched.load(Ordering::Relaxed) < first.len() + 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it is made ready");
    let second = fs.readdir(handle, next, room(20)).await.expect("lists");
    // Another one than what was made ready, and with other room.
    let again = fs.readdir(handle, next, room(30)).await.expect("lists");
    let expected: Vec<String> = names.clone();
    let names_of = |lines: &[Dirent]| told(lines).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    let (begin, len) = (names_of(&first).len(), names_of(&second).len());
    assert_eq!(names_of(&first), expected[..begin]);
    assert_eq!(names_of(&second), expected[begin..begin + len]);
    assert_eq!(names_of(&again)[..len], expected[begin..begin + len]);
    // To the end, as a kernel does.
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        let lines = fs.readdir(handle, at, room(7)).await.expect("lists");
        let Some(last) = lines.last() else { break };
        at = last.next;
        all.extend(names_of(&lines));
    }
    assert_eq!(all, expected);
}
