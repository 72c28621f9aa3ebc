//! Blocks of zeros: each shape of a hole is made once per sealing, whatever its length.

use super::{shape::Shape, tree::Link};
use crate::{
    Block,
    unixfs::{
        BuildError, NodeWriter, leaf,
        node::{Data, Kind},
        profile::Profile,
    },
};
use bytes::Bytes;
use std::collections::HashMap;

/// Shapes that are remembered. Beyond them, all are made again.
const MAX_SHAPES: usize = 4096;

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
