//! What can't be sealed, or would have to be looked into without end: an error of whoever touches it, and of nobody else.

use crate::{
    support::leaf,
    world::{Seen, Without, World, dir, open, options, read, small, stored, write},
};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::{MAX_BLOCK_SIZE, Prefix},
    blockstore::{Blockstore as _, KvBlocks},
    chunker::ChunkerSpec,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{Deadline, Fetch, FetchError, Offline},
    kv::Durability,
    mfs::{Change, Cursor, Mfs, MfsError, Options, ROOT_INO, interruptible},
    unixfs::{
        directory::DirBuilder,
        hamt, leaf as unixfs_leaf,
        meta::FileMeta,
        node::{Data, Kind},
        profile::Profile,
    },
};
use futures::{StreamExt as _, stream::BoxStream};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

fn put(blocks: &KvBlocks, all: &[Block]) {
    blocks.put_many(all, Durability::Synced).expect("puts");
}

fn node(links: Vec<PbLink>, data: &Data) -> Block {
    let node = PbNode { links, data: Some(data.encode().into()) };
    Block::seal(Prefix::v1(codec::DAG_PB), node.encode()).expect("seals")
}

/// Another handle on the same store, whose blocks come from a source that may lose some.
async fn through_source(world: &World, profile: Profile) -> (Mfs, Arc<Without>) {
    let source = Without::new(&world.blocks);
    (open(&world.blocks, options(profile)).await.expect("opens").through(source.clone()), source)
}

/// A file of 200 bytes in a world where the node over its first 48 can't be had.
async fn file_without_its_first_node() -> (World, Mfs, Arc<Without>, Vec<u8>) {
    let world = World::new(options(small())).await;
    let content: Vec<u8> = (0..200).collect();
    let first = write(&world.mfs, ROOT_INO, "first", &content[..48]).await;
    let node = world.mfs.flush(first.ino).await.expect("flushes");
    world.mfs.unlink(ROOT_INO, b"first").await.expect("unlinks");
    write(&world.mfs, ROOT_INO, "f", &content).await;
    write(&world.mfs, ROOT_INO, "other", b"other").await;
    world.mfs.sync().await.expect("syncs");
    let (mfs, source) = through_source(&world, small()).await;
    source.lose(node);
    (world, mfs.stamping(), source, content)
}

#[tokio::test]
async fn a_cut_that_could_not_be_sealed_is_refused() {
    let (world, mfs, source, content) = file_without_its_first_node().await;
    let file = mfs.resolve(b"/f").await.expect("is there");
    // A time goes into the root of what is left, which is not here.
    let cut = Change { size: Some(48), ..Change::default() };
    assert!(matches!(mfs.set_attr(file.ino(), cut).await, Err(MfsError::Fetch(_))));
    assert_eq!(mfs.attr(file.ino()).await.expect("is there").size, 200);
    write(&mfs, ROOT_INO, "new", b"new").await;
    let root = mfs.sync().await.expect("syncs");
    let Seen::Dir(entries) = stored(&world.blocks, &root).await else { panic!("a directory") };
    assert_eq!(entries[&b"f"[..]], Seen::File(content.clone()));
    assert_eq!(entries[&b"new"[..]], Seen::File(b"new".to_vec()));
    source.find_again();
    mfs.set_attr(file.ino(), cut).await.expect("cuts");
    mfs.sync().await.expect("syncs");
    assert_eq!(read(&mfs, "/f").await.expect("reads"), content[..48]);
}

#[tokio::test]
async fn a_copy_that_could_not_be_sealed_is_refused() {
    let (_world, mfs, source, content) = file_without_its_first_node().await;
    let file = mfs.resolve(b"/f").await.expect("is there");
    let copy = write(&mfs, ROOT_INO, "copy", b"").await;
    assert!(matches!(mfs.copy_range(file.ino(), 0..48, copy.ino, 0).await, Err(MfsError::Fetch(_))));
    write(&mfs, ROOT_INO, "new", b"new").await;
    mfs.sync().await.expect("syncs");
    source.find_again();
    assert_eq!(mfs.copy_range(file.ino(), 0..48, copy.ino, 0).await.expect("copies"), 48);
    mfs.sync().await.expect("syncs");
    assert_eq!(read(&mfs, "/copy").await.expect("reads"), content[..48]);
}

