//! Blocks that are missing or not what they should be: an error for whoever needs them, and for nobody else.

use crate::{
    support::leaf,
    world::{Seen, Without, World, dir, look, options, read, small, stored, write},
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::{MAX_BLOCK_SIZE, Prefix},
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag::pb::{PbLink, PbNode},
    kv::Durability,
    mfs::{Change, Cursor, MfsError, New, ROOT_INO, RenameMode},
    unixfs::{
        BuildError,
        directory::DirBuilder,
        meta::FileMeta,
        node::{Data, Kind, Mtime},
        profile::Profile,
    },
};

fn put(blocks: &KvBlocks, all: &[Block]) {
    blocks.put_many(all, Durability::Synced).expect("puts");
}

fn directory(profile: &Profile, entries: &[(String, Cid)]) -> (Cid, Vec<Block>) {
    let mut builder = DirBuilder::new(profile, FileMeta::NONE);
    for (name, cid) in entries {
        builder.add(name, cid, 1).expect("adds");
    }
    let mut out = Vec::new();
    (builder.finish(&mut out).expect("builds").cid, out)
}

#[tokio::test]
async fn a_missing_block_is_an_error_and_nothing_more() {
    let world = World::new(options(small())).await;
    let (good, lost) = (leaf("good"), leaf("lost"));
    let (root, out) = directory(&small(), &[("good".into(), *good.cid()), ("lost".into(), *lost.cid())]);
    put(&world.blocks, &[out, vec![good, lost.clone()]].concat());
    let source = Without::new(&world.blocks);
    source.lose(*lost.cid());
    let mfs = world.mfs.through(source.clone());
    mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    for _ in 0..2 {
        // Its link says what it is, and no more.
        assert!(mfs.lookup(d.ino(), b"lost").await.expect("is there").claimed);
        assert!(matches!(read(&mfs, "/d/lost").await, Err(MfsError::Fetch(_))));
    }
    // It is listed, and what else there is goes on.
    assert_eq!(mfs.list(d.ino(), &Cursor::START, 10).await.expect("lists").len(), 2);
    assert_eq!(read(&mfs, "/d/good").await.expect("reads"), b"good");
    write(&mfs, d.ino(), "new", b"new").await;
    mfs.rename(d.ino(), b"lost", ROOT_INO, b"moved", RenameMode::NoReplace).await.expect("renames unseen");
    mfs.sync().await.expect("syncs");
    source.find_again();
    assert_eq!(read(&mfs, "/moved").await.expect("reads"), b"lost");
}

#[tokio::test]
async fn a_missing_part_of_a_file_is_an_error_of_what_needs_it() {
    let world = World::new(options(small())).await;
    let content: Vec<u8> = (0..200).collect();
    write(&world.mfs, ROOT_INO, "f", &content).await;
    world.mfs.sync().await.expect("syncs");
    let world = world.after_power_cut(options(small())).await;
    // The leaf of bytes 64 to 79.
    let lost = Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(&content[64..80])).expect("seals");
    let source = Without::new(&world.blocks);
    source.lose(*lost.cid());
    let mfs = world.mfs.through(source.clone());
    let file = mfs.resolve(b"/f").await.expect("is there");
    assert!(matches!(mfs.read(file.ino(), 60, 20).await, Err(MfsError::Fetch(_))));
    assert!(matches!(mfs.write(file.ino(), 70, Bytes::from_static(b"x")).await, Err(MfsError::Fetch(_))));
    assert_eq!(mfs.read(file.ino(), 80, 20).await.expect("reads"), content[80..100]);
    // Written over as a whole it is not needed.
    mfs.write(file.ino(), 62, Bytes::from(vec![0; 20])).await.expect("writes");
    let read = mfs.read(file.ino(), 0, 1000).await.expect("reads");
    assert_eq!(read, [&content[..62], &[0; 20][..], &content[82..]].concat());
    let root = mfs.sync().await.expect("syncs");
    let Seen::Dir(entries) = stored(&world.blocks, &root).await else { panic!("a directory") };
    assert_eq!(entries[&b"f"[..]], Seen::File(read.to_vec()));
}

