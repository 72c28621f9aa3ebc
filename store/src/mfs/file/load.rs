//! Looking into blocks: from a CID to a leaf or a node of the mirror.

use super::{
    File, FileError,
    shape::Shape,
    tree::{Child, Form, Inner, Leaf, Link, Place, ROOT, Spot, Tree},
};
use crate::{
    Block, Cid,
    cid::codec,
    dag::pb::PbNode,
    hash::HashFn,
    mfs::need::{Blocks, NEEDED, Need},
    unixfs::{
        ReadError,
        entity::{self, Entity, FileNode},
        meta::FileMeta,
        profile::Profile,
        reader::{MAX_DEPTH, MAX_PARTS},
    },
};
use ::cid::Version;
use std::ops::Range;

/// Children of nodes that were looked into, about 200 bytes each. Beyond them, nodes without changes are forgotten.
pub(super) const MAX_ENTRIES: usize = 1 << 16;
/// Bytes of leaves without changes. Beyond them, such leaves are forgotten.
pub(super) const MAX_CLEAN: u64 = 4 << 20;
/// Longest leaf that is made in place of one that is written over without being looked into.
const MAX_NEW_LEAF: u64 = 1 << 20;

/// What is wanted of the children in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// All of the bytes change: leaves that are wholly in the range need not be known.
    Leaves,
    /// All becomes zeros: trees that are wholly in the range need not be known.
    Trees,
    /// The bytes themselves.
    Bytes,
}

/// A block of a file.
struct Decoded {
    meta: FileMeta,
    child: Result<Leaf, Inner>,
    size: u64,
    /// Bytes of all blocks, as the block says.
    tsize: u64,
}

fn decode(block: &Block, link: Link) -> Result<Decoded, ReadError> {
    let cid = block.cid();
    if cid.codec() == codec::RAW {
        let leaf = Leaf { bytes: block.data().clone(), form: Form::Raw, link: Some(link) };
        return Ok(Decoded { meta: FileMeta::NONE, size: leaf.bytes.len() as u64, tsize: link.tsize, child: Ok(leaf) });
    }
    if cid.codec() != codec::DAG_PB {
        return Err(ReadError::NotUnixfs { cid: Box::new(*cid), code: cid.codec() });
    }
    let node = PbNode::decode(block.data()).map_err(|e| ReadError::malformed(cid, e.to_string()))?;
    let tsizes: Vec<u64> = node.links.iter().map(|link| link.tsize.unwrap_or_default()).collect();
    let tsize = tsizes.iter().fold(block.data().len() as u64, |sum, &n| sum.saturating_add(n));
    let (meta, entity) = entity::decode_node(cid, node)?;
    let FileNode { data, children, size } = match entity {
        Entity::File(node) => node,
        Entity::Symlink(_) => return Err(ReadError::IsSymlink(Box::new(*cid))),
        Entity::Directory(_) | Entity::Shard(_) => return Err(ReadError::IsDirectory(Box::new(*cid))),
    };
    if children.len() > MAX_PARTS {
        let reason = format!("the node has more than {MAX_PARTS} parts");
        return Err(ReadError::Unreasonable { cid: Box::new(*cid), reason });
    }
    let mut inner = Inner::new();
    inner.link = Some(link);
    let parts = children.into_iter().zip(tsizes).filter(|(part, _)| part.size > 0);
    if !data.is_empty() {
        inner.push(Child::Leaf(Leaf::new(data.clone(), Form::Inline)), data.len() as u64);
    }
    for (part, tsize) in parts {
        inner.push(Child::Sealed(Link { cid: part.cid, tsize }), part.size);
    }
    let only_data = inner.size() == data.len() as u64;
    let child = if only_data { Ok(Leaf { bytes: data, form: Form::Node, link: Some(link) }) } else { Err(inner) };
    Ok(Decoded { meta, child, size, tsize })
}

