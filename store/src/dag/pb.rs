//! dag-pb: the MerkleDAG's protobuf (specification: ipld.io/specs/codecs/dag-pb).
//!
//! The writer is strict: links first, in the order of their names, then data, every field once. The reader
//! accepts data before links too (IPIP-550), keeps the order of links, and refuses everything else that the
//! specification refuses, since two encodings of one node would be two names for it.

use crate::cid::{self, Cid};
use bytes::Bytes;
use thiserror::Error;
use unsigned_varint::encode;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PbLink {
    /// What it points at.
    pub cid: Cid,
    /// Its name: bytes by the format, UTF-8 by custom. Absent and empty differ in the encoding.
    pub name: Option<Bytes>,
    /// Size in bytes of all blocks below it, as its author says: never to be trusted.
    pub tsize: Option<u64>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PbNode {
    /// Links, in the order of the encoding.
    pub links: Vec<PbLink>,
    /// Payload. Absent and empty differ in the encoding.
    pub data: Option<Bytes>,
}

/// Why bytes are not dag-pb.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not valid dag-pb: {0}")]
pub struct PbError(pub String);

const WIRE_VARINT: u64 = 0;
const WIRE_BYTES: u64 = 2;

impl PbLink {
    /// A link as UnixFS writes them: name and size always present.
    pub fn new(cid: Cid, name: impl Into<Bytes>, tsize: u64) -> Self {
        Self { cid, name: Some(name.into()), tsize: Some(tsize) }
    }

    /// The name's bytes; empty when there is none.
    pub fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default()
    }

    fn encoded_len(&self) -> usize {
        let cid = self.cid.encoded_len();
        let name = self.name.as_ref().map_or(0, |n| 1 + varint_len(n.len() as u64) + n.len());
        1 + varint_len(cid as u64) + cid + name + self.tsize.map_or(0, |t| 1 + varint_len(t))
    }
}

impl PbNode {
    /// Reads a node. The result shares the memory of `bytes`.
    ///
    /// # Errors
    /// When the bytes are not dag-pb. Time and memory are linear in their length.
    pub fn decode(bytes: &Bytes) -> Result<Self, PbError> {
        let mut links = Vec::new();
        let data = scan(bytes, |link| links.push(link))?;
        Ok(Self { links, data })
    }

    /// Sorts the links by name, as the format wants them on writing. Links of one name keep their order.
    pub fn sort_links(&mut self) {
        self.links.sort_by(|a, b| a.name().cmp(b.name()));
    }

    /// Length of the encoding in bytes.
    pub fn encoded_len(&self) -> usize {
        let links: usize = self
            .links
            .iter()
            .map(|link| {
                let len = link.encoded_len();
                1 + varint_len(len as u64) + len
            })
            .sum();
        links + self.data.as_ref().map_or(0, |d| 1 + varint_len(d.len() as u64) + d.len())
    }

    /// Writes the node. Links are written in the order they have: see [`PbNode::sort_links`].
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        for link in &self.links {
            out.push(key(2, WIRE_BYTES));
            push_varint(&mut out, link.encoded_len() as u64);
            out.push(key(1, WIRE_BYTES));
            push_varint(&mut out, link.cid.encoded_len() as u64);
            // Writing to a Vec does not fail.
            let _ = link.cid.write_bytes(&mut out);
            if let Some(name) = &link.name {
                out.push(key(2, WIRE_BYTES));
                push_varint(&mut out, name.len() as u64);
                out.extend_from_slice(name);
            }
            if let Some(tsize) = link.tsize {
                out.push(key(3, WIRE_VARINT));
                push_varint(&mut out, tsize);
            }
        }
        if let Some(data) = &self.data {
            out.push(key(1, WIRE_BYTES));
            push_varint(&mut out, data.len() as u64);
            out.extend_from_slice(data);
        }
        out.into()
    }
}

/// Whether the bytes are a node without links, told from its first bytes alone. `false` where that takes more.
pub fn has_no_links(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    rest.is_empty() || (read_key(&mut rest) == Ok((1, WIRE_BYTES)) && read_slice(&mut rest).is_ok() && rest.is_empty())
}

/// Only the links of a node, without keeping anything else.
///
/// # Errors
/// As [`PbNode::decode`].
pub fn links(bytes: &Bytes) -> Result<Vec<Cid>, PbError> {
    let mut cids = Vec::new();
    scan(bytes, |link| cids.push(link.cid))?;
    Ok(cids)
}

/// Hands each link of a node to `on`, in the order of the encoding; answers the data.
fn scan(bytes: &Bytes, mut on: impl FnMut(PbLink)) -> Result<Option<Bytes>, PbError> {
    let mut rest: &[u8] = bytes;
    let (mut data, mut some, mut ended) = (None, false, false);
    while !rest.is_empty() {
        let (field, wire) = read_key(&mut rest)?;
        if wire != WIRE_BYTES || !(field == 1 || field == 2) {
            return Err(PbError(format!("field {field} of wire type {wire} in a node")));
        }
        let body = read_slice(&mut rest)?;
        if field == 1 {
            if data.is_some() {
                return Err(PbError("more than one data field".into()));
            }
            data = Some(bytes.slice_ref(body));
            ended = some;
        } else {
            if ended {
                return Err(PbError("links on both sides of the data".into()));
            }
            some = true;
            on(decode_link(bytes, body)?);
        }
    }
    Ok(data)
}

