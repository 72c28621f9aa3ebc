//! From bytes in memory to blocks.

use super::{
    File, FileError,
    shape::Shape,
    tree::{Child, Form, Id, Inner, Leaf, Link, Place, ROOT, Tree},
    zeros::ZeroTrees,
};
use crate::{
    Block, StoreError,
    block::MAX_BLOCK_SIZE,
    cid::codec,
    dag::pb::PbNode,
    mfs::need::Blocks,
    unixfs::{
        BuildError, NodeWriter, Root, leaf,
        meta::FileMeta,
        node::{Data, Kind},
        profile::Profile,
    },
};
use bytes::Bytes;
use std::{collections::HashMap, thread};

/// Bytes of leaves that are hashed at once.
const BATCH_BYTES: u64 = 4 << 20;
/// Bytes of leaves from which on another thread is worth starting, for each.
const THREAD_BYTES: usize = 1 << 20;
/// Threads that hash, at most.
const MAX_THREADS: usize = 8;
/// Leaves that are hashed at once.
pub(super) const BATCH_LEAVES: usize = 1024;
/// Blocks of nodes that are handed over at once.
const BATCH_NODES: usize = 256;

/// Bytes that metadata takes in a node, at most.
const META_ROOM: usize = 32;

/// Where blocks go. None of them is relied upon before it answers: what was not taken stays in memory.
pub type Sink<'a> = dyn FnMut(Vec<Block>) -> Result<(), StoreError> + 'a;

impl File {
    /// Makes blocks of all changes; those of a part come before the one that links to them. Afterwards nothing is
    /// dirty, and the memory of what was written is released.
    ///
    /// # Errors
    /// When the sink refuses, a node can't be made, or a block is needed to put metadata into it. What was handed over
    /// is kept; it may be tried again.
    pub fn seal(&mut self, blocks: &dyn Blocks, sink: &mut Sink<'_>) -> Result<Root, FileError> {
        if let Some(root) = self.root {
            return Ok(root);
        }
        self.prepare_root(blocks)?;
        let root = Sealer::new(self, false, sink).root()?;
        self.root = Some(root);
        self.trim();
        Ok(root)
    }

    /// Makes blocks of all changes but those on the way to the end of the file, where more may be written, and releases
    /// their memory. The file stays dirty.
    ///
    /// # Errors
    /// As [`File::seal`].
    pub fn write_back(&mut self, sink: &mut Sink<'_>) -> Result<(), FileError> {
        if self.root.is_none() {
            Sealer::new(self, true, sink).below()?;
            self.trim();
        }
        Ok(())
    }

    /// Looks into what has to be known to put metadata into the root, and refuses metadata that does not fit into it: a
    /// file that takes it can be sealed without any other block.
    ///
    /// # Errors
    /// As [`File::seal`].
    pub fn prepare_meta(&mut self, meta: FileMeta, blocks: &dyn Blocks) -> Result<(), FileError> {
        if meta.is_empty() {
            return Ok(());
        }
        self.open_root(blocks)?;
        let Child::Leaf(Leaf { bytes, form: Form::Node, .. }) = self.tree.child(ROOT) else { return Ok(()) };
        if bytes.len() + leaf::HEAD_ROOM + leaf::TAIL_ROOM + META_ROOM > MAX_BLOCK_SIZE {
            let data = leaf_data(bytes, meta).encode();
            let len = PbNode { links: Vec::new(), data: Some(data.into()) }.encode().len();
            if len > MAX_BLOCK_SIZE {
                return Err(BuildError::NodeTooLarge(len).into());
            }
        }
        Ok(())
    }

    /// Looks into a root that metadata may have to go into.
    pub(super) fn open_root(&mut self, blocks: &dyn Blocks) -> Result<(), FileError> {
        match *self.tree.child(ROOT) {
            Child::Sealed(link) if link.cid.codec() != codec::RAW => {
                let root = self.tree.root();
                self.open(&root, blocks)
            }
            _ => Ok(()),
        }
    }

    /// Has a root in memory if metadata goes into it.
    fn prepare_root(&mut self, blocks: &dyn Blocks) -> Result<(), FileError> {
        if self.meta.is_empty() {
            return Ok(());
        }
        self.open_root(blocks)?;
        let root = self.tree.root();
        match *self.tree.child(ROOT) {
            Child::Zeros(0) if self.form() == Form::Node => {
                let zeros = Bytes::from(vec![0; root.size as usize]);
                self.tree.put(ROOT, Child::Leaf(Leaf::new(zeros, Form::Node)));
            }
            Child::Zeros(_) => {
                self.expand(&root);
            }
            Child::Sealed(_) | Child::Leaf(_) | Child::Inner(_) => {}
        }
        Ok(())
    }
}

/// The UnixFS message of a file in one node.
fn leaf_data(bytes: &Bytes, meta: FileMeta) -> Data {
    let mut data = Data::new(Kind::File);
    data.data = (!bytes.is_empty()).then(|| bytes.clone());
    data.filesize = Some(bytes.len() as u64);
    meta.apply(&mut data);
    data
}

