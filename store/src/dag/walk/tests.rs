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

    fn walk(&self, root: Cid, options: Options) -> Vec<Result<Block, WalkError>> {
        run(walk(self.fetch(), root, options).collect())
    }

    fn cids(&self, root: Cid, options: Options) -> Vec<Cid> {
        self.walk(root, options).into_iter().map(|block| *block.expect("walks").cid()).collect()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("starts").block_on(work)
}

#[test]
fn a_block_comes_where_the_deepest_first_way_meets_it() {
    let world = World::new();
    let b = world.raw("b");
    let a = world.node(1, &[b]);
    // `b` is read ahead as a child of the root, and must still be visited below `a`.
    let root = world.node(0, &[a, b]);
    assert_eq!(world.cids(root, Options::default()), [root, a, b]);
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
fn nodes_that_share_children_are_visited_once() {
    let world = World::new();
    let mut root = world.raw("end");
    for i in 0..64 {
        root = world.node(i, &[root, root]);
    }
    assert_eq!(world.walk(root, Options::default()).len(), 65);
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
    let cids = world.cids(root, Options::default());
    assert_eq!(cids.len(), 70_012);
    assert_eq!(cids.iter().collect::<HashSet<_>>().len(), 70_012);
}

/// The order by the plainest recursion.
fn model(children: &HashMap<Cid, Vec<Cid>>, cid: Cid, seen: &mut HashSet<Cid>, out: &mut Vec<Cid>) {
    if !seen.insert(cid) {
        return;
    }
    out.push(cid);
    for child in children.get(&cid).into_iter().flatten() {
        model(children, *child, seen, out);
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
        let (mut seen, mut expected) = (HashSet::new(), Vec::new());
        model(&children, root, &mut seen, &mut expected);
        prop_assert_eq!(world.cids(root, Options::default()), expected);
    }
}
