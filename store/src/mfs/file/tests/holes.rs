//! What is a hole, and what is told of holes.

use super::*;
use crate::mfs::Seek;
use proptest::prelude::*;

/// The ranges of holes, as somebody finds them who asks for one end after the other.
fn holes(file: &mut File, store: &Store) -> Vec<Range<u64>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(start) = file.seek(at, Seek::Hole, store).filter(|&start| start < file.len()) {
        at = file.seek(start, Seek::Data, store).unwrap_or(file.len());
        found.push(start..at);
    }
    found
}

fn one(hole: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(hole).collect()
}

fn total(holes: &[Range<u64>]) -> u64 {
    holes.iter().map(|hole| hole.end - hole.start).sum()
}

#[test]
fn a_sparse_file_has_the_same_holes_when_it_is_read_again() {
    const CHUNK: u64 = 256 << 10;
    for (profile, len) in [
        (Profile::cid_v1(), 1 << 40),
        (Profile::cid_v1(), (1 << 40) + 12_345),
        (Profile::cid_v1(), MAX_LEN),
        (Profile::default(), (1 << 33) + 1),
    ] {
        let store = Store::default();
        let mut file = File::empty(&profile, FileMeta::NONE);
        store.truncate(&mut file, len);
        assert_eq!((file.holes(), holes(&mut file, &store)), (len, one(0..len)));
        let chunk = len / 3 / CHUNK * CHUNK;
        store.write(&mut file, chunk + 5, b"needle");
        let expected = [0..chunk, chunk + CHUNK..len];
        assert_eq!((file.holes(), holes(&mut file, &store)), (len - CHUNK, expected.to_vec()));
        assert_eq!(file.seek(chunk + 9, Seek::Data, &store), Some(chunk + 9));
        let root = store.seal(&mut file);
        assert_eq!(file.holes(), len - CHUNK);

        let mut file = store.open(&profile, &root.cid);
        let known = file.holes();
        // The roots of the others have one full tree, and the needle in it.
        let least = if (1 << 40..1 << 41).contains(&len) { len / 2 } else { 0 };
        assert!((least..=len - CHUNK).contains(&known), "{known} of {len} without a look below");
        assert_eq!(holes(&mut file, &store), expected);
        assert_eq!(file.holes(), len - CHUNK);
        assert!(!file.is_dirty());
        assert_eq!((file.seek(len, Seek::Hole, &store), file.seek(len, Seek::Data, &store)), (None, None));
        assert_eq!(file.seek(chunk + CHUNK, Seek::Data, &store), None);
        // What is not here counts as bytes.
        let mut file = store.open(&profile, &root.cid);
        assert!(file.seek(chunk, Seek::Data, &()).is_some_and(|at| at == chunk));
        // The same file comes of it.
        store.punch(&mut file, chunk..chunk + CHUNK);
        assert_eq!((holes(&mut file, &store), file.holes()), (one(0..len), len));
        store.write(&mut file, chunk + 5, b"needle");
        assert_eq!(store.seal(&mut file).cid, root.cid);
    }
}

#[derive(Debug, Clone)]
enum Op {
    Write(u64, usize),
    Punch(Range<u64>),
    Truncate(u64),
    Seal,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u64..2000, 1usize..120).prop_map(|(at, len)| Op::Write(at, len)),
        (0u64..2000, 1u64..900).prop_map(|(at, len)| Op::Punch(at..at + len)),
        (0u64..2500).prop_map(Op::Truncate),
        Just(Op::Seal),
        Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_byte_is_in_a_hole(raw in any::<bool>(), ops in proptest::collection::vec(op(), 1..25)) {
        let (store, profile) = (Store::default(), small(16, 3, raw));
        let mut file = File::empty(&profile, FileMeta::NONE);
        let mut model: Vec<u8> = Vec::new();
        for op in ops {
            match op {
                Op::Write(at, len) => {
                    store.write(&mut file, at, &vec![7; len]);
                    let (at, end) = (at as usize, at as usize + len);
                    model.resize(model.len().max(end), 0);
                    model[at..end].fill(7);
                }
                Op::Punch(range) => {
                    store.punch(&mut file, range.clone());
                    let end = model.len().min(range.end as usize);
                    model[end.min(range.start as usize)..end].fill(0);
                }
                Op::Truncate(len) => {
                    store.truncate(&mut file, len);
                    model.resize(len as usize, 0);
                }
                Op::Seal => drop(store.seal(&mut file)),
                Op::Reopen => {
                    let root = store.seal(&mut file);
                    file = store.open(&profile, &root.cid);
                }
            }
            let counted = file.holes();
            let found = holes(&mut file, &store);
            prop_assert!(counted <= total(&found));
            prop_assert_eq!(file.holes(), total(&found), "all of them were looked at");
            for hole in &found {
                prop_assert!(model[hole.start as usize..hole.end as usize].iter().all(|&byte| byte == 0));
            }
            prop_assert_eq!(&store.all(&file), &model);
        }
        let mut fresh = File::empty(&profile, FileMeta::NONE);
        store.write(&mut fresh, 0, &model);
        prop_assert_eq!(store.seal(&mut file), store.seal(&mut fresh));
    }
}
