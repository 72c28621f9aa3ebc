//! The header of a CARv1: strict dag-cbor of one shape.

use super::MAX_ROOTS;
use crate::{
    Cid, cid,
    dag::cbor::{push_head, read_head, take},
};

const MAP: u8 = 5;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const BYTES: u8 = 2;
const UINT: u8 = 0;
const TAG: u8 = 6;
/// Tag of a link in dag-cbor.
const LINK: u64 = 42;

/// A header: its version, and its roots if it has that field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub version: u64,
    pub roots: Option<Vec<Cid>>,
}

/// Reads a header; every byte must belong to it.
pub(super) fn decode(mut bytes: &[u8]) -> Result<Raw, String> {
    let rest = &mut bytes;
    let (mut version, mut roots) = (None, None);
    for _ in 0..expect(rest, MAP, "a map")? {
        let len = expect(rest, TEXT, "a field name")?;
        match take(rest, len)? {
            b"version" if version.is_none() => version = Some(expect(rest, UINT, "a number as version")?),
            b"roots" if roots.is_none() => roots = Some(decode_roots(rest)?),
            name => return Err(format!("unknown or repeated field {:?}", String::from_utf8_lossy(name))),
        }
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes after the header's map", rest.len()));
    }
    Ok(Raw { version: version.ok_or("no version")?, roots })
}

fn decode_roots(rest: &mut &[u8]) -> Result<Vec<Cid>, String> {
    let count = expect(rest, ARRAY, "a list of roots")?;
    if count > MAX_ROOTS as u64 {
        return Err(format!("{count} roots are over the limit of {MAX_ROOTS}"));
    }
    let mut roots = Vec::new();
    for _ in 0..count {
        if expect(rest, TAG, "a link as root")? != LINK {
            return Err("a root that is not a link".into());
        }
        let len = expect(rest, BYTES, "the bytes of a link")?;
        match take(rest, len)?.split_first() {
            Some((0, cid)) => roots.push(cid::from_bytes(cid).map_err(|e| format!("root: {e}"))?),
            _ => return Err("a link without its leading zero".into()),
        }
    }
    Ok(roots)
}

/// Reads the head of an item of that major type, and gives its number.
fn expect(rest: &mut &[u8], major: u8, what: &str) -> Result<u64, String> {
    match read_head(rest) {
        Ok((found, _, number)) if found == major => Ok(number),
        Ok(_) => Err(format!("expected {what}")),
        Err(why) => Err(format!("expected {what}: {why}")),
    }
}

/// Writes the header of a CARv1.
pub(super) fn encode(roots: &[Cid]) -> Vec<u8> {
    let mut out = vec![MAP << 5 | 2];
    push_head(&mut out, TEXT, 5);
    out.extend_from_slice(b"roots");
    push_head(&mut out, ARRAY, roots.len() as u64);
    for root in roots {
        push_head(&mut out, TAG, LINK);
        push_head(&mut out, BYTES, 1 + root.encoded_len() as u64);
        out.push(0);
        // Writing to a Vec does not fail.
        let _ = root.write_bytes(&mut out);
    }
    push_head(&mut out, TEXT, 7);
    out.extend_from_slice(b"version");
    push_head(&mut out, UINT, 1);
    out
}
