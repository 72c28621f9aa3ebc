//! What a change costs: blocks looked into, blocks made, memory.

use super::*;

#[test]
fn a_sparse_file_of_any_length_takes_a_few_blocks() {
    let store = Store::default();
    let profile = Profile::cid_v1();
    let mut file = File::empty(&profile, FileMeta::NONE);
    store.truncate(&mut file, MAX_LEN);
    assert_eq!(file.dirty_bytes(), 0);
    let middle = MAX_LEN / 2 + 12_345;
    store.write(&mut file, middle, b"needle");
    assert!(file.dirty_bytes() <= 512 << 10);
    assert_eq!(store.read(&file, middle - 3..middle + 9), b"\0\0\0needle\0\0\0");
    let root = store.seal(&mut file);
    assert_eq!(root.file_size, MAX_LEN);
    assert!(store.blocks.borrow().len() < 40, "{} blocks", store.blocks.borrow().len());

    let mut file = store.open(&profile, &root.cid);
    store.asked.borrow_mut().clear();
    store.write(&mut file, middle, b"N");
    store.truncate(&mut file, middle + 3);
    assert!(store.asked.borrow().len() < 10, "{} blocks", store.asked.borrow().len());
    assert_eq!(
        store
            .run(|blocks| {
                assert!(matches!(file.write(MAX_LEN, b"x", blocks), Err(FileError::TooLong)));
                assert!(matches!(file.truncate(MAX_LEN + 1, blocks), Err(FileError::TooLong)));
                file.write(MAX_LEN, b"", blocks)
            })
            .ok(),
        Some(())
    );
    assert_eq!(file.len(), middle + 3);
}

#[test]
fn a_change_in_the_middle_touches_one_path() {
    let store = Store::default();
    let profile = small(1024, 8, true);
    let mut content = pattern(1, 300_000);
    let root = store.add(&profile, FileMeta::NONE, &content);
    let mut file = store.open(&profile, &root.cid);
    let before = store.blocks.borrow().len();
    store.write(&mut file, 150_000, b"one leaf");
    content[150_000..150_008].copy_from_slice(b"one leaf");
    // The root is at hand: 300,000 bytes are 293 leaves, so there are two nodes and a leaf below it on each path.
    assert_eq!(store.asked.borrow().len(), 3);
    // The root has five parts, the next node eight, the lowest eight: all but those on the path are named as wholes.
    assert_eq!(file.segments(0..300_000).len(), 5 + 7 + 7);
    let new = store.seal(&mut file);
    assert_eq!(store.blocks.borrow().len(), before + 4);
    assert_eq!(new, Store::default().add(&profile, FileMeta::NONE, &content));
}

#[test]
fn whole_leaves_and_aligned_ends_need_no_old_bytes() {
    let store = Store::default();
    for raw in [true, false] {
        let profile = small(1000, 8, raw);
        let root = store.add(&profile, FileMeta::NONE, &pattern(1, 16_000));
        let mut file = store.open(&profile, &root.cid);
        store.asked.borrow_mut().clear();
        store.write(&mut file, 2000, &pattern(2, 3000));
        assert_eq!(store.asked.borrow().len(), 1, "the node above");
        store.write(&mut file, 16_000, &pattern(3, 500));
        assert_eq!(store.asked.borrow().len(), 1, "nothing is to be filled");
        store.truncate(&mut file, 8000);
        store.punch(&mut file, 0..8000);
        assert_eq!(store.asked.borrow().len(), 1, "nothing is cut");
        assert_eq!(store.all(&file), vec![0; 8000]);
    }
}

#[test]
fn memory_of_a_large_file_is_released_while_it_is_written() {
    let store = Store::default();
    let profile = small(1024, 16, true);
    let mut file = File::empty(&profile, FileMeta::NONE);
    let content = pattern(5, 1 << 20);
    let mut most = 0;
    for (i, piece) in content.chunks(700).enumerate() {
        store.write(&mut file, i as u64 * 700, piece);
        if file.dirty_bytes() > 50_000 {
            store.write_back(&mut file);
            most = most.max(file.dirty_bytes());
        }
    }
    assert!(most <= 1024, "{most} bytes are kept");
    assert!(store.asked.borrow().is_empty(), "what is written on is in memory");
    assert_eq!(store.seal(&mut file), Store::default().add(&profile, FileMeta::NONE, &content));
}

#[test]
fn nodes_without_changes_are_forgotten() {
    let store = Store::default();
    let profile = small(1, 64, true);
    let mut content = pattern(5, 200_000);
    let root = store.add(&profile, FileMeta::NONE, &content);
    let mut file = store.open(&profile, &root.cid);
    for at in (0..200_000usize).step_by(50) {
        store.write(&mut file, at as u64, &[at as u8]);
        content[at] = at as u8;
        if at % 5000 == 0 {
            store.seal(&mut file);
        }
        assert!(file.tree.entries < (1 << 16) + 64 * 100 * 3, "{} children", file.tree.entries);
    }
    assert_eq!(store.seal(&mut file), Store::default().add(&profile, FileMeta::NONE, &content));
}

#[test]
fn what_a_sink_refuses_stays_in_memory() {
    let store = Store::default();
    let profile = small(10, 3, false);
    let content = pattern(9, 500);
    let mut file = File::empty(&profile, FileMeta::NONE);
    store.write(&mut file, 0, &content);
    for good in 0..5 {
        let mut calls = 0;
        let sealed = file.seal(&(), &mut |blocks| {
            calls += 1;
            if calls > good {
                return Err(StoreError::Corrupt("full".into()));
            }
            store.take(blocks);
            Ok(())
        });
        if let Ok(root) = sealed {
            assert_eq!(root, Store::default().add(&profile, FileMeta::NONE, &content));
            assert!(good > 0);
            return;
        }
        assert!(file.is_dirty());
        assert_eq!(store.all(&file), content);
    }
    panic!("it never ends");
}

#[test]
fn a_reader_keeps_what_it_got() {
    let store = Store::default();
    let mut file = File::empty(&Profile::cid_v1(), FileMeta::NONE);
    store.write(&mut file, 0, b"before");
    let segments = file.segments(0..100);
    store.write(&mut file, 0, b"after!");
    assert_eq!(segments, [Segment::Bytes(Bytes::from_static(b"before"))]);
    assert_eq!(store.all(&file), b"after!");
    assert!(file.segments(6..100).is_empty());
}