/// The blocks of leaves, hashed on as many threads as their length is worth.
fn hashed(profile: &Profile, leaves: &[Bytes]) -> Result<Vec<Block>, BuildError> {
    let work = |leaves: &[Bytes]| {
        let encoded = leaves.iter().map(|data| leaf::encode(profile, data.clone())).collect();
        profile.seal_leaves(encoded).map_err(BuildError::from)
    };
    let bytes: usize = leaves.iter().map(Bytes::len).sum();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = (bytes / THREAD_BYTES).clamp(1, cores.min(MAX_THREADS)).min(leaves.len());
    if threads < 2 {
        return work(leaves);
    }
    thread::scope(|scope| {
        let parts = leaves.chunks(leaves.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| (part, scope.spawn(|| work(part)))).collect();
        let mut blocks = Vec::with_capacity(leaves.len());
        for (part, thread) in running {
            // A thread that ended early leaves its part to this one.
            blocks.extend(thread.join().unwrap_or_else(|_| work(part))?);
        }
        Ok(blocks)
    })
}

/// The blocks of leaves of both forms, in their order.
pub(super) fn sealed(profile: &Profile, leaves: &[(Place, Bytes, Form)]) -> Result<Vec<Block>, BuildError> {
    let of = |raw: bool| {
        let some = leaves.iter().filter(|(_, _, form)| (*form == Form::Raw) == raw);
        let data: Vec<Bytes> = some.map(|(_, data, _)| data.clone()).collect();
        Ok::<_, BuildError>(hashed(&Profile { raw_leaves: raw, ..*profile }, &data)?.into_iter())
    };
    let (mut raw, mut nodes) = (of(true)?, of(false)?);
    let next = |(_, _, form): &(Place, Bytes, Form)| if *form == Form::Raw { raw.next() } else { nodes.next() };
    // As many as there are leaves of the form.
    Ok(leaves.iter().filter_map(next).collect())
}

struct Sealer<'a, 'b> {
    tree: &'a mut Tree,
    profile: Profile,
    meta: FileMeta,
    /// Nodes on the way to the end, when they are left as they are.
    kept: Vec<Id>,
    keep_tail: bool,
    zeros: ZeroTrees,
    sink: &'a mut Sink<'b>,
    out: Vec<Block>,
    /// Nodes whose blocks were made and not yet taken.
    made: HashMap<Id, Link>,
}

impl<'a, 'b> Sealer<'a, 'b> {
    fn new(file: &'a mut File, keep_tail: bool, sink: &'a mut Sink<'b>) -> Self {
        let mut kept = Vec::new();
        let mut place = file.tree.tail().place;
        while keep_tail && place != ROOT {
            kept.push(place.node);
            place = file.tree.node(place.node).parent;
        }
        let (profile, meta) = (file.profile, file.meta);
        let zeros = ZeroTrees::new(profile, Shape::of(&profile));
        let (out, made) = (Vec::new(), HashMap::new());
        Self { tree: &mut file.tree, profile, meta, kept, keep_tail, zeros, sink, out, made }
    }

    /// Nodes with changes, those above first.
    fn dirty(&self) -> Vec<Id> {
        let mut order = Vec::new();
        let mut todo = vec![ROOT];
        while let Some(place) = todo.pop() {
            let Child::Inner(id) = *self.tree.child(place) else { continue };
            let node = self.tree.node(id);
            if node.link.is_none() {
                order.push(id);
                let slots = (0..node.children.len()).rev();
                todo.extend(slots.map(|slot| Place { node: id, slot }));
            }
        }
        order
    }

    /// Seals everything below the root that has changes, and the root unless metadata goes into it.
    fn below(&mut self) -> Result<(), FileError> {
        let order = self.dirty();
        self.leaves(&order)?;
        let root = match *self.tree.child(ROOT) {
            Child::Inner(id) if !self.meta.is_empty() => Some(id),
            _ => None,
        };
        // Backwards: what is below a node comes before it.
        for &id in order.iter().rev() {
            if Some(id) == root || self.kept.contains(&id) {
                continue;
            }
            let (block, tsize) = self.node(id, FileMeta::NONE)?;
            self.made.insert(id, Link { cid: *block.cid(), tsize });
            self.out.push(block);
            if self.out.len() >= BATCH_NODES {
                self.hand_over()?;
            }
        }
        self.hand_over()
    }