/// The profile by which a file with that root goes on: version, hash function and kind of leaves are the file's own.
fn profile_of(profile: &Profile, block: &Block, child: &Result<Leaf, Inner>) -> Profile {
    let mut own = *profile;
    let cid = block.cid();
    let mut by_version = profile.raw_leaves;
    // A CID that has the block in it says nothing of the others.
    if cid.hash().code() != HashFn::IDENTITY.code() {
        own.hash = HashFn::from_code(cid.hash().code()).unwrap_or(own.hash);
        if cid.codec() == codec::DAG_PB && cid.version() != profile.cid_version {
            own.cid_version = cid.version();
            by_version = own.cid_version == Version::V1;
        }
        if own.hash != HashFn::SHA2_256 {
            own.cid_version = Version::V1;
        }
    }
    own.raw_leaves = match child {
        Ok(leaf) if leaf.form == Form::Raw => true,
        Ok(leaf) if !leaf.bytes.is_empty() => false,
        Err(inner) if inner.children.iter().any(is_raw) => true,
        Ok(_) | Err(_) => by_version,
    };
    own
}

/// Whether a leaf or node is what a balanced tree has at that height.
fn fits(shape: Shape, height: u32, child: &Result<Leaf, Inner>) -> bool {
    match child {
        Ok(_) => height == 0,
        Err(inner) => !matches!(inner.children.first(), Some(Child::Leaf(_))) && shape.fits(height, &inner.ends),
    }
}

fn is_raw(child: &Child) -> bool {
    matches!(child, Child::Sealed(link) if link.cid.codec() == codec::RAW)
}

impl File {
    /// Opens the file with that root: a UnixFS file of any shape, or a raw block. It goes on with the CID version, the
    /// hash function and the kind of leaves that it has, and with the profile's chunk size and links per node.
    ///
    /// # Errors
    /// When the block is no file, or malformed.
    pub fn from_block(profile: &Profile, block: &Block) -> Result<Self, ReadError> {
        let link = Link { cid: *block.cid(), tsize: block.data().len() as u64 };
        let Decoded { meta, mut child, size, tsize } = decode(block, link)?;
        if let Err(inner) = &mut child {
            // The block has the metadata in it: it is not what a parent would link to.
            inner.link = meta.is_empty().then_some(Link { tsize, ..link });
        }
        let profile = profile_of(profile, block, &child);
        let shape = Shape::of(&profile);
        let uniform = fits(shape, shape.height_of(size), &child);
        let mut file = Self::empty(&profile, meta);
        let root = crate::unixfs::Root { cid: link.cid, tsize, file_size: size };
        file.root = Some(root);
        match child {
            Ok(leaf) => {
                // An empty one says nothing of how leaves are kept.
                let leaf = if size == 0 { Leaf::new(leaf.bytes, file.form()) } else { leaf };
                file.tree = Tree::new(Child::Leaf(leaf), size);
                file.uniform = uniform;
            }
            Err(mut inner) => {
                file.zeros.find(&mut inner);
                file.tree = Tree::new(Child::Zeros(0), size);
                let id = file.tree.insert(inner, ROOT);
                file.tree.put(ROOT, Child::Inner(id));
                file.uniform = uniform;
                file.height = shape.height_of(size);
                // Metadata over a raw leaf puts a node above it, which is not part of the content.
                file.collapse(is_raw);
            }
        }
        Ok(file)
    }

    /// The height of a child at that depth, where the tree is balanced.
    pub(super) fn height_at(&self, depth: u32) -> Option<u32> {
        self.uniform.then(|| self.height.saturating_sub(depth))
    }

    /// Looks into a child: afterwards it is a leaf in memory, or a node.
    pub(super) fn open(&mut self, spot: &Spot, blocks: &dyn Blocks) -> Result<(), FileError> {
        match *self.tree.child(spot.place) {
            Child::Sealed(link) => {
                let block = blocks.block(&link.cid).ok_or_else(|| Need::from(link.cid))?;
                self.opened(spot, &block, link)?;
            }
            Child::Zeros(_) | Child::Leaf(_) | Child::Inner(_) => {
                self.expand(spot);
            }
        }
        Ok(())
    }

    /// Makes a node of a tree of zeros, if it is one.
    pub(super) fn expand(&mut self, spot: &Spot) -> bool {
        let Child::Zeros(height @ 1..) = *self.tree.child(spot.place) else { return false };
        let inner = self.zeros(height, spot.size);
        self.hang(spot.place, inner);
        true
    }