#[tokio::test]
async fn a_missing_shard_fails_what_is_in_it() {
    let profile = Profile { max_hamt_fanout: 8, hamt_threshold: 300, ..small() };
    let world = World::new(options(profile)).await;
    let file = leaf("x");
    let names: Vec<String> = (0..60).map(|i| format!("entry {i}")).collect();
    let entries: Vec<(String, Cid)> = names.iter().map(|name| (name.clone(), *file.cid())).collect();
    let (root, out) = directory(&profile, &entries);
    put(&world.blocks, &[out.clone(), vec![file]].concat());
    let source = Without::new(&world.blocks);
    let top = PbNode::decode(out.last().expect("a root").data()).expect("decodes");
    source.lose(top.links.iter().find(|link| link.name().len() == 1).expect("a shard").cid);
    let mfs = world.mfs.through(source.clone());
    mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    assert!(matches!(mfs.list(d.ino(), &Cursor::START, 100).await, Err(MfsError::Fetch(_))));
    let mut gone = 0;
    let mut removed = 0;
    for name in &names {
        match mfs.remove(d.ino(), name.as_bytes()).await {
            Ok(()) => removed += 1,
            Err(MfsError::Fetch(_)) => gone += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(gone > 0 && removed > 0 && gone + removed == names.len(), "{gone} {removed}");
    // Small as it is by now it stays sharded, because that can't be seen.
    mfs.sync().await.expect("syncs");
    source.find_again();
    assert_eq!(mfs.list(d.ino(), &Cursor::START, 100).await.expect("lists").len(), gone);
    for name in &names {
        let _ = mfs.remove(d.ino(), name.as_bytes()).await;
    }
    mfs.sync().await.expect("syncs");
    let empty = mfs.attr(d.ino()).await.expect("is there").cid.expect("is sealed");
    assert_eq!(empty, directory(&profile, &[]).0);
}

#[tokio::test]
async fn what_is_malformed_can_be_moved_and_removed() {
    let world = World::new(options(small())).await;
    let mut bad = Vec::new();
    for bytes in [&b"no node at all"[..], b"", &[0x0a, 0x02, 0x08, 0x09]] {
        bad.push(Block::seal(Prefix::v1(codec::DAG_PB), Bytes::copy_from_slice(bytes)).expect("seals"));
    }
    // A file that lies about its length.
    let mut data = Data::new(Kind::File);
    (data.filesize, data.blocksizes) = (Some(10), vec![3]);
    let links = vec![PbLink::new(*leaf("abc").cid(), Bytes::new(), 3)];
    let node = PbNode { links, data: Some(data.encode().into()) };
    bad.push(Block::seal(Prefix::v1(codec::DAG_PB), node.encode()).expect("seals"));
    let entries: Vec<_> = bad.iter().enumerate().map(|(i, block)| (format!("{i}"), *block.cid())).collect();
    let (root, out) = directory(&small(), &entries);
    put(&world.blocks, &[out, bad].concat());
    let mfs = &world.mfs;
    mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    for (name, cid) in &entries {
        let looked = mfs.lookup(d.ino(), name.as_bytes()).await;
        assert!(matches!(looked, Err(MfsError::Malformed(_))), "{looked:?}");
        assert!(mfs.link_cid(ROOT_INO, b"x", cid).await.is_err());
        assert!(mfs.unlink(d.ino(), name.as_bytes()).await.is_err());
        mfs.rename(d.ino(), name.as_bytes(), ROOT_INO, name.as_bytes(), RenameMode::NoReplace).await.expect("renames");
        mfs.remove(ROOT_INO, name.as_bytes()).await.expect("removes");
    }
    mfs.rmdir(ROOT_INO, b"d").await.expect("is empty");
    mfs.sync().await.expect("syncs");
}

#[tokio::test]
async fn a_directory_of_as_many_links_as_a_block_holds_is_read_and_changed() {
    let profile = Profile { hamt_threshold: 0, ..Profile::cid_v1() };
    let world = World::new(options(profile)).await;
    let file = leaf("x");
    // One name after the other, until the block is full.
    let count = (MAX_BLOCK_SIZE - 1000) / 49;
    let entries: Vec<(String, Cid)> = (0..count).map(|i| (format!("{i:05}"), *file.cid())).collect();
    let (root, out) = directory(&profile, &entries);
    assert!(out[0].data().len() > MAX_BLOCK_SIZE - 100_000);
    put(&world.blocks, &[out, vec![file]].concat());
    let mfs = &world.mfs;
    mfs.link_cid(ROOT_INO, b"d", &root).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    // Where it fits into no block any more it is sharded, although the profile says never.
    for i in 0..3000 {
        mfs.link_cid(d.ino(), format!("new {i}").as_bytes(), &entries[0].1).await.expect("links");
    }
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.list(d.ino(), &Cursor::START, usize::MAX).await.expect("lists").len(), count + 3000);
    for i in 0..3000 {
        mfs.remove(d.ino(), format!("new {i}").as_bytes()).await.expect("removes");
    }
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.attr(d.ino()).await.expect("is there").cid, Some(root));
}