#[tokio::test]
async fn metadata_that_does_not_fit_into_a_root_is_refused() {
    let world = World::new(options(Profile::cid_v1())).await;
    let mut data = Data::new(Kind::File);
    let mut len = MAX_BLOCK_SIZE - 10;
    let full = loop {
        (data.data, data.filesize) = (Some(vec![7; len].into()), Some(len as u64));
        let encoded = PbNode { links: vec![], data: Some(data.encode().into()) }.encode();
        if encoded.len() <= MAX_BLOCK_SIZE - 2 {
            break Block::seal(Prefix::v1(codec::DAG_PB), encoded).expect("seals");
        }
        len -= 1;
    };
    put(&world.blocks, std::slice::from_ref(&full));
    let mfs = &world.mfs;
    mfs.link_cid(ROOT_INO, b"full", full.cid()).await.expect("links");
    let file = mfs.resolve(b"/full").await.expect("is there");
    let refused = mfs.set_attr(file.ino(), Change { mode: Some(0o644), ..Change::default() }).await;
    assert!(matches!(refused, Err(MfsError::Build(_))), "{refused:?}");
    dir(mfs, ROOT_INO, "d").await;
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.flush(file.ino()).await.expect("flushes"), *full.cid());
}

#[tokio::test]
async fn what_cant_be_sealed_keeps_its_last_state_and_stops_nobody() {
    let world = World::new(options(Profile::cid_v1())).await;
    let file = leaf("x");
    let mut data = Data::new(Kind::Directory);
    data.data = None;
    let with = |len: usize| {
        let long = PbLink::new(*file.cid(), Bytes::from(vec![b'n'; len]), 1);
        node(vec![long, PbLink::new(*file.cid(), Bytes::from_static(b"x"), 1)], &data)
    };
    let some = MAX_BLOCK_SIZE - 200;
    // Not a byte is left: an entry whose size takes one more does not fit.
    let huge = with(MAX_BLOCK_SIZE - (with(some).data().len() - some));
    put(&world.blocks, &[file.clone(), huge.clone()]);
    let mfs = &world.mfs;
    let above = dir(mfs, ROOT_INO, "above").await;
    mfs.link_cid(above, b"huge", huge.cid()).await.expect("links");
    let d = mfs.resolve(b"/above/huge").await.expect("is there");
    let (x, below) = (mfs.lookup(d.ino(), b"x").await.expect("is there"), [b'b'; 300]);
    mfs.write(x.ino, 0, Bytes::from_owner(below)).await.expect("writes");
    write(mfs, above, "beside", b"beside").await;
    let root = mfs.sync().await.expect("syncs what it can");
    let seen = |root: Cid| async move { stored(&world.blocks, &root).await };
    let Seen::Dir(top) = seen(root).await else { panic!("a directory") };
    let Seen::Dir(above_then) = &top[&b"above"[..]] else { panic!("a directory") };
    assert_eq!(above_then[&b"beside"[..]], Seen::File(b"beside".to_vec()));
    let Seen::Dir(huge_then) = &above_then[&b"huge"[..]] else { panic!("a directory") };
    assert_eq!(huge_then[&b"x"[..]], Seen::File(b"x".to_vec()));
    // Whoever asks for it is told, and nothing in memory is lost.
    assert!(matches!(mfs.flush(d.ino()).await, Err(MfsError::Build(_))));
    assert!(matches!(mfs.flush(above).await, Err(MfsError::Build(_))));
    assert_eq!(read(mfs, "/above/huge/x").await.expect("reads"), below);
    write(mfs, ROOT_INO, "later", b"later").await;
    mfs.sync().await.expect("syncs what it can");
    assert_eq!(read(mfs, "/later").await.expect("reads"), b"later");
    assert!(matches!(mfs.sync_below(d.ino()).await, Err(MfsError::Build(_))));
    assert_eq!(mfs.left_below(ROOT_INO).map(|(name, _)| name).as_deref(), Some("huge"));
    assert!(mfs.sync_here().await.is_err());
    // Without it nothing is left.
    drop(d);
    mfs.forget(x.ino, 1);
    mfs.remove(above, b"huge").await.expect("removes");
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(mfs.flush(ROOT_INO).await.expect("flushes"), root);
    assert_eq!(mfs.stats().dirty_inodes, 0);
}

