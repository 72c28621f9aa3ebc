//! Looking for blocks that something needs before it can be committed.

use super::{Inner, deadline};
use crate::{
    Block, Cid,
    blockstore::Blockstore as _,
    fetch::Fetch,
    mfs::{
        need::{NEEDED, SUPPLIED_BYTES},
        tree::Trouble,
    },
};
use futures::StreamExt as _;
use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

/// Delay before blocks that did not come are looked for again, first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(120);

/// Looks for what the last commit needed, unless somebody does already, from where the tree was last used from: with the
/// network if there is one. The tree is committed when something came.
pub(super) fn in_background(inner: &Arc<Inner>) {
    if needs(inner).is_empty() || inner.commits.retrying.swap(true, Ordering::SeqCst) {
        return;
    }
    let weak = Arc::downgrade(inner);
    tokio::spawn(async move {
        let mut delay = FIRST;
        loop {
            let came = look(&weak).await;
            let Some(inner) = weak.upgrade() else { return };
            if came {
                delay = FIRST;
                inner.guard.lock().pending = true;
                inner.changed.notify_one();
            }
            drop(inner);
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LAST);
            let Some(inner) = weak.upgrade() else { return };
            if needs(&inner).is_empty() {
                inner.commits.retrying.store(false, Ordering::SeqCst);
                // What was left meanwhile was not looked for.
                in_background(&inner);
                return;
            }
        }
    });
}

/// Blocks that what is left needs, some of them.
fn needs(inner: &Inner) -> Vec<Cid> {
    let mut needs = Vec::new();
    for trouble in inner.commits.left().values() {
        if let Trouble::Need(cids) = trouble {
            needs.extend(cids);
        }
        if needs.len() >= NEEDED {
            break;
        }
    }
    needs
}

/// Gets some of them into the store; answers whether one came. The tree is not kept open for that.
async fn look(weak: &Weak<Inner>) -> bool {
    let Some(inner) = weak.upgrade() else { return false };
    let (cids, limit) = (needs(&inner), inner.options.deadline);
    let sources: Vec<Arc<dyn Fetch>> = inner.sources.lock().iter().filter_map(Weak::upgrade).collect();
    drop(inner);
    for source in sources.iter().rev() {
        let blocks = from(source.as_ref(), &cids, limit).await;
        let Some(inner) = weak.upgrade() else { return false };
        let _session = inner.blocks.session();
        if !blocks.is_empty() {
            let stored = super::blocking(move || inner.store_some(&blocks)).await;
            return matches!(stored, Ok(Ok(())));
        }
    }
    false
}

/// Those that one source has, whichever they are.
async fn from(source: &dyn Fetch, cids: &[Cid], limit: Duration) -> Vec<Block> {
    let one = |cid: Cid| async move { source.fetch(&cid, deadline(limit)).await.ok() };
    let mut coming = futures::stream::iter(cids.to_vec()).map(one).buffer_unordered(NEEDED);
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    while bytes < SUPPLIED_BYTES
        && let Some(answer) = coming.next().await
    {
        bytes += answer.as_ref().map_or(0, |block| block.data().len());
        blocks.extend(answer);
    }
    blocks
}
