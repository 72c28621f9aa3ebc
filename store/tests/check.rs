//! What `repo verify` and `repo fsck` find, and what they put right.

mod support;

use cairn_store::{
    Block, StoreError,
    blockstore::{Blockstore as _, Entry, KvBlocks, key},
    check::{fsck, fsck::Problem, verify},
    kv::{Batch, Durability, Table},
    mfs::{MetaCell, RootCell as _},
    pin::{PinMode, Pins},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};
use support::{Shared, leaf, store, tree};

fn fixture() -> (Arc<KvBlocks>, Pins, Vec<Block>) {
    let blocks = store(Arc::new(Shared::default()));
    let all: Vec<Block> = (0..3000).map(|i| leaf(&format!("block {i}"))).collect();
    blocks.put_many(&all, Durability::Synced).expect("puts");
    (Arc::clone(&blocks), Pins::new(blocks), all)
}

/// Changes a row behind the store's back.
fn write(blocks: &KvBlocks, change: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::new();
    change(&mut batch);
    blocks.kv().write(batch, Durability::Synced).expect("writes");
}

fn verified(blocks: &KvBlocks) -> BTreeMap<Vec<u8>, Option<String>> {
    let mut seen = BTreeMap::new();
    let whole = verify::verify(blocks, false, &AtomicBool::new(false), &mut |c| -> Result<(), StoreError> {
        assert!(seen.insert(key(c.cid.hash()), c.error).is_none(), "twice: {}", c.cid);
        Ok(())
    });
    assert!(whole.expect("verifies"));
    seen
}

#[test]
fn every_block_is_hashed_and_the_corrupt_ones_are_found() {
    let (blocks, _, all) = fixture();
    assert!(verified(&blocks).values().all(Option::is_none));
    // The first, the last and one in the middle of the table, each with one bit flipped; and one without bytes.
    let mut keys: Vec<Vec<u8>> = all.iter().map(|b| key(b.cid().hash())).collect();
    keys.sort();
    let damaged = [&keys[0], &keys[1500], &keys[2999]];
    for key in damaged {
        let mut bytes = blocks.kv().get(Table::Blocks, key).expect("reads").expect("is here").to_vec();
        bytes[3] ^= 1;
        write(&blocks, |b| b.put(Table::Blocks, key.clone(), bytes));
    }
    write(&blocks, |b| b.delete(Table::Blocks, keys[7].clone()));
    let seen = verified(&blocks);
    assert_eq!(seen.len(), all.len());
    let bad: Vec<&Vec<u8>> = seen.iter().filter(|(_, e)| e.is_some()).map(|(k, _)| k).collect();
    assert_eq!(bad, [damaged[0], &keys[7], damaged[1], damaged[2]]);
    // From now on they are missing, until they are put again.
    let broken = all.iter().find(|b| key(b.cid().hash()) == *damaged[1]).expect("is one of them");
    assert!(!blocks.has(broken.cid().hash()).expect("reads"));
    blocks.put(broken).expect("puts");
    assert_eq!(blocks.get(broken.cid()).expect("reads").as_ref(), Some(broken));
}

#[test]
fn verify_can_be_stopped_and_fails_with_its_caller() {
    let (blocks, _, _) = fixture();
    let stopped = verify::verify(&blocks, false, &AtomicBool::new(true), &mut |_| Ok::<(), StoreError>(()));
    assert!(!stopped.expect("ends"));
    let failed =
        verify::verify(&blocks, false, &AtomicBool::new(false), &mut |_| Err(StoreError::Invalid("enough".into())));
    assert_eq!(failed.expect_err("fails").to_string(), "enough");
}

fn problems(blocks: &KvBlocks, pins: &Pins, repair: bool) -> Vec<Problem> {
    let mut found = Vec::new();
    fsck::fsck(blocks, pins, repair, &AtomicBool::new(false), &mut |p| found.push(p)).expect("checks");
    found
}

