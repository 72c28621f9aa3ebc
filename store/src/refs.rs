//! Lists the links of an object, and of what it links to, depth first, in the order of the blocks.
//!
//! A link is listed after its block was found, so that a list without an error means that all of it is here.

use crate::{
    Block, Cid,
    cid::codec,
    dag::{
        self, DagError, is_leaf,
        pb::PbNode,
        walk::{Seen, SeenError, Sight},
    },
    fetch::{Deadline, Fetch, FetchError},
};
use bytes::Bytes;
use futures::StreamExt as _;
use std::{collections::VecDeque, sync::Arc};

/// Blocks that are fetched at once.
const BATCH: usize = 16;
/// Leaves that are looked for at once.
const LEAVES: usize = 256;
/// Blocks fetched ahead at all levels.
const MAX_AHEAD: usize = 48;
/// Links held by all blocks between the root and the present one, about 100 MiB of them.
pub const MAX_LINKS: usize = 1 << 19;
/// Bytes of the names of these links.
const MAX_NAMES: usize = 32 << 20;
/// Why the links can't be listed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefsError {
    /// A block can't be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A block is not what its codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// The DAG has more links, or more blocks, than are kept in mind.
    #[error("refused at {cid}: {reason}")]
    Unreasonable {
        /// Where it was noticed.
        cid: Box<Cid>,
        /// Which bound was passed.
        reason: String,
    },
}

/// What to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// List no block twice.
    pub unique: bool,
    /// Levels below the root; `None` is all of them.
    pub max_depth: Option<u32>,
    /// How long a block may take.
    pub deadline: Deadline,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The block that holds it.
    pub from: Cid,
    /// The block that it points at.
    pub to: Cid,
    /// Its name; empty where it has none.
    pub name: Bytes,
}

/// The links below one object, and, with `unique`, below all that are listed with it.
pub struct Refs {
    fetch: Arc<dyn Fetch>,
    options: Options,
    /// What was met, and how near the root.
    seen: Seen,
    levels: Vec<Level>,
    /// Links of all levels, and bytes of their names.
    links: usize,
    names: usize,
    /// Blocks fetched ahead at all levels.
    ahead: usize,
}

/// What is left of one block's links.
struct Level {
    from: Cid,
    /// Of what the links lead to.
    depth: u32,
    links: VecDeque<(Cid, Bytes)>,
    total: usize,
    names: usize,
    /// Blocks of the first of `links` that were fetched ahead; `None` for a leaf that is known to be here.
    ahead: VecDeque<Option<Block>>,
}

impl Refs {
    /// Lists nothing yet.
    pub fn new(fetch: Arc<dyn Fetch>, options: Options) -> Self {
        Self { fetch, options, seen: Seen::new(), levels: Vec::new(), links: 0, names: 0, ahead: 0 }
    }

    /// Begins with the links of `root`.
    ///
    /// # Errors
    /// When the block can't be had or read.
    pub async fn start(&mut self, root: &Cid) -> Result<(), RefsError> {
        self.levels.clear();
        (self.links, self.names, self.ahead) = (0, 0, 0);
        let block = self.fetch.fetch(root, self.options.deadline).await?;
        self.enter(&block, 1)
    }

