//! The blocks that prove where a path leads.

use async_trait::async_trait;
use cairn_store::{
    Block, Cid,
    dag::walk,
    fetch::{Deadline, Fetch, FetchError},
    names::NoNames,
    path::Path,
    resolve::{self, ResolveError},
    unixfs::ReadError,
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

/// Blocks that may be on a path: a few for each segment.
pub(super) const MAX_PROOF: usize = 1 << 16;
/// Bytes of them that are held until they are sent.
pub(super) const PROOF_BYTES: usize = 8 << 20;

/// Where a path leads.
pub(super) struct Target {
    pub cid: Cid,
    /// Whether it is a value inside that block.
    pub inside: bool,
    /// What the root and each segment lead to.
    pub roots: Vec<Cid>,
}

/// The blocks on a path, in the order in which they were read.
#[derive(Default)]
pub(super) struct Proof {
    blocks: VecDeque<(Cid, Option<Block>)>,
    held: usize,
    full: bool,
}

/// Notes what is read.
struct Recorder {
    fetch: Arc<dyn Fetch>,
    proof: Mutex<Proof>,
}

#[async_trait]
impl Fetch for Recorder {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        let block = self.fetch.fetch(cid, deadline).await?;
        self.proof.lock().note(&block);
        Ok(block)
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        let blocks = self.fetch.fetch_many(cids, deadline);
        blocks.inspect(|block| block.iter().for_each(|block| self.proof.lock().note(block))).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.fetch.has_local(cid).await
    }
}

impl Proof {
    fn note(&mut self, block: &Block) {
        if self.blocks.len() == MAX_PROOF {
            self.full = true;
            return;
        }
        let len = block.data().len();
        let fits = self.held + len <= PROOF_BYTES;
        self.held += if fits { len } else { 0 };
        self.blocks.push_back((*block.cid(), fits.then(|| block.clone())));
    }

    /// The blocks. Those that were not held are read again.
    pub(super) fn blocks(
        self,
        fetch: Arc<dyn Fetch>,
        deadline: Deadline,
    ) -> BoxStream<'static, Result<Block, walk::WalkError>> {
        stream::iter(self.blocks)
            .then(move |(cid, block)| {
                let fetch = Arc::clone(&fetch);
                async move {
                    match block {
                        Some(block) => Ok(block),
                        None => Ok(fetch.fetch(&cid, deadline).await?),
                    }
                }
            })
            .boxed()
    }
}

/// Follows a path, and notes all blocks that this takes; no target if a segment names nothing.
pub(super) async fn prove(
    fetch: &Arc<dyn Fetch>,
    root: Cid,
    segments: &[String],
    deadline: Deadline,
) -> Result<(Proof, Option<Target>), ResolveError> {
    let recorder = Arc::new(Recorder { fetch: Arc::clone(fetch), proof: Mutex::default() });
    let path = Path::from_cid(&root).join(segments.iter().cloned());
    let source: Arc<dyn Fetch> = Arc::<Recorder>::clone(&recorder);
    let found = resolve::resolve(&source, &NoNames, &path, deadline).await;
    let proof = std::mem::take(&mut *recorder.proof.lock());
    if proof.full {
        let reason = format!("the path leads through more than {MAX_PROOF} blocks");
        return Err(ReadError::Unreasonable { cid: Box::new(root), reason }.into());
    }
    match found {
        Ok(end) => Ok((proof, Some(Target { cid: end.cid, inside: !end.remainder.is_empty(), roots: end.roots }))),
        Err(ResolveError::NoLink { .. } | ResolveError::Select(_)) => Ok((proof, None)),
        Err(error) => Err(error),
    }
}
