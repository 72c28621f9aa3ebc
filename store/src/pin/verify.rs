//! Whether what is pinned is here.

use super::{PinError, PinMode, Pins};
use crate::{
    Cid,
    blockstore::Blockstore as _,
    dag::{self, NodeError, drain::drain, pile::Pile, seen::Seen},
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bad blocks that are listed for one pin. There may be more.
const MAX_BAD: usize = 10_000;

/// A block below a pin that is missing or can't be read.
#[derive(Debug, Clone)]
pub struct BadNode {
    /// The block.
    pub cid: Cid,
    /// What is wrong with it.
    pub error: NodeError,
}

/// What was found below one recursive pin.
#[derive(Debug, Clone)]
pub struct Status {
    /// The pin.
    pub cid: Cid,
    /// What is bad below it, at most 10,000 blocks; empty when the pin is complete.
    pub bad: Vec<BadNode>,
}

impl Pins {
    /// Walks the DAG of every recursive pin, and hands what it found to `emit`, pin by pin. Nodes are read, raw
    /// leaves are looked up.
    ///
    /// Blocks below a pin that was found complete are not looked at again for another. Memory: about 2 bytes
    /// for each node that is no raw leaf, besides 36 MiB.
    ///
    /// # Errors
    /// The first error of `emit`, or of the store; [`PinError::Stopped`] once `stop` is set.
    pub fn verify<E: From<PinError>>(
        &self,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Status) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut good = Seen::new();
        for pin in self.iter() {
            let pin = pin.map_err(PinError::from)?;
            if pin.mode == PinMode::Recursive {
                let bad = self.bad_below(&pin.cid, &mut good, stop)?;
                emit(Status { cid: pin.cid, bad })?;
            }
        }
        Ok(())
    }

    fn bad_below(&self, root: &Cid, good: &mut Seen, stop: &AtomicBool) -> Result<Vec<BadNode>, PinError> {
        let mut bad = Vec::new();
        if good.contains(root)? {
            return Ok(bad);
        }
        let mut seen = good.sibling();
        seen.insert(root)?;
        let mut stack = Pile::new();
        self.look_up(&[*root], &mut seen, &mut stack, &mut bad)?;
        drain(self.blocks.as_ref(), &mut stack, |cid, links, stack| {
            if stop.load(Ordering::Relaxed) {
                return Err(PinError::Stopped);
            }
            let links = match links {
                Ok(links) => links,
                Err(NodeError::Store(error)) => return Err(PinError::from(error)),
                Err(error) => {
                    note(&mut bad, cid, error);
                    return Ok(());
                }
            };
            // Identity CIDs are not remembered, as in `adopt`.
            let is_small = |link: &Cid| dag::is_leaf(link) || link.hash().code() == 0;
            let mut fresh = Vec::with_capacity(links.len());
            for link in links {
                if is_small(&link) || (!good.contains(&link)? && seen.insert(&link)?) {
                    fresh.push(link);
                }
            }
            self.look_up(&fresh, &mut seen, stack, &mut bad)
        })?;
        if bad.is_empty() {
            good.absorb(seen)?;
        }
        Ok(bad)
    }

    /// Notes which of these are missing, and pushes the others to be read, unless they are leaves.
    fn look_up(&self, cids: &[Cid], seen: &mut Seen, stack: &mut Pile, bad: &mut Vec<BadNode>) -> Result<(), PinError> {
        for cid in cids {
            if !self.blocks.has(cid.hash())? {
                // Leaves are remembered only when they are bad.
                if !dag::is_leaf(cid) || seen.insert(cid)? {
                    note(bad, *cid, NodeError::Missing(Box::new(*cid)));
                }
            } else if !dag::is_leaf(cid) {
                stack.push(*cid)?;
            }
        }
        Ok(())
    }
}

fn note(bad: &mut Vec<BadNode>, cid: Cid, error: NodeError) {
    if bad.len() < MAX_BAD {
        bad.push(BadNode { cid, error });
    }
}
