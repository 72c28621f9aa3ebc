//! CAR responses of a trustless gateway (specification: trustless-gateway; IPIP-402, IPIP-412, IPIP-523).
//!
//! A response is a CARv1 whose root is the block at the end of the path. First come the blocks that prove the path, in
//! the order in which one meets them, shards of directories included; then what was asked for of the block at its end,
//! depth first. With `dups=n` each multihash is sent once. Identity CIDs are never sent.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | blocks on the path | [`path::MAX_PROOF`]; [`path::PROOF_BYTES`] of them held | refused; read again |
//! | blocks read ahead | as in [`cairn_store::dag::walk`] | reading waits |
//! | what waits to be written | one block and [`stream::PIECE`] bytes | reading waits |
//! | length of a stream | none: a DAG may expand without end with `dups=y` | the client's speed, and the time of a request |
//!
//! Nothing runs on when the stream is dropped.

mod answer;
mod ask;
mod path;
mod stream;
#[cfg(test)]
mod tests;

pub use answer::answer;
pub use ask::{ByteRange, CarAsk, CarParamError, Order, Scope};
pub use stream::CarStream;

use cairn_store::{
    Block, Cid,
    dag::walk::{self, Follow},
    fetch::{Deadline, Fetch},
    resolve::ResolveError,
    unixfs::entity::{self, Entity},
};
use futures::{StreamExt as _, stream as streams};
use std::sync::Arc;

/// Begins a CAR of what is at the end of `root/segments`; `near` says to read ahead a little only. If nothing is there by that name the CAR holds the blocks
/// that prove it, and its root is the empty identity CID: see [`CarStream::is_absent`].
///
/// # Errors
/// When a block on the path, or the one at its end, can't be had or read. What is missing below breaks the stream.
pub async fn open(
    fetch: Arc<dyn Fetch>,
    root: Cid,
    segments: &[String],
    ask: CarAsk,
    deadline: Deadline,
    near: bool,
) -> Result<CarStream, ResolveError> {
    let (proof, target) = path::prove(&fetch, root, segments, deadline).await?;
    let Some(target) = target else {
        return Ok(CarStream::new(None, proof.blocks(fetch, deadline), false).along(vec![root]));
    };
    let block = match Block::from_identity(&target.cid) {
        Some(block) => block,
        None => fetch.fetch(&target.cid, deadline).await?,
    };
    let follow = if target.inside && ask.scope != Scope::All { None } else { ask.follow(&block) };
    let path = proof.blocks(Arc::clone(&fetch), deadline);
    let blocks = match follow {
        None => path.chain(streams::iter([Ok(block)])).boxed(),
        Some(follow) => {
            let options = walk::Options { deadline, follow, repeat: ask.dups, near, ..walk::Options::default() };
            path.chain(walk::walk(fetch, target.cid, options)).boxed()
        }
    };
    Ok(CarStream::new(Some(target.cid), blocks, ask.dups).along(target.roots))
}

impl CarAsk {
    /// What is wanted below the block at the end of the path; `None`: nothing.
    fn follow(&self, block: &Block) -> Option<Follow> {
        match self.scope {
            Scope::Block => None,
            Scope::All => Some(Follow::All),
            Scope::Entity => match entity::decode(block).ok()?.1 {
                Entity::File(file) => Some(self.range.map_or(Follow::All, |range| {
                    let (from, to) = range.within(file.size);
                    Follow::Bytes(from, to)
                })),
                Entity::Shard(_) => Some(Follow::Shards),
                Entity::Directory(_) | Entity::Symlink(_) => None,
            },
        }
    }
}
