//! The read-only trees: content by its CID.

use super::{
    Kernel,
    attr::{Attr, EPOCH, Entry, Found, Ino, Kind, Ttl, is_name},
    direct::Direct,
    errno::Errno,
    inodes::{Inodes, Node},
    place::{Layout, Place},
    seen::{Body, Folder, Seen, look},
    source::{Patient, Recent, Shelf, Sources, shelf},
    streams::{OpenFile, Reading},
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    cid::{self, codec},
    dag::pb::PbNode,
    fetch::Fetch,
    hash::HashFn,
    unixfs,
};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// Root blocks of directories that are kept decoded, in bytes.
const FOLDER_BYTES: usize = 16 << 20;
/// How long the kernel believes that a text is no CID.
const NEGATIVE: Duration = Duration::from_secs(3600);

/// The trees below `ipfs`, and what names lead to.
pub(super) struct ReadOnly {
    pub(super) sources: Sources,
    pub(super) layout: Layout,
    pub(super) patience: Duration,
    pub(super) inodes: Inodes,
    folders: Recent<u64, Arc<Folder>>,
    shelf: Arc<Shelf>,
    reading: Arc<Reading>,
    kernel: Arc<OnceLock<Arc<dyn Kernel>>>,
}

impl ReadOnly {
    pub(super) fn new(
        sources: Sources,
        layout: Layout,
        patience: Duration,
        kernel: Arc<OnceLock<Arc<dyn Kernel>>>,
    ) -> Self {
        let direct = Direct::new(Arc::clone(&sources.local));
        let reading = Arc::new(Reading::new(direct, patience, Arc::clone(&kernel)));
        Self {
            sources,
            layout,
            patience,
            inodes: Inodes::new(),
            folders: Recent::new(FOLDER_BYTES),
            shelf: shelf(),
            reading,
            kernel,
        }
    }

    /// A source for one tree.
    pub(super) fn source(&self) -> Arc<dyn Fetch> {
        let inner = (self.sources.session)();
        Arc::new(Patient { inner, patience: self.patience, shelf: Arc::clone(&self.shelf) })
    }

    pub(super) fn node(&self, number: u64) -> Result<Arc<Node>, Errno> {
        self.inodes.get(number).ok_or(Errno::ESTALE)
    }

    /// `ipfs/<cid>`.
    pub(super) async fn lookup_root(&self, name: &[u8]) -> Result<Found, Errno> {
        // Programs look for files of theirs everywhere. What is no CID does not exist.
        let Some(root) = std::str::from_utf8(name).ok().and_then(|text| cid::parse(text).ok()) else {
            return Ok(Found::Nothing(NEGATIVE));
        };
        let source = self.source();
        let seen = self.see(&source, &root, 0).await?;
        let place = (self.layout.ino(Place::Ipfs), Bytes::copy_from_slice(name));
        Ok(Found::Entry(self.refer(Node::new(root, source, place, seen), Ttl::FOREVER)))
    }

    /// An entry of a directory.
    pub(super) async fn lookup(&self, number: u64, name: &[u8]) -> Result<Found, Errno> {
        let node = self.node(number)?;
        if node.seen().kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if !is_name(name) {
            return Ok(Found::Nothing(Ttl::FOREVER.entry));
        }
        let folder = self.folder(number, &node).await?;
        let Some(child) = folder.lookup(name).await? else { return Ok(Found::Nothing(Ttl::FOREVER.entry)) };
        let seen = self.see(&node.source, &child.cid, child.tsize).await?;
        let place = (self.layout.ino(Place::Node(number)), Bytes::copy_from_slice(name));
        let child = Node::new(child.cid, Arc::clone(&node.source), place, seen);
        Ok(Found::Entry(self.refer(child, Ttl::FOREVER)))
    }

    /// Refers to an inode once more.
    pub(super) fn refer(&self, node: Node, ttl: Ttl) -> Entry {
        let (number, node, shed) = self.inodes.refer(node);
        if let Some(kernel) = self.kernel.get() {
            for (parent, name) in &shed {
                kernel.entry_changed(*parent, name);
            }
        }
        Entry { attr: self.attr_of(number, &node), ttl }
    }

    pub(super) fn attr(&self, number: u64) -> Result<Attr, Errno> {
        Ok(self.attr_of(number, &*self.node(number)?))
    }

