//! Storing what a sequential writer has left behind, while it goes on.
//!
//! A [`Lot`] is leaves as they are at one moment. They stay in the file, and can be read and changed, while somebody
//! makes blocks of the lot and stores them; then [`File::stored`] puts links in the place of those that are still the same.

use super::{
    File, FileError,
    load::MAX_ENTRIES,
    seal::{BATCH_LEAVES, Sink, sealed},
    tree::{Child, Form, Leaf, Link, Place, ROOT},
};
use crate::{
    Block,
    unixfs::{BuildError, profile::Profile},
};
use bytes::Bytes;

/// How far before or behind the end of what was written last the next write may begin, in bytes, and still go on with it:
/// the kernel sends pages of a mapped file in no strict order.
const NEAR: u64 = 4 << 20;

/// What is written from front to end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    /// Up to here leaves were handed out.
    from: u64,
    end: u64,
}

impl Run {
    /// Notes that bytes were written.
    pub(super) fn note(&mut self, at: u64, len: u64) {
        let end = at.saturating_add(len);
        if at.abs_diff(self.end) <= NEAR {
            self.end = self.end.max(end);
        } else {
            *self = Self { from: at, end };
        }
    }

    /// Notes where the file ends.
    pub(super) fn cut(&mut self, len: u64) {
        if len < self.end {
            *self = Self { from: len, end: len };
        }
    }
}

/// Leaves to be stored.
#[derive(Debug)]
pub struct Lot {
    profile: Profile,
    leaves: Vec<(Place, Bytes, Form)>,
}

impl Lot {
    /// The blocks of its leaves, in their order. It takes its time, and as many threads as it is worth.
    ///
    /// # Errors
    /// When a block can't be made.
    pub fn blocks(&self) -> Result<Vec<Block>, BuildError> {
        sealed(&self.profile, &self.leaves)
    }
}

impl File {
    /// Whether so many bytes lie behind a sequential writer, at least `margin` from where it is, that [`File::lot`] has
    /// `len` to give.
    pub fn has_lot(&self, margin: u64, len: u64) -> bool {
        let Run { from, end } = self.run;
        self.root.is_none() && end.saturating_sub(margin).saturating_sub(from) >= len.max(1)
    }

    /// The next leaves that lie wholly behind a sequential writer, at least `margin` from where it is, and are in memory
    /// alone: about `len` bytes. `None` if there are none. Each is handed out once.
    pub fn lot(&mut self, margin: u64, len: u64) -> Option<Lot> {
        let to = self.run.end.saturating_sub(margin).min(self.len());
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        while self.run.from < to && bytes < len && leaves.len() < BATCH_LEAVES {
            // What was stored as a whole has nothing.
            let spot = self.tree.spot(self.run.from, |tree, spot| tree.link(tree.child(spot.place)).is_some());
            if let Child::Leaf(Leaf { bytes: data, form, link: None }) = self.tree.child(spot.place)
                && *form != Form::Inline
                && spot.place != ROOT
            {
                // The rest of it is still to be written.
                if spot.end() > to || spot.end() == self.len() {
                    break;
                }
                bytes += spot.size;
                leaves.push((spot.place, data.clone(), *form));
            }
            self.run.from = spot.end();
        }
        (!leaves.is_empty()).then_some(Lot { profile: self.profile, leaves })
    }

    /// Takes links in the place of the leaves of a lot that were not changed since it was given; says whether there were
    /// any. The blocks, which are in the order of [`Lot::blocks`], have to be in the store.
    pub fn stored(&mut self, lot: &Lot, blocks: &[Block]) -> bool {
        let before = self.tree.dirty;
        if lot.profile != self.profile {
            return false;
        }
        for ((place, bytes, form), block) in lot.leaves.iter().zip(blocks) {
            // The lot still has the bytes: what is at their address now is what was there then, wherever it came to be, and
            // whoever changed them had to copy them.
            let same = matches!(self.tree.find(*place), Some(Child::Leaf(Leaf { bytes: now, form: kept, link: None }))
                if kept == form && now.as_ptr() == bytes.as_ptr() && now.len() == bytes.len());
            if same {
                let link = Link { cid: *block.cid(), tsize: block.data().len() as u64 };
                self.tree.put(*place, Child::Sealed(link));
            }
        }
        self.tree.dirty < before
    }

    /// Whether it has so many nodes whose leaves are stored that [`File::narrow`] should store them as well.
    pub fn is_wide(&self) -> bool {
        self.root.is_none() && self.tree.entries > self.trim_from / 2
    }

    /// As [`File::write_back`]; what was stored is forgotten.
    ///
    /// # Errors
    /// As [`File::write_back`].
    pub fn narrow(&mut self, sink: &mut Sink<'_>) -> Result<(), FileError> {
        self.trim_from = 0;
        let done = self.write_back(sink);
        // With very wide nodes, those on the way to the end are many all the same.
        self.trim_from = MAX_ENTRIES.max(4 * self.tree.entries);
        done
    }
}
