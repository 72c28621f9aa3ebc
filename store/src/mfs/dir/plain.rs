//! The entries of a directory in one node.

use super::{Entry, Link, used_bits};
use crate::{
    dag::pb::PbLink,
    mfs::{Cursor, MAX_NAME},
    unixfs::hamt::hash_name,
};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Bound};

/// Entries by the hashes of their names, and then by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Plain {
    entries: BTreeMap<(u64, Bytes), Option<Link>>,
    /// Whether names were read that shards could not tell apart. None are added.
    collisions: bool,
    /// Length of the longest name that was read.
    longest: usize,
}

impl Plain {
    /// The entries of a node; the first of those of one name.
    pub(super) fn read(links: &[PbLink], fanout: usize) -> Self {
        let mut entries = BTreeMap::new();
        for link in links {
            // A slice would keep the whole block.
            let name = Bytes::copy_from_slice(link.name());
            let target = Link { cid: link.cid, tsize: link.tsize.unwrap_or_default() };
            entries.entry((hash_name(&name), name)).or_insert(Some(target));
        }
        let mut before = None;
        let mut bits = entries.keys().map(|(hash, _): &(u64, Bytes)| used_bits(*hash, fanout));
        let collisions = bits.any(|bits| before.replace(bits) == Some(bits));
        let longest = links.iter().map(|link| link.name().len()).max().unwrap_or_default();
        Self { entries, collisions, longest }
    }

    /// Of entries that were in shards.
    pub(super) fn of(entries: impl Iterator<Item = Entry>) -> Self {
        let entries: BTreeMap<_, _> = entries.map(|(name, link)| ((hash_name(&name), name), link)).collect();
        let longest = entries.keys().map(|(_, name)| name.len()).max().unwrap_or_default();
        Self { entries, collisions: false, longest }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Option<Link>> {
        let hash = hash_name(name);
        let mut same = self.entries.range((hash, Bytes::new())..).take_while(|((other, _), _)| *other == hash);
        same.find(|((_, other), _)| other == name).map(|(_, link)| *link)
    }

    pub(super) fn insert(&mut self, name: &[u8], link: Option<Link>) {
        self.entries.insert((hash_name(name), Bytes::copy_from_slice(name)), link);
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.entries.remove(&(hash_name(name), Bytes::copy_from_slice(name)));
    }

    /// Another name that shards of that width could not tell from this one.
    pub(super) fn collides(&self, name: &[u8], fanout: usize) -> Option<&[u8]> {
        let hash = hash_name(name);
        let bits = used_bits(hash, fanout);
        let first = bits << (u64::BITS % fanout.trailing_zeros());
        let mut same =
            self.entries.range((first, Bytes::new())..).take_while(|((h, _), _)| used_bits(*h, fanout) == bits);
        same.find(|((_, other), _)| other != name).map(|((_, other), _)| other.as_ref())
    }

    /// Whether names were read that shards could not tell apart.
    pub(super) fn has_collisions(&self) -> bool {
        self.collisions
    }

    /// Whether it may have names that are longer than those that can be made.
    pub(super) fn has_long_names(&self) -> bool {
        self.longest > MAX_NAME
    }

    pub(super) fn list(&self, after: &Cursor, max: usize) -> Vec<Entry> {
        let from = after.0.clone().map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((from, Bound::Unbounded)).take(max).map(|((_, name), link)| (name.clone(), *link)).collect()
    }

    /// All entries, in the order of their hashes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Option<Link>)> {
        self.entries.iter().map(|((_, name), link)| (name, link))
    }
}
