//! What is known of how large a directory is.

use super::Link;
use crate::unixfs::{directory::entry_size, profile::Profile, writer::link_len};

/// Length of a CID, and a size, that an entry is reckoned with which was never sealed.
const USUAL_CID: usize = 36;
const USUAL_TSIZE: u64 = 1 << 28;

/// What is known of the entries: no more of anything than there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) entries: usize,
    /// By the profile's estimate.
    pub(super) size: u64,
    /// Bytes of the links in one node.
    pub(super) node: u64,
}

/// What is known of the size of a directory: worth keeping when the directory itself is let go of, until it changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// All of a plain directory; of a sharded one what it has at least.
    pub(super) least: Tally,
    /// What came and what went since it was known to be sharded: as long as it has not become smaller, it still is.
    pub(super) came: Tally,
    pub(super) went: Tally,
}

impl Known {
    pub(super) fn change(&mut self, old: Tally, new: Tally) {
        self.least = self.least.minus(old).plus(new);
        self.came = self.came.plus(new);
        self.went = self.went.plus(old);
    }
}

impl Tally {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            size: self.size.saturating_add(other.size),
            node: self.node.saturating_add(other.node),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            size: self.size.saturating_sub(other.size),
            node: self.node.saturating_sub(other.node),
        }
    }
}

/// What one entry counts. Without a link: as much as it will usually be, until it has one.
pub(super) fn tally(profile: &Profile, name: &[u8], link: &Option<Link>) -> Tally {
    let (cid, tsize) = link.map_or((USUAL_CID, USUAL_TSIZE), |link| (link.cid.encoded_len(), link.tsize));
    Tally {
        entries: 1,
        size: entry_size(profile, name.len(), cid, tsize),
        node: link_len(cid, name.len(), tsize) as u64,
    }
}
