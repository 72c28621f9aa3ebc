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

/// As [`encode`], for a chunk in borrowed memory: one copy in either form.
pub fn encode_leaf(profile: &Profile, chunk: &[u8]) -> Bytes {
    if profile.raw_leaves { Bytes::copy_from_slice(chunk) } else { wrap(profile.layout, chunk).into() }
}

/// A dag-pb node without links around a UnixFS message around the chunk.
fn wrap(layout: Layout, chunk: &[u8]) -> Vec<u8> {
    let kind = match layout {
        Layout::Balanced => 2,
        Layout::Trickle => 0,
    };
    let len = chunk.len() as u64;
    let data_len = if chunk.is_empty() { 0 } else { 1 + varint_len(len) + chunk.len() };
    let message_len = 2 + data_len + 1 + varint_len(len);
    let mut out = Vec::with_capacity(1 + varint_len(message_len as u64) + message_len);
    out.push(0x0a);
    push_varint(&mut out, message_len as u64);
    out.extend_from_slice(&[0x08, kind]);
    if !chunk.is_empty() {
        out.push(0x12);
        push_varint(&mut out, len);
        out.extend_from_slice(chunk);
    }
    out.push(0x18);
    push_varint(&mut out, len);
    out
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
