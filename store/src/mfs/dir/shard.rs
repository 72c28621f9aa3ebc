//! The shards of a sharded directory, as far as they were looked into.
//!
//! Shards are a trie over the hashes of names: it is as deep as a hash has bits for, whoever wrote it, and what is deeper
//! is not read. Only that makes recursion tolerable where it is used here.

use super::{DirError, Entry, HASH_BITS, Link, MAX_CID, WANTED, Want, check_node, shard_room, slot, used_bits};
use crate::{
    Block, Cid,
    mfs::{Cursor, MAX_NAME},
    unixfs::{
        BuildError, ReadError,
        entity::{self, Entity},
        hamt::{self, hash_name},
        writer::link_len,
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// A shard that was looked into, or made.
#[derive(Debug, Clone, Default)]
pub(super) struct Shard {
    /// By ascending index.
    pub(super) children: Vec<(u16, Child)>,
    /// Its block, unless it or one below it has changes.
    pub(super) sealed: Option<Link>,
}

/// What is at an index of a shard.
#[derive(Debug, Clone)]
pub(super) enum Child {
    Entry(Box<Leaf>),
    Below(Arc<Shard>),
    /// A shard that was not looked into.
    Sealed(Box<Link>),
}

#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) name: Box<[u8]>,
    pub(super) link: Option<Link>,
}

/// A shard that is being gone through.
struct Frame<'a> {
    shard: &'a Shard,
    next: usize,
    path: u64,
    depth: u32,
    /// Whether the cursor of a listing may be below it.
    at_cursor: bool,
}

