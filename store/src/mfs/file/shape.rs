//! Where a balanced tree has its nodes: arithmetic only.

use crate::{
    chunker::{ChunkerSpec, DEFAULT_CHUNK_SIZE},
    unixfs::profile::Profile,
};

/// Sizes of a balanced tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of a full leaf.
    pub(super) chunk: u64,
    /// Links of a full node.
    pub(super) links: usize,
}

impl Shape {
    /// That of files which are written by the profile. Where it cuts by content, the default size is taken: a cut that
    /// depends on the bytes would move with every change.
    pub(super) fn of(profile: &Profile) -> Self {
        let chunk = match profile.chunker {
            ChunkerSpec::Size(size) => size.max(1),
            ChunkerSpec::Rabin { .. } | ChunkerSpec::Buzhash => DEFAULT_CHUNK_SIZE,
        };
        // A balanced tree of one-link nodes never holds a second leaf; only trickle profiles may ask for it.
        Self { chunk: chunk as u64, links: profile.max_file_links.max(2) }
    }

    /// Most bytes below a node with leaves that many levels below it; a leaf has height 0.
    pub(super) fn capacity(self, height: u32) -> u64 {
        (self.links as u64).saturating_pow(height).saturating_mul(self.chunk)
    }

    /// Height of the root of a file of that length.
    pub(super) fn height_of(self, len: u64) -> u32 {
        let mut height = 0;
        while self.capacity(height) < len {
            height += 1;
        }
        height
    }

    /// Whether the children of a node of that height end where they would in a balanced tree.
    pub(super) fn fits(self, height: u32, ends: &[u64]) -> bool {
        let (Some((&len, rest)), Some(below)) = (ends.split_last(), height.checked_sub(1)) else { return false };
        let step = self.capacity(below);
        let full = rest.iter().zip(1u64..).all(|(&end, n)| step.checked_mul(n) == Some(end));
        full && ends.len() <= self.links && len.div_ceil(step) == ends.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_and_capacities() {
        let shape = Shape { chunk: 10, links: 3 };
        assert_eq!([0, 1, 2].map(|h| shape.capacity(h)), [10, 30, 90]);
        assert_eq!([0, 1, 10, 11, 30, 31, 90, 91].map(|n| shape.height_of(n)), [0, 0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(Shape { chunk: 1 << 20, links: 1024 }.capacity(60), u64::MAX);
        assert!(shape.height_of(u64::MAX) < 64);
    }

    #[test]
    fn nodes_of_balanced_trees_are_told() {
        let shape = Shape { chunk: 10, links: 3 };
        for (height, ends) in
            [(1, &[10, 20][..]), (1, &[10, 11]), (2, &[30, 60, 61]), (2, &[30, 31]), (1, &[10]), (2, &[9])]
        {
            assert!(shape.fits(height, ends), "{ends:?}");
        }
        for (height, ends) in [
            (1, &[][..]),
            (0, &[10]),
            (1, &[9, 19]),
            (1, &[10, 20, 30, 31]),
            (2, &[30, 61, 62]),
            (1, &[10, 30]),
            (1, &[11]),
        ] {
            assert!(!shape.fits(height, ends), "{ends:?}");
        }
    }
}