/// A directory of one entry beside 255 shards, whose tree is as deep as a hash allows and leads to no entry that belongs
/// there. With `variants` above one no shard links twice to the same one.
fn bomb(variants: usize) -> (Block, Vec<Block>, String) {
    let file = leaf("x");
    let shard = |children: &[(usize, Cid, &[u8])]| {
        let (mut data, mut bits) = (Data::new(Kind::HamtShard), vec![0u8; 32]);
        let links = children.iter().map(|(slot, cid, name)| {
            let prefixed = [format!("{slot:02X}").as_bytes(), name].concat();
            bits[31 - slot / 8] |= 1 << (slot % 8);
            PbLink::new(*cid, prefixed, 100)
        });
        let links = links.collect();
        let zeros = bits.iter().take_while(|&&byte| byte == 0).count();
        (data.data, data.hash_type, data.fanout) = (Some(Bytes::from(bits).slice(zeros..)), Some(0x22), Some(256));
        node(links, &data)
    };
    let mut all = vec![file.clone()];
    let mut below: Vec<Block> = (0..variants)
        .map(|i| {
            let name = format!("{i}");
            let slot = (hamt::hash_name(name.as_bytes()) & 0xff) as usize;
            shard(&[(slot, *file.cid(), name.as_bytes())])
        })
        .collect();
    all.extend(below.clone());
    for _ in 0..6 {
        let level: Vec<Block> = (0..variants)
            .map(|first| {
                let children: Vec<(usize, Cid, &[u8])> =
                    (0..256).map(|slot| (slot, *below[(first + slot) % variants].cid(), &b""[..])).collect();
                shard(&children)
            })
            .collect();
        all.extend(level.clone());
        below = level;
    }
    let name = "entry".to_owned();
    let own = (hamt::hash_name(name.as_bytes()) >> 56) as usize;
    let children: Vec<(usize, Cid, &[u8])> = (0..256)
        .map(|slot| match slot == own {
            true => (slot, *file.cid(), name.as_bytes()),
            false => (slot, *below[slot % variants].cid(), &b""[..]),
        })
        .collect();
    let root = shard(&children);
    all.push(root.clone());
    (root, all, name)
}

#[tokio::test]
async fn a_directory_without_end_is_not_looked_into_without_end() {
    for variants in [1, 256] {
        let world = World::new(options(Profile::cid_v1())).await;
        let (root, all, entry) = bomb(variants);
        put(&world.blocks, &all);
        let source = Without::new(&world.blocks);
        let mfs = world.mfs.through(source.clone());
        if mfs.link_cid(ROOT_INO, b"bomb", root.cid()).await.is_ok() {
            let d = mfs.resolve(b"/bomb").await.expect("is there");
            assert_eq!(read(&mfs, "/bomb/entry").await.expect("reads"), b"x");
            let _ = mfs.list(d.ino(), &Cursor::START, 1000).await;
            mfs.remove(d.ino(), entry.as_bytes()).await.expect("removes");
            mfs.sync().await.expect("syncs");
        } else {
            assert_eq!(variants, 1);
        }
        write(&mfs, ROOT_INO, "after", b"after").await;
        mfs.sync().await.expect("syncs");
        let fetched = source.fetched.lock().expect("lock").len();
        assert!(fetched < 40_000, "{fetched}");
    }
}

