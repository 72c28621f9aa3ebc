//! Which links of a block a walk follows.

use crate::{
    Block, Cid,
    dag::{self, DagError},
    unixfs::{
        ReadError,
        entity::{self, Entity, FileNode},
        hamt,
    },
};

/// Which links are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Follow {
    /// All.
    #[default]
    All,
    /// Those of a sharded directory that lead to its other shards: what it takes to list it.
    Shards,
    /// Those of a file that lead to bytes from the first number up to the second, which is not one of them.
    Bytes(u64, u64),
}

/// Where in a file something is of which only a part is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Where it begins.
    start: u64,
    /// Its length as its parent declares it; `None` for the root.
    size: Option<u64>,
}

/// Links, and the span of each of them of which only a part is wanted. No spans: all is wanted of all of them.
pub(super) type Followed = (Vec<Cid>, Vec<Option<Span>>);

impl Follow {
    /// What is wanted of the root: of a file a part, whatever the range, since its length is not known yet.
    pub(super) fn root(self) -> Vec<Option<Span>> {
        if matches!(self, Self::Bytes(..)) { vec![Some(Span { start: 0, size: None })] } else { Vec::new() }
    }

    /// The links of a block to follow; `span` is its own, if only a part of it is wanted.
    pub(super) fn links(self, block: &Block, span: Option<Span>) -> Result<Followed, DagError> {
        match (self, span) {
            (Self::Shards, _) => Ok((shards(block)?, Vec::new())),
            (Self::Bytes(from, to), Some(span)) => parts(block, span, from, to),
            (Self::All | Self::Bytes(..), _) => Ok((dag::links(block.cid(), block.data())?, Vec::new())),
        }
    }
}

fn malformed(block: &Block, reason: String) -> DagError {
    DagError::Malformed { cid: Box::new(*block.cid()), reason }
}

fn unreadable(block: &Block, error: ReadError) -> DagError {
    match error {
        ReadError::Malformed { cid, reason } => DagError::Malformed { cid, reason },
        other => malformed(block, other.to_string()),
    }
}

/// The links of a shard that lead to shards.
fn shards(block: &Block) -> Result<Vec<Cid>, DagError> {
    let (_, Entity::Shard(shard)) = entity::decode(block).map_err(|error| unreadable(block, error))? else {
        return Err(malformed(block, "a shard was expected here".into()));
    };
    let prefix = hamt::prefix_len(shard.fanout);
    Ok(shard.links.iter().filter(|link| link.name().len() == prefix).map(|link| link.cid).collect())
}

/// The links of a part of a file that lead to bytes of the range.
fn parts(block: &Block, span: Span, from: u64, to: u64) -> Result<Followed, DagError> {
    let node = FileNode::decode(block).map_err(|error| unreadable(block, error))?;
    // Two parts of a level at most are wanted only partly, as long as nobody lies about sizes; else a small DAG could
    // be gone through for years without a block that was not sent before.
    if let Some(declared) = span.size.filter(|&size| size != node.size) {
        return Err(malformed(block, format!("it holds {} bytes where its parent declares {declared}", node.size)));
    }
    let (mut links, mut spans) = Followed::default();
    let mut at = span.start.saturating_add(node.data.len() as u64);
    for part in node.children {
        let end = at.saturating_add(part.size);
        if from < to && at < to && end > from {
            links.push(part.cid);
            spans.push((at < from || end > to).then_some(Span { start: at, size: Some(part.size) }));
        }
        at = end;
    }
    Ok((links, spans))
}