#[test]
fn fsck_finds_and_repairs_what_disagrees() {
    let (blocks, pins, all) = fixture();
    assert!(problems(&blocks, &pins, true).is_empty());
    let k = |i: usize| key(all[i].cid().hash());
    write(&blocks, |b| b.delete(Table::Blocks, k(0)));
    write(&blocks, |b| b.delete(Table::Index, k(1)));
    write(&blocks, |b| {
        b.put(Table::Index, k(2), Entry { size: 99, stamp: 0, bad: false, leaf: false, file: None }.encode());
    });
    write(&blocks, |b| b.put(Table::Index, k(3), b"\xff\xff".to_vec()));
    write(&blocks, |b| {
        b.delete(Table::Index, k(4));
        b.put(Table::Blocks, k(4), b"not it".to_vec());
    });
    write(&blocks, |b| b.put(Table::Marks, b"\x01left over".to_vec(), Vec::new()));
    let kind = |p: &Problem| match p {
        Problem::NoBytes(c) => (0, Some(*c.hash())),
        Problem::NotIndexed(c) => (1, Some(*c.hash())),
        Problem::WrongEntry(c) => (2, Some(*c.hash())),
        Problem::Corrupt(c) => (3, Some(*c.hash())),
        Problem::Leftover => (4, None),
        other => panic!("{other}"),
    };
    let mut found: Vec<_> = problems(&blocks, &pins, false).iter().map(kind).collect();
    found.sort();
    let hash = |i: usize| Some(*all[i].cid().hash());
    let mut expected = vec![(0, hash(0)), (1, hash(1)), (2, hash(2)), (2, hash(3)), (3, hash(4)), (4, None)];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(problems(&blocks, &pins, true).len(), 6);
    assert!(problems(&blocks, &pins, false).is_empty());
    // What could be saved is here; what could not is missing, and can be put again.
    for (i, here) in [(0, false), (1, true), (2, true), (3, true), (4, false)] {
        assert_eq!(blocks.has(all[i].cid().hash()).expect("reads"), here, "{i}");
        blocks.put(&all[i]).expect("puts");
        assert_eq!(blocks.get(all[i].cid()).expect("reads").as_ref(), Some(&all[i]));
    }
}

#[test]
fn fsck_reports_pins_that_it_cannot_repair() {
    let (blocks, pins, _) = fixture();
    let dag = tree("t");
    blocks.put_many(&dag, Durability::Synced).expect("puts");
    let root = dag.last().expect("has a root").cid();
    pins.add_local(root, PinMode::Recursive, "").expect("pins");
    blocks.delete_many(&[*root.hash()]).expect("deletes");
    write(&blocks, |b| b.put(Table::Pins, b"\x01cnonsense".to_vec(), b"\x01".to_vec()));
    let found = problems(&blocks, &pins, true);
    assert!(
        matches!(&found[..], [Problem::PinnedMissing(c), Problem::BadPin(_)] if c == root)
            || matches!(&found[..], [Problem::BadPin(_), Problem::PinnedMissing(c)] if c == root)
    );
    assert_eq!(problems(&blocks, &pins, true).len(), 2);
}

#[test]
fn a_root_of_the_tree_that_is_no_root_is_found() {
    let (blocks, pins, all) = fixture();
    let found = || {
        let mut found = Vec::new();
        fsck::fsck(&blocks, &pins, false, &AtomicBool::new(false), &mut |problem| found.push(problem)).expect("checks");
        found
    };
    let cell = MetaCell::new(Arc::clone(&blocks));
    cell.commit(all[0].cid()).expect("commits");
    assert!(found().is_empty());
    let lost = leaf("not here");
    cell.commit(lost.cid()).expect("commits");
    assert!(matches!(found()[..], [Problem::TreeMissing(cid)] if cid == *lost.cid()));
    write(&blocks, |b| b.put(Table::Meta, b"\x01mfs".to_vec(), b"no cid".to_vec()));
    assert!(matches!(&found()[..], [problem @ Problem::BadTree(_)] if !problem.repairable()));
}
