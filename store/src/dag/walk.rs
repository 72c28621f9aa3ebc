//! Walks a DAG depth first, parents before children, links in the order of their block, each block once: the order of
//! a CAR export. [`Options`] make it visit blocks as often as links lead to them, or only those that a listing of a
//! directory or a range of a file takes.
//!
//! Depth, width and sharing of a DAG belong to strangers, so nothing here recurses and everything has a bound:
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | blocks read ahead | two batches of [`BATCH`], about [`BATCH_BYTES`] each | reading waits |
//! | blocks and links held for ancestors | [`HELD_BYTES`], [`PENDING_LINKS`] | an ancestor forgets them, and is read again |
//! | ancestors | one frame (under 300 bytes) for each level that has links left | as deep as the store has blocks |
//! | visited set | [`MAX_VISITED`]; 18 MiB, and a byte each on top of a temporary file | [`WalkError::TooMany`] |
//!
//! An ancestor whose last link is being followed is dropped, so that a chain of any length takes no memory.

mod follow;
mod frame;
#[cfg(test)]
mod tests;

pub use super::seen::{MAX_VISITED, Seen, SeenError, Sight};
pub use follow::Follow;

use crate::{
    Block, Cid,
    dag::DagError,
    fetch::{Deadline, Fetch, FetchError},
};
use follow::Span;
use frame::Frame;
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Blocks that are asked for at once.
pub const BATCH: usize = 16;
/// Bytes that a batch should hold, going by the largest block of the batch before it.
pub const BATCH_BYTES: usize = 8 << 20;
/// Bytes of blocks that ancestors may hold while their descendants are visited.
pub const HELD_BYTES: usize = 16 << 20;
/// Links (about 150 bytes each) that ancestors may hold while their descendants are visited.
pub const PENDING_LINKS: usize = 1 << 18;
/// The same for walks of which many run at once.
pub const NEAR_BYTES: usize = 512 << 10;
/// Links that are looked at to fill one batch: most of them may have been visited before.
const SCAN: usize = 1024;

/// What is done about a block that can't be had or can't be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trouble {
    /// The walk ends with the error.
    #[default]
    Fail,
    /// The block and all that only it leads to is left out, unless the store failed.
    Skip,
}

impl Trouble {
    /// Whether a block that can't be had for that reason is left out. One that a failing disk does not give is not
    /// missing.
    fn skips(self, error: &FetchError) -> bool {
        self == Self::Skip && !matches!(error, FetchError::Store(_))
    }
}

/// How to walk.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is done about missing or malformed blocks.
    pub trouble: Trouble,
    /// How long a block may take.
    pub deadline: Deadline,
    /// Which links are followed.
    pub follow: Follow,
    /// Visits a block each time that a link leads to it. No set of visited blocks is kept then, and a DAG of some
    /// hundred blocks may take longer than anybody lives: whoever asks for that has to bound it.
    pub repeat: bool,
    /// Reads ahead [`NEAR_BYTES`] in a batch in place of [`BATCH_BYTES`]: for walks of which many run at once.
    pub near: bool,
}

/// Why a walk ended early.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalkError {
    /// A block can't be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A block is not what its codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The DAG has more distinct blocks than are kept track of.
    #[error("the DAG has more than {MAX_VISITED} distinct blocks: walk its parts one by one")]
    TooMany,
    /// A task of the runtime died.
    #[error("a reading task died: {0}")]
    Died(String),
}

impl From<SeenError> for WalkError {
    fn from(error: SeenError) -> Self {
        match error {
            SeenError::Full => Self::TooMany,
            SeenError::Disk(error) => Self::Fetch(error.into()),
        }
    }
}

/// Visits the blocks below `root`, itself first. Blocks are read ahead in the order in which they will come.
/// Identity CIDs are visited without asking anybody. The stream ends after its first error.
///
/// Must be polled within a tokio runtime.
pub fn walk(fetch: Arc<dyn Fetch>, root: Cid, options: Options) -> BoxStream<'static, Result<Block, WalkError>> {
    let walk = Walk {
        fetch,
        options,
        seen: Seen::new(),
        stack: vec![Frame::root(root).with_spans(None, options.follow.root())],
        shed: 0,
        ahead: None,
        held: 0,
        pending: 1,
        largest: 0,
    };
    stream::try_unfold(walk, |mut walk| async move { Ok(walk.next().await?.map(|block| (block, walk))) }).boxed()
}