    /// The next link; `None` when there are no more below the object that was started with.
    ///
    /// # Errors
    /// When a block can't be had or read. The listing can't go on below this object then.
    pub async fn next(&mut self) -> Result<Option<Edge>, RefsError> {
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some((to, name)) = level.links.pop_front() else {
                self.pop();
                continue;
            };
            let ahead = level.ahead.pop_front();
            let (from, depth) = (level.from, level.depth);
            self.ahead -= usize::from(matches!(ahead, Some(Some(_))));
            let (deeper, list) = self.visit(&to, depth)?;
            if !deeper && !list {
                continue;
            }
            let block = match ahead {
                Some(block) => block,
                None => self.find(&to).await?,
            };
            if deeper && let Some(block) = block {
                self.enter(&block, depth.saturating_add(1))?;
            }
            if list {
                return Ok(Some(Edge { from, to, name }));
            }
        }
    }

    /// Whether to go below a block, and whether to list it.
    fn visit(&mut self, cid: &Cid, depth: u32) -> Result<(bool, bool), RefsError> {
        let max = self.options.max_depth;
        if max.is_some_and(|max| depth > max) {
            return Ok((false, false));
        }
        let below = max.is_none_or(|max| depth < max);
        if !self.options.unique {
            return Ok((below, true));
        }
        // Without a limit it does not matter how near a block is: all below it is listed anyway.
        let depth = if max.is_some() { depth } else { 0 };
        match self.seen.visit(cid, depth) {
            Ok(Sight::New) => Ok((below, true)),
            Ok(Sight::Nearer) => Ok((below, false)),
            Ok(Sight::Known) => Ok((false, false)),
            Err(SeenError::Disk(error)) => Err(FetchError::Store(error).into()),
            Err(error @ SeenError::Full) => Err(unreasonable(cid, error.to_string())),
        }
    }

    /// The block of a link that was just taken; `None` for a leaf that is here, since there is no more to know.
    /// Fetches some of the blocks after it too.
    async fn find(&mut self, cid: &Cid) -> Result<Option<Block>, RefsError> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        if is_leaf(cid) {
            let following = level.links.iter().map(|(cid, _)| *cid).take_while(is_leaf).take(LEAVES);
            let leaves: Vec<Cid> = [*cid].into_iter().chain(following).collect();
            let here = self.fetch.has_local_many(&leaves).await?;
            if here.first() == Some(&true) {
                level.ahead.extend(here.iter().skip(1).take_while(|here| **here).map(|_| None));
                return Ok(None);
            }
        }
        let room = MAX_AHEAD.saturating_sub(self.ahead).min(BATCH);
        let following = level.links.iter().map(|(cid, _)| *cid).take_while(|cid| !is_leaf(cid)).take(room);
        let wanted = [*cid].into_iter().chain(following).collect();
        let mut answers = self.fetch.fetch_many(wanted, self.options.deadline);
        let first = match answers.next().await {
            Some(answer) => answer?,
            None => self.fetch.fetch(cid, self.options.deadline).await?,
        };
        // One that fails here is asked for again when its turn comes, and then it is an error.
        while let Some(Ok(block)) = answers.next().await {
            level.ahead.push_back(Some(block));
            self.ahead += 1;
        }
        Ok(Some(first))
    }

    /// Puts the links of a block, which lie at `depth`, on the stack.
    fn enter(&mut self, block: &Block, depth: u32) -> Result<(), RefsError> {
        let (links, names) = named_links(block)?;
        // A level with nothing left is not needed to come back to: a chain of any length takes no memory.
        while self.levels.last().is_some_and(|level| level.links.is_empty()) {
            self.pop();
        }
        self.links += links.len();
        if self.links > MAX_LINKS {
            return Err(unreasonable(block.cid(), format!("the blocks on the way there have over {MAX_LINKS} links")));
        }
        self.names += names;
        if self.names > MAX_NAMES {
            return Err(unreasonable(
                block.cid(),
                format!("the links on the way there have over {MAX_NAMES} bytes of names"),
            ));
        }
        let total = links.len();
        self.levels.push(Level { from: *block.cid(), depth, total, names, links, ahead: VecDeque::new() });
        Ok(())
    }

    fn pop(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.links -= level.total;
            self.names -= level.names;
            self.ahead -= level.ahead.iter().flatten().count();
        }
    }
}

fn unreasonable(cid: &Cid, reason: String) -> RefsError {
    RefsError::Unreasonable { cid: Box::new(*cid), reason }
}

/// The links of a block, and how many bytes their names have.
fn named_links(block: &Block) -> Result<(VecDeque<(Cid, Bytes)>, usize), DagError> {
    if block.cid().codec() != codec::DAG_PB {
        let links = dag::links(block.cid(), block.data())?;
        return Ok((links.into_iter().map(|cid| (cid, Bytes::new())).collect(), 0));
    }
    let node = PbNode::decode(block.data())
        .map_err(|e| DagError::Malformed { cid: Box::new(*block.cid()), reason: e.to_string() })?;
    // As slices of the block they would keep all of it.
    let names = Bytes::from(node.links.iter().flat_map(|link| link.name().iter().copied()).collect::<Vec<u8>>());
    let mut rest = names.clone();
    let links = node.links.iter().map(|link| (link.cid, rest.split_to(link.name().len()))).collect();
    Ok((links, names.len()))
}
