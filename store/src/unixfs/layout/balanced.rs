//! Balanced trees: every leaf at one depth, every node but the last of a level full.

use super::{Child, Inner};
use crate::{
    Block,
    unixfs::{
        meta::FileMeta,
        profile::Profile,
        writer::{BuildError, Root},
    },
};

/// One unfinished node for each level, the one over the leaves first. A full node is closed only when its
/// successor is needed, so the topmost one is the root whenever the leaves end, and has more than one link.
#[derive(Debug, Default)]
pub(super) struct Balanced {
    levels: Vec<Inner>,
}

impl Balanced {
    pub(super) fn push(&mut self, leaf: Child, profile: &Profile, out: &mut Vec<Block>) -> Result<(), BuildError> {
        self.push_at(0, leaf, profile, out)
    }

    fn push_at(
        &mut self,
        mut level: usize,
        mut child: Child,
        profile: &Profile,
        out: &mut Vec<Block>,
    ) -> Result<(), BuildError> {
        loop {
            if level == self.levels.len() {
                self.levels.push(Inner::default());
            }
            let node = &mut self.levels[level];
            if node.len() < profile.max_file_links {
                node.add(&child);
                return Ok(());
            }
            let full = std::mem::take(node);
            node.add(&child);
            child = full.seal(profile, out)?;
            level += 1;
        }
    }

    pub(super) fn finish(
        mut self,
        meta: FileMeta,
        profile: &Profile,
        out: &mut Vec<Block>,
    ) -> Result<Root, BuildError> {
        let mut level = 0;
        while level + 1 < self.levels.len() {
            let child = std::mem::take(&mut self.levels[level]).seal(profile, out)?;
            level += 1;
            self.push_at(level, child, profile, out)?;
        }
        self.levels.pop().unwrap_or_default().seal_root(meta, profile, out)
    }
}
