//! One dag-pb node being written, link by link.

use super::{node::Data, profile::Profile};
use crate::{
    Block, Cid,
    block::{BlockError, MAX_BLOCK_SIZE},
    dag::pb::{push_varint, varint_len},
};
use thiserror::Error;

/// Why a file or directory can't be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Peers exchange no block of that size.
    #[error(
        "a node would take {0} bytes, but a block may take {MAX_BLOCK_SIZE} at most: allow fewer links per node, or shard the directory"
    )]
    NodeTooLarge(usize),
    /// The hash function is identity, and a block is too long for it.
    #[error("identity digest over the limit of {max} bytes: use another hash function", max = crate::hash::MAX_IDENTITY)]
    IdentityTooLong,
    /// A leaf that was not encoded for this profile, and that metadata should go into.
    #[error("a leaf of the file is not encoded as the profile says")]
    NotALeaf,
    /// A directory's entry has no name.
    #[error("an entry of a directory needs a name")]
    EmptyName,
    /// A name that no path can lead to, or that leads elsewhere.
    #[error("{0:?} can't be the name of a directory's entry")]
    BadName(String),
    /// A size that readers take for negative.
    #[error("value of Tsize is too large: {0}")]
    Tsize(u64),
    /// The directory may not be sharded, and holds more entries than its node may have links.
    #[error("a directory of {entries} entries may have {max} links, and sharding is off: raise one of the limits")]
    TooManyLinks {
        /// Entries.
        entries: usize,
        /// Limit.
        max: usize,
    },
    /// Two names share so much of their hash that no level of a sharded directory tells them apart.
    #[error("sharded directory too deep: the names {0:?} and {1:?} have one hash")]
    TooDeep(String, String),
}

impl From<BlockError> for BuildError {
    /// Sealing fails in one way only.
    fn from(_: BlockError) -> Self {
        Self::IdentityTooLong
    }
}

/// A tree that was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Name of its top block.
    pub cid: Cid,
    /// Bytes of all its blocks, counted once for each link to them.
    pub tsize: u64,
    /// Bytes of the file; 0 for a directory.
    pub file_size: u64,
}

/// Links of a node, encoded as they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeWriter {
    bytes: Vec<u8>,
    tsize: u64,
}

impl NodeWriter {
    /// Appends a link named `prefix` and `name` together. Links must come in the order of their names.
    pub(crate) fn link(&mut self, cid: &[u8], prefix: &[u8], name: &[u8], tsize: u64) {
        let out = &mut self.bytes;
        out.push(0x12);
        push_varint(out, link_body_len(cid.len(), prefix.len() + name.len(), tsize) as u64);
        out.push(0x0a);
        push_varint(out, cid.len() as u64);
        out.extend_from_slice(cid);
        out.push(0x12);
        push_varint(out, (prefix.len() + name.len()) as u64);
        out.extend_from_slice(prefix);
        out.extend_from_slice(name);
        out.push(0x18);
        push_varint(out, tsize);
        self.tsize = self.tsize.saturating_add(tsize);
    }

    /// Ends the node with its UnixFS message; answers its block and the size of the tree below it.
    pub(crate) fn seal(self, data: &Data, profile: &Profile) -> Result<(Block, u64), BuildError> {
        let Self { mut bytes, tsize } = self;
        let data = data.encode();
        bytes.reserve_exact(1 + varint_len(data.len() as u64) + data.len());
        bytes.push(0x0a);
        push_varint(&mut bytes, data.len() as u64);
        bytes.extend_from_slice(&data);
        if bytes.len() > MAX_BLOCK_SIZE {
            return Err(BuildError::NodeTooLarge(bytes.len()));
        }
        let tsize = tsize.saturating_add(bytes.len() as u64);
        Ok((profile.seal_node(bytes.into())?, tsize))
    }
}

/// Bytes that a link adds to a node.
pub(crate) fn link_len(cid: usize, name: usize, tsize: u64) -> usize {
    let body = link_body_len(cid, name, tsize);
    1 + varint_len(body as u64) + body
}

fn link_body_len(cid: usize, name: usize, tsize: u64) -> usize {
    1 + varint_len(cid as u64) + cid + 1 + varint_len(name as u64) + name + 1 + varint_len(tsize)
}
