//! CIDs and numbers as text, without an allocation where they are many.

use cairn_store::cid::{Cid, MAX_DIGEST};
use std::fmt::Write as _;

/// Writes a CID: version 0 in base58, version 1 in base32.
pub(super) fn cid(cid: &Cid, out: &mut String) {
    // A version, a codec, a hash function and a length take up to ten bytes each.
    let mut bytes = [0; MAX_DIGEST + 40];
    let written = cid.write_bytes(&mut bytes[..]);
    match (cid.version(), written) {
        (cid::Version::V1, Ok(len)) => {
            out.push('b');
            base32(&bytes[..len], out);
        }
        // Base58 is a division of long numbers: there is no writing it piece by piece.
        _ => out.push_str(&cid.to_string()),
    }
}

/// Writes the first four and the last four characters of a text in ASCII.
pub(super) fn short(text: &str, out: &mut String) {
    match (text.len() > 8, text.get(..4), text.get(text.len().saturating_sub(4)..)) {
        (true, Some(head), Some(tail)) => {
            out.push_str(head);
            out.push('\u{2026}');
            out.push_str(tail);
        }
        _ => out.push_str(text),
    }
}

/// Letters that the longest CID takes in base32.
const MAX_LETTERS: usize = (MAX_DIGEST + 40) * 8 / 5 + 1;

/// Writes at most `MAX_DIGEST + 40` bytes in base32.
fn base32(bytes: &[u8], out: &mut String) {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = [0; MAX_LETTERS];
    let letters = (bytes.len() * 8).div_ceil(5);
    for (group, letters) in bytes.chunks(5).zip(text.chunks_mut(8)) {
        let mut held = [0; 8];
        held[3..3 + group.len()].copy_from_slice(group);
        let held = u64::from_be_bytes(held);
        for (at, letter) in (0_u32..).zip(letters) {
            *letter = LETTERS[(held >> (35 - 5 * at) & 31) as usize];
        }
    }
    out.push_str(std::str::from_utf8(&text[..letters]).unwrap_or_default());
}

/// Writes a number of bytes for people, in powers of 1000 with three digits: `817 B`, `4.1 kB`, `23 MB`.
pub(super) fn size(bytes: u64, out: &mut String) {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut unit, mut scale) = (0, 1_u64);
    // A number that would be rounded to 1000 belongs to the next unit.
    while unit < UNITS.len() - 1 && bytes >= scale.saturating_mul(1000) - scale / 2 && bytes >= 1000 {
        unit += 1;
        scale *= 1000;
    }
    let tenths = (u128::from(bytes) * 10 + u128::from(scale) / 2) / u128::from(scale);
    // Writing to a String can't fail.
    let _ = if unit > 0 && tenths < 100 {
        write!(out, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        write!(out, "{} {}", (u128::from(bytes) + u128::from(scale) / 2) / u128::from(scale), UNITS[unit])
    };
}

/// Writes a count in groups of three digits.
pub(super) fn count(number: u64, out: &mut String) {
    let digits = number.to_string();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
}
