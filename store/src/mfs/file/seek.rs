//! Where a file has holes.

use super::{
    File,
    tree::{Child, Spot},
};
use crate::mfs::need::Blocks;

/// Nodes that are looked into for one answer. What is behind them counts as bytes.
const MAX_LOOKED: usize = 4096;

/// What is looked for from a position on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// Bytes that blocks of the file hold.
    Data,
    /// Zeros that no block of their own holds; so is what is behind the end.
    Hole,
}

impl File {
    /// Where the next of that kind is, at `from` or behind it; `None` if there is none, or `from` is behind the end. What is
    /// not at hand counts as bytes, and what would take too long to look into.
    pub fn seek(&mut self, from: u64, what: Seek, blocks: &dyn Blocks) -> Option<u64> {
        let len = self.len();
        if from >= len {
            return None;
        }
        let (mut at, mut looked) = (from, 0);
        let found = loop {
            if at >= len {
                break (what == Seek::Hole).then_some(len);
            }
            let spot = self.tree.spot(at, |_, _| false);
            let hole = matches!(self.tree.child(spot.place), Child::Zeros(_));
            if !hole && looked < MAX_LOOKED && self.may_have_holes(&spot) {
                looked += 1;
                if self.open(&spot, blocks).is_ok() {
                    continue;
                }
            }
            if hole == (what == Seek::Hole) {
                break Some(at);
            }
            at = spot.end();
        };
        self.trim();
        found
    }

    /// Whether there may be holes below a child that was not looked into.
    fn may_have_holes(&self, spot: &Spot) -> bool {
        match self.tree.child(spot.place) {
            Child::Sealed(link) => !self.is_leaf(link, spot) && spot.size > self.shape.chunk,
            Child::Leaf(_) | Child::Zeros(_) | Child::Inner(_) => false,
        }
    }
}
