//! Writing a CARv1.

use super::cbor;
use crate::{Block, Cid, dag::pb::push_varint};
use std::io::{self, Write};

/// Writes the header of a CARv1: how many bytes that took.
///
/// # Errors
/// When `out` refuses.
pub fn write_header(out: &mut impl Write, roots: &[Cid]) -> io::Result<u64> {
    let header = cbor::encode(roots);
    let mut head = Vec::with_capacity(10 + header.len());
    push_varint(&mut head, header.len() as u64);
    head.extend_from_slice(&header);
    out.write_all(&head)?;
    Ok(head.len() as u64)
}

/// Writes a block: how many bytes that took.
///
/// # Errors
/// When `out` refuses.
pub fn write_section(out: &mut impl Write, block: &Block) -> io::Result<u64> {
    let head = section_head(block);
    out.write_all(&head)?;
    out.write_all(block.data())?;
    Ok((head.len() + block.data().len()) as u64)
}

/// What stands before the bytes of a block: the length of the section, and the CID.
pub fn section_head(block: &Block) -> Vec<u8> {
    let cid = block.cid();
    let mut head = Vec::with_capacity(10 + cid.encoded_len());
    push_varint(&mut head, (cid.encoded_len() + block.data().len()) as u64);
    // Writing to a Vec does not fail.
    let _ = cid.write_bytes(&mut head);
    head
}
