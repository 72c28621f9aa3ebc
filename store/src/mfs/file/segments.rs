//! What a range of a file consists of.

use super::{
    File,
    tree::{Child, ROOT},
};
use crate::Cid;
use bytes::Bytes;
use std::ops::Range;

/// Segments that are answered at once.
const MAX_SEGMENTS: usize = 1024;

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes, shared with the file.
    Bytes(Bytes),
    /// So many zeros.
    Zeros(u64),
    /// A part of what is stored.
    Sealed {
        /// Root of a file.
        cid: Cid,
        /// Its length in bytes.
        size: u64,
        /// Which of its bytes.
        of: Range<u64>,
    },
}

impl Segment {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
            Self::Sealed { of, .. } => of.end - of.start,
        }
    }

    /// Whether it is of no length: never, for those of a file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl File {
    /// What a range consists of, as far as there is content: in order, what was written as bytes, what is stored as parts
    /// of the largest files that have no changes. Of a range of very many pieces, the first thousand: whoever wants the
    /// rest asks again.
    pub fn segments(&self, range: Range<u64>) -> Vec<Segment> {
        let (mut at, end) = (range.start, range.end.min(self.len()));
        let mut out = Vec::new();
        if at >= end {
            return out;
        }
        // The bytes of a file in one node are in memory already.
        if let Some(root) = &self.root
            && !matches!(self.tree.child(ROOT), Child::Leaf(_))
        {
            return vec![Segment::Sealed { cid: root.cid, size: root.file_size, of: at..end }];
        }
        while at < end && out.len() < MAX_SEGMENTS {
            let spot = self.tree.spot(at, |tree, spot| match tree.child(spot.place) {
                Child::Inner(id) => tree.node(*id).link.is_some(),
                _ => true,
            });
            let to = spot.end().min(end);
            let of = at - spot.start..to - spot.start;
            let child = self.tree.child(spot.place);
            match (child, self.tree.link(child)) {
                (Child::Leaf(leaf), _) => out.push(Segment::Bytes(slice(&leaf.bytes, of))),
                (_, Some(link)) => out.push(Segment::Sealed { cid: link.cid, size: spot.size, of }),
                (_, None) => match out.last_mut() {
                    Some(Segment::Zeros(len)) => *len += to - at,
                    _ => out.push(Segment::Zeros(to - at)),
                },
            }
            at = to;
        }
        out
    }
}

/// Part of a leaf's bytes, which its child's size bounds.
fn slice(bytes: &Bytes, of: Range<u64>) -> Bytes {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(index(of.start)..index(of.end))
}
