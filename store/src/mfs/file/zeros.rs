//! Blocks of zeros: each shape of a hole is made once per sealing, whatever its length, and told by its name when a file is
//! read.

use super::{
    MAX_LEN,
    shape::Shape,
    tree::{Child, Inner, Link},
};
use crate::{
    Block, Cid,
    unixfs::{
        BuildError, NodeWriter, leaf,
        node::{Data, Kind},
        profile::Profile,
    },
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Shapes that are remembered. Beyond them, all are made again.
const MAX_SHAPES: usize = 4096;
/// Profiles whose full trees of zeros are remembered. Beyond them, all are made again.
const MAX_PROFILES: usize = 16;

/// Names of the full trees of zeros of each profile, from the leaf up.
static FULL: Mutex<Vec<(Profile, Arc<[Cid]>)>> = Mutex::new(Vec::new());

/// Tells trees of zeros from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownZeros {
    profile: Profile,
    shape: Shape,
}

impl KnownZeros {
    pub(super) fn of(profile: &Profile) -> Self {
        Self { profile: *profile, shape: Shape::of(profile) }
    }

    /// Has the children of a node that are balanced trees of zeros counted as such: full ones, and a last one behind one of
    /// those.
    pub(super) fn find(&self, node: &mut Inner) {
        let count = node.children.len();
        if count < 2 {
            return;
        }
        let mut start = 0;
        for slot in 0..count {
            let size = node.ends[slot] - start;
            start = node.ends[slot];
            let Child::Sealed(link) = node.children[slot] else { continue };
            let last = slot + 1 == count;
            let height = match (self.full_height(size), slot.checked_sub(1).map(|before| &node.children[before])) {
                (Some(height), _) if self.full().get(height as usize) == Some(&link.cid) => Some(height),
                (_, Some(Child::Zeros(height))) if last && self.is_tail(*height, size, &link.cid) => Some(*height),
                _ => None,
            };
            if let Some(height) = height {
                node.children[slot] = Child::Zeros(height);
            }
        }
    }

    /// The height of a full tree of that size.
    fn full_height(&self, size: u64) -> Option<u32> {
        let height = self.shape.height_of(size);
        (self.shape.capacity(height) == size).then_some(height)
    }

    /// Whether that is the name of a tree of zeros that is not full.
    fn is_tail(&self, height: u32, size: u64, cid: &Cid) -> bool {
        let tree = ZeroTrees::new(self.profile, self.shape).tree(height, size, &mut Vec::new());
        size < self.shape.capacity(height) && tree.is_ok_and(|link| link.cid == *cid)
    }

    fn full(&self) -> Arc<[Cid]> {
        let mut known = FULL.lock();
        if let Some((_, names)) = known.iter().find(|(profile, _)| *profile == self.profile) {
            return Arc::clone(names);
        }
        let names: Arc<[Cid]> = self.make_full().into();
        if known.len() >= MAX_PROFILES {
            known.clear();
        }
        known.push((self.profile, Arc::clone(&names)));
        names
    }

    fn make_full(&self) -> Vec<Cid> {
        let (mut trees, mut names) = (ZeroTrees::new(self.profile, self.shape), Vec::new());
        for height in 0.. {
            let size = self.shape.capacity(height);
            // A node that fits into no block ends it as well.
            let tree = (size <= MAX_LEN).then(|| trees.tree(height, size, &mut Vec::new()));
            let Some(Ok(link)) = tree else { break };
            names.push(link.cid);
        }
        names
    }
}

/// Trees of zeros whose blocks were made.
pub(super) struct ZeroTrees {
    profile: Profile,
    shape: Shape,
    made: HashMap<(u32, u64), Link>,
}

impl ZeroTrees {
    pub(super) fn new(profile: Profile, shape: Shape) -> Self {
        Self { profile, shape, made: HashMap::new() }
    }

    /// The balanced tree of that height over so many zeros; its blocks go to `out` unless they did before.
    pub(super) fn tree(&mut self, height: u32, size: u64, out: &mut Vec<Block>) -> Result<Link, BuildError> {
        if let Some(&link) = self.made.get(&(height, size)) {
            return Ok(link);
        }
        if self.made.len() >= MAX_SHAPES {
            self.made.clear();
        }
        // All trees of a height are full but the last.
        let mut last = self.leaf(self.last_at(0, size), out)?;
        for height in 1..=height {
            let (each_size, last_size) = (self.shape.capacity(height - 1), self.last_at(height - 1, size));
            let many = (self.last_at(height, size) - last_size) / each_size;
            let each = if many > 0 { self.full(height - 1, out)? } else { last };
            last = self.node(height, (each, each_size, many), (last, last_size), out)?;
        }
        Ok(last)
    }

    /// Size of the last tree of that height among those that hold `size` zeros.
    fn last_at(&self, height: u32, size: u64) -> u64 {
        let capacity = self.shape.capacity(height);
        if size == 0 { 0 } else { (size - 1) % capacity + 1 }
    }

    fn full(&mut self, height: u32, out: &mut Vec<Block>) -> Result<Link, BuildError> {
        let mut link = self.leaf(self.shape.capacity(0), out)?;
        for height in 1..=height {
            let size = self.shape.capacity(height - 1);
            link = self.node(height, (link, size, self.shape.links as u64 - 1), (link, size), out)?;
        }
        Ok(link)
    }

    fn leaf(&mut self, size: u64, out: &mut Vec<Block>) -> Result<Link, BuildError> {
        if let Some(&link) = self.made.get(&(0, size)) {
            return Ok(link);
        }
        // At most a chunk.
        let zeros = Bytes::from(vec![0; size as usize]);
        let block = self.profile.seal_leaf(leaf::encode(&self.profile, zeros))?;
        let link = Link { cid: *block.cid(), tsize: block.data().len() as u64 };
        out.push(block);
        self.made.insert((0, size), link);
        Ok(link)
    }

    /// A node of `many` equal trees and a last one.
    fn node(
        &mut self,
        height: u32,
        (each, each_size, many): (Link, u64, u64),
        (last, last_size): (Link, u64),
        out: &mut Vec<Block>,
    ) -> Result<Link, BuildError> {
        let size = each_size * many + last_size;
        if let Some(&link) = self.made.get(&(height, size)) {
            return Ok(link);
        }
        let (mut links, mut data) = (NodeWriter::default(), Data::new(Kind::File));
        let cid = each.cid.to_bytes();
        for _ in 0..many {
            links.link(&cid, b"", b"", each.tsize);
            data.blocksizes.push(each_size);
        }
        links.link(&last.cid.to_bytes(), b"", b"", last.tsize);
        data.blocksizes.push(last_size);
        data.filesize = Some(size);
        let (block, tsize) = links.seal(&data, &self.profile)?;
        let link = Link { cid: *block.cid(), tsize };
        out.push(block);
        self.made.insert((height, size), link);
        Ok(link)
    }
}