/// What is here, and else what is there.
struct Near(Offline, Arc<Without>);

#[async_trait]
impl Fetch for Near {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        match self.0.fetch(cid, deadline).await {
            Err(FetchError::NotFound(_)) => self.1.fetch(cid, deadline).await,
            here => here,
        }
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        futures::stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.0.has_local(cid).await
    }
}

/// A store that has only the roots of what is linked into its tree, and a view of the tree that gets the rest from another
/// store, without keeping it. In `/d` all entries were changed, and what was looked into for that was forgotten.
async fn changed_beside_what_is_not_here(commit_after: Option<Duration>) -> (World, World, Mfs, Arc<Near>) {
    let profile = Profile { max_hamt_fanout: 8, hamt_threshold: 300, ..Profile::cid_v1() };
    let (there, file) = (World::new(options(profile)).await, leaf("x"));
    let mut roots = Vec::new();
    for count in [60, 80_000] {
        let mut builder = DirBuilder::new(&profile, FileMeta::NONE);
        for i in 0..count {
            builder.add(format!("entry {i}"), file.cid(), 1).expect("adds");
        }
        let mut out = vec![file.clone()];
        roots.push(builder.finish(&mut out).expect("builds").cid);
        put(&there.blocks, &out);
    }
    let here = World::new(Options { commit_after, ..options(profile) }).await;
    let source = Arc::new(Near(Offline::new(here.blocks.clone()), Without::new(&there.blocks)));
    let mfs = here.mfs.through(source.clone());
    for (name, root) in [&b"d"[..], b"large"].into_iter().zip(&roots) {
        mfs.link_cid(ROOT_INO, name, root).await.expect("links");
    }
    let d = mfs.resolve(b"/d").await.expect("is there");
    for i in 0..60 {
        let file = mfs.lookup(d.ino(), format!("entry {i}").as_bytes()).await.expect("is there");
        mfs.set_attr(file.ino, Change { mode: Some(0o600), ..Change::default() }).await.expect("changes");
        mfs.forget(file.ino, 1);
    }
    let large = mfs.resolve(b"/large").await.expect("is there");
    assert_eq!(mfs.list(large.ino(), &Cursor::START, usize::MAX).await.expect("lists").len(), 80_000);
    drop((d, large));
    (here, there, mfs, source)
}

#[tokio::test]
async fn what_needs_blocks_that_are_not_here_waits_alone() {
    let (here, _there, mfs, source) = changed_beside_what_is_not_here(None).await;
    let before = source.1.fetched.lock().expect("lock").len();
    write(&mfs, ROOT_INO, "new", b"new").await;
    mfs.sync().await.expect("syncs");
    // A commit asks nobody.
    assert_eq!(source.1.fetched.lock().expect("lock").len(), before);
    let d = mfs.resolve(b"/d").await.expect("is there");
    assert!(matches!(mfs.left_below(ROOT_INO), Some((name, MfsError::Fetch(_))) if name == "d"));
    let again = open(&here.blocks, options(Profile::cid_v1())).await.expect("opens").through(source.clone());
    assert_eq!(read(&again, "/new").await.expect("reads"), b"new");
    let old = again.resolve(b"/d/entry 7").await.expect("is there");
    assert_eq!(old.attr().meta.mode, None);
    // Who asks for it has it fetched.
    mfs.sync_below(d.ino()).await.expect("syncs");
    assert!(mfs.left_below(ROOT_INO).is_none() && mfs.stats().dirty_inodes == 0);
    let again = open(&here.blocks, options(Profile::cid_v1())).await.expect("opens").through(source);
    let new = again.resolve(b"/d/entry 7").await.expect("is there");
    assert_eq!(new.attr().meta.mode, Some(0o600));
}

