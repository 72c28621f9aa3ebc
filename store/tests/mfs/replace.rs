//! What is put in the place of something else: whole, and at once.

use crate::{
    collections::collect,
    support::missing,
    world::{World, dir, open, options, read, small, stored, write},
};
use bytes::Bytes;
use cairn_store::{
    Block,
    block::Prefix,
    blockstore::Blockstore as _,
    cid::codec,
    kv::Durability,
    mfs::{Change, Mfs, MfsError, New, Options, ROOT_INO, RenameMode},
    unixfs::{meta::FileMeta, node::Mtime, profile::Profile},
};
use std::time::Duration;

const NEW: New = New { meta: FileMeta::NONE, naming: None, raw_leaves: None };

async fn content(mfs: &Mfs, path: &str) -> Vec<u8> {
    read(mfs, path).await.expect("reads")
}

#[tokio::test]
async fn a_draft_shows_when_it_is_finished() {
    // Leaves of drafts are written at once.
    let world = World::new(Options { dirty_max: 0, ..options(small()) }).await;
    let mfs = &world.mfs;
    write(mfs, ROOT_INO, "f", &[1; 500]).await;
    let before = mfs.sync().await.expect("syncs");
    for (new, empty) in [(None, true), (None, false), (Some(NEW), true)] {
        let mut draft = mfs.draft(ROOT_INO, b"f", new, empty).await.expect("begins");
        for at in (0..400).step_by(40) {
            draft.write(50 + at, &[2; 40]).await.expect("writes");
        }
        assert_eq!(content(mfs, "/f").await, [1; 500]);
        assert_eq!(mfs.sync().await.expect("syncs"), before);
        drop(draft);
        assert_eq!(content(mfs, "/f").await, [1; 500]);
    }
    let mut draft = mfs.draft(ROOT_INO, b"new", Some(NEW), false).await.expect("begins");
    draft.write(0, &[3; 100]).await.expect("writes");
    assert_eq!(mfs.sync().await.expect("syncs"), before);
    assert!(matches!(read(mfs, "/new").await, Err(MfsError::NotFound(_))));
    draft.finish().await.expect("puts in place");
    assert_eq!(content(mfs, "/new").await, [3; 100]);
    let mut draft = mfs.draft(ROOT_INO, b"f", None, false).await.expect("begins");
    draft.write(490, &[4; 20]).await.expect("writes");
    draft.finish().await.expect("puts in place");
    let mut draft = mfs.draft(ROOT_INO, b"new", Some(NEW), true).await.expect("begins");
    draft.write(5, b"x").await.expect("writes");
    draft.finish().await.expect("puts in place");
    let root = mfs.sync().await.expect("syncs");
    let world = world.after_power_cut(options(small())).await;
    assert_eq!(content(&world.mfs, "/f").await, [&[1; 490][..], &[4; 20]].concat());
    assert_eq!(content(&world.mfs, "/new").await, b"\0\0\0\0\0x");
    assert_eq!(missing(&world.blocks, &root), None);
}

#[tokio::test]
async fn a_draft_gives_the_cid_of_what_is_added() {
    for profile in [Profile::unixfs_v0_2015(), Profile::cid_v1(), small()] {
        let World { mfs, .. } = World::new(options(profile)).await;
        let bytes: Vec<u8> = (0..700_000u32).map(|i| (i / 7) as u8).collect();
        let plain = write(&mfs, ROOT_INO, "plain", &bytes).await;
        let mut draft = mfs.draft(ROOT_INO, b"draft", Some(NEW), false).await.expect("begins");
        for (i, piece) in bytes.chunks(100_000).enumerate() {
            draft.write(i as u64 * 100_000, piece).await.expect("writes");
        }
        draft.finish().await.expect("puts in place");
        let drafted = mfs.resolve(b"/draft").await.expect("is there");
        let cids = [plain.ino, drafted.ino()].map(|ino| mfs.flush(ino));
        let [plain, drafted] = cids;
        assert_eq!(plain.await.expect("seals"), drafted.await.expect("seals"));
    }
}

