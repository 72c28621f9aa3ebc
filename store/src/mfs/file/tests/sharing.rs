//! Copies by reference.

use super::*;

/// Copies all of a range; answers how many calls it took.
fn copy(store: &Store, to: &mut File, at: u64, from: &mut File, range: Range<u64>) -> usize {
    let (mut done, mut calls) = (0, 0);
    while range.start + done < range.end {
        let rest = range.start + done..range.end;
        done += store.run(|blocks| to.copy_range(at + done, from, rest.clone(), blocks)).expect("copies");
        calls += 1;
    }
    calls
}

#[test]
fn aligned_ranges_are_shared_without_reading_a_leaf() {
    let store = Store::default();
    let profile = small(1000, 4, true);
    let content = pattern(1, 64_500);
    let root = store.add(&profile, FileMeta::NONE, &content);
    let mut from = store.open(&profile, &root.cid);
    let is_leaf = |cid: &Cid| cid.codec() == crate::cid::codec::RAW;
    for (at, range) in
        [(0, 0..64_500), (0, 3000..64_500), (2000, 0..20_000), (16_000, 16_000..64_500), (40_000, 3000..4000)]
    {
        let mut to = File::empty(&profile, FileMeta::NONE);
        let before = pattern(2, 18_000);
        store.write(&mut to, 0, &before);
        store.asked.borrow_mut().clear();
        copy(&store, &mut to, at, &mut from, range.clone());
        let leaves = store.asked.borrow().iter().filter(|cid| is_leaf(cid)).count();
        // Copies within a file end in the middle of a leaf only where its own end is not reached.
        assert_eq!(leaves, 0, "{at} {range:?}");
        let mut model = before;
        let (start, end) = (at as usize, at as usize + (range.end - range.start) as usize);
        model.resize(model.len().max(end), 0);
        model[start..end].copy_from_slice(&content[range.start as usize..range.end as usize]);
        assert_eq!(store.all(&to), model);
        assert_eq!(store.seal(&mut to), Store::default().add(&profile, FileMeta::NONE, &model), "{at} {range:?}");
    }
}

#[test]
fn a_whole_copy_takes_the_shape_over_and_keeps_its_own_metadata() {
    let store = Store::default();
    let (one, other) = (small(1000, 4, true), small(300, 8, false));
    let content = pattern(1, 20_000);
    let root = store.add(&one, FileMeta::NONE, &content);
    let mut from = store.open(&one, &root.cid);
    let meta = FileMeta { mode: Some(0o600), mtime: None };
    let mut to = File::empty(&other, meta);
    store.asked.borrow_mut().clear();
    assert_eq!(copy(&store, &mut to, 0, &mut from, 0..20_000), 1);
    assert!(store.asked.borrow().is_empty());
    assert_eq!(store.seal(&mut to), Store::default().add(&one, meta, &content));
}

#[test]
fn bytes_are_copied_where_leaves_lie_apart() {
    let store = Store::default();
    let profile = small(1000, 4, false);
    let content = pattern(1, 9_999);
    let root = store.add(&profile, FileMeta::NONE, &content);
    let mut from = store.open(&profile, &root.cid);
    let mut to = File::empty(&profile, FileMeta::NONE);
    copy(&store, &mut to, 1, &mut from, 3..9_999);
    let model = [&[0][..], &content[3..]].concat();
    assert_eq!(store.all(&to), model);
    assert_eq!(store.seal(&mut to), Store::default().add(&profile, FileMeta::NONE, &model));
}

#[test]
fn what_is_read_for_a_copy_of_bytes_is_let_go_of() {
    let store = Store::default();
    let profile = Profile { raw_leaves: true, ..Profile::cid_v1() };
    let content = pattern(3, 24 << 20);
    let root = store.add(&profile, FileMeta::NONE, &content);
    let (mut from, mut to) = (store.open(&profile, &root.cid), File::empty(&profile, FileMeta::NONE));
    copy(&store, &mut to, 5, &mut from, 1..content.len() as u64);
    assert!(from.tree.clean <= 2 * crate::mfs::file::load::MAX_CLEAN, "{} bytes", from.tree.clean);
    assert!(store.all(&to)[5..] == content[1..]);
}
