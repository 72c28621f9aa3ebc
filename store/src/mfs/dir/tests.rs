use super::*;
use crate::{
    block::Prefix,
    dag::pb::PbNode,
    unixfs::{
        directory::DirBuilder,
        node::{Data, Kind, Mtime},
        profile::HamtEstimate,
        writer::NodeWriter,
    },
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Blocks that were sealed, and how many times they were asked for.
#[derive(Default)]
struct Store {
    blocks: HashMap<Cid, Block>,
    asked: usize,
    sealed: usize,
}

impl Store {
    /// Repeats an operation until it has what it needs.
    fn with<T>(
        &mut self,
        dir: &mut Directory,
        mut work: impl FnMut(&mut Directory) -> Result<T, DirError>,
    ) -> Result<T, DirError> {
        for _ in 0..10_000 {
            match work(dir) {
                Err(DirError::Missing(wanted)) => {
                    assert!((1..=WANTED).contains(&wanted.len()));
                    for want in wanted {
                        self.asked += 1;
                        dir.supply(&want, &self.blocks[&want.cid])?;
                    }
                }
                done => return done,
            }
        }
        panic!("an operation asks for ever");
    }

    fn seal(&mut self, dir: &mut Directory) -> Link {
        self.with(dir, Directory::reckon).expect("reckons");
        dir.seal(&mut |block| {
            self.sealed += 1;
            self.blocks.insert(*block.cid(), block);
            Ok(())
        })
        .expect("seals")
    }

    fn open(&self, profile: &Profile, link: &Link) -> Directory {
        Directory::from_block(profile, &self.blocks[&link.cid]).expect("is a directory")
    }

    fn insert(&mut self, dir: &mut Directory, name: &str, link: Link) {
        self.with(dir, |dir| dir.insert(name.as_bytes(), Some(link))).expect("inserts");
    }

    fn all(&mut self, dir: &mut Directory, max: usize) -> Vec<Entry> {
        let (mut out, mut cursor) = (Vec::new(), Cursor::START);
        loop {
            let some = self.with(dir, |dir| dir.list(&cursor, max)).expect("lists");
            let Some((name, _)) = some.last() else { return out };
            cursor = Cursor(Some((hamt::hash_name(name), name.clone())));
            out.extend(some);
        }
    }
}

fn leaf(content: &str) -> Link {
    let block = Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(content.as_bytes())).expect("seals");
    Link { cid: *block.cid(), tsize: content.len() as u64 }
}

