//! Which inodes of a writable tree the kernel has, in the order in which it came to know them.

use super::attr::Kind;
use bytes::Bytes;
use std::collections::{HashSet, VecDeque};

/// Inodes that the kernel may have references to before it is asked to let go of the oldest.
pub(super) const MAX_KNOWN: usize = 1 << 16;
/// Entries that are looked at when one comes.
const LOOKED_AT: usize = 8;

/// An entry that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) parent: u64,
    pub(super) name: Bytes,
}

/// The inodes.
#[derive(Default)]
pub(super) struct Known {
    queue: VecDeque<Entry>,
    queued: HashSet<u64>,
}

impl Known {
    /// Whether it is noted that the kernel has an inode.
    pub(super) fn has(&self, number: u64) -> bool {
        self.queued.contains(&number)
    }

    /// Notes that the kernel has an inode.
    pub(super) fn note(&mut self, entry: Entry) {
        if self.queued.insert(entry.number) {
            self.queue.push_back(entry);
        }
    }

    /// The kernel has let go of an inode.
    pub(super) fn forget(&mut self, number: u64) {
        self.queued.remove(&number);
        if self.queue.len() > 2 * self.queued.len() + LOOKED_AT {
            self.queue.retain(|entry| self.queued.contains(&entry.number));
            self.queue.shrink_to_fit();
            self.queued.shrink_to_fit();
        }
    }

    /// The oldest ones, if there are more than `max`: they have to be noted again if they stay. Directories stay as long as
    /// there are not twice as many: somebody may stand in them.
    pub(super) fn excess(&mut self, max: usize) -> Vec<Entry> {
        let mut excess = Vec::new();
        for _ in 0..LOOKED_AT {
            if self.queued.len() <= max {
                break;
            }
            let Some(entry) = self.queue.pop_front() else { break };
            if !self.queued.contains(&entry.number) {
                continue;
            }
            if entry.kind == Kind::Directory && self.queued.len() <= 2 * max {
                self.queue.push_back(entry);
                continue;
            }
            self.queued.remove(&entry.number);
            excess.push(entry);
        }
        excess
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, kind: Kind) -> Entry {
        Entry { number, kind, parent: 1, name: number.to_string().into() }
    }

    #[test]
    fn the_oldest_go_and_directories_last() {
        let mut known = Known::default();
        known.note(entry(0, Kind::Directory));
        for number in 1..=10 {
            known.note(entry(number, Kind::File));
            known.note(entry(number, Kind::File));
            assert_eq!(known.excess(10).len(), usize::from(number == 10), "{number}");
        }
        known.note(entry(11, Kind::File));
        assert_eq!(known.excess(10), [entry(2, Kind::File)]);
        known.forget(3);
        known.note(entry(12, Kind::File));
        assert!(known.excess(10).is_empty());
        for number in 100..200 {
            known.note(entry(number, Kind::Directory));
            known.excess(10);
        }
        assert!(known.queued.len() <= 21 && known.queue.len() <= 2 * known.queued.len() + LOOKED_AT);
        for number in 0..200 {
            known.forget(number);
        }
        assert!(known.queue.len() <= LOOKED_AT);
    }
}
