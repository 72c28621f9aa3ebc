//! Copies by reference of what is in no tree.

use crate::{
    collections::collect,
    support::missing,
    world::{World, options, read, small, write},
};
use bytes::Bytes;
use cairn_store::{
    Cid,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    kv::Durability,
    mfs::{New, ROOT_INO},
    unixfs::{
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
        profile::Profile,
    },
};

fn add(blocks: &KvBlocks, profile: &Profile, bytes: &[u8]) -> Cid {
    let mut out = Vec::new();
    let mut layout = LayoutBuilder::new(profile);
    for chunk in bytes.chunks(16) {
        let block = profile.seal_leaf(leaf::encode(profile, Bytes::copy_from_slice(chunk))).expect("seals");
        layout.push(Leaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
    }
    let root = layout.finish(FileMeta::NONE, &mut out).expect("a root");
    blocks.put_many(&out, Durability::Synced).expect("puts");
    root.cid
}

fn some_bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_here_is_copied_by_reference_and_kept() {
    for profile in [small(), Profile { raw_leaves: false, ..small() }] {
        let world = World::new(options(small())).await;
        let mfs = &world.mfs;
        let bytes = some_bytes(1000);
        let source = add(&world.blocks, &profile, &bytes);
        let to = mfs.create(ROOT_INO, b"copy", New::default(), true).await.expect("creates");
        let before = world.blocks.list().count();
        // In two pieces, as the kernel asks for long ones.
        assert_eq!(mfs.copy_from(&source, 0..480, to.ino, 0).await.expect("copies"), Some(480));
        assert_eq!(mfs.copy_from(&source, 480..5000, to.ino, 480).await.expect("copies"), Some(520));
        assert_eq!(mfs.stats().dirty_bytes, 0, "no byte was read");
        assert_eq!(collect(&world).await, 0, "not committed, and kept");
        assert_eq!(mfs.flush(to.ino).await.expect("flushes"), source);
        assert_eq!(world.blocks.list().count(), before, "no block was made");
        let root = mfs.sync().await.expect("syncs");
        collect(&world).await;
        assert_eq!(missing(&world.blocks, &root), None);
        assert_eq!(read(mfs, "/copy").await.expect("reads"), bytes);
        // Somewhere else in a file bytes may have to be copied.
        let other = write(mfs, ROOT_INO, "other", &[1; 100]).await;
        assert_eq!(mfs.copy_from(&source, 3..203, other.ino, 50).await.expect("copies"), Some(200));
        let expected = [&[1; 50][..], &bytes[3..203]].concat();
        assert_eq!(read(mfs, "/other").await.expect("reads"), expected);
        assert_eq!(mfs.copy_from(&source, 1000..2000, other.ino, 0).await.expect("copies"), Some(0));
    }
}

#[tokio::test]
async fn what_is_not_all_here_or_no_file_is_not_copied_so() {
    let world = World::new(options(small())).await;
    let mfs = &world.mfs;
    let source = add(&world.blocks, &small(), &some_bytes(1000));
    let to = write(mfs, ROOT_INO, "to", b"old").await;
    let leaf = world
        .blocks
        .list()
        .map(|listed| listed.expect("reads").0)
        .map(|hash| Cid::new_v1(codec::RAW, hash))
        .find(|cid| {
            missing(&world.blocks, &source).is_none()
                && world.blocks.get(cid).is_ok_and(|b| b.is_some_and(|b| b.data().len() == 16))
        })
        .expect("a leaf");
    world.blocks.delete_many(&[*leaf.hash()]).expect("deletes");
    assert_eq!(mfs.copy_from(&source, 0..1000, to.ino, 0).await.expect("says so"), None);
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(mfs.copy_from(&root, 0..10, to.ino, 0).await.expect("says so"), None, "a directory");
    assert_eq!(read(mfs, "/to").await.expect("reads"), b"old");
    assert_eq!(mfs.keep().expect("reads"), [root], "nothing else is kept");
}