#[tokio::test]
async fn drafts_are_refused_where_no_file_can_be() {
    let World { mfs, .. } = World::new(options(small())).await;
    let d = dir(&mfs, ROOT_INO, "d").await;
    let link = mfs.symlink(ROOT_INO, b"l", b"target", NEW).await.expect("makes");
    let file = write(&mfs, ROOT_INO, "f", b"x").await;
    let refused = async |parent, name: &[u8], new| mfs.draft(parent, name, new, false).await.err().expect("no file");
    assert!(matches!(refused(ROOT_INO, b"d", Some(NEW)).await, MfsError::IsDir(_)));
    assert!(matches!(refused(ROOT_INO, b"l", None).await, MfsError::IsSymlink(_)));
    assert!(matches!(refused(ROOT_INO, b"nope", None).await, MfsError::NotFound(_)));
    assert!(matches!(refused(file.ino, b"x", Some(NEW)).await, MfsError::NotDir(_)));
    assert!(matches!(refused(d, b"", Some(NEW)).await, MfsError::Invalid(_)));
    mfs.forget(link.ino, 1);
    // What was made meanwhile stays.
    let mut draft = mfs.draft(d, b"new", Some(NEW), false).await.expect("begins");
    draft.write(0, b"late").await.expect("writes");
    write(&mfs, d, "new", b"first").await;
    assert!(matches!(draft.finish().await, Err(MfsError::Exists(_))));
    assert_eq!(content(&mfs, "/d/new").await, b"first");
    let draft = mfs.draft(d, b"newer", Some(NEW), false).await.expect("begins");
    mfs.remove(ROOT_INO, b"d").await.expect("removes");
    assert!(matches!(draft.finish().await, Err(MfsError::NotFound(_))));
}

#[tokio::test]
async fn a_draft_keeps_what_is_said_of_the_file() {
    let World { mfs, .. } = World::new(options(small())).await;
    let file = write(&mfs, ROOT_INO, "f", b"old").await;
    let draft = mfs.draft(ROOT_INO, b"f", None, true).await.expect("begins");
    let time = Some(Mtime { seconds: 5, nanos: 0 });
    mfs.set_attr(file.ino, Change { mode: Some(0o640), mtime: time, ..Change::default() }).await.expect("changes");
    mfs.rename(ROOT_INO, b"f", ROOT_INO, b"g", RenameMode::Replace).await.expect("renames");
    draft.finish().await.expect("puts in place");
    let held = mfs.resolve(b"/g").await.expect("is there");
    let now = Some(Mtime { seconds: 1_700_000_000, nanos: 5 });
    assert_eq!((held.ino(), held.attr().size), (file.ino, 0));
    assert_eq!(held.attr().meta, FileMeta { mode: Some(0o640), mtime: now });
}

#[tokio::test]
async fn drafts_of_a_file_come_one_after_the_other() {
    let World { mfs, .. } = World::new(options(small())).await;
    for made in [false, true] {
        let mut first = mfs.draft(ROOT_INO, b"f", Some(NEW), true).await.expect("begins");
        let other = mfs.clone();
        let second = tokio::spawn(async move {
            let mut second = other.draft(ROOT_INO, b"f", Some(NEW), false).await.expect("begins");
            second.write(1, b"2").await.expect("writes");
            second.finish().await.expect("puts in place");
        });
        // One that gives up, and those of other files, are in nobody's way.
        let waiting = mfs.draft(ROOT_INO, b"f", Some(NEW), true);
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        mfs.draft(ROOT_INO, b"other", Some(NEW), true).await.expect("begins").finish().await.expect("puts in place");
        first.write(0, b"111").await.expect("writes");
        first.finish().await.expect("puts in place");
        second.await.expect("ends");
        assert_eq!(content(&mfs, "/f").await, b"121", "{made}");
    }
}

#[tokio::test]
async fn a_collection_takes_nothing_of_a_draft() {
    let world = World::new(Options { dirty_max: 0, ..options(small()) }).await;
    let mfs = &world.mfs;
    let file = write(mfs, ROOT_INO, "f", &[1; 600]).await;
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    // What is left of the old content goes from everywhere else.
    let mut draft = mfs.draft(ROOT_INO, b"f", None, false).await.expect("begins");
    mfs.set_attr(file.ino, Change { size: Some(0), ..Change::default() }).await.expect("changes");
    for at in 0..10 {
        draft.write(200 + at * 20, &[at as u8; 20]).await.expect("writes");
        mfs.sync().await.expect("syncs");
        collect(&world).await;
    }
    draft.finish().await.expect("puts in place");
    collect(&world).await;
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(missing(&world.blocks, &root), None);
    let mut want = vec![1; 600];
    (0..10).for_each(|at| want[200 + at * 20..][..20].fill(at as u8));
    assert_eq!(content(mfs, "/f").await, want);
    assert!(matches!(stored(&world.blocks, &root).await, crate::world::Seen::Dir(_)));
    // Given up, it is garbage.
    let mut draft = mfs.draft(ROOT_INO, b"f", None, true).await.expect("begins");
    draft.write(0, &[9; 600]).await.expect("writes");
    collect(&world).await;
    let with = world.blocks.list().count();
    drop(draft);
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    collect(&world).await;
    assert!(world.blocks.list().count() < with);
    assert_eq!(mfs.keep().expect("reads"), [root]);
}