    fn opened(&mut self, spot: &Spot, block: &Block, link: Link) -> Result<(), FileError> {
        let decoded = decode(block, link).map_err(|error| match error {
            ReadError::IsDirectory(cid) | ReadError::IsSymlink(cid) => {
                ReadError::malformed(&cid, "a part of a file that is no file")
            }
            other => other,
        })?;
        if decoded.size != spot.size {
            let (has, wants) = (decoded.size, spot.size);
            let reason = format!("it holds {has} bytes where its parent declares {wants}");
            return Err(ReadError::malformed(&link.cid, reason).into());
        }
        if self.height_at(spot.depth).is_some_and(|height| !fits(self.shape, height, &decoded.child)) {
            self.uniform = false;
        }
        match decoded.child {
            Ok(leaf) => {
                self.tree.put(spot.place, Child::Leaf(leaf));
                self.tree.recount(spot.place.node);
            }
            Err(_) if spot.depth as usize >= MAX_DEPTH => {
                let reason = format!("the file is more than {MAX_DEPTH} levels deep");
                return Err(ReadError::Unreasonable { cid: Box::new(link.cid), reason }.into());
            }
            Err(mut inner) => {
                self.zeros.find(&mut inner);
                self.hang(spot.place, inner);
            }
        }
        Ok(())
    }

    fn hang(&mut self, place: Place, inner: Inner) {
        let id = self.tree.insert(inner, place);
        self.tree.put(place, Child::Inner(id));
        self.tree.recount(place.node);
    }

    /// A node of that height over zeros.
    fn zeros(&self, height: u32, size: u64) -> Inner {
        let step = self.shape.capacity(height - 1);
        let mut inner = Inner::new();
        while inner.size() < size {
            inner.push(Child::Zeros(height - 1), step.min(size - inner.size()));
        }
        inner
    }

    /// Looks into all that has to be known before the bytes of a range, which ends at the end of the file at the latest,
    /// can be changed. What is missing is asked for together.
    pub(super) fn prepare(&mut self, range: &Range<u64>, want: Want, blocks: &dyn Blocks) -> Result<(), FileError> {
        let mut at = range.start;
        let mut missing: Vec<Cid> = Vec::new();
        while at < range.end && missing.len() < NEEDED {
            let within = |spot: &Spot| spot.start >= range.start && spot.end() <= range.end;
            let spot = self.tree.spot(at, |_, spot| want == Want::Trees && within(spot));
            let skip = match self.tree.child(spot.place) {
                Child::Leaf(_) | Child::Inner(_) | Child::Zeros(0) => true,
                Child::Zeros(_) => want != Want::Leaves,
                Child::Sealed(link) => match want {
                    Want::Trees => within(&spot),
                    Want::Leaves => within(&spot) && self.is_leaf(link, &spot) && spot.size <= MAX_NEW_LEAF,
                    Want::Bytes => false,
                },
            };
            if skip {
                at = spot.end();
                continue;
            }
            match self.open(&spot, blocks) {
                Ok(()) => {}
                Err(FileError::Need(need)) => {
                    missing.extend(need.0.into_iter().filter(|cid| !missing.contains(cid)).collect::<Vec<_>>());
                    at = spot.end();
                }
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Need(missing).into()) }
    }

    /// Whether a child is a leaf for all that is known of it.
    pub(super) fn is_leaf(&self, link: &Link, spot: &Spot) -> bool {
        link.cid.codec() == codec::RAW || self.height_at(spot.depth) == Some(0)
    }

    /// Forgets what has no changes, when it is much.
    pub(super) fn trim(&mut self) {
        if self.tree.entries <= self.trim_from && self.tree.clean <= MAX_CLEAN {
            return;
        }
        // The root's own block may be without its metadata, so what is below it is looked at.
        let mut todo = vec![ROOT];
        while let Some(place) = todo.pop() {
            let child = self.tree.child(place);
            match self.tree.link(child) {
                Some(link) if place != ROOT => self.tree.put(place, Child::Sealed(link)),
                _ => {
                    if let Child::Inner(id) = *child {
                        todo.extend((0..self.tree.node(id).children.len()).map(|slot| Place { node: id, slot }));
                    }
                }
            }
        }
        // What has changes stays until it is sealed: not all of it is looked at again for every write.
        self.trim_from = MAX_ENTRIES.max(2 * self.tree.entries);
    }
}
