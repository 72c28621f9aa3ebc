//! Shapes that the importer does not make.

use super::*;
use crate::{
    block::{MAX_BLOCK_SIZE, Prefix},
    cid::codec,
    unixfs::{
        NodeWriter,
        node::{Data, Kind},
        reader::MAX_DEPTH,
    },
};

fn raw(store: &Store, bytes: &[u8]) -> (Cid, u64) {
    let block = Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(bytes)).expect("seals");
    let cid = *block.cid();
    store.take(vec![block]);
    (cid, bytes.len() as u64)
}

fn node(store: &Store, head: &[u8], parts: &[(Cid, u64)]) -> (Cid, u64) {
    let (mut links, mut data) = (NodeWriter::default(), Data::new(Kind::File));
    data.data = (!head.is_empty()).then(|| Bytes::copy_from_slice(head));
    let mut size = head.len() as u64;
    for (cid, part) in parts {
        links.link(&cid.to_bytes(), b"", b"", *part);
        data.blocksizes.push(*part);
        size += part;
    }
    data.filesize = Some(size);
    let (block, _) = links.seal(&data, &Profile::cid_v1()).expect("a node");
    let cid = *block.cid();
    store.take(vec![block]);
    (cid, size)
}

#[test]
fn bytes_next_to_links_are_part_of_the_file() {
    let store = Store::default();
    let profile = small(4, 3, true);
    let inner = node(&store, b"cd", &[raw(&store, b"ef"), raw(&store, b"")]);
    let root = node(&store, b"ab", &[inner, raw(&store, b"gh")]);
    let mut file = store.open(&profile, &root.0);
    assert_eq!(store.all(&file), b"abcdefgh");
    store.write(&mut file, 1, b"BCD");
    store.write(&mut file, 8, b"ijklmn");
    assert_eq!(store.all(&file), b"aBCDefghijklmn");
    let sealed = store.seal(&mut file);
    assert_eq!(store.content(&sealed.cid), b"aBCDefghijklmn");
    store.punch(&mut file, 0..3);
    store.truncate(&mut file, 4);
    assert_eq!(store.all(&file), b"\0\0\0D");
    store.truncate(&mut file, 1);
    let sealed = store.seal(&mut file);
    assert_eq!(store.content(&sealed.cid), b"\0");
}

#[test]
fn a_node_of_nothing_but_bytes_is_a_leaf() {
    let store = Store::default();
    let root = node(&store, b"abc", &[raw(&store, b"")]);
    let mut file = store.open(&small(8, 3, false), &root.0);
    store.write(&mut file, 3, b"d");
    let sealed = store.seal(&mut file);
    assert_eq!(store.content(&sealed.cid), b"abcd");
}

#[test]
fn a_part_that_is_not_what_its_parent_says_changes_nothing() {
    let store = Store::default();
    let profile = small(4, 3, true);
    let (leaf, _) = raw(&store, b"abc");
    let root = node(&store, b"", &[(leaf, 4), (leaf, 3)]);
    let mut file = store.open(&profile, &root.0);
    let error = store.run(|blocks| file.write(1, b"x", blocks)).expect_err("a false size");
    assert!(error.to_string().contains("it holds 3 bytes where its parent declares 4"), "{error}");
    assert!(!file.is_dirty());
    // What is written over as a whole is not looked at.
    store.write(&mut file, 0, b"wxyz");
    assert_eq!(store.all(&file), b"wxyzabc");

    let directory = Block::seal(Prefix::v1(codec::DAG_PB), Bytes::from_static(&[0x0a, 2, 8, 1])).expect("seals");
    let cid = *directory.cid();
    store.take(vec![directory.clone()]);
    assert!(matches!(File::from_block(&profile, &directory), Err(ReadError::IsDirectory(_))));
    let root = node(&store, b"", &[(cid, 4), (leaf, 3)]);
    let mut file = store.open(&profile, &root.0);
    let error = store.run(|blocks| file.truncate(2, blocks)).expect_err("a directory");
    assert!(error.to_string().contains("a part of a file that is no file"), "{error}");
}

#[test]
fn a_chain_without_end_is_refused() {
    let store = Store::default();
    let mut part = raw(&store, b"ab");
    for _ in 0..MAX_DEPTH + 2 {
        part = node(&store, b"", &[part, raw(&store, b"x")]);
    }
    let mut file = store.open(&small(4, 3, true), &part.0);
    let error = store.run(|blocks| file.write(0, b"y", blocks)).expect_err("too deep");
    assert!(error.to_string().contains("levels deep"), "{error}");
    // The end is near the root, and can be written.
    let len = file.len();
    store.write(&mut file, len - 1, b"y");
}

/// The leaf of a stranger may be larger than any that is made here; it is written to as it is.
#[test]
fn large_leaves_keep_their_cuts() {
    let store = Store::default();
    let content = pattern(3, MAX_BLOCK_SIZE);
    let root = node(&store, b"", &[raw(&store, &content), raw(&store, &content)]);
    let mut file = store.open(&Profile::cid_v1(), &root.0);
    let mut model = [&content[..], &content].concat();
    for (at, data) in [(0, pattern(4, MAX_BLOCK_SIZE)), (MAX_BLOCK_SIZE - 2, vec![9; 4]), (2 * MAX_BLOCK_SIZE, vec![8])]
    {
        store.write(&mut file, at as u64, &data);
        model.resize(model.len().max(at + data.len()), 0);
        model[at..at + data.len()].copy_from_slice(&data);
    }
    assert_eq!(store.all(&file), model);
    let sealed = store.seal(&mut file);
    assert_eq!(store.content(&sealed.cid), model);
}
