//! CAR: blocks in a stream (specifications: ipld.io/specs/transport/car/carv1 and carv2).
//!
//! A CARv1 is a header, dag-cbor `{"roots": [links], "version": 1}`, and then sections; each of them is a
//! varint with the length of what follows, a CID, and the bytes of its block. A CARv2 is a fixed header with
//! the position and the length of a CARv1, and an index, which is of no use to a reader that hashes every
//! block anyway.
//!
//! ```text
//! CARv1: | varint | header | varint | CID | bytes | varint | CID | bytes | …
//! CARv2: | 0a a1 67 "version" 02 | characteristics 16 | data offset 8 | data size 8 | index offset 8 | …
//! ```
//!
//! [`CarReader`] reads both as a stream, [`write_header`] and [`write_section`] write a CARv1, [`Import`] stores
//! what is read, once it was hashed, and [`export`] writes a DAG in the order in which Kubo does.

mod cbor;
mod export;
mod import;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use export::{ExportError, ExportOptions, Exported, export};
pub use import::{Import, ImportError, ImportOptions, Imported, Refusal};
pub use read::{CarReader, Section};
pub use write::{section_head, write_header, write_section};

use crate::Cid;
use std::io;

/// Longest header in bytes, as in go-car.
pub const MAX_HEADER: u64 = 32 << 20;
/// Most roots in a header. Each takes 150 bytes of memory.
pub const MAX_ROOTS: usize = 1 << 18;
/// Longest section in bytes, CID included, as in go-car. What may be *stored* of it is a question for
/// [`ImportOptions::allow_big_blocks`].
pub const MAX_SECTION: u64 = 8 << 20;

/// Why bytes are not a CAR. Offsets are in bytes from the beginning of the stream.
#[derive(Debug, thiserror::Error)]
pub enum CarError {
    /// The stream holds nothing.
    #[error("the CAR is empty: EOF")]
    Empty,
    /// The stream ends before what it promised.
    #[error("the CAR is truncated: unexpected EOF at byte {at}, within {part} that begins at byte {start}")]
    Truncated {
        /// Where the stream ends.
        at: u64,
        /// Where the broken part begins.
        start: u64,
        /// What it is.
        part: &'static str,
    },
    /// A length is beyond what is accepted.
    #[error("at byte {at}: {part} of {len} bytes is over the limit of {max} bytes")]
    TooLong {
        /// Where the length stands.
        at: u64,
        /// What is that long.
        part: &'static str,
        /// The length as declared.
        len: u64,
        /// What is accepted.
        max: u64,
    },
    /// The header is not one.
    #[error("invalid CAR header: {0}")]
    Header(String),
    /// A section is not one.
    #[error("at byte {at}: {reason}")]
    Section {
        /// Where the section begins.
        at: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream can't be read.
    #[error("reading the CAR failed at byte {at}: {error}")]
    Io {
        /// How far it was read.
        at: u64,
        /// The system's answer.
        error: io::Error,
    },
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2: the version of the outermost header.
    pub version: u64,
    /// Roots, in order, repeated ones included. They need not be in the CAR.
    pub roots: Vec<Cid>,
}
