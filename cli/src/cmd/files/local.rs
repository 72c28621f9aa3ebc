//! How much of a DAG is here: for `cairn files stat --with-local`.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | nodes whose sums are known | [`MAX_KNOWN`], 70 MB | more are counted anew each time that they are linked to |
//! | links of nodes on the way down | [`MAX_LINKS`], or those of one node | nodes far above are read again when they are come back to |

use crate::ctx::Ctx;
use cairn_store::{
    Cid,
    blockstore::{Blockstore as _, KvBlocks},
    dag,
};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

/// Nodes with links whose sums are kept.
const MAX_KNOWN: usize = 1 << 20;
/// Links that are kept of the nodes above the one that is looked at.
const MAX_LINKS: usize = 1 << 16;
/// How often it is looked whether somebody wants it to end, in blocks.
const PATIENCE: u64 = 64;

/// What is known of all that is below a node, and of the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    /// Whether nothing is missing.
    whole: bool,
    /// Bytes that are here.
    bytes: u64,
}

impl Sum {
    fn add(&mut self, part: Self) {
        self.whole &= part.whole;
        self.bytes = self.bytes.saturating_add(part.bytes);
    }
}

/// A node that is being looked at.
struct Node {
    cid: Cid,
    sum: Sum,
    /// Its links, unless they were forgotten.
    links: Option<Vec<Cid>>,
    /// How many of them were added.
    next: usize,
}

struct Counter<'a> {
    blocks: &'a KvBlocks,
    /// Sums by digests of CIDs, with keys that nobody can know: two that are alike won't be met.
    known: HashMap<u128, Sum>,
    keys: [RandomState; 2],
    stack: Vec<Node>,
    /// Links on the stack.
    held: usize,
    /// Nodes at the bottom of the stack whose links were forgotten.
    forgotten: usize,
}

/// Whether all of a DAG is here, and how many bytes of it, those of a block that is linked twice counted twice. Every
/// node is looked at once, as long as there are not very many.
///
/// # Errors
/// When a block can't be read, or somebody wants it to end.
pub fn local(ctx: &Ctx, blocks: &KvBlocks, root: &Cid) -> anyhow::Result<(bool, u64)> {
    let mut counter = Counter {
        blocks,
        known: HashMap::new(),
        keys: [RandomState::new(), RandomState::new()],
        stack: Vec::new(),
        held: 0,
        forgotten: 0,
    };
    let mut steps = 0u64;
    let sum = counter.count(root, &mut || {
        steps += 1;
        if steps.is_multiple_of(PATIENCE) { Ok(ctx.cancel.check()?) } else { Ok(()) }
    })?;
    Ok((sum.whole, sum.bytes))
}

impl Counter<'_> {
    fn count(&mut self, root: &Cid, check: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<Sum> {
        let mut done = self.look(root)?;
        loop {
            check()?;
            let Some(at) = self.stack.len().checked_sub(1) else {
                // Only the root is without a node above it.
                return Ok(done.unwrap_or(Sum { whole: false, bytes: 0 }));
            };
            if let Some(sum) = done.take() {
                self.stack[at].sum.add(sum);
            }
            let Some(next) = self.next(at)? else {
                done = self.leave();
                continue;
            };
            done = self.look(&next)?;
        }
    }

    /// The next link of a node of the stack.
    fn next(&mut self, at: usize) -> anyhow::Result<Option<Cid>> {
        if self.stack[at].links.is_none() {
            let cid = self.stack[at].cid;
            // It was here; if it went meanwhile, so did all that is only below it.
            let links = self.blocks.get(&cid)?.map(|block| dag::links(&cid, block.data())).transpose()?;
            self.hold(at, links.unwrap_or_default());
        }
        let node = &mut self.stack[at];
        node.next += 1;
        Ok(node.links.as_ref().and_then(|links| links.get(node.next - 1)).copied())
    }

    /// Keeps the links of the last node of the stack, and forgets those of others if there are too many.
    fn hold(&mut self, at: usize, links: Vec<Cid>) {
        self.held += links.len();
        self.stack[at].links = Some(links);
        self.forgotten = self.forgotten.min(at);
        while self.held > MAX_LINKS && self.forgotten < at {
            self.held -= self.stack[self.forgotten].links.take().map_or(0, |links| links.len());
            self.forgotten += 1;
        }
    }

    /// The sum of a block that has no links, or was counted before; another one comes on the stack.
    fn look(&mut self, cid: &Cid) -> anyhow::Result<Option<Sum>> {
        if dag::is_leaf(cid) {
            let size = self.blocks.size(cid.hash())?;
            return Ok(Some(Sum { whole: size.is_some(), bytes: size.unwrap_or_default() }));
        }
        if let Some(sum) = self.known.get(&self.key(cid)) {
            return Ok(Some(*sum));
        }
        let Some(block) = self.blocks.get(cid)? else { return Ok(Some(Sum { whole: false, bytes: 0 })) };
        let sum = Sum { whole: true, bytes: block.data().len() as u64 };
        let links = dag::links(cid, block.data())?;
        if links.is_empty() {
            return Ok(Some(sum));
        }
        self.stack.push(Node { cid: *cid, sum, links: None, next: 0 });
        self.hold(self.stack.len() - 1, links);
        Ok(None)
    }

    /// Takes the last node, all of whose links were added, off the stack; answers its sum.
    fn leave(&mut self) -> Option<Sum> {
        let node = self.stack.pop()?;
        self.held -= node.links.map_or(0, |links| links.len());
        if self.known.len() < MAX_KNOWN {
            self.known.insert(self.key(&node.cid), node.sum);
        }
        Some(node.sum)
    }

    fn key(&self, cid: &Cid) -> u128 {
        let [high, low] = &self.keys;
        u128::from(high.hash_one(cid)) << 64 | u128::from(low.hash_one(cid))
    }
}
