//! Random operations.

use super::*;
use crate::unixfs::node::Mtime;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Write(usize, usize, u64),
    Append(usize, u64),
    Truncate(usize),
    Punch(usize, usize),
    Meta(Option<u32>, Option<i64>),
    Seal,
    WriteBack,
    /// Takes a lot with that margin and length.
    Lot(u64, u64),
    /// Stores one of the lots that were taken.
    Stored(usize),
    Narrow,
    Reopen,
    CopyWithin(usize, usize, usize),
}

const SPAN: usize = 400;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..SPAN, 0..120usize, any::<u64>()).prop_map(|(at, len, seed)| Op::Write(at, len, seed)),
        3 => (0..60usize, any::<u64>()).prop_map(|(len, seed)| Op::Append(len, seed)),
        2 => (0..SPAN).prop_map(Op::Truncate),
        1 => Just(Op::Truncate(0)),
        2 => (0..SPAN, 0..200usize).prop_map(|(at, len)| Op::Punch(at, len)),
        1 => (prop_oneof![Just(None), Just(Some(0o644)), Just(Some(0))], prop_oneof![Just(None), Just(Some(7))])
            .prop_map(|(mode, mtime)| Op::Meta(mode, mtime)),
        2 => Just(Op::Seal),
        2 => Just(Op::WriteBack),
        3 => (0..50u64, 1..100u64).prop_map(|(margin, len)| Op::Lot(margin, len)),
        3 => any::<usize>().prop_map(Op::Stored),
        1 => Just(Op::Narrow),
        2 => Just(Op::Reopen),
        2 => (0..SPAN, 0..SPAN, 0..200usize).prop_map(|(from, at, len)| Op::CopyWithin(from, at, len)),
    ]
}

/// The file, what should be in it, and where its blocks are.
struct World {
    profile: Profile,
    store: Store,
    file: File,
    model: Vec<u8>,
    lots: Vec<Lot>,
}

impl World {
    fn write(&mut self, at: usize, data: &[u8]) {
        self.store.write(&mut self.file, at as u64, data);
        if !data.is_empty() {
            self.model.resize(self.model.len().max(at + data.len()), 0);
            self.model[at..at + data.len()].copy_from_slice(data);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Write(at, len, seed) => self.write(at, &pattern(seed, len)),
            Op::Append(len, seed) => self.write(self.model.len(), &pattern(seed, len)),
            Op::Truncate(len) => {
                self.store.truncate(&mut self.file, len as u64);
                self.model.resize(len, 0);
            }
            Op::Punch(at, len) => {
                self.store.punch(&mut self.file, at as u64..(at + len) as u64);
                let end = self.model.len();
                self.model[at.min(end)..(at + len).min(end)].fill(0);
            }
            Op::Meta(mode, mtime) => {
                let mtime = mtime.map(|seconds| Mtime { seconds, nanos: 0 });
                self.file.set_meta(FileMeta { mode, mtime });
            }
            Op::Seal => drop(self.store.seal(&mut self.file)),
            Op::WriteBack => self.store.write_back(&mut self.file),
            Op::Lot(margin, len) => self.lots.extend(self.file.lot(margin, len)),
            Op::Stored(which) if !self.lots.is_empty() => {
                let lot = self.lots.swap_remove(which % self.lots.len());
                let blocks = lot.blocks().expect("makes blocks");
                self.store.take(blocks.clone());
                self.file.stored(&lot, &blocks);
            }
            Op::Stored(_) => {}
            Op::Narrow => {
                let narrowed = self.file.narrow(&mut |blocks| {
                    self.store.take(blocks);
                    Ok(())
                });
                narrowed.expect("stores");
            }
            Op::Reopen => {
                let root = self.store.seal(&mut self.file);
                let meta = self.file.meta();
                self.file = self.store.open(&self.profile, &root.cid);
                assert_eq!((self.file.meta(), self.file.root()), (meta, Some(&root)));
            }
            Op::CopyWithin(from, at, len) => self.copy_within(from, at, len),
        }
    }

    fn copy_within(&mut self, from: usize, at: usize, len: usize) {
        let mut source = self.file.clone();
        let old = self.model.clone();
        let end = (from + len).min(old.len());
        let mut done = 0;
        while from + done < end {
            let range = (from + done) as u64..end as u64;
            let copied =
                self.store.run(|blocks| self.file.copy_range((at + done) as u64, &mut source, range.clone(), blocks));
            let copied = copied.expect("copies") as usize;
            assert!(copied > 0 && copied <= end - from - done);
            done += copied;
        }
        if done > 0 {
            self.model.resize(self.model.len().max(at + done), 0);
            self.model[at..at + done].copy_from_slice(&old[from..end]);
        }
        assert_eq!(self.store.all(&source), old);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 1500 }))]

    #[test]
    fn content_and_cid_are_those_of_the_same_bytes_added(
        ops in prop::collection::vec(op(), 1..30),
        chunk in 1usize..40, links in 2usize..5, raw in any::<bool>(), inline in any::<bool>(),
    ) {
        let profile = Profile { inline: inline.then_some(20), ..small(chunk, links, raw) };
        let mut world = World {
            profile,
            store: Store::default(),
            file: File::empty(&profile, FileMeta::NONE),
            model: Vec::new(),
            lots: Vec::new(),
        };
        for op in &ops {
            world.apply(op);
            prop_assert_eq!(world.file.len(), world.model.len() as u64);
            prop_assert_eq!(&world.store.all(&world.file), &world.model, "after {:?}", op);
        }
        let root = world.store.seal(&mut world.file);
        prop_assert_eq!(&world.store.content(&root.cid), &world.model);
        let added = Store::default().add(&profile, world.file.meta(), &world.model);
        prop_assert_eq!(root, added);
    }

    /// A file that others built, of any shape, keeps its content under all operations.
    #[test]
    fn foreign_files_stay_what_they_are(
        ops in prop::collection::vec(op(), 1..20),
        len in 0usize..600, chunk in 1usize..40, links in 1usize..5, raw in any::<bool>(), trickle in any::<bool>(),
        own_chunk in 1usize..40, own_links in 2usize..5, own_raw in any::<bool>(), seed in any::<u64>(),
    ) {
        use crate::unixfs::profile::Layout;
        let layout = if trickle { Layout::Trickle } else { Layout::Balanced };
        let foreign = Profile { layout, ..small(chunk, if trickle { links } else { links.max(2) }, raw) };
        let profile = small(own_chunk, own_links, own_raw);
        let (store, model) = (Store::default(), pattern(seed, len));
        let root = store.add(&foreign, FileMeta::NONE, &model);
        let file = store.open(&profile, &root.cid);
        let mut world = World { profile, store, file, model, lots: Vec::new() };
        for op in &ops {
            world.apply(op);
            prop_assert_eq!(&world.store.all(&world.file), &world.model, "after {:?}", op);
        }
        let root = world.store.seal(&mut world.file);
        prop_assert_eq!(&world.store.content(&root.cid), &world.model);
    }
}
