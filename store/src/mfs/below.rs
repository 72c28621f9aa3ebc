//! The blocks of a tree, for those who announce them.

use crate::{
    Cid, Multihash, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    dag::{
        self,
        drain::drain,
        pile::Pile,
        seen::{Seen, SeenError},
    },
};

/// Links of one node that are looked up at once.
const BATCH: usize = 4096;

/// Hands every block below a root, and the root itself, to `emit`, in no order: those that are here, each once. Nothing
/// is fetched, and what can't be read has nothing below it. Blocks on the disk.
///
/// Memory: 18 MiB, and up to 40 MiB of nodes that wait; what is more goes into temporary files.
///
/// # Errors
/// The first of `emit`, or of the store; and when there are more blocks than can be kept track of.
pub fn stored_below<E: From<StoreError>>(
    blocks: &KvBlocks,
    root: &Cid,
    emit: &mut dyn FnMut(Multihash) -> Result<(), E>,
) -> Result<(), E> {
    let mut seen = Seen::new();
    let mut stack = Pile::new();
    let mut reach = |cids: Vec<Cid>, stack: &mut Pile| -> Result<(), E> {
        for some in cids.chunks(BATCH) {
            let mut fresh = Vec::with_capacity(some.len());
            for cid in some {
                if seen.insert(cid).map_err(|error| E::from(full(error)))? {
                    fresh.push(*cid);
                }
            }
            let hashes: Vec<Multihash> = fresh.iter().map(|cid| *cid.hash()).collect();
            for (cid, entry) in fresh.iter().zip(blocks.entries(&hashes)) {
                // A CID that holds its bytes is no block, but may link to some.
                let inner = cid.hash().code() == 0;
                if entry?.is_some() {
                    emit(*cid.hash())?;
                } else if !inner {
                    continue;
                }
                if !dag::is_leaf(cid) {
                    stack.push(*cid)?;
                }
            }
        }
        Ok(())
    };
    reach(vec![*root], &mut stack)?;
    drain(blocks, &mut stack, |_, links, stack| reach(links.unwrap_or_default(), stack))
}

fn full(error: SeenError) -> StoreError {
    match error {
        SeenError::Disk(error) => error,
        SeenError::Full => StoreError::Invalid(error.to_string()),
    }
}
