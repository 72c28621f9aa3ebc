//! Reads of what is here: block by block, without a reader and without reading ahead.
//!
//! The kernel reads ahead by itself, and several of its requests are answered at once. What is missing, malformed or takes
//! too many steps is left to the readers of [`super::streams`], which go to the network and say what is wrong.

use super::source::Recent;
use bytes::Bytes;
use cairn_store::{
    Cid,
    cid::codec,
    fetch::Fetch,
    unixfs::entity::{FileNode, Part},
};
use std::{ops::Range, sync::Arc};

/// Nodes between roots of files and their leaves that are kept decoded, in bytes.
const NODE_BYTES: usize = 8 << 20;
/// Nodes that one read goes through: those of 1 MiB in blocks of a few hundred bytes.
const MAX_STEPS: usize = 8192;
/// Links that one read looks at, some milliseconds: authors decide how many a node has.
const MAX_LINKS: usize = 4 << 20;
/// Unit of the kernel's cache.
const PAGE: u64 = 4096;

/// What is read so.
pub(super) struct Direct {
    local: Arc<dyn Fetch>,
    nodes: Recent<Cid, Arc<FileNode>>,
}

/// A block's own bytes, and where they begin in the file.
pub(super) type Piece = (u64, Bytes);

/// What a read may still do.
struct Budget {
    steps: usize,
    links: usize,
}

/// The node that a byte is in, or below.
enum Next {
    /// It is one of the node's own.
    Own,
    /// It is below this part, which begins there.
    Below(Part, u64),
}

impl Direct {
    pub(super) fn new(local: Arc<dyn Fetch>) -> Self {
        Self { local, nodes: Recent::new(NODE_BYTES) }
    }

    /// The blocks that the bytes of a range are in, which ends within the file. `None` if not all of them can be had here.
    pub(super) async fn read(&self, root: &Arc<FileNode>, range: Range<u64>) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut budget = Budget { steps: MAX_STEPS, links: MAX_LINKS };
        let mut at = range.start;
        while at < range.end {
            let (start, bytes) = self.piece(root, at, &mut budget).await?;
            at = start + bytes.len() as u64;
            pieces.push((start, bytes));
        }
        Some(pieces)
    }

    /// The block that a byte is in.
    async fn piece(&self, root: &Arc<FileNode>, at: u64, budget: &mut Budget) -> Option<Piece> {
        let (mut node, mut start) = (Arc::clone(root), 0);
        loop {
            budget.steps = budget.steps.checked_sub(1)?;
            match next(&node, start, at, &mut budget.links)? {
                Next::Own => return Some((start, node.data.clone())),
                Next::Below(part, begin) => {
                    node = self.node(&part).await?;
                    start = begin;
                }
            }
        }
    }

    async fn node(&self, part: &Part) -> Option<Arc<FileNode>> {
        let raw = part.cid.codec() == codec::RAW;
        if !raw && let Some(node) = self.nodes.get(&part.cid) {
            return Some(node).filter(|node| node.size == part.size);
        }
        let block = self.local.fetch(&part.cid, None).await.ok()?;
        let node = Arc::new(FileNode::decode(&block).ok()?);
        if node.size != part.size {
            return None;
        }
        if !node.children.is_empty() {
            let weight = node.data.len() + node.children.len() * size_of::<Part>();
            self.nodes.put(part.cid, Arc::clone(&node), weight);
        }
        Some(node)
    }
}

/// Where the byte `at` is of a node that begins at `start`. `None` if the node ends before it, or too many links are.
fn next(node: &FileNode, start: u64, at: u64, links: &mut usize) -> Option<Next> {
    let mut begin = start.checked_add(node.data.len() as u64)?;
    if at < begin {
        return Some(Next::Own);
    }
    for part in &node.children {
        *links = links.checked_sub(1)?;
        let next = begin.checked_add(part.size)?;
        if at < next {
            return Some(Next::Below(*part, begin));
        }
        begin = next;
    }
    None
}

/// What a piece has of a range.
pub(super) fn within((start, bytes): &Piece, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place.saturating_sub(*start)).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// The pages of a piece that lie wholly in it, or end with the file.
pub(super) fn pages((start, bytes): &Piece, size: u64) -> Option<Piece> {
    let end = start + bytes.len() as u64;
    let from = start.next_multiple_of(PAGE);
    let to = if end == size { end } else { end / PAGE * PAGE };
    (from < to).then(|| (from, within(&(*start, bytes.clone()), &(from..to))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_are_cut_out() {
        let piece = |start, len| (start, Bytes::from(vec![0; len]));
        let cut = |start, len, size| pages(&piece(start, len), size).map(|(from, bytes)| (from, bytes.len()));
        assert_eq!(cut(0, 8192, 100_000), Some((0, 8192)));
        assert_eq!(cut(1, 8191, 100_000), Some((4096, 4096)));
        assert_eq!(cut(4000, 5000, 100_000), Some((4096, 4096)));
        assert_eq!(cut(1, 8190, 100_000), None);
        assert_eq!(cut(4096, 100, 4196), Some((4096, 100)));
        assert_eq!(cut(4000, 50, 100_000), None);
    }

    #[test]
    fn a_piece_is_cut_to_a_range() {
        let piece = (10, Bytes::from_static(b"0123456789"));
        for (range, wanted) in [(0..100, "0123456789"), (12..15, "234"), (0..12, "01"), (19..30, "9"), (30..40, "")] {
            assert_eq!(within(&piece, &range), wanted, "{range:?}");
        }
    }
}