impl Shard {
    /// Reads a shard at that place, of which it is known that it is one.
    pub(super) fn read(block: &Block, shard: entity::Shard, path: u64, depth: u32) -> Result<Self, ReadError> {
        let (fanout, cid) = (shard.fanout, block.cid());
        let (width, prefix) = (fanout.trailing_zeros(), hamt::prefix_len(fanout));
        let bits = (depth + 1) * width;
        let mut children = Vec::with_capacity(shard.links.len());
        let mut tsize = block.data().len() as u64;
        for (index, link) in shard.slots.into_iter().zip(shard.links) {
            let name = &link.name()[prefix..];
            let target = Link { cid: link.cid, tsize: link.tsize.unwrap_or_default() };
            tsize = tsize.saturating_add(target.tsize);
            let child = if name.is_empty() {
                if bits + width > HASH_BITS {
                    let reason = format!("a sharded directory is deeper than the {HASH_BITS} bits of a hash allow");
                    return Err(ReadError::Unreasonable { cid: Box::new(*cid), reason });
                }
                Child::Sealed(Box::new(target))
            } else if hash_name(name) >> (HASH_BITS - bits) == (path << width | u64::from(index)) {
                Child::Entry(Box::new(Leaf { name: name.into(), link: Some(target) }))
            } else {
                let name = String::from_utf8_lossy(name);
                let reason = format!("the entry {name:?} is in a shard where it does not belong");
                return Err(ReadError::malformed(cid, reason));
            };
            children.push((index, child));
        }
        let mut below: Vec<&Cid> = children.iter().filter_map(|(_, child)| child.sealed_cid()).collect();
        below.sort_unstable();
        if below.windows(2).any(|pair| pair[0] == pair[1]) {
            // Names belong into one place: what is in two has none, however far it goes down.
            return Err(ReadError::malformed(cid, "a shard that links to another one twice"));
        }
        Ok(Self { children, sealed: Some(Link { cid: *cid, tsize }) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    fn position(&self, slot: u16) -> Result<usize, usize> {
        self.children.binary_search_by_key(&slot, |(at, _)| *at)
    }

    fn child(&self, slot: u16) -> Option<&Child> {
        self.position(slot).ok().map(|at| &self.children[at].1)
    }

    pub(super) fn get(&self, name: &[u8], fanout: usize) -> Result<Option<Option<Link>>, DirError> {
        let (hash, width) = (hash_name(name), fanout.trailing_zeros());
        let (mut node, mut depth) = (self, 0);
        while let Some(child) = slot(hash, depth, fanout).and_then(|slot| node.child(slot)) {
            depth += 1;
            match child {
                Child::Entry(leaf) => return Ok((*leaf.name == *name).then_some(leaf.link)),
                Child::Below(below) => node = below,
                Child::Sealed(link) => {
                    let path = hash >> (HASH_BITS - depth * width);
                    return Err(DirError::Missing(vec![Want { cid: link.cid, path, depth }]));
                }
            }
        }
        Ok(None)
    }

    /// Refuses a new entry for which a shard that holds very long names would fit into no block. All shards on the way were
    /// looked into.
    pub(super) fn check_room(&self, name: &[u8], fanout: usize) -> Result<(), DirError> {
        let hash = hash_name(name);
        let (mut node, mut depth) = (self, 0);
        let new = entry_len(name);
        while let Some(index) = slot(hash, depth, fanout) {
            match node.child(index) {
                Some(Child::Below(below)) => node = below,
                // The two come into a shard of their own.
                Some(Child::Entry(leaf)) if leaf.name.len() > MAX_NAME => {
                    return check_node(new + entry_len(&leaf.name) + shard_room(2, fanout));
                }
                Some(Child::Entry(_) | Child::Sealed(_)) => return Ok(()),
                None => return node.check_with(new, fanout),
            }
            depth += 1;
        }
        Ok(())
    }

    /// Refuses a node that might fit into no block, if it holds very long names.
    pub(super) fn check_node(&self, fanout: usize) -> Result<(), DirError> {
        self.check_with(0, fanout)
    }

    fn check_with(&self, more: u64, fanout: usize) -> Result<(), DirError> {
        let name = |child: &Child| match child {
            Child::Entry(leaf) => leaf.name.len(),
            Child::Sealed(_) | Child::Below(_) => 0,
        };
        if !self.children.iter().any(|(_, child)| name(child) > MAX_NAME) {
            return Ok(());
        }
        let links: u64 = self.children.iter().map(|(_, child)| link_len(MAX_CID, name(child), u64::MAX) as u64).sum();
        check_node(links + more + shard_room(self.children.len() + 1, fanout))
    }

    /// Sets an entry. All shards on the way were looked into.
    pub(super) fn insert(&mut self, name: &[u8], link: Option<Link>, fanout: usize) -> Result<(), DirError> {
        let hash = hash_name(name);
        if let Some(other) = self.neighbour(hash, fanout)
            && *other.name != *name
            && used_bits(hash_name(&other.name), fanout) == used_bits(hash, fanout)
        {
            let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            return Err(BuildError::TooDeep(text(name), text(&other.name)).into());
        }
        let (mut node, mut depth) = (self, 0);
        while let Some(index) = slot(hash, depth, fanout) {
            node.sealed = None;
            depth += 1;
            let at = match node.position(index) {
                Ok(at) => at,
                Err(at) => {
                    node.children.insert(at, (index, Child::Entry(Box::new(Leaf { name: name.into(), link }))));
                    return Ok(());
                }
            };
            let child = &mut node.children[at].1;
            if let Child::Entry(leaf) = child {
                if *leaf.name == *name {
                    leaf.link = link;
                    return Ok(());
                }
                let below = slot(hash_name(&leaf.name), depth, fanout).unwrap_or_default();
                let old = std::mem::replace(child, Child::Below(Arc::default()));
                if let Child::Below(shard) = child {
                    Arc::make_mut(shard).children.push((below, old));
                }
            }
            let Child::Below(below) = child else { break };
            node = Arc::make_mut(below);
        }
        Ok(())
    }

    /// The entry where that hash leads to.
    fn neighbour(&self, hash: u64, fanout: usize) -> Option<&Leaf> {
        let (mut node, mut depth) = (self, 0);
        loop {
            match node.child(slot(hash, depth, fanout)?)? {
                Child::Entry(leaf) => return Some(leaf),
                Child::Below(below) => node = below,
                Child::Sealed(_) => return None,
            }
            depth += 1;
        }
    }

    /// Removes an entry that is there. All shards on the way were looked into.
    pub(super) fn remove(&mut self, name: &[u8], fanout: usize) -> Result<(), DirError> {
        let hash = hash_name(name);
        let mut slots = Vec::new();
        let mut node = &*self;
        while let Some(index) = slot(hash, slots.len() as u32, fanout) {
            slots.push(index);
            match node.child(index) {
                Some(Child::Below(below)) => node = below,
                _ => break,
            }
        }
        let Some(last) = slots.pop() else { return Ok(()) };
        if let Some(node) = self.at_mut(&slots) {
            node.children.retain(|(index, _)| *index != last);
        }
        // A shard of one entry is that entry, in the shard above it.
        while let Some(index) = slots.pop() {
            let Some(above) = self.at_mut(&slots) else { break };
            let Ok(at) = above.position(index) else { break };
            let Child::Below(below) = &mut above.children[at].1 else { break };
            match below.children.as_slice() {
                [] => {
                    above.children.remove(at);
                }
                // A very long name stays where there is room for it.
                [(_, Child::Entry(leaf))] if leaf.name.len() <= MAX_NAME => {
                    above.children[at].1 = Child::Entry(leaf.clone());
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// The shard below these indices, which is about to change.
    fn at_mut(&mut self, slots: &[u16]) -> Option<&mut Self> {
        let mut node = self;
        node.sealed = None;
        for slot in slots {
            let at = node.position(*slot).ok()?;
            let Child::Below(below) = &mut node.children[at].1 else { return None };
            node = Arc::make_mut(below);
            node.sealed = None;
        }
        Some(node)
    }

    pub(super) fn list(&self, after: &Cursor, max: usize, fanout: usize) -> Result<Vec<Entry>, DirError> {
        let hash = after.0.as_ref().map_or(0, |(hash, _)| *hash);
        let start = |shard: &Self, depth: u32, at_cursor: bool| match slot(hash, depth, fanout) {
            Some(slot) if at_cursor => shard.children.partition_point(|(at, _)| *at < slot),
            _ => 0,
        };
        let root = Frame { shard: self, next: start(self, 0, true), path: 0, depth: 0, at_cursor: true };
        let (mut stack, mut out) = (vec![root], Vec::new());
        while let Some(frame) = stack.last_mut()
            && out.len() < max
        {
            let Some((index, child)) = frame.shard.children.get(frame.next) else {
                stack.pop();
                continue;
            };
            let at_cursor = frame.at_cursor && slot(hash, frame.depth, fanout) == Some(*index);
            match child {
                Child::Entry(leaf) => {
                    if !at_cursor
                        || after.0.as_ref().is_none_or(|(hash, name)| {
                            (hash_name(&leaf.name), leaf.name.as_ref()) > (*hash, name.as_ref())
                        })
                    {
                        out.push((Bytes::copy_from_slice(&leaf.name), leaf.link));
                    }
                    frame.next += 1;
                }
                Child::Below(below) => {
                    let depth = frame.depth + 1;
                    let path = frame.path << fanout.trailing_zeros() | u64::from(*index);
                    frame.next += 1;
                    stack.push(Frame { shard: below, next: start(below, depth, at_cursor), path, depth, at_cursor });
                }
                Child::Sealed(_) if !out.is_empty() => break,
                Child::Sealed(_) => return Err(DirError::Missing(frame.wanted(fanout))),
            }
        }
        Ok(out)
    }

    /// Goes through what is in memory, until `visit` says that it is enough; answers some shards that were passed over: of
    /// the uppermost, since they have the most entries.
    pub(super) fn walk(&self, fanout: usize, visit: &mut dyn FnMut(&[u8], &Option<Link>) -> bool) -> Vec<Want> {
        let mut wanted = Vec::new();
        let mut stack = vec![Frame { shard: self, next: 0, path: 0, depth: 0, at_cursor: false }];
        while let Some(frame) = stack.last_mut() {
            let Some((index, child)) = frame.shard.children.get(frame.next) else {
                stack.pop();
                continue;
            };
            frame.next += 1;
            let (path, depth) = (frame.path << fanout.trailing_zeros() | u64::from(*index), frame.depth + 1);
            match child {
                Child::Entry(leaf) => {
                    if !visit(&leaf.name, &leaf.link) {
                        break;
                    }
                }
                Child::Below(shard) => stack.push(Frame { shard, next: 0, path, depth, at_cursor: false }),
                Child::Sealed(link) => {
                    if wanted.first().is_some_and(|want: &Want| want.depth > depth) {
                        wanted.clear();
                    }
                    if wanted.len() < WANTED && wanted.first().is_none_or(|want| want.depth == depth) {
                        wanted.push(Want { cid: link.cid, path, depth });
                    }
                }
            }
        }
        wanted
    }

    /// Entries and shards in memory.
    pub(super) fn count(&self) -> usize {
        let (mut count, mut stack) = (0, vec![self]);
        while let Some(shard) = stack.pop() {
            count += shard.children.len();
            stack.extend(shard.children.iter().filter_map(|(_, child)| match child {
                Child::Below(below) => Some(below.as_ref()),
                _ => None,
            }));
        }
        count
    }

    /// Puts a shard where it was asked for; answers how many children it has.
    pub(super) fn place(&mut self, want: &Want, shard: Self, fanout: usize) -> usize {
        let width = fanout.trailing_zeros();
        let mut node = self;
        for above in (0..want.depth).rev() {
            let slot = u16::try_from(want.path >> (above * width) & (fanout as u64 - 1)).unwrap_or_default();
            let Ok(at) = node.position(slot) else { return 0 };
            let child = &mut node.children[at].1;
            match child {
                Child::Below(below) => node = Arc::make_mut(below),
                Child::Sealed(link) if above == 0 && shard.sealed.is_some_and(|own| own.cid == link.cid) => {
                    let count = shard.children.len();
                    // What the parent says of its size stays: the parent was not changed.
                    let sealed = Some(**link);
                    *child = Child::Below(Arc::new(Self { sealed, ..shard }));
                    return count;
                }
                _ => return 0,
            }
        }
        0
    }

    /// Forgets shards without changes below this one.
    pub(super) fn shrink(&mut self) {
        for (_, child) in &mut self.children {
            let Child::Below(below) = child else { continue };
            match below.sealed {
                Some(link) => *child = Child::Sealed(Box::new(link)),
                None => Arc::make_mut(below).shrink(),
            }
        }
    }
}

impl Child {
    fn sealed_cid(&self) -> Option<&Cid> {
        match self {
            Self::Sealed(link) => Some(&link.cid),
            Self::Entry(_) | Self::Below(_) => None,
        }
    }
}

impl Frame<'_> {
    /// The next shards that were not looked into, of this one.
    fn wanted(&self, fanout: usize) -> Vec<Want> {
        let width = fanout.trailing_zeros();
        let rest = &self.shard.children[self.next..];
        let sealed = rest.iter().filter_map(|(index, child)| match child {
            Child::Sealed(link) => {
                Some(Want { cid: link.cid, path: self.path << width | u64::from(*index), depth: self.depth + 1 })
            }
            _ => None,
        });
        sealed.take(WANTED).collect()
    }
}

/// A shard below the root: never empty, and as wide as the root.
pub(super) fn read_below(want: &Want, block: &Block, fanout: usize) -> Result<Shard, ReadError> {
    let reason = match entity::decode(block)?.1 {
        Entity::Shard(shard) if shard.fanout != fanout => {
            format!("a shard of width {} below one of width {fanout}", shard.fanout)
        }
        Entity::Shard(shard) if shard.links.is_empty() => "an empty shard".to_owned(),
        Entity::Shard(shard) => return Shard::read(block, shard, want.path, want.depth),
        _ => "a shard was expected here".to_owned(),
    };
    Err(ReadError::malformed(block.cid(), reason))
}

/// Bytes of the link of a new entry, at most.
fn entry_len(name: &[u8]) -> u64 {
    link_len(MAX_CID, name.len(), u64::MAX) as u64
}
