//! Trickle trees: a node holds leaves first, then subtrees of depth 1, 2, 3 …, four of each; the root without
//! end, a subtree of depth `d` only such below `d`.

use super::{Child, Inner};
use crate::{
    Block,
    unixfs::{
        meta::FileMeta,
        profile::Profile,
        writer::{BuildError, Root},
    },
};

/// Subtrees of each depth.
const REPEAT: usize = 4;

/// The nodes from the root to where the next leaf goes.
#[derive(Debug, Default)]
pub(super) struct Trickle {
    root: Open,
    path: Vec<Open>,
}

#[derive(Debug, Default)]
struct Open {
    node: Inner,
    leaves: usize,
    subtrees: usize,
    /// Subtrees must be shallower than that; 0 for the root, which has no such bound.
    bound: usize,
}

impl Open {
    /// Depth of the next subtree, or `None` when the node takes no more.
    fn next_depth(&self) -> Option<usize> {
        let depth = self.subtrees / REPEAT + 1;
        (self.bound == 0 || depth < self.bound).then_some(depth)
    }
}

impl Trickle {
    pub(super) fn push(&mut self, leaf: &Child, profile: &Profile, out: &mut Vec<Block>) -> Result<(), BuildError> {
        // Each turn closes a node or opens the one that takes the leaf.
        loop {
            let top = self.path.last_mut().unwrap_or(&mut self.root);
            if top.leaves < profile.max_file_links {
                top.node.add(leaf);
                top.leaves += 1;
                return Ok(());
            }
            match top.next_depth() {
                Some(depth) => {
                    top.subtrees += 1;
                    self.path.push(Open { bound: depth, ..Open::default() });
                }
                None => self.close(profile, out)?,
            }
        }
    }

    /// Closes the lowest node below the root.
    fn close(&mut self, profile: &Profile, out: &mut Vec<Block>) -> Result<(), BuildError> {
        if let Some(full) = self.path.pop() {
            let child = full.node.seal(profile, out)?;
            self.path.last_mut().unwrap_or(&mut self.root).node.add(&child);
        }
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        meta: FileMeta,
        profile: &Profile,
        out: &mut Vec<Block>,
    ) -> Result<Root, BuildError> {
        while !self.path.is_empty() {
            self.close(profile, out)?;
        }
        self.root.node.seal_root(meta, profile, out)
    }
}
