//! dag-json, and json without links or bytes (specification: ipld.io/specs/codecs/dag-json).
//!
//! A link is `{"/": "<cid>"}`, bytes are `{"/": {"bytes": "<base64>"}}`; every other map with the name `/` is
//! an ordinary map, as in Kubo. Numbers without fraction and exponent are integers. The writer sorts names by
//! their bytes, puts no space anywhere, and writes floats as ECMAScript does.

mod scan;
mod write;

use super::ipld::{self, CodecError, Ipld};
use crate::Cid;
use bytes::Bytes;
use scan::Scanner;

/// Reads dag-json.
///
/// # Errors
/// When the bytes are malformed. Time and memory are linear in their length.
pub fn decode(bytes: &Bytes) -> Result<Ipld, CodecError> {
    ipld::build(Scanner::new(bytes, true)?, bytes)
}

/// Reads json: the forms of links and bytes have no meaning.
///
/// # Errors
/// As [`decode`].
pub fn decode_plain(bytes: &Bytes) -> Result<Ipld, CodecError> {
    ipld::build(Scanner::new(bytes, false)?, bytes)
}

/// The links of dag-json, in order, without keeping anything else.
///
/// # Errors
/// As [`decode`].
pub fn links(bytes: &Bytes) -> Result<Vec<Cid>, CodecError> {
    ipld::collect_links(Scanner::new(bytes, true)?)
}

/// Writes dag-json.
///
/// # Errors
/// For a float that is not finite, an integer outside -2^64 to 2^64 - 1, a map that would be read back as a link
/// or as bytes, or a tree that is too deep.
pub fn encode(value: &Ipld) -> Result<Bytes, CodecError> {
    write::compact(value)
}

/// Writes json in lines indented by tabs, names in the order of the value, no links or bytes.
///
/// # Errors
/// As [`encode`], and when there is a link or bytes.
pub fn encode_plain(value: &Ipld) -> Result<Bytes, CodecError> {
    write::pretty(value)
}