fn built(profile: &Profile, meta: FileMeta, entries: &BTreeMap<String, Link>) -> Link {
    let mut dir = DirBuilder::new(profile, meta);
    for (name, link) in entries {
        dir.add(name, &link.cid, link.tsize).expect("a good name");
    }
    let root = dir.finish(&mut Vec::new()).expect("builds");
    Link { cid: root.cid, tsize: root.tsize }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(String, u16),
    Remove(String),
    Seal,
    /// Seals, and reads the directory anew.
    Reopen,
    Shrink,
    Meta(Option<u32>),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = "[a-j]{1,2}";
    let op = prop_oneof![
        8 => (name, 0u16..300).prop_map(|(name, size)| Op::Insert(name, size)),
        6 => name.prop_map(Op::Remove),
        1 => Just(Op::Seal),
        1 => Just(Op::Reopen),
        1 => Just(Op::Shrink),
        1 => prop::option::of(1u32..0o7777).prop_map(Op::Meta),
    ];
    prop::collection::vec(op, 1..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_directory_is_what_add_makes_of_its_entries(
        ops in ops(),
        fanout in prop_oneof![Just(8usize), Just(16), Just(256)],
        estimate in prop_oneof![Just(HamtEstimate::Links), Just(HamtEstimate::Block), Just(HamtEstimate::Disabled)],
        threshold in prop_oneof![Just(0u64), 60u64..2000],
        max_dir_links in prop_oneof![Just(0usize), 1usize..30],
    ) {
        // Without a threshold directories of too many links are an error.
        let max_dir_links = if threshold == 0 { 0 } else { max_dir_links };
        let profile = Profile {
            max_hamt_fanout: fanout, hamt_estimate: estimate, hamt_threshold: threshold, max_dir_links, ..Profile::cid_v1()
        };
        let (mut store, mut model) = (Store::default(), BTreeMap::new());
        let (mut dir, mut meta) = (Directory::empty(&profile, FileMeta::NONE), FileMeta::NONE);
        for op in ops.into_iter().chain([Op::Reopen, Op::Seal]) {
            match op {
                Op::Insert(name, size) => {
                    let link = leaf(&"x".repeat(size.into()));
                    let before = store.with(&mut dir, |dir| dir.insert(name.as_bytes(), Some(link))).expect("inserts");
                    prop_assert_eq!(before, model.insert(name, link).map(Some));
                }
                Op::Remove(name) => {
                    let before = store.with(&mut dir, |dir| dir.remove(name.as_bytes())).expect("removes");
                    prop_assert_eq!(before, model.remove(&name).map(Some));
                }
                Op::Shrink => dir.shrink(),
                Op::Meta(mode) => {
                    meta.mode = mode;
                    dir.set_meta(meta);
                }
                Op::Seal | Op::Reopen => {
                    let link = store.seal(&mut dir);
                    prop_assert_eq!(link, built(&profile, meta, &model));
                    if matches!(op, Op::Reopen) {
                        dir = store.open(&profile, &link);
                        prop_assert_eq!(dir.root(), Some(link));
                        prop_assert_eq!(dir.meta(), meta);
                    }
                }
            }
            prop_assert_eq!(dir.is_empty(), model.is_empty());
        }
        let mut listed = store.all(&mut dir, 3);
        prop_assert!(listed.is_sorted_by_key(|(name, _)| hamt::hash_name(name)));
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let want: Vec<Entry> = model.iter().map(|(n, l)| (Bytes::copy_from_slice(n.as_bytes()), Some(*l))).collect();
        prop_assert_eq!(listed, want);
    }

    #[test]
    fn a_listing_has_every_entry_that_stays_exactly_once(
        names in prop::collection::btree_set("[a-z]{1,3}", 1..120),
        changes in prop::collection::vec(("[a-z]{1,3}", any::<bool>()), 0..60),
        step in 1usize..7,
    ) {
        let profile = Profile { max_hamt_fanout: 8, hamt_threshold: 900, ..Profile::cid_v1() };
        let (mut store, mut dir) = (Store::default(), Directory::empty(&profile, FileMeta::NONE));
        let link = leaf("x");
        for name in &names {
            store.insert(&mut dir, name, link);
        }
        // What is created or removed meanwhile may be listed or not; the directory changes its form on the way.
        let changes: Vec<_> = changes.into_iter().filter(|(name, _)| !names.contains(name)).collect();
        let (mut seen, mut cursor) = (Vec::new(), Cursor::START);
        let mut next = changes.iter().cycle();
        loop {
            let some = store.with(&mut dir, |dir| dir.list(&cursor, step)).expect("lists");
            let Some((last, _)) = some.last() else { break };
            cursor = Cursor(Some((hamt::hash_name(last), last.clone())));
            seen.extend(some.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()));
            if let Some((name, insert)) = next.next() {
                match insert {
                    true => store.insert(&mut dir, name, link),
                    false => drop(store.with(&mut dir, |dir| dir.remove(name.as_bytes())).expect("removes")),
                }
                store.seal(&mut dir);
                dir.shrink();
            }
        }
        let stayed: Vec<_> = seen.iter().filter(|name| names.contains(*name)).collect();
        prop_assert_eq!(stayed.len(), names.len());
        seen.sort_unstable();
        let len = seen.len();
        seen.dedup();
        prop_assert_eq!(seen.len(), len);
    }
}

