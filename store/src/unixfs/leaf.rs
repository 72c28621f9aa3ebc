//! The leaves of a file, and symlinks.

use super::{
    meta::FileMeta,
    node::{Data, Kind},
    profile::{Layout, Profile},
    writer::{BuildError, NodeWriter, Root},
};
use crate::{
    Block,
    dag::pb::{push_varint, varint_len},
};
use bytes::Bytes;

/// A leaf: its block, and how many bytes of the file it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The block, as [`encode`] and [`Profile::seal_leaves`] make it.
    pub block: Block,
    /// Length of the chunk in bytes.
    pub file_size: u64,
}

/// Bytes of the leaf that holds a chunk. A raw leaf is the chunk itself, without a copy.
pub fn encode(profile: &Profile, chunk: Bytes) -> Bytes {
    if profile.raw_leaves { chunk } else { wrap(profile.layout, &chunk).into() }
}

/// A dag-pb node without links around a UnixFS message around the chunk.
fn wrap(layout: Layout, chunk: &[u8]) -> Vec<u8> {
    let (head, tail) = frame(layout, chunk.len());
    let mut out = Vec::with_capacity(head.len() + chunk.len() + tail.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(chunk);
    out.extend_from_slice(&tail);
    out
}

/// Bytes that a leaf has before its chunk, at the most.
pub const HEAD_ROOM: usize = 24;
/// Bytes that a leaf has after its chunk, at the most.
pub const TAIL_ROOM: usize = 16;

/// What stands before and after a chunk of that many bytes in its leaf, so that a reader can leave room for it
/// and need not copy the chunk. Nothing for raw leaves.
pub fn frame_of(profile: &Profile, len: usize) -> (Vec<u8>, Vec<u8>) {
    if profile.raw_leaves { (Vec::new(), Vec::new()) } else { frame(profile.layout, len) }
}

fn frame(layout: Layout, len: usize) -> (Vec<u8>, Vec<u8>) {
    let kind = match layout {
        Layout::Balanced => 2,
        Layout::Trickle => 0,
    };
    let data_len = if len == 0 { 0 } else { 1 + varint_len(len as u64) + len };
    let message_len = 2 + data_len + 1 + varint_len(len as u64);
    let mut head = Vec::with_capacity(HEAD_ROOM);
    head.push(0x0a);
    push_varint(&mut head, message_len as u64);
    head.extend_from_slice(&[0x08, kind]);
    if len > 0 {
        head.push(0x12);
        push_varint(&mut head, len as u64);
    }
    let mut tail = Vec::with_capacity(TAIL_ROOM);
    tail.push(0x18);
    push_varint(&mut tail, len as u64);
    (head, tail)
}

/// Builds a symlink. Deployed writers store no mode with it, and neither does this one.
///
/// # Errors
/// When the target does not fit into a block.
pub fn symlink(profile: &Profile, target: &[u8], meta: FileMeta, out: &mut Vec<Block>) -> Result<Root, BuildError> {
    let mut data = Data::new(Kind::Symlink);
    data.data = Some(Bytes::copy_from_slice(target));
    FileMeta { mode: None, ..meta }.apply(&mut data);
    let (block, tsize) = NodeWriter::default().seal(&data, profile)?;
    let root = Root { cid: *block.cid(), tsize, file_size: 0 };
    out.push(block);
    Ok(root)
}