/// Positions in the frame's links, and what came of fetching them.
type Fetched = Vec<(usize, frame::Answer)>;

struct Walk {
    fetch: Arc<dyn Fetch>,
    options: Options,
    seen: Seen,
    stack: Vec<Frame>,
    /// Frames below this index hold neither links nor blocks.
    shed: usize,
    /// The batch that is being read for the top frame.
    ahead: Option<JoinSet<Fetched>>,
    /// Bytes of blocks in all frames.
    held: usize,
    /// Links in all frames.
    pending: usize,
    /// Largest block of the last batch, in bytes.
    largest: usize,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Block>, WalkError> {
        loop {
            let Some(top) = self.stack.last_mut() else { return Ok(None) };
            let Some(links) = &top.links else {
                self.recall().await?;
                continue;
            };
            let Some(&cid) = links.get(top.next) else {
                self.pop();
                continue;
            };
            let index = top.next;
            top.next += 1;
            let span = top.span_of(index);
            if self.is_once(span) && !self.seen.insert(&cid)? {
                continue;
            }
            let block = match self.obtain(index, &cid).await {
                Ok(block) => block,
                Err(WalkError::Fetch(error)) if self.options.trouble.skips(&error) => continue,
                Err(error) => return Err(error),
            };
            if self.descend(&block, span)? {
                return Ok(Some(block));
            }
        }
    }

    /// Whether a block is visited once only: not when repetition was asked for, nor when only a part of what is below
    /// it is wanted, since the next time it may be another part.
    fn is_once(&self, span: Option<Span>) -> bool {
        !self.options.repeat && span.is_none()
    }