fn decode_link(whole: &Bytes, mut rest: &[u8]) -> Result<PbLink, PbError> {
    let (mut cid, mut name, mut tsize) = (None, None, None);
    let mut last = 0;
    while !rest.is_empty() {
        let (field, wire) = read_key(&mut rest)?;
        if field <= last {
            return Err(PbError(format!("field {field} of a link is repeated or out of order")));
        }
        last = field;
        match (field, wire) {
            (1, WIRE_BYTES) => {
                let hash = read_slice(&mut rest)?;
                cid = Some(cid::from_bytes(hash).map_err(|e| PbError(format!("link: {e}")))?);
            }
            (2, WIRE_BYTES) => name = Some(whole.slice_ref(read_slice(&mut rest)?)),
            (3, WIRE_VARINT) => tsize = Some(read_varint(&mut rest)?),
            _ => return Err(PbError(format!("field {field} of wire type {wire} in a link"))),
        }
    }
    Ok(PbLink { cid: cid.ok_or_else(|| PbError("a link without a hash".into()))?, name, tsize })
}

const fn key(field: u8, wire: u64) -> u8 {
    field << 3 | wire as u8
}

/// Length of a varint in bytes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn push_varint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(encode::u64(value, &mut encode::u64_buffer()));
}

/// Field number and wire type.
pub(crate) fn read_key(rest: &mut &[u8]) -> Result<(u64, u64), PbError> {
    let key = read_varint(rest)?;
    Ok((key >> 3, key & 7))
}

pub(crate) fn read_varint(rest: &mut &[u8]) -> Result<u64, PbError> {
    // Protobuf allows padded varints, and other writers produce ten-byte negative numbers; `unsigned_varint`
    // refuses both, which is stricter than deployed readers.
    let mut value = 0u64;
    for (i, &byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && byte > 1 {
            break;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Ok(value);
        }
    }
    Err(PbError("a varint that does not end, or is over 64 bits".into()))
}

pub(crate) fn read_slice<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], PbError> {
    let len = read_varint(rest)?;
    let len = usize::try_from(len).ok().filter(|&n| n <= rest.len());
    let len = len.ok_or_else(|| PbError("a length beyond the end".into()))?;
    let (head, tail) = rest.split_at(len);
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_hex(hex: &str) -> Result<PbNode, PbError> {
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect();
        PbNode::decode(&bytes.into())
    }

    #[test]
    fn forms_of_the_specification_round_trip() {
        // From the dag-pb specification's test fixtures: empty; empty data; data; a link with and without more.
        for hex in [
            "",
            "0a00",
            "0a050001020304",
            "120b0a09015500050001020304",
            "12160a090155000500010203041209736f6d65206e616d65",
            "12140a0901550005000102030418ffffffffffffff0f",
            "120d0a090155000500010203041200",
        ] {
            let node = decode_hex(hex).expect(hex);
            let again: String = node.encode().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(again, hex);
            assert_eq!(node.encoded_len() * 2, hex.len());
        }
    }

    #[test]
    fn what_the_specification_refuses_is_refused() {
        for (hex, why) in [
            ("0a", "cut"),
            ("0a05", "length beyond the end"),
            ("0a000a00", "two data fields"),
            ("1200", "a link without a hash"),
            ("1800", "field 3 in a node"),
            ("08", "wire type"),
            ("0800", "varint data"),
            ("12020a00", "an empty hash"),
            ("12160a0901550005000102030412000a09015500050001020304", "hash twice"),
            ("0affffffffffffffffff01", "a huge length"),
            ("0affffffffffffffffffff01", "a varint over 64 bits"),
        ] {
            assert!(decode_hex(hex).is_err(), "{hex}: {why}");
        }
    }

    #[test]
    fn a_leaf_is_told_from_its_first_bytes() {
        let link = "120b0a09015500050001020304";
        for (hex, leaf) in [("", true), ("0a00", true), ("0a0101", true), ("0a02", false), (link, false)] {
            let bytes: Vec<u8> =
                (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect();
            assert_eq!(has_no_links(&bytes), leaf, "{hex}");
        }
        let bytes = [&[0x0a, 0x01, 0x00][..], &[0x12, 0x00]].concat();
        assert!(!has_no_links(&bytes), "links may follow the data");
    }

    #[test]
    fn data_may_come_first_but_not_in_the_middle() {
        let link = "120b0a09015500050001020304";
        assert!(decode_hex(&format!("0a0100{link}{link}")).is_ok());
        assert!(decode_hex(&format!("{link}0a0100{link}")).is_err());
    }
}
