//! How the structures of the tree ask for blocks, without doing any input or output themselves.

use crate::{Block, Cid};
use std::collections::VecDeque;

/// A block is needed before an operation can be done. Nothing was changed by the attempt: whoever gets the block, puts it
/// into a [`Supplied`] and repeats the operation comes further every time, since what was looked into is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("block {0} is needed")]
pub struct Need(pub Box<Cid>);

impl From<Cid> for Need {
    fn from(cid: Cid) -> Self {
        Self(Box::new(cid))
    }
}

/// Blocks at hand.
pub trait Blocks {
    /// The block of that CID, if it is at hand.
    fn block(&self, cid: &Cid) -> Option<Block>;
}

/// No blocks.
impl Blocks for () {
    fn block(&self, _cid: &Cid) -> Option<Block> {
        None
    }
}

/// Blocks that a [`Supplied`] holds. One would do: a structure keeps what it reads of each.
const MAX_SUPPLIED: usize = 8;

/// The blocks that were supplied last: at most eight, the oldest goes first.
#[derive(Debug, Clone, Default)]
pub struct Supplied(VecDeque<Block>);

impl Supplied {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Supplies a block.
    pub fn put(&mut self, block: Block) {
        if self.0.len() == MAX_SUPPLIED {
            self.0.pop_front();
        }
        self.0.push_back(block);
    }
}

impl Blocks for Supplied {
    fn block(&self, cid: &Cid) -> Option<Block> {
        self.0.iter().find(|block| block.cid() == cid).cloned()
    }
}
