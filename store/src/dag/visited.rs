//! The set of nodes that a walk has seen.

use crate::Cid;
use std::{
    collections::HashSet,
    hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState},
};

/// Two hashes that stand for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Short(u64, u64);

/// The nodes that a walk has seen, in 16 bytes each (about 36 with the slack of the table).
///
/// A node is kept as two 64-bit hashes with keys that differ in every process: nobody can prepare two nodes that
/// are taken for one, and by chance it happens less than once in 10^24 walks of 16 million nodes.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    keys: [RandomState; 2],
    seen: HashSet<Short, BuildHasherDefault<Ready>>,
}

impl Visited {
    /// What stands for a node in this set and in its siblings, for those who look it up in several.
    pub(crate) fn short(&self, cid: &Cid) -> Short {
        let node = (cid.version() as u64, cid.codec(), cid.hash().code(), cid.hash().digest());
        Short(self.keys[0].hash_one(node), self.keys[1].hash_one(node))
    }

    /// As [`Visited::insert`].
    pub(crate) fn insert_short(&mut self, short: Short) -> bool {
        self.seen.insert(short)
    }

    /// As [`Visited::contains`].
    pub(crate) fn contains_short(&self, short: Short) -> bool {
        self.seen.contains(&short)
    }

    /// Adds a node; whether it was new. One multihash under two codecs, or two versions, counts as two nodes.
    pub(crate) fn insert(&mut self, cid: &Cid) -> bool {
        self.seen.insert(self.short(cid))
    }

    /// Whether a node was seen.
    pub(crate) fn contains(&self, cid: &Cid) -> bool {
        self.seen.contains(&self.short(cid))
    }

    /// Takes over what another walk with the keys of this one has seen.
    pub(crate) fn absorb(&mut self, other: Self) {
        debug_assert_eq!(self.keys[0].hash_one(0), other.keys[0].hash_one(0));
        self.seen.extend(other.seen);
    }

    /// An empty set with the keys of this one.
    pub(crate) fn sibling(&self) -> Self {
        Self { keys: self.keys.clone(), seen: HashSet::default() }
    }
}

/// Folds a key that is made of hashes already.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, half: u64) {
        self.0 = self.0.rotate_left(32) ^ half;
    }
}
