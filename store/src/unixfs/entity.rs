//! What a block is to a reader: a file, a directory, a shard or a symlink; and everything that is checked
//! before a word of it is believed.

use super::{
    hamt,
    meta::FileMeta,
    node::{Data, Kind},
};
use crate::{
    Block, Cid, StoreError,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{Deadline, Fetch, FetchError},
    task::in_context,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Why a file or directory can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// A block can't be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A block contradicts its format, or its parent.
    #[error("block {cid}: {reason}")]
    Malformed {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with it.
        reason: String,
    },
    /// A file was wanted.
    #[error("this dag node is a directory")]
    IsDirectory(Box<Cid>),
    /// A file was wanted.
    #[error("{0} is a symbolic link, not a file")]
    IsSymlink(Box<Cid>),
    /// A directory was wanted.
    #[error("{0} is not a directory")]
    NotDirectory(Box<Cid>),
    /// The block is of a codec that holds neither files nor directories.
    #[error("{cid} is neither a file nor a directory (codec 0x{code:x}): `cairn dag get` prints it")]
    NotUnixfs {
        /// The block.
        cid: Box<Cid>,
        /// Multicodec number.
        code: u64,
    },
    /// The DAG is deeper or wider than any that a known writer makes.
    #[error("{cid}: refused, since {reason}")]
    Unreasonable {
        /// Where it was noticed.
        cid: Box<Cid>,
        /// Which bound was passed.
        reason: String,
    },
}

impl ReadError {
    pub(crate) fn malformed(cid: &Cid, reason: impl Into<String>) -> Self {
        Self::Malformed { cid: Box::new(*cid), reason: reason.into() }
    }
}

/// What a block is.
#[derive(Debug, Clone)]
pub enum Entity {
    /// A file, or a part of one.
    File(FileNode),
    /// A directory in one block: its links, in the order of the encoding.
    Directory(Vec<PbLink>),
    /// The root of a sharded directory, or a part of one.
    Shard(Shard),
    /// A symlink: its target.
    Symlink(Bytes),
}

/// A file, or a part of one.
#[derive(Debug, Clone)]
pub struct FileNode {
    /// The first bytes of it; all of them if it has no children.
    pub data: Bytes,
    /// The parts that follow.
    pub children: Vec<Part>,
    /// Length in bytes: of `data`, and of the children as this node declares them.
    pub size: u64,
}

/// A part of a file.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its root.
    pub cid: Cid,
    /// Its length in bytes, as the parent declares it. The reader checks it when it gets there.
    pub size: u64,
}

/// A node of a sharded directory, checked: as many links as bits, each named after its bit.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The links, by ascending index.
    pub links: Vec<PbLink>,
    /// Index of each link.
    pub slots: Vec<u16>,
    /// Width: a power of two.
    pub fanout: usize,
}

/// Reads a block as UnixFS.
///
/// # Errors
/// When it is malformed, contradicts itself, or is no UnixFS.
pub fn decode(block: &Block) -> Result<(FileMeta, Entity), ReadError> {
    let cid = block.cid();
    match cid.codec() {
        codec::RAW => Ok((FileMeta::NONE, Entity::File(FileNode::leaf(block.data().clone())))),
        codec::DAG_PB => {
            let node = PbNode::decode(block.data()).map_err(|e| ReadError::malformed(cid, e.to_string()))?;
            let (meta, mut entity) = decode_node(cid, node)?;
            if let Entity::File(FileNode { data, .. }) | Entity::Symlink(data) = &mut entity
                && data.len() < block.data().len() / 2
            {
                // A slice would keep the whole block, and whoever holds many small files counts their bytes.
                *data = Bytes::copy_from_slice(data);
            }
            Ok((meta, entity))
        }
        code => Err(ReadError::NotUnixfs { cid: Box::new(*cid), code }),
    }
}

/// Length in bytes from which on a block may take milliseconds to decode: more than writers make leaves and nodes of.
const LARGE: usize = 512 << 10;
/// Large blocks that are decoded at once, of all readers in the process; others wait.
const MAX_DECODING: usize = 2;
static DECODING: Semaphore = Semaphore::const_new(MAX_DECODING);

/// Whether a block has so many links, possibly, that a runtime's thread should not decode it.
pub(crate) fn is_large(block: &Block) -> bool {
    block.data().len() > LARGE && block.cid().codec() != codec::RAW
}

/// The same as [`decode`], for a runtime's threads: large blocks are decoded elsewhere. Of those that wait for that nothing
/// is held: they are fetched again.
///
/// # Errors
/// As [`decode`], and when the block is not there any more.
pub async fn decode_aside(
    fetch: &Arc<dyn Fetch>,
    block: Block,
    deadline: Deadline,
) -> Result<(Block, FileMeta, Entity), ReadError> {
    let (block, decoded) = aside(fetch, block, deadline, decode).await?;
    decoded.map(|(meta, entity)| (block, meta, entity))
}