#[test]
fn in_a_large_directory_a_change_costs_the_way_to_the_entry() {
    const ENTRIES: usize = 100_000;
    let profile = Profile::cid_v1();
    let (mut store, mut dir) = (Store::default(), Directory::empty(&profile, FileMeta::NONE));
    for i in 0..ENTRIES {
        store.insert(&mut dir, &format!("file-{i}"), leaf("x"));
    }
    let root = store.seal(&mut dir);
    let shards = store.sealed;
    assert!(shards > 10_000, "{shards}");
    // As it is found by somebody who opens it: 256^3 indices tell 100,000 names apart.
    let depth = 4;
    for i in (0..ENTRIES).step_by(9973) {
        let name = format!("file-{i}");
        let mut dir = store.open(&profile, &root);
        (store.asked, store.sealed) = (0, 0);
        assert!(store.with(&mut dir, |dir| dir.get(name.as_bytes())).expect("reads").is_some());
        store.insert(&mut dir, &name, leaf("y"));
        store.insert(&mut dir, &format!("new-{i}"), leaf("z"));
        store.seal(&mut dir);
        assert!(store.asked <= 2 * depth && store.sealed <= 2 * depth, "{} {}", store.asked, store.sealed);
    }
    // Of what was made here it is known how large it is: taking something out costs no more.
    (store.asked, store.sealed) = (0, 0);
    dir.shrink();
    for i in 0..100 {
        store.with(&mut dir, |dir| dir.remove(format!("file-{i}").as_bytes())).expect("removes");
    }
    store.seal(&mut dir);
    assert!(store.asked <= 100 * depth && store.sealed <= 100 * depth, "{} {}", store.asked, store.sealed);
    // A stranger's is looked into until it is known to be large, once.
    let mut dir = store.open(&profile, &root);
    (store.asked, store.sealed) = (0, 0);
    store.with(&mut dir, |dir| dir.remove(b"file-77")).expect("removes");
    store.seal(&mut dir);
    let asked = std::mem::take(&mut store.asked);
    assert!(asked < shards / 4, "{asked}");
    dir.shrink();
    store.with(&mut dir, |dir| dir.remove(b"file-78")).expect("removes");
    store.seal(&mut dir);
    assert!(store.asked <= depth, "{}", store.asked);
}

#[test]
fn a_listing_of_a_large_directory_asks_for_every_shard_once() {
    let profile = Profile::cid_v1();
    let (mut store, mut dir) = (Store::default(), Directory::empty(&profile, FileMeta::NONE));
    for i in 0..20_000 {
        store.insert(&mut dir, &format!("file-{i}"), leaf("x"));
    }
    let root = store.seal(&mut dir);
    let shards = store.sealed;
    let mut dir = store.open(&profile, &root);
    assert_eq!(store.all(&mut dir, 1000).len(), 20_000);
    // All but the root.
    assert_eq!(store.asked, shards - 1);
    assert!(dir.weight() > 20_000);
    dir.shrink();
    assert!(dir.weight() <= 256);
}

