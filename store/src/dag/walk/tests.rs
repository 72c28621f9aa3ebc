use super::*;
use crate::{
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::Offline,
    hash::HashFn,
    kv::{Durability, MemoryKv},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

struct World {
    store: Arc<KvBlocks>,
}

impl World {
    fn new() -> Self {
        Self { store: Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens")) }
    }

    fn put(&self, block: &Block) -> Cid {
        self.store.put_many(std::slice::from_ref(block), Durability::Buffered).expect("puts");
        *block.cid()
    }

    fn raw(&self, data: impl Into<Bytes>) -> Cid {
        self.put(&Block::seal(Prefix::v1(codec::RAW), data.into()).expect("seals"))
    }

    fn node(&self, tag: u64, links: &[Cid]) -> Cid {
        let links = links.iter().map(|c| PbLink::new(*c, Bytes::new(), 0)).collect();
        let node = PbNode { links, data: Some(tag.to_be_bytes().to_vec().into()) };
        self.put(&Block::seal(Prefix::V0, node.encode()).expect("seals"))
    }

    fn fetch(&self) -> Arc<dyn Fetch> {
        Arc::new(Offline::new(Arc::clone(&self.store) as _))
    }

    fn walk(&self, root: Cid, options: Options) -> Vec<Result<Visit, WalkError>> {
        run(walk(self.fetch(), root, options).collect())
    }

    fn cids(&self, root: Cid, options: Options) -> Vec<Cid> {
        self.walk(root, options).into_iter().map(|v| v.expect("walks").cid).collect()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("starts").block_on(work)
}

const ALL: Options =
    Options { repeats: Repeats::All, max_depth: None, leaves: Leaves::Read, trouble: Trouble::Fail, deadline: None };

#[test]
fn a_block_comes_where_the_deepest_first_way_meets_it() {
    let world = World::new();
    let b = world.raw("b");
    let a = world.node(1, &[b]);
    // `b` is read ahead as a child of the root, and must still be visited below `a`.
    let root = world.node(0, &[a, b]);
    assert_eq!(world.cids(root, Options::default()), [root, a, b]);
    assert_eq!(world.cids(root, ALL), [root, a, b, b]);
    let visits = world.walk(root, Options::default());
    let last = visits[2].as_ref().expect("walks");
    assert_eq!((last.depth, last.parent), (2, Some(a)));
}

#[test]
fn a_depth_limit_finds_what_a_shorter_way_reaches() {
    let world = World::new();
    let leaf = world.raw("leaf");
    let x = world.node(1, &[leaf]);
    let y = world.node(2, &[x]);
    let root = world.node(0, &[y, x]);
    let limit = |n| Options { max_depth: Some(n), ..Options::default() };
    assert_eq!(world.cids(root, limit(0)), [root]);
    assert_eq!(world.cids(root, limit(1)), [root, y, x]);
    // At depth 2 `x` is met first at the limit, then nearer, where `leaf` lies within it.
    assert_eq!(world.cids(root, limit(2)), [root, y, x, x, leaf]);
    let again: Vec<bool> = world.walk(root, limit(2)).into_iter().map(|v| v.expect("walks").again).collect();
    assert_eq!(again, [false, false, false, true, false]);
}

#[test]
fn missing_and_malformed_blocks_fail_or_are_left_out() {
    let world = World::new();
    let here = world.raw("here");
    let missing = *Block::seal(Prefix::v1(codec::RAW), "missing".into()).expect("seals").cid();
    let malformed = world.put(&Block::seal(Prefix::V0, Bytes::from_static(b"\xff")).expect("seals"));
    let root = world.node(0, &[missing, malformed, here]);
    let failed = world.walk(root, Options::default());
    assert!(matches!(failed.last(), Some(Err(WalkError::Fetch(FetchError::NotFound(c)))) if **c == missing));
    let skipping = Options { trouble: Trouble::Skip, ..Options::default() };
    assert_eq!(world.cids(root, skipping), [root, here]);
    let failed = world.walk(world.node(1, &[malformed]), Options::default());
    assert!(matches!(failed.last(), Some(Err(WalkError::Dag(_)))), "{failed:?}");
    // Leaves are named without being there.
    let naming = Options { leaves: Leaves::Skip, ..Options::default() };
    assert_eq!(world.cids(world.node(2, &[missing, here]), naming).len(), 3);
}

#[test]
fn identity_blocks_are_visited_and_followed_without_a_store() {
    let world = World::new();
    let leaf = world.raw("leaf");
    let node = PbNode { links: vec![PbLink::new(leaf, Bytes::new(), 0)], data: None };
    let inline = Prefix { version: cid::Version::V1, codec: codec::DAG_PB, hash: HashFn::IDENTITY };
    let inline = *Block::seal(inline, node.encode()).expect("seals").cid();
    assert_eq!(world.cids(inline, Options::default()), [inline, leaf]);
}

#[test]
fn a_chain_of_100_000_blocks_keeps_no_stack() {
    let world = World::new();
    let mut root = world.raw("end");
    for i in 0..100_000 {
        root = world.node(i, &[root]);
    }
    assert_eq!(world.walk(root, Options::default()).len(), 100_001);
}

#[test]
fn nodes_that_share_children_are_linear_once_and_lazy_for_each_path() {
    let world = World::new();
    let mut root = world.raw("end");
    for i in 0..64 {
        root = world.node(i, &[root, root]);
    }
    assert_eq!(world.walk(root, Options::default()).len(), 65);
    let first = run(walk(world.fetch(), root, ALL).take(10_000).collect::<Vec<_>>());
    assert!(first.iter().all(Result::is_ok) && first.len() == 10_000);
}

/// Links kept for ancestors pass [`PENDING_LINKS`] several times over, so that frames near the root forget
/// theirs and are read again.
#[test]
fn ancestors_that_were_forgotten_are_taken_up_where_they_were_left() {
    let world = World::new();
    let leaves: Vec<Cid> = (0..70_000).map(|i: u32| world.raw(i.to_be_bytes().to_vec())).collect();
    let mut root = leaves[0];
    for i in 0..12 {
        let links: Vec<Cid> = std::iter::once(root).chain(leaves.iter().skip(i).copied()).collect();
        root = world.node(i as u64, &links);
    }
    let naming = Options { leaves: Leaves::Skip, ..Options::default() };
    let cids = world.cids(root, naming);
    assert_eq!(cids.len(), 70_012);
    assert_eq!(cids.iter().collect::<HashSet<_>>().len(), 70_012);
    let all = Options { leaves: Leaves::Skip, ..ALL };
    assert_eq!(world.cids(root, all).len(), 1 + (0..12).map(|i| 70_000 - i + 1).sum::<usize>());
}

/// The order by the plainest recursion.
fn model(children: &HashMap<Cid, Vec<Cid>>, cid: Cid, once: bool, seen: &mut HashSet<Cid>, out: &mut Vec<Cid>) {
    if once && !seen.insert(cid) {
        return;
    }
    out.push(cid);
    for child in children.get(&cid).into_iter().flatten() {
        model(children, *child, once, seen, out);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn random_dags_are_walked_in_the_order_of_the_model(
        shape in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..24), 1..14),
        leaves in 1usize..30,
    ) {
        let world = World::new();
        let mut made: Vec<Cid> = (0..leaves).map(|i| world.raw(vec![i as u8; 10 + i])).collect();
        let mut children = HashMap::new();
        for (tag, links) in shape.iter().enumerate() {
            let links: Vec<Cid> = links.iter().map(|i| *i.get(&made)).collect();
            let cid = world.node(tag as u64, &links);
            children.insert(cid, links);
            made.push(cid);
        }
        let root = *made.last().expect("one at least");
        for once in [true, false] {
            let (mut seen, mut expected) = (HashSet::new(), Vec::new());
            if once {
                model(&children, root, once, &mut seen, &mut expected);
                prop_assert_eq!(world.cids(root, Options::default()), expected);
            } else if shape.len() < 5 {
                model(&children, root, once, &mut seen, &mut expected);
                prop_assert_eq!(world.cids(root, ALL), expected);
            }
        }
    }
}