    /// Puts the links of a block on the stack. `false`: the block is malformed and to be left out.
    fn descend(&mut self, block: &Block, span: Option<Span>) -> Result<bool, WalkError> {
        let (links, spans) = match self.options.follow.links(block, span) {
            Ok(followed) => followed,
            Err(_) if self.options.trouble == Trouble::Skip => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let inner = !links.is_empty();
        if let Some(top) = self.stack.last_mut() {
            top.learn(inner);
        }
        if !inner {
            return Ok(true);
        }
        self.ahead = None;
        if let Some(top) = self.stack.last_mut() {
            top.asked = top.ahead.back().map_or(top.next, |(last, _)| last + 1);
            if top.is_spent() {
                self.pop();
            }
        }
        self.pending += links.len();
        self.stack.push(Frame::new(*block.cid(), links).with_spans(span, spans));
        self.shed_ancestors();
        Ok(true)
    }

    /// Keeps what ancestors hold within bounds, those nearest to the root first: they are needed last. Each
    /// forgetting follows a bounded amount of new links or bytes, so reading an ancestor again at most doubles
    /// the work.
    fn shed_ancestors(&mut self) {
        let top = self.stack.len() - 1;
        while (self.held > HELD_BYTES || self.pending > PENDING_LINKS) && self.shed < top {
            let (links, bytes) = self.stack[self.shed].forget();
            self.pending -= links;
            self.held -= bytes;
            self.shed += 1;
        }
    }

    fn pop(&mut self) {
        if let Some(mut frame) = self.stack.pop() {
            let (links, bytes) = frame.forget();
            self.pending -= links;
            self.held -= bytes;
        }
        self.ahead = None;
        self.shed = self.shed.min(self.stack.len());
    }

    /// Reads the top frame's block again, whose links were forgotten.
    async fn recall(&mut self) -> Result<(), WalkError> {
        let Some(top) = self.stack.last_mut() else { return Ok(()) };
        let Some(parent) = top.parent else {
            top.links = Some(Vec::new());
            return Ok(());
        };
        let (links, spans) = match self.fetch.fetch(&parent, self.options.deadline).await {
            Ok(block) => self.options.follow.links(&block, top.span)?,
            // It was here a moment ago: removed meanwhile.
            Err(error) if self.options.trouble.skips(&error) => Default::default(),
            Err(error) => return Err(error.into()),
        };
        self.pending += links.len();
        (top.links, top.spans) = (Some(links), spans);
        self.shed = self.shed.min(self.stack.len() - 1);
        Ok(())
    }

    /// The block at that position of the top frame.
    async fn obtain(&mut self, index: usize, cid: &Cid) -> Result<Block, WalkError> {
        if let Some(block) = Block::from_identity(cid) {
            return Ok(block);
        }
        let mut launched = false;
        loop {
            let Some(top) = self.stack.last_mut() else {
                return Ok(self.fetch.fetch(cid, self.options.deadline).await?);
            };
            let (answer, freed) = top.take(index);
            self.held -= freed;
            if let Some(answer) = answer {
                self.read_ahead();
                return Ok(answer?);
            }
            if launched || !top.ahead.is_empty() {
                // It was passed over when its batch was asked for.
                return Ok(self.fetch.fetch(cid, self.options.deadline).await?);
            }
            let mut batch = match self.ahead.take() {
                Some(batch) => batch,
                None => {
                    launched = true;
                    self.launch(Some((index, *cid)))
                }
            };
            match batch.join_next().await {
                Some(Ok(fetched)) => self.arrive(fetched),
                Some(Err(error)) => return Err(WalkError::Died(error.to_string())),
                None => {}
            }
        }
    }

    fn arrive(&mut self, fetched: Fetched) {
        let sizes = fetched.iter().map(|(_, r)| r.as_ref().map_or(0, |b| b.data().len()));
        self.largest = sizes.clone().max().unwrap_or(0);
        self.held += sizes.sum::<usize>();
        if let Some(top) = self.stack.last_mut() {
            top.ahead.extend(fetched);
        }
    }

    /// Starts the next batch while the one before it is used; only among leaves, since below an inner node
    /// other blocks come first.
    fn read_ahead(&mut self) {
        let wanted = self.ahead.is_none() && self.stack.last().is_some_and(|top| !top.branches && !top.all_asked());
        if wanted {
            self.ahead = Some(self.launch(None)).filter(|batch| !batch.is_empty());
        }
    }

    /// Asks for the next blocks of the top frame; for `first` whether or not it was visited before.
    fn launch(&mut self, first: Option<(usize, Cid)>) -> JoinSet<Fetched> {
        let mut set = JoinSet::new();
        let bytes = if self.options.near { NEAR_BYTES } else { BATCH_BYTES };
        let size = (bytes / self.largest.max(1)).clamp(1, BATCH);
        let Some(top) = self.stack.last_mut() else { return set };
        let mut wanted: Vec<(usize, Cid)> = first.into_iter().collect();
        let limit = top.window().min(size);
        let start = first.map_or(top.asked, |(index, _)| index + 1);
        let mut end = start;
        for (index, cid) in top.links.iter().flatten().enumerate().skip(start).take(SCAN) {
            if wanted.len() >= limit {
                break;
            }
            end = index + 1;
            // Reading ahead is only a guess: an error is met again when the turn of the block comes.
            let once = !self.options.repeat && top.span_of(index).is_none();
            let known = once && (self.seen.contains(cid).unwrap_or(false) || wanted.iter().any(|(_, c)| c == cid));
            if !known && cid.hash().code() != 0 {
                wanted.push((index, *cid));
            }
        }
        top.asked = end;
        if wanted.is_empty() {
            return set;
        }
        let (fetch, deadline) = (Arc::clone(&self.fetch), self.options.deadline);
        set.spawn(async move {
            let (indices, cids): (Vec<usize>, Vec<Cid>) = wanted.into_iter().unzip();
            let blocks: Vec<_> = fetch.fetch_many(cids, deadline).collect().await;
            indices.into_iter().zip(blocks).collect()
        });
        set
    }
}
