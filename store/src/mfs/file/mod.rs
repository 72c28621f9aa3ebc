//! A file whose content can be changed.
//!
//! A [`File`] mirrors the DAG of a UnixFS file as far as it was looked into. What has no changes is a CID; what was
//! written is bytes in memory, until [`File::seal`] makes blocks of it and of the nodes above it. So a change costs the
//! leaves that it touches and the path to the root, whatever the length of the file.
//!
//! What is written into an empty file has, sealed, the CID that `add` gives to the same content with the same profile,
//! in whatever order it was written, as long as the profile cuts by size and builds balanced trees. With another one,
//! leaves are of [`DEFAULT_CHUNK_SIZE`](crate::chunker::DEFAULT_CHUNK_SIZE) or the tree is balanced all the same: cuts
//! that depend on the bytes would move with every change. A file of another shape keeps its cuts where it is written
//! over, and grows by the profile.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | length | [`MAX_LEN`] | refused |
//! | levels | the reader's [`MAX_DEPTH`](crate::unixfs::reader::MAX_DEPTH) | refused |
//! | nodes and leaves without changes | `MAX_ENTRIES` children, `MAX_CLEAN` bytes | forgotten, and asked for again |
//! | bytes written | none here: see [`File::dirty_bytes`] | the caller calls [`File::write_back`], or stores what [`File::lot`] gives |
//!
//! Operations are synchronous. One that has to look into a block that is not at hand answers [`FileError::Need`]; repeated
//! with the block it comes further, and has changed nothing of the content before it succeeds.

mod behind;
mod copy;
mod load;
mod seal;
mod seek;
mod segments;
mod shape;
#[cfg(test)]
mod tests;
mod tree;
mod write;
mod zeros;

pub use behind::Lot;
pub use seek::Seek;
pub use segments::Segment;

use super::need::Need;
use crate::{
    StoreError,
    unixfs::{BuildError, ReadError, Root, meta::FileMeta, profile::Profile},
};
use behind::Run;
use bytes::Bytes;
use load::MAX_ENTRIES;
use shape::Shape;
use tree::{Child, Form, Leaf, Place, ROOT, Tree};
use zeros::KnownZeros;

/// Longest file in bytes, as the interfaces of operating systems have it.
pub const MAX_LEN: u64 = i64::MAX as u64;

/// Why an operation on a file was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// It has to be repeated with that block.
    #[error(transparent)]
    Need(#[from] Need),
    /// A block contradicts its format, or its parent.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A node can't be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The blocks were not taken.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file would be longer than [`MAX_LEN`].
    #[error("a file may not be longer than {MAX_LEN} bytes")]
    TooLong,
}

/// A file whose content can be changed.
#[derive(Debug, Clone)]
pub struct File {
    profile: Profile,
    shape: Shape,
    meta: FileMeta,
    tree: Tree,
    /// Whether the tree is balanced, with full leaves and nodes, for all that is known; then `height` is that of its root.
    /// What was not looked into may be of any shape.
    uniform: bool,
    height: u32,
    /// Tells trees of zeros by their names.
    zeros: KnownZeros,
    /// The file's blocks; `None` while there are changes.
    root: Option<Root>,
    /// Children in memory from which on it is worth looking for what can be forgotten.
    trim_from: usize,
    /// What is written from front to end.
    run: Run,
}

impl File {
    /// A file without content. The profile is expected to be valid.
    pub fn empty(profile: &Profile, meta: FileMeta) -> Self {
        let form = form_of(profile);
        Self {
            profile: *profile,
            shape: Shape::of(profile),
            meta: normal(meta),
            tree: Tree::new(Child::Leaf(Leaf::new(Bytes::new(), form)), 0),
            uniform: true,
            height: 0,
            zeros: KnownZeros::of(profile),
            root: None,
            trim_from: MAX_ENTRIES,
            run: Run::default(),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there are changes since the file was opened or sealed.
    pub fn is_dirty(&self) -> bool {
        self.root.is_none()
    }

    /// The file's blocks, if there are no changes since.
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// Bytes in memory that no block holds.
    pub fn dirty_bytes(&self) -> u64 {
        self.tree.dirty
    }

    /// Bytes of the content that are zeros which no block of their own holds, as far as it was looked into: all trees of
    /// zeros of one shape are the same blocks.
    pub fn holes(&mut self) -> u64 {
        self.tree.holes()
    }

    /// Permissions and modification time.
    pub fn meta(&self) -> FileMeta {
        self.meta
    }

    /// What new blocks are made by.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sets permissions and modification time. Permissions of zero are no permissions.
    pub fn set_meta(&mut self, meta: FileMeta) {
        let meta = normal(meta);
        if meta != self.meta {
            self.unmark_root();
            self.meta = meta;
            self.root = None;
        }
    }

    /// Forgets the block of a root that has the metadata in it: no parent may link to it.
    fn unmark_root(&mut self) {
        if let Child::Leaf(leaf) = self.tree.child(ROOT)
            && leaf.form == Form::Node
            && leaf.link.is_some()
        {
            let leaf = Leaf { link: None, ..leaf.clone() };
            self.tree.put(ROOT, Child::Leaf(leaf));
        }
    }

    /// Has the root made anew, although nothing may have changed: the file is put in the place of another one.
    pub(in crate::mfs) fn mark_changed(&mut self) {
        self.root = None;
    }

    /// How new leaves are kept.
    fn form(&self) -> Form {
        form_of(&self.profile)
    }

    /// Notes a change below a place.
    fn changed(&mut self, place: Place) {
        self.tree.touch(place.node);
        self.root = None;
    }

    /// Takes nodes of one child away from the top, as long as `which` wants that child for the root.
    fn collapse(&mut self, which: impl Fn(&Child) -> bool) {
        while let Child::Inner(id) = *self.tree.child(ROOT)
            && let [only] = self.tree.node(id).children.as_slice()
            && which(only)
        {
            let child = self.tree.swap(Place { node: id, slot: 0 }, Child::Zeros(0));
            self.tree.put(ROOT, child);
            self.height = self.height.saturating_sub(1);
        }
        let len = self.len();
        match self.tree.child(ROOT) {
            Child::Zeros(_) => {
                (self.uniform, self.height) = (true, self.shape.height_of(len));
                self.tree.put(ROOT, Child::Zeros(self.height));
            }
            Child::Leaf(_) | Child::Sealed(_) if len <= self.shape.chunk => (self.uniform, self.height) = (true, 0),
            Child::Leaf(_) | Child::Sealed(_) | Child::Inner(_) => {}
        }
    }
}

fn form_of(profile: &Profile) -> Form {
    if profile.raw_leaves { Form::Raw } else { Form::Node }
}

/// A mode of zero counts as none, and bits that are not permissions are dropped.
fn normal(meta: FileMeta) -> FileMeta {
    FileMeta { mode: meta.mode.map(|mode| mode & 0o7777).filter(|&mode| mode != 0), ..meta }
}