#[tokio::test]
async fn directories_may_be_very_deep() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let mut at = ROOT_INO;
    for _ in 0..3000 {
        at = dir(mfs, at, "d").await;
    }
    write(mfs, at, "f", b"deep").await;
    let root = mfs.sync().await.expect("syncs");
    let path = "/d".repeat(3000) + "/f";
    let world = world.after_power_cut(options(small())).await;
    assert_eq!(read(&world.mfs, &path).await.expect("reads"), b"deep");
    world.mfs.remove(ROOT_INO, b"d").await.expect("removes");
    assert_ne!(world.mfs.sync().await.expect("syncs"), root);
    // In a directory that was removed nothing is made.
    let made = world.mfs.create(ROOT_INO, b"d", New::default(), true).await.expect("creates");
    assert_eq!(made.size, 0);
}

/// A directory of a file and of an entry with a name that fills the block but for that many bytes; and that name.
fn filled(target: &Block, room: usize) -> (Block, Vec<u8>) {
    let node = |len: usize| {
        let links = vec![
            PbLink::new(*target.cid(), Bytes::from_static(b"f"), 1),
            PbLink::new(*target.cid(), Bytes::from(vec![b'n'; len]), 1),
        ];
        PbNode { links, data: Some(Data::new(Kind::Directory).encode().into()) }.encode()
    };
    let some = MAX_BLOCK_SIZE - room - 200;
    let len = MAX_BLOCK_SIZE - room - (node(some).len() - some);
    (Block::seal(Prefix::v1(codec::DAG_PB), node(len)).expect("seals"), vec![b'n'; len])
}

#[tokio::test]
async fn where_a_name_fills_a_block_a_change_is_refused_at_once() {
    let world = World::new(options(Profile::cid_v1())).await;
    let mfs = &world.mfs;
    let target = leaf("x");
    let ((full, long), (roomy, _)) = (filled(&target, 4), filled(&target, 4096));
    put(&world.blocks, &[target.clone(), full.clone(), roomy.clone()]);
    for (name, block) in [(&b"full"[..], &full), (b"roomy", &roomy)] {
        mfs.link_cid(ROOT_INO, name, block.cid()).await.expect("links");
    }
    mfs.sync().await.expect("syncs");
    let full = mfs.resolve(b"/full").await.expect("is there");
    let too_large = |error: MfsError| matches!(error, MfsError::Build(BuildError::NodeTooLarge(_)));
    assert!(too_large(mfs.mkdir(full.ino(), b"new", New::default()).await.expect_err("there is no room")));
    assert!(too_large(mfs.create(full.ino(), b"new", New::default(), true).await.expect_err("there is no room")));
    let change = Change { mtime: Some(Mtime { seconds: 1 << 60, nanos: 1 }), mode: Some(0o7777), ..Change::default() };
    assert!(too_large(mfs.set_attr(full.ino(), change).await.expect_err("there is no room")));
    let moved = mfs.rename(ROOT_INO, b"roomy", full.ino(), b"r", RenameMode::NoReplace).await;
    assert!(too_large(moved.expect_err("there is no room")));
    // What takes no more room is done, and so is what is elsewhere.
    let file = mfs.resolve(b"/full/f").await.expect("is there");
    mfs.write(file.ino(), 0, Bytes::from_static(b"y")).await.expect("writes");
    let roomy = mfs.resolve(b"/roomy").await.expect("is there");
    mfs.mkdir(roomy.ino(), b"new", New::default()).await.expect("makes");
    mfs.sync().await.expect("syncs");
    mfs.unlink(full.ino(), &long).await.expect("removes");
    mfs.mkdir(full.ino(), b"new", New::default()).await.expect("there is room now");
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(stored(&world.blocks, &root).await, look(mfs).await);
    assert_eq!(mfs.sync_below(full.ino()).await.ok().map(drop), Some(()));
}

#[tokio::test]
async fn shards_of_names_that_fill_a_block_take_no_more() {
    let world = World::new(options(Profile { max_hamt_fanout: 256, ..Profile::cid_v1() })).await;
    let mfs = &world.mfs;
    let target = leaf("x");
    // Two such names need a shard each, with the root above them.
    let names = [b'a', b'b'].map(|byte| vec![byte; MAX_BLOCK_SIZE - 4096]);
    let entries: Vec<(String, Cid)> =
        names.iter().map(|name| (String::from_utf8(name.clone()).expect("is text"), *target.cid())).collect();
    let (one, out) = directory(&Profile { max_dir_links: 1, ..Profile::cid_v1() }, &entries[..1]);
    put(&world.blocks, &[out, vec![target]].concat());
    mfs.link_cid(ROOT_INO, b"d", &one).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    let mut refused = 0;
    for i in 0..200 {
        match mfs.mkdir(d.ino(), format!("{i}").as_bytes(), New::default()).await {
            Ok(made) => drop(mfs.hold(made)),
            Err(MfsError::Build(BuildError::NodeTooLarge(_))) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(stored(&world.blocks, &root).await, look(mfs).await);
}