#[tokio::test]
async fn blocks_that_a_commit_needs_are_looked_for_in_the_background() {
    let (_here, _there, mfs, _source) = changed_beside_what_is_not_here(Some(Duration::from_millis(1))).await;
    while mfs.stats().dirty_inodes > 0 || mfs.left_below(ROOT_INO).is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A source that never answers, and says when it is asked.
struct Silent(Notify);

#[async_trait]
impl Fetch for Silent {
    async fn fetch(&self, _: &Cid, _: Deadline) -> Result<Block, FetchError> {
        self.0.notify_one();
        std::future::pending().await
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        futures::stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, _: &Cid) -> Result<bool, FetchError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_change_that_waits_for_a_block_can_be_given_up() {
    let (world, _mfs, _source, content) = file_without_its_first_node().await;
    let mfs = open(&world.blocks, options(small())).await.expect("opens");
    let file = mfs.resolve(b"/f").await.expect("is there");
    let silent = Arc::new(Silent(Notify::new()));
    let (waiting, asked) = (mfs.through(silent.clone()), silent.clone());
    let signal = async move { asked.0.notified().await };
    let write = waiting.write(file.ino(), 3, Bytes::from_static(b"new"));
    assert!(matches!(interruptible(signal, write).await, Err(MfsError::Interrupted)));
    // Nobody waits for it, and nothing has changed.
    mfs.sync().await.expect("syncs");
    assert_eq!(read(&mfs, "/f").await.expect("reads"), content);
    mfs.write(file.ino(), 3, Bytes::from_static(b"new")).await.expect("writes");
    // What is at hand is done, whatever the signal says.
    interruptible(async {}, mfs.write(file.ino(), 3, Bytes::from_static(b"NEW"))).await.expect("writes");
    assert_eq!(read(&mfs, "/f").await.expect("reads")[3..6], *b"NEW");
}

#[tokio::test]
async fn a_file_of_very_small_leaves_is_written_over() {
    let world = World::new(options(Profile::cid_v1())).await;
    let profile = Profile { raw_leaves: false, chunker: ChunkerSpec::Size(128), ..Profile::cid_v1() };
    let content: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let leaves: Vec<Block> = content
        .chunks(128)
        .map(|chunk| {
            let encoded = unixfs_leaf::encode(&profile, Bytes::copy_from_slice(chunk));
            Block::seal(Prefix::v1(codec::DAG_PB), encoded).expect("seals")
        })
        .collect();
    let mut data = Data::new(Kind::File);
    (data.filesize, data.blocksizes) = (Some(content.len() as u64), vec![128; leaves.len()]);
    let links = leaves.iter().map(|leaf| PbLink::new(*leaf.cid(), Bytes::new(), leaf.data().len() as u64)).collect();
    let root = node(links, &data);
    put(&world.blocks, &[leaves, vec![root.clone()]].concat());
    let mfs = &world.mfs;
    mfs.link_cid(ROOT_INO, b"f", root.cid()).await.expect("links");
    let file = mfs.resolve(b"/f").await.expect("is there");
    mfs.write(file.ino(), 0, Bytes::from(vec![5; content.len()])).await.expect("writes");
    mfs.sync().await.expect("syncs");
    assert_eq!(mfs.read(file.ino(), 0, usize::MAX).await.expect("reads"), vec![5; content.len()]);
}

#[tokio::test]
async fn a_copy_within_a_file_ends_where_the_file_did() {
    let world = World::new(options(small())).await;
    let content: Vec<u8> = (0..67).collect();
    let file = write(&world.mfs, ROOT_INO, "f", &content).await;
    assert_eq!(world.mfs.copy_range(file.ino, 8..68, file.ino, 9).await.expect("copies"), 59);
    assert_eq!(read(&world.mfs, "/f").await.expect("reads"), [&content[..9], &content[8..]].concat());
}