    pub(super) fn attr_of(&self, number: u64, node: &Node) -> Attr {
        let seen = node.seen();
        let perm = match seen.kind {
            Kind::File => 0o444,
            Kind::Directory => 0o555,
            Kind::Symlink => 0o777,
        };
        let mtime = seen.mtime.unwrap_or(EPOCH);
        Attr {
            ino: self.layout.ino(Place::Node(number)),
            kind: seen.kind,
            perm: seen.perm.filter(|_| seen.kind != Kind::Symlink).unwrap_or(perm),
            size: seen.size,
            // What authors say of their sizes is never more than a hint.
            stored: seen.dag_size.min(seen.size.saturating_mul(2).max(4096)),
            atime: mtime,
            mtime,
            ctime: mtime,
            nlink: 1,
        }
    }

    /// What a node is. A file in one raw block is as long as its parent says, until it is opened.
    pub(super) async fn see(&self, source: &Arc<dyn Fetch>, cid: &Cid, tsize: u64) -> Result<Seen, Errno> {
        if cid.codec() == codec::RAW && tsize > 0 {
            return Ok(match self.inodes.seen(cid) {
                Some(seen) if !seen.claimed => seen,
                // One of two directories is wrong.
                Some(seen) if seen.size != tsize => self.measure(cid).await.unwrap_or(Seen::raw(tsize)),
                _ => Seen::raw(tsize),
            });
        }
        let block = source.fetch(cid, None).await?;
        Ok(look(source, &block)?.0)
    }

    /// What a file in one raw block is, if it is here.
    async fn measure(&self, cid: &Cid) -> Option<Seen> {
        let local = &self.sources.local;
        if !local.has_local(cid).await.ok()? {
            return None;
        }
        let block = local.fetch(cid, Some(Instant::now() + self.patience)).await.ok()?;
        Self::see_block(local, &block)
    }

    /// What can be said of a node whose block is at hand.
    pub(super) fn see_block(source: &Arc<dyn Fetch>, block: &Block) -> Option<Seen> {
        look(source, block).ok().map(|(seen, _)| seen)
    }

    async fn body(&self, node: &Node) -> Result<(Seen, Body, usize), Errno> {
        let block = node.source.fetch(&node.cid, None).await?;
        let (seen, body) = look(&node.source, &block)?;
        Ok((seen, body, block.data().len()))
    }

    async fn folder(&self, number: u64, node: &Node) -> Result<Arc<Folder>, Errno> {
        if let Some(folder) = self.folders.get(&number) {
            return Ok(folder);
        }
        let (_, body, bytes) = self.body(node).await?;
        let Body::Folder(folder) = body else { return Err(Errno::ENOTDIR) };
        let folder = Arc::new(folder);
        self.folders.put(number, Arc::clone(&folder), bytes);
        Ok(folder)
    }

    /// A directory, to be gone through.
    pub(super) async fn open_folder(&self, node: &Node) -> Result<Folder, Errno> {
        match self.body(node).await?.1 {
            Body::Folder(folder) => Ok(folder),
            Body::File(_) | Body::Symlink(_) => Err(Errno::ENOTDIR),
        }
    }

    /// Opens a file, and learns how long it really is.
    pub(super) async fn open(&self, number: u64) -> Result<Arc<OpenFile>, Errno> {
        let node = self.node(number)?;
        let (seen, body, _) = self.body(&node).await?;
        let file = match body {
            Body::File(file) => file,
            Body::Folder(_) => return Err(Errno::EISDIR),
            Body::Symlink(_) => return Err(Errno::ELOOP),
        };
        if node.correct(seen)
            && let Some(kernel) = self.kernel.get()
        {
            kernel.attr_changed(self.layout.ino(Place::Node(number)));
        }
        let ino = self.layout.ino(Place::Node(number));
        Ok(OpenFile::new(ino, node.cid, file, Arc::clone(&node.source), &self.reading))
    }

    pub(super) async fn readlink(&self, number: u64) -> Result<Bytes, Errno> {
        match self.body(&*self.node(number)?).await?.1 {
            Body::Symlink(target) => Ok(target),
            Body::File(_) | Body::Folder(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn forget(&self, number: u64, count: u64) {
        self.inodes.forget(number, count);
        if self.inodes.get(number).is_none() {
            self.folders.remove(&number);
        }
    }
}

/// A symbolic link that stands in its own CID.
pub(super) fn inline_symlink(target: &str) -> Option<Cid> {
    let mut data = unixfs::node::Data::new(unixfs::node::Kind::Symlink);
    data.data = Some(Bytes::copy_from_slice(target.as_bytes()));
    let node = PbNode { links: Vec::new(), data: Some(data.encode().into()) };
    let prefix = Prefix { hash: HashFn::IDENTITY, ..Prefix::v1(codec::DAG_PB) };
    Block::seal(prefix, node.encode()).ok().map(|block| *block.cid())
}

/// The number of the parent of a node, for `..`.
pub(super) fn parent_of(node: &Node) -> Ino {
    node.parent
}
