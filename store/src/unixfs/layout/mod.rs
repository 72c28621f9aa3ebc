//! The tree over a file's leaves, built while the leaves come.

mod balanced;
mod trickle;

use super::{
    leaf::{self, Leaf},
    meta::FileMeta,
    node::{Data, Kind},
    profile::{Layout, Profile},
    writer::{BuildError, NodeWriter, Root},
};
use crate::{Block, dag::pb::PbNode};
use bytes::Bytes;

/// Builds the tree of one file. Leaves come in order; every block goes to `out` as soon as it is final, so that
/// memory does not grow with the file: one unfinished node for each level of the tree, and the first leaf
/// until the second one shows that it is not the root.
#[derive(Debug)]
pub struct LayoutBuilder {
    profile: Profile,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    /// Nothing yet.
    Empty,
    /// One leaf, which may be the root.
    Single(Leaf),
    Balanced(balanced::Balanced),
    Trickle(trickle::Trickle),
}

impl LayoutBuilder {
    /// A builder for one file. The profile is expected to be valid.
    pub fn new(profile: &Profile) -> Self {
        let shape = match profile.layout {
            Layout::Balanced => Shape::Empty,
            Layout::Trickle => Shape::Trickle(trickle::Trickle::default()),
        };
        Self { profile: *profile, shape }
    }

    /// Appends a leaf.
    ///
    /// # Errors
    /// When an inner node can't be made; the builder is of no use then.
    pub fn push(&mut self, leaf: Leaf, out: &mut Vec<Block>) -> Result<(), BuildError> {
        match &mut self.shape {
            Shape::Empty => {
                self.shape = Shape::Single(leaf);
                return Ok(());
            }
            Shape::Single(_) => {
                let tree = Shape::Balanced(balanced::Balanced::default());
                if let Shape::Single(first) = std::mem::replace(&mut self.shape, tree) {
                    self.push(first, out)?;
                }
                return self.push(leaf, out);
            }
            Shape::Balanced(tree) => tree.push(Child::leaf(&leaf), &self.profile, out)?,
            Shape::Trickle(tree) => tree.push(&Child::leaf(&leaf), &self.profile, out)?,
        }
        out.push(leaf.block);
        Ok(())
    }

    /// Ends the file. Metadata goes into the root; over a single raw leaf, which has no place for it, a node is
    /// put. A mode of 0 counts as none.
    ///
    /// # Errors
    /// When an inner node can't be made.
    pub fn finish(self, meta: FileMeta, out: &mut Vec<Block>) -> Result<Root, BuildError> {
        let profile = &self.profile;
        let meta = FileMeta { mode: meta.mode.filter(|mode| mode & 0o7777 != 0), ..meta };
        let single = match self.shape {
            Shape::Balanced(tree) => return tree.finish(meta, profile, out),
            Shape::Trickle(tree) => return tree.finish(meta, profile, out),
            Shape::Single(leaf) => leaf,
            Shape::Empty => {
                let data = leaf::encode(profile, Bytes::new());
                Leaf { block: profile.seal_leaf(data)?, file_size: 0 }
            }
        };
        finish_single(single, meta, profile, out)
    }
}

fn finish_single(leaf: Leaf, meta: FileMeta, profile: &Profile, out: &mut Vec<Block>) -> Result<Root, BuildError> {
    let Leaf { block, file_size } = leaf;
    if meta.is_empty() {
        let root = Root { cid: *block.cid(), tsize: block.data().len() as u64, file_size };
        out.push(block);
        return Ok(root);
    }
    if profile.raw_leaves {
        let mut node = Inner::default();
        node.add(&Child::leaf(&Leaf { block: block.clone(), file_size }));
        out.push(block);
        return node.seal_root(meta, profile, out);
    }
    let message = PbNode::decode(block.data()).ok().and_then(|node| Data::decode(&node.data?).ok());
    let mut message = message.ok_or(BuildError::NotALeaf)?;
    meta.apply(&mut message);
    let (block, tsize) = NodeWriter::default().seal(&message, profile)?;
    let root = Root { cid: *block.cid(), tsize, file_size };
    out.push(block);
    Ok(root)
}

/// What a parent needs to know of a child.
#[derive(Debug)]
struct Child {
    cid: Vec<u8>,
    tsize: u64,
    file_size: u64,
}

impl Child {
    fn leaf(leaf: &Leaf) -> Self {
        Self { cid: leaf.block.cid().to_bytes(), tsize: leaf.block.data().len() as u64, file_size: leaf.file_size }
    }
}

/// An inner node being filled.
#[derive(Debug, Default)]
struct Inner {
    links: NodeWriter,
    sizes: Vec<u64>,
    file_size: u64,
}

impl Inner {
    fn add(&mut self, child: &Child) {
        self.links.link(&child.cid, b"", b"", child.tsize);
        self.sizes.push(child.file_size);
        self.file_size = self.file_size.saturating_add(child.file_size);
    }

    fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Emits the node; answers what its parent needs.
    fn seal(self, profile: &Profile, out: &mut Vec<Block>) -> Result<Child, BuildError> {
        let root = self.seal_root(FileMeta::NONE, profile, out)?;
        Ok(Child { cid: root.cid.to_bytes(), tsize: root.tsize, file_size: root.file_size })
    }

    fn seal_root(self, meta: FileMeta, profile: &Profile, out: &mut Vec<Block>) -> Result<Root, BuildError> {
        let mut data = Data::new(Kind::File);
        data.filesize = Some(self.file_size);
        data.blocksizes = self.sizes;
        meta.apply(&mut data);
        let (block, tsize) = self.links.seal(&data, profile)?;
        let root = Root { cid: *block.cid(), tsize, file_size: self.file_size };
        out.push(block);
        Ok(root)
    }
}
