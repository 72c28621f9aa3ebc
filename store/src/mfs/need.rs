//! How the structures of the tree ask for blocks, without doing any input or output themselves.

use crate::{Block, Cid};
use std::collections::VecDeque;

/// Blocks that an operation asks for at once.
pub const NEEDED: usize = 64;

/// Blocks are needed before an operation can be done: at least one, at most [`NEEDED`]. Nothing was changed by the attempt:
/// whoever gets some of them, puts them into a [`Supplied`] and repeats the operation comes further every time, since what
/// was looked into is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} blocks are needed, {} first", .0.len(), .0.first().map(Cid::to_string).unwrap_or_default())]
pub struct Need(pub Vec<Cid>);

impl From<Cid> for Need {
    fn from(cid: Cid) -> Self {
        Self(vec![cid])
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

/// Blocks that a [`Supplied`] holds, and their bytes unless it is one. One would do: a structure keeps what it reads of
/// each.
const MAX_SUPPLIED: usize = 2 * NEEDED;
/// Bytes from which on no more blocks are worth getting before the operation is repeated.
pub const SUPPLIED_BYTES: usize = 8 << 20;

/// The blocks that were supplied last: the oldest goes first.
#[derive(Debug, Clone, Default)]
pub struct Supplied(VecDeque<Block>);

impl Supplied {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Supplies a block.
    pub fn put(&mut self, block: Block) {
        self.0.push_back(block);
        let mut bytes: usize = self.0.iter().map(|block| block.data().len()).sum();
        while self.0.len() > MAX_SUPPLIED || (bytes > 2 * SUPPLIED_BYTES && self.0.len() > 1) {
            bytes -= self.0.pop_front().map_or(0, |block| block.data().len());
        }
    }
}

impl Blocks for Supplied {
    fn block(&self, cid: &Cid) -> Option<Block> {
        self.0.iter().find(|block| block.cid() == cid).cloned()
    }
}