#[tokio::test]
async fn a_snapshot_is_what_was_there() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let bytes: Vec<u8> = (0..=255).cycle().take(2000).collect();
    let file = write(mfs, ROOT_INO, "f", &bytes).await;
    let mut snapshot = mfs.snapshot(file.ino).await.expect("seals");
    mfs.write(file.ino, 0, Bytes::from_static(b"other")).await.expect("writes");
    mfs.sync().await.expect("syncs");
    mfs.unlink(ROOT_INO, b"f").await.expect("unlinks");
    mfs.forget(file.ino, 1);
    mfs.sync().await.expect("syncs");
    collect(&world).await;
    collect(&world).await;
    assert_eq!(snapshot.len(), 2000);
    snapshot.set_range(7..1990);
    let mut read = Vec::new();
    while let Some(some) = snapshot.next().await.expect("reads") {
        read.extend_from_slice(&some);
    }
    assert_eq!(read, bytes[7..1990]);
    drop(snapshot);
    collect(&world).await;
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(mfs.keep().expect("reads"), [root]);
    assert_eq!(world.blocks.list().count(), 1);
    let d = dir(mfs, ROOT_INO, "d").await;
    assert!(matches!(mfs.snapshot(d).await, Err(MfsError::IsDir(_))));
}

#[tokio::test]
async fn links_and_copies_replace_files_in_one_change() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let d = dir(mfs, ROOT_INO, "d").await;
    write(mfs, d, "below", b"below").await;
    let source = write(mfs, ROOT_INO, "source", &[5; 100]).await;
    let old = write(mfs, ROOT_INO, "f", b"old").await;
    let other = Block::seal(Prefix::v1(codec::DAG_CBOR), Bytes::from_static(&[0xa0])).expect("seals");
    world.blocks.put_many(std::slice::from_ref(&other), Durability::Synced).expect("puts");
    assert!(matches!(mfs.link_cid_over(ROOT_INO, b"f", other.cid()).await, Err(MfsError::NotUnixfs(_))));
    assert_eq!(content(mfs, "/f").await, b"old");
    mfs.copy_over(source.ino, ROOT_INO, b"f").await.expect("copies");
    assert_eq!(content(mfs, "/f").await, [5; 100]);
    // Whoever has the old one goes on with it.
    assert_eq!(mfs.read(old.ino, 0, 10).await.expect("reads"), &b"old"[..]);
    mfs.forget(old.ino, 1);
    mfs.copy_over(source.ino, ROOT_INO, b"source").await.expect("copies");
    let cid = mfs.flush(d).await.expect("seals");
    mfs.link_cid_over(ROOT_INO, b"f", &cid).await.expect("links");
    assert_eq!(content(mfs, "/f/below").await, b"below");
    assert!(matches!(mfs.link_cid_over(ROOT_INO, b"d", &cid).await, Err(MfsError::IsDir(_))));
    assert!(matches!(mfs.copy_over(source.ino, ROOT_INO, b"d").await, Err(MfsError::IsDir(_))));
    mfs.link_cid_over(ROOT_INO, b"fresh", &cid).await.expect("links");
    let root = mfs.sync().await.expect("syncs");
    collect(&world).await;
    assert_eq!(missing(&world.blocks, &root), None);
}

#[tokio::test]
async fn a_directory_replaces_a_file_where_that_is_wanted() {
    let World { mfs, .. } = World::new(options(small())).await;
    let d = dir(&mfs, ROOT_INO, "d").await;
    let e = dir(&mfs, ROOT_INO, "e").await;
    write(&mfs, d, "file", b"x").await;
    write(&mfs, ROOT_INO, "f", b"y").await;
    let rename = async |name: &[u8], to, to_name: &[u8], mode| mfs.rename(ROOT_INO, name, to, to_name, mode).await;
    let mode = RenameMode::ReplaceFile;
    assert!(matches!(rename(b"d", d, b"file", mode).await, Err(MfsError::Loop(_))));
    assert_eq!(content(&mfs, "/d/file").await, b"x");
    assert!(matches!(rename(b"d", ROOT_INO, b"f", RenameMode::Replace).await, Err(MfsError::NotDir(_))));
    assert!(matches!(rename(b"d", ROOT_INO, b"e", mode).await, Err(MfsError::IsDir(_))));
    rename(b"d", ROOT_INO, b"f", mode).await.expect("replaces");
    assert_eq!(content(&mfs, "/f/file").await, b"x");
    assert_eq!(mfs.lookup(ROOT_INO, b"f").await.expect("is there").ino, d);
    mfs.forget(e, 1);
}

#[tokio::test]
async fn a_copy_of_all_of_a_file_over_another_is_a_change() {
    let World { mfs, blocks, .. } = World::new(options(small())).await;
    let from = write(&mfs, ROOT_INO, "from", &[1; 100]).await;
    let to = write(&mfs, ROOT_INO, "to", &[2; 50]).await;
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.copy_range(from.ino, 0..100, to.ino, 0).await.expect("copies"), 100);
    mfs.sync().await.expect("syncs");
    drop(mfs);
    let mfs = open(&blocks, options(small())).await.expect("opens");
    assert_eq!(content(&mfs, "/to").await, [1; 100]);
}
