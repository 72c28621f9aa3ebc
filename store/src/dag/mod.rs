//! Codecs: how blocks encode data and links.

pub mod cbor;
pub(crate) mod drain;
pub mod ipld;
pub mod json;
pub mod node;
pub mod pb;
pub(crate) mod pile;
pub(crate) mod seen;
pub mod select;
pub mod walk;

pub use drain::NodeError;
pub use ipld::{CodecError, Ipld};

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
        codec::DAG_CBOR => cbor::links(bytes).map_err(|e| malformed(e.to_string())),
        codec::DAG_JSON => json::links(bytes).map_err(|e| malformed(e.to_string())),
        code => Err(DagError::UnknownCodec { cid: Box::new(*cid), code }),
    }
}

/// The value that a block holds.
///
/// # Errors
/// As [`links`].
pub fn decode(cid: &Cid, bytes: &Bytes) -> Result<Ipld, DagError> {
    decode_as(cid.codec(), bytes).map_err(|error| match error {
        CodecError::UnknownCodec(code) => DagError::UnknownCodec { cid: Box::new(*cid), code },
        error => DagError::Malformed { cid: Box::new(*cid), reason: error.to_string() },
    })
}

/// Reads bytes in the codec of that multicodec number. Bytes of the result share the memory of `bytes` where they
/// stand there as they are.
///
/// # Errors
/// When the bytes are malformed or the codec is unknown. Time and memory are linear in their length.
pub fn decode_as(code: u64, bytes: &Bytes) -> Result<Ipld, CodecError> {
    match code {
        codec::RAW => Ok(Ipld::Bytes(bytes.clone())),
        codec::DAG_PB => node::decode(bytes),
        codec::DAG_CBOR => cbor::decode(bytes),
        codec::DAG_JSON => json::decode(bytes),
        codec::CBOR => cbor::decode_plain(bytes),
        codec::JSON => json::decode_plain(bytes),
        code => Err(CodecError::UnknownCodec(code)),
    }
}

/// Writes a value in the codec of that multicodec number.
///
/// # Errors
/// When the codec has no form for the value, or is unknown.
pub fn encode(value: &Ipld, code: u64) -> Result<Bytes, CodecError> {
    match code {
        codec::RAW => match value {
            Ipld::Bytes(bytes) => Ok(bytes.clone()),
            other => Err(CodecError::NotEncodable { codec: "raw", what: format!("{}: only bytes", other.kind()) }),
        },
        codec::DAG_PB => node::encode(value),
        codec::DAG_CBOR => cbor::encode(value),
        codec::DAG_JSON => json::encode(value),
        codec::CBOR => cbor::encode_plain(value),
        codec::JSON => json::encode_plain(value),
        code => Err(CodecError::UnknownCodec(code)),
    }
}