/// Does something with a block; if it is large, on a thread that may be kept busy.
pub(crate) async fn aside<T: Send + 'static>(
    fetch: &Arc<dyn Fetch>,
    block: Block,
    deadline: Deadline,
    work: fn(&Block) -> T,
) -> Result<(Block, T), FetchError> {
    if !is_large(&block) {
        let done = work(&block);
        return Ok((block, done));
    }
    let (_permit, block) = match DECODING.try_acquire() {
        Ok(permit) => (permit, block),
        Err(_) => {
            let cid = *block.cid();
            drop(block);
            // It is never closed.
            let permit = DECODING.acquire().await.map_err(|e| FetchError::Store(StoreError::Backend(e.to_string())))?;
            (permit, fetch.fetch(&cid, deadline).await?)
        }
    };
    let work = in_context(move || {
        let done = work(&block);
        (block, done)
    });
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| FetchError::Store(StoreError::Backend(format!("a thread that decodes blocks died: {e}"))))
}

/// Reads a dag-pb node as UnixFS.
///
/// # Errors
/// As [`decode`].
pub fn decode_node(cid: &Cid, node: PbNode) -> Result<(FileMeta, Entity), ReadError> {
    let malformed = |reason: String| ReadError::malformed(cid, reason);
    let bytes = node.data.ok_or_else(|| malformed("a dag-pb node without data is not UnixFS".into()))?;
    let data = Data::decode(&bytes).map_err(|e| malformed(e.to_string()))?;
    // As deployed readers have it, permissions of zero are no permissions.
    let mode = data.mode.map(|m| m & 0o7777).filter(|&m| m != 0);
    let meta = FileMeta { mode, mtime: data.mtime };
    let entity = match data.kind {
        Kind::File | Kind::Raw => Entity::File(file_node(data, &node.links).map_err(malformed)?),
        Kind::Directory => Entity::Directory(node.links),
        Kind::Symlink => Entity::Symlink(data.data.unwrap_or_default()),
        Kind::HamtShard => Entity::Shard(shard(&data, node.links).map_err(malformed)?),
        Kind::Metadata => return Err(malformed("UnixFS metadata nodes are not supported".into())),
    };
    Ok((meta, entity))
}

impl FileNode {
    /// A file that is all in these bytes.
    pub fn leaf(data: Bytes) -> Self {
        let size = data.len() as u64;
        Self { data, children: Vec::new(), size }
    }

    /// Reads a block as a file or a part of one.
    ///
    /// # Errors
    /// As [`decode`], and when it is something else.
    pub fn decode(block: &Block) -> Result<Self, ReadError> {
        match decode(block)?.1 {
            Entity::File(node) => Ok(node),
            Entity::Symlink(_) => Err(ReadError::IsSymlink(Box::new(*block.cid()))),
            Entity::Directory(_) | Entity::Shard(_) => Err(ReadError::IsDirectory(Box::new(*block.cid()))),
        }
    }
}

impl FileNode {
    /// The same as [`FileNode::decode`], for a runtime's threads: see [`decode_aside`].
    ///
    /// # Errors
    /// As [`FileNode::decode`], and when the block is not there any more.
    pub async fn decode_aside(fetch: &Arc<dyn Fetch>, block: Block, deadline: Deadline) -> Result<Self, ReadError> {
        aside(fetch, block, deadline, Self::decode).await?.1
    }
}

fn file_node(data: Data, links: &[PbLink]) -> Result<FileNode, String> {
    if data.blocksizes.len() != links.len() {
        return Err(format!("{} links and {} block sizes", links.len(), data.blocksizes.len()));
    }
    if let Some(link) = links.iter().find(|l| !l.name().is_empty()) {
        return Err(format!("a part of a file has the name {:?}", String::from_utf8_lossy(link.name())));
    }
    let bytes = data.data.unwrap_or_default();
    let size = data.blocksizes.iter().try_fold(bytes.len() as u64, |sum, &n| sum.checked_add(n));
    let size = size.ok_or("a file of more than 2^64 bytes")?;
    if let Some(declared) = data.filesize
        && declared != size
    {
        return Err(format!("it declares {declared} bytes, and its parts add up to {size}"));
    }
    let children = links.iter().zip(data.blocksizes).map(|(link, size)| Part { cid: link.cid, size }).collect();
    Ok(FileNode { data: bytes, children, size })
}

fn shard(data: &Data, links: Vec<PbLink>) -> Result<Shard, String> {
    if data.hash_type != Some(hamt::HASH_MURMUR3_X64_64) {
        return Err(format!("a shard with hash function {:?}: only murmur3-x64-64 is known", data.hash_type));
    }
    let declared = data.fanout.unwrap_or_default();
    let fanout = usize::try_from(declared).ok().filter(|&n| hamt::valid_fanout(n));
    let fanout = fanout.ok_or_else(|| format!("a shard of width {declared}"))?;
    let field = data.data.as_deref().unwrap_or_default();
    if field.len() > fanout / 8 {
        return Err(format!("a shard of width {fanout} with a bitfield of {} bytes", field.len()));
    }
    let slots: Vec<u16> = (0u16..)
        .zip(field.iter().rev().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)))
        .filter_map(|(slot, set)| set.then_some(slot))
        .collect();
    if slots.len() != links.len() {
        return Err(format!("a shard with {} links and {} bits set", links.len(), slots.len()));
    }
    let width = hamt::prefix_len(fanout);
    for (slot, link) in slots.iter().zip(&links) {
        if !link.name().starts_with(format!("{slot:0width$X}").as_bytes()) {
            let name = String::from_utf8_lossy(link.name()).into_owned();
            return Err(format!("a shard's link at index {slot} has the name {name:?}"));
        }
    }
    Ok(Shard { links, slots, fanout })
}