#[test]
fn it_goes_on_being_named_as_it_was() {
    let profile = Profile::unixfs_v0_2015();
    let sha512 = HashFn::from_name("sha2-512").expect("known");
    for (version, hash) in [(::cid::Version::V0, HashFn::SHA2_256), (::cid::Version::V1, sha512)] {
        let other = Profile { cid_version: version, hash, ..Profile::cid_v1() };
        let mut store = Store::default();
        let mut dir = Directory::empty(&other, FileMeta::NONE);
        let root = store.seal(&mut dir);
        let mut dir = store.open(&profile, &root);
        store.insert(&mut dir, "a", leaf("x"));
        let link = store.seal(&mut dir);
        assert_eq!((link.cid.version(), link.cid.hash().code()), (version, hash.code()));
        assert_eq!(link, built(&other, FileMeta::NONE, &BTreeMap::from([("a".to_owned(), leaf("x"))])));
    }
    // Kubo's empty directory.
    let empty = Store::default().seal(&mut Directory::empty(&profile, FileMeta::NONE));
    assert_eq!(empty.cid.to_string(), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
}

#[test]
fn what_was_never_sealed_is_not_linked() {
    let profile = Profile::cid_v1();
    let mut dir = Directory::empty(&profile, FileMeta::NONE);
    assert_eq!(dir.insert(b"new", None).expect("inserts"), None);
    dir.seal(&mut |_| Ok(())).expect_err("there is nothing to link to");
    assert_eq!(dir.get(b"new").expect("reads"), Some(None));
    assert_eq!(dir.insert(b"new", Some(leaf("x"))).expect("inserts"), Some(None));
    dir.seal(&mut |_| Ok(())).expect("seals");
}

#[test]
fn foreign_plain_directories_keep_what_they_hold() {
    // Names that no path leads to, and one name twice.
    let mut node = NodeWriter::default();
    for name in ["", "..", "a", "a", "b/c"] {
        node.link(&leaf(name).cid.to_bytes(), b"", name.as_bytes(), 1);
    }
    let (block, _) = node.seal(&Data::new(Kind::Directory), &Profile::cid_v1()).expect("seals");
    let mut dir = Directory::from_block(&Profile::cid_v1(), &block).expect("is a directory");
    dir.insert(b"new", Some(leaf("x"))).expect("inserts");
    let mut out = Vec::new();
    dir.seal(&mut |block| {
        out.push(block);
        Ok(())
    })
    .expect("seals");
    let node = PbNode::decode(out[0].data()).expect("decodes");
    let names: Vec<_> = node.links.iter().map(|link| String::from_utf8_lossy(link.name()).into_owned()).collect();
    assert_eq!(names, ["", "..", "a", "b/c", "new"]);
}

/// A shard with these links: index, name, what it leads to.
fn shard(fanout: usize, links: &[(u16, &str, Cid)]) -> Block {
    let mut writer = hamt::ShardWriter::new(fanout);
    for (slot, name, cid) in links {
        writer.link(usize::from(*slot), &cid.to_bytes(), name.as_bytes(), 1);
    }
    writer.seal(FileMeta::NONE, &Profile::cid_v1()).expect("seals").0
}

#[test]
fn bad_shards_are_refused_and_the_rest_goes_on() {
    let profile = Profile { max_hamt_fanout: 8, ..Profile::cid_v1() };
    let slot_of = |name: &str, level| slot(hamt::hash_name(name.as_bytes()), level, 8).expect("a slot");
    let (good, lost) = ("good", ["a", "b", "c", "d", "e"].into_iter().find(|n| slot_of(n, 0) != slot_of("good", 0)));
    let lost = lost.expect("another slot");
    let cid = leaf("x").cid;
    let mut plain = Vec::new();
    DirBuilder::new(&profile, FileMeta::NONE).finish(&mut plain).expect("builds");
    for bad in [
        shard(16, &[(slot_of(lost, 1), lost, cid)]),
        shard(8, &[]),
        shard(8, &[((slot_of(lost, 1) + 1) % 8, lost, cid)]),
        plain.remove(0),
        Block::seal(Prefix::v1(codec::DAG_PB), Bytes::from_static(b"no node")).expect("seals"),
        Block::seal(Prefix::v1(codec::RAW), Bytes::from_static(b"bytes")).expect("seals"),
    ] {
        let mut links = [(slot_of(good, 0), good, cid), (slot_of(lost, 0), "", *bad.cid())];
        links.sort_unstable();
        let mut dir = Directory::from_block(&profile, &shard(8, &links)).expect("is a directory");
        let wanted = match dir.get(lost.as_bytes()) {
            Err(DirError::Missing(wanted)) => wanted,
            other => panic!("{other:?}"),
        };
        assert!(matches!(dir.supply(&wanted[0], &bad), Err(DirError::Read(_))));
        assert!(matches!(dir.get(lost.as_bytes()), Err(DirError::Missing(_))));
        // The other one is there, can be changed, and the bad shard is linked as before.
        assert!(dir.get(good.as_bytes()).expect("reads").is_some());
        dir.remove(good.as_bytes()).expect("removes");
        assert!(!dir.is_empty());
        let mut out = Vec::new();
        dir.seal(&mut |block| {
            out.push(block);
            Ok(())
        })
        .expect("seals");
        assert_eq!(out.len(), 1);
        assert_eq!(PbNode::decode(out[0].data()).expect("decodes").links[0].cid, *bad.cid());
    }
}

#[test]
fn shards_without_end_come_to_an_end() {
    // Each has one link, to the one before: a name is looked for as deep as its hash has bits.
    let profile = Profile { max_hamt_fanout: 8, ..Profile::cid_v1() };
    let hash = hamt::hash_name(b"name");
    let mut blocks = HashMap::new();
    let mut block = shard(8, &[(0, "x", leaf("x").cid)]);
    for level in (0..40u32).rev() {
        let below = *block.cid();
        blocks.insert(below, block);
        block = shard(8, &[(slot(hash, level % 21, 8).expect("a slot"), "", below)]);
    }
    let mut dir = Directory::from_block(&profile, &block).expect("is a directory");
    let mut rounds = 0;
    let error = loop {
        match dir.get(b"name") {
            Err(DirError::Missing(wanted)) => {
                rounds += 1;
                if let Err(error) = dir.supply(&wanted[0], &blocks[&wanted[0].cid]) {
                    break error;
                }
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(rounds <= 21, "{rounds}");
    assert!(matches!(error, DirError::Read(ReadError::Unreasonable { .. })), "{error}");
}

/// Two names of 32 bytes that no level of shards tells apart: MurmurHash3 can be run backwards.
fn twins() -> (Vec<u8>, Vec<u8>) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let inverse = |n: u64| (0..6).fold(n, |x, _| x.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(x))));
    let mix1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let unmix1 = |k: u64| k.wrapping_mul(inverse(C2)).rotate_right(31).wrapping_mul(inverse(C1));
    let unmix2 = |k: u64| k.wrapping_mul(inverse(C1)).rotate_right(33).wrapping_mul(inverse(C2));
    // The state before its additions: what the second block meets.
    let after = |k1: u64, k2: u64| {
        let h1 = mix1(k1).rotate_left(27).wrapping_mul(5).wrapping_add(0x52dc_e729);
        let h2 = mix2(k2).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
        (h1, h2)
    };
    let name = |words: [u64; 4]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
    let first = [word(b"aaaaaaaa"), word(b"bbbbbbbb"), word(b"cccccccc"), word(b"dddddddd")];
    let (a1, a2) = after(first[0], first[1]);
    for i in 0..10_000u64 {
        let (k1, k2) = (word(b"eeeeeeee") + i, word(b"ffffffff"));
        let (b1, b2) = after(k1, k2);
        // The second block mixes the old half into the other one.
        let half = (a1 ^ mix1(first[2])).rotate_left(27).wrapping_add(a2).wrapping_sub(b2).rotate_right(27);
        let twin = name([k1, k2, unmix1(half ^ b1), unmix2(mix2(first[3]) ^ a2 ^ b2)]);
        if crate::unixfs::is_plain_name(&twin) {
            return (name(first), twin);
        }
    }
    panic!("no twin is a name");
}

#[test]
fn names_of_one_hash_do_not_bring_a_directory_down() {
    let (one, two) = twins();
    assert_ne!(one, two);
    assert_eq!(hamt::hash_name(&one), hamt::hash_name(&two));
    let profile = Profile { hamt_threshold: 500, ..Profile::cid_v1() };
    // The second is refused, in either form.
    let (mut store, mut dir) = (Store::default(), Directory::empty(&profile, FileMeta::NONE));
    for i in 0..20 {
        dir.insert(&one, Some(leaf("x"))).expect("inserts");
        assert!(matches!(dir.insert(&two, Some(leaf("x"))), Err(DirError::Build(BuildError::TooDeep(..)))), "{i}");
        assert_eq!(dir.get(&two).expect("reads"), None);
        store.insert(&mut dir, &format!("{i}"), leaf("x"));
        store.seal(&mut dir);
    }
    // A stranger's directory has both: it can be changed, stays in one node, and grows no further than a block.
    let mut node = NodeWriter::default();
    for name in [&one, &two] {
        node.link(&leaf("x").cid.to_bytes(), b"", name, 1);
    }
    let (block, _) = node.seal(&Data::new(Kind::Directory), &profile).expect("seals");
    let mut dir = Directory::from_block(&profile, &block).expect("is a directory");
    let refused =
        (0..100_000).find(|i| match dir.insert(format!("a longer name of number {i}").as_bytes(), Some(leaf("x"))) {
            Ok(_) => false,
            Err(DirError::Build(BuildError::NodeTooLarge(_))) => true,
            Err(error) => panic!("{error}"),
        });
    assert!(refused.is_some_and(|count| count > 5000), "{refused:?}");
    dir.seal(&mut |_| Ok(())).expect("seals");
    dir.remove(&two).expect("removes");
    assert_eq!(dir.get(&one).expect("reads"), Some(Some(Link { tsize: 1, ..leaf("x") })));
}

#[test]
fn clones_do_not_see_each_others_changes() {
    let profile = Profile { hamt_threshold: 300, max_hamt_fanout: 8, ..Profile::cid_v1() };
    let (mut store, mut dir) = (Store::default(), Directory::empty(&profile, FileMeta::NONE));
    for i in 0..50 {
        store.insert(&mut dir, &format!("{i}"), leaf("x"));
    }
    let root = store.seal(&mut dir);
    let copy = dir.clone();
    for i in 0..50 {
        store.with(&mut dir, |dir| dir.remove(format!("{i}").as_bytes())).expect("removes");
    }
    dir.set_meta(FileMeta { mode: Some(0o700), mtime: Some(Mtime { seconds: 1, nanos: 0 }) });
    assert!(dir.is_empty());
    let mut copy = copy;
    assert_eq!(store.all(&mut copy, 100).len(), 50);
    assert_eq!(store.seal(&mut copy), root);
}
