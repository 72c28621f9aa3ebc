//! Codecs: how blocks encode data and links.

pub(crate) mod drain;
pub mod pb;
pub(crate) mod visited;
pub mod walk;

pub use drain::NodeError;

use crate::cid::{Cid, codec};
use bytes::Bytes;
use thiserror::Error;

/// A block that can't be read as what its codec says.
#[derive(Debug, Clone, Error)]
pub enum DagError {
    /// The bytes are malformed.
    #[error("block {cid}: {reason}")]
    Malformed {
        /// The block.
        cid: Box<Cid>,
        /// What is wrong with it.
        reason: String,
    },
    /// The codec is not one that Cairn can read.
    #[error("block {cid}: unknown codec 0x{code:x}")]
    UnknownCodec {
        /// The block.
        cid: Box<Cid>,
        /// Multicodec number.
        code: u64,
    },
}

/// Whether blocks of that codec never have links, so that a walk need not read them.
pub fn is_leaf(cid: &Cid) -> bool {
    matches!(cid.codec(), codec::RAW | codec::CBOR | codec::JSON | codec::LIBP2P_KEY)
}

/// The links of a block, in the order of its encoding, repeated ones included.
///
/// # Errors
/// When the block is malformed or of an unknown codec. Time and memory are linear in its length.
pub fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Cid>, DagError> {
    let malformed = |reason: String| DagError::Malformed { cid: Box::new(*cid), reason };
    match cid.codec() {
        codec::RAW | codec::CBOR | codec::JSON | codec::LIBP2P_KEY => Ok(Vec::new()),
        codec::DAG_PB => pb::links(bytes).map_err(|e| malformed(e.to_string())),
        code => Err(DagError::UnknownCodec { cid: Box::new(*cid), code }),
    }
}