    /// Seals the leaves of those nodes, in batches.
    fn leaves(&mut self, order: &[Id]) -> Result<(), FileError> {
        let tail = self.tree.tail().place;
        let mut batch: Vec<(Place, Bytes, Form)> = Vec::new();
        let mut bytes = 0;
        let places = order.iter().flat_map(|&id| {
            let count = self.tree.node(id).children.len();
            (0..count).map(move |slot| Place { node: id, slot })
        });
        let places: Vec<Place> = std::iter::once(ROOT).chain(places).collect();
        for place in places {
            let Child::Leaf(Leaf { bytes: data, form, link: None }) = self.tree.child(place) else { continue };
            let own = place == ROOT && *form == Form::Node && !self.meta.is_empty();
            if *form == Form::Inline || own || self.keep_tail && place == tail {
                continue;
            }
            bytes += data.len() as u64;
            batch.push((place, data.clone(), *form));
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_LEAVES {
                self.batch(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        self.batch(batch)
    }

    fn batch(&mut self, batch: Vec<(Place, Bytes, Form)>) -> Result<(), FileError> {
        if batch.is_empty() {
            return Ok(());
        }
        let blocks = sealed(&self.profile, &batch)?;
        let links: Vec<Link> = blocks.iter().map(|b| Link { cid: *b.cid(), tsize: b.data().len() as u64 }).collect();
        (self.sink)(blocks)?;
        for ((place, bytes, form), link) in batch.into_iter().zip(links) {
            // A root in one node is kept in memory: metadata may have to go into it.
            let child = if place == ROOT && form != Form::Raw {
                Child::Leaf(Leaf { bytes, form, link: Some(link) })
            } else {
                Child::Sealed(link)
            };
            self.tree.put(place, child);
        }
        Ok(())
    }

    /// Hands blocks of nodes over; the nodes have no changes then.
    fn hand_over(&mut self) -> Result<(), FileError> {
        if !self.out.is_empty() {
            (self.sink)(std::mem::take(&mut self.out))?;
        }
        for (id, link) in self.made.drain() {
            self.tree.node_mut(id).link = Some(link);
        }
        Ok(())
    }

    /// The block of a node all of whose children have theirs.
    fn node(&mut self, id: Id, meta: FileMeta) -> Result<(Block, u64), FileError> {
        let Inner { children, ends, .. } = self.tree.node(id);
        let (mut links, mut data) = (NodeWriter::default(), Data::new(Kind::File));
        let mut start = 0;
        for (child, &end) in children.iter().zip(ends) {
            let link = match child {
                Child::Leaf(Leaf { bytes, form: Form::Inline, .. }) => {
                    data.data = Some(bytes.clone());
                    start = end;
                    continue;
                }
                Child::Zeros(height) => Some(self.zeros.tree(*height, end - start, &mut self.out)?),
                Child::Inner(below) if self.made.contains_key(below) => self.made.get(below).copied(),
                other => self.tree.link(other),
            };
            let link = link.ok_or(BuildError::NotALeaf)?;
            links.link(&link.cid.to_bytes(), b"", b"", link.tsize);
            data.blocksizes.push(end - start);
            start = end;
        }
        data.filesize = Some(start);
        meta.apply(&mut data);
        Ok(links.seal(&data, &self.profile)?)
    }

    /// Seals the whole; answers its root.
    fn root(&mut self) -> Result<Root, FileError> {
        self.below()?;
        let size = self.tree.len();
        let child = self.tree.child(ROOT).clone();
        let sealed = match (&child, self.meta.is_empty()) {
            (Child::Zeros(height), _) => Some(self.zeros.tree(*height, size, &mut self.out)?),
            (Child::Leaf(leaf), false) if leaf.form == Form::Node => None,
            (Child::Inner(_), false) => None,
            (child, _) => self.tree.link(child),
        };
        let link = match (child, sealed) {
            (_, Some(link)) if self.meta.is_empty() => link,
            (_, Some(link)) => self.above(link, size)?,
            (Child::Inner(id), None) => {
                let (block, tsize) = self.node(id, self.meta)?;
                self.emit(block, tsize)
            }
            (Child::Leaf(leaf), None) => {
                let link = self.leaf_with_meta(&leaf.bytes)?;
                self.hand_over()?;
                self.tree.put(ROOT, Child::Leaf(Leaf { link: Some(link), ..leaf }));
                link
            }
            (Child::Sealed(_) | Child::Zeros(_), None) => return Err(BuildError::NotALeaf.into()),
        };
        self.hand_over()?;
        Ok(Root { cid: link.cid, tsize: link.tsize, file_size: size })
    }

    fn emit(&mut self, block: Block, tsize: u64) -> Link {
        let link = Link { cid: *block.cid(), tsize };
        self.out.push(block);
        link
    }

    /// A node over the only leaf, which has no place for metadata.
    fn above(&mut self, link: Link, size: u64) -> Result<Link, FileError> {
        let (mut links, mut data) = (NodeWriter::default(), Data::new(Kind::File));
        links.link(&link.cid.to_bytes(), b"", b"", link.tsize);
        data.blocksizes.push(size);
        data.filesize = Some(size);
        self.meta.apply(&mut data);
        let (block, tsize) = links.seal(&data, &self.profile)?;
        Ok(self.emit(block, tsize))
    }

    fn leaf_with_meta(&mut self, bytes: &Bytes) -> Result<Link, FileError> {
        let (block, tsize) = NodeWriter::default().seal(&leaf_data(bytes, self.meta), &self.profile)?;
        Ok(self.emit(block, tsize))
    }
}
