//! DAGs by hand for tests of pins and collections.
#![allow(dead_code)] // each test target uses its own part of this

pub mod volatile;

use bytes::Bytes;
use cairn_store::{
    Block, Cid, StoreError,
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag,
    dag::pb::{PbLink, PbNode},
    kv::{Batch, Durability, Kv, MemoryKv, Scan, Table, Usage},
};
use std::sync::Arc;

/// A store on these tables.
pub fn store(kv: Arc<dyn Kv>) -> Arc<KvBlocks> {
    Arc::new(KvBlocks::open(kv).expect("opens"))
}

/// A raw leaf.
pub fn leaf(text: &str) -> Block {
    Block::seal(Prefix::v1(codec::RAW), Bytes::copy_from_slice(text.as_bytes())).expect("seals")
}

/// A dag-pb node with these children.
pub fn node(children: &[&Block]) -> Block {
    named("", children)
}

/// A dag-pb node with data and these children.
pub fn named(data: &str, children: &[&Block]) -> Block {
    let links = children.iter().map(|b| PbLink::new(*b.cid(), Bytes::new(), 0)).collect();
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Block::seal(Prefix::V0, PbNode { links, data }.encode()).expect("seals")
}

/// A tree of three levels with nine leaves, all of them its own.
pub fn tree(name: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut middle = Vec::new();
    for i in 0..3 {
        let leaves: Vec<Block> = (0..3).map(|j| leaf(&format!("{name} {i} {j}"))).collect();
        middle.push(node(&leaves.iter().collect::<Vec<_>>()));
        all.extend(leaves);
    }
    let root = named(name, &middle.iter().collect::<Vec<_>>());
    all.extend(middle);
    all.push(root);
    all
}

/// The first missing block of a DAG.
pub fn missing(blocks: &KvBlocks, root: &Cid) -> Option<Cid> {
    let mut stack = vec![*root];
    while let Some(cid) = stack.pop() {
        match blocks.get(&cid).expect("reads") {
            Some(block) => stack.extend(dag::links(&cid, block.data()).expect("is a node")),
            None => return Some(cid),
        }
    }
    None
}

/// Tables that outlive the store on them.
#[derive(Clone, Default)]
pub struct Shared(pub Arc<MemoryKv>);

impl Kv for Shared {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        self.0.write(batch, durability)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Scan<'_> {
        self.0.scan(table, from, to)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.0.flush()
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.0.usage()
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.0.reclaim()
    }
}
