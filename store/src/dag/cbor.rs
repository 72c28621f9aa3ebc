//! dag-cbor, and cbor without links (specification: ipld.io/specs/codecs/dag-cbor).
//!
//! The writer is canonical: names by length, then bytes; the shortest integers; 64-bit floats. The reader takes
//! what Kubo's takes of that format's past: names in any order, narrower floats, and `undefined` for null. It
//! refuses lengths that are not declared or longer than they need to be, repeated names, tags other than links,
//! NaN and the infinities.

use super::ipld::{self, CodecError, Ipld, Item, Nest, Sort, Token, Tokens};
use crate::{Cid, cid};
use bytes::Bytes;
use std::borrow::Cow;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const OTHER: u8 = 7;
/// Tag of a link.
const LINK: u64 = 42;

/// Reads dag-cbor.
///
/// # Errors
/// When the bytes are malformed. Time and memory are linear in their length.
pub fn decode(bytes: &Bytes) -> Result<Ipld, CodecError> {
    ipld::build(Scanner::new(bytes, true), bytes)
}

/// Reads cbor without links.
///
/// # Errors
/// As [`decode`], and when there is a link.
pub fn decode_plain(bytes: &Bytes) -> Result<Ipld, CodecError> {
    ipld::build(Scanner::new(bytes, false), bytes)
}

/// The links of dag-cbor, in order, without keeping anything else.
///
/// # Errors
/// As [`decode`], except that text need not be UTF-8.
pub fn links(bytes: &Bytes) -> Result<Vec<Cid>, CodecError> {
    ipld::collect_links(Scanner::new(bytes, true))
}

/// Writes dag-cbor.
///
/// # Errors
/// For an integer outside -2^64 to 2^64 - 1, a float that is not finite, or a tree that is too deep.
pub fn encode(value: &Ipld) -> Result<Bytes, CodecError> {
    write(value, Sort::LengthFirst, true)
}

/// Writes cbor: names in the order of the value, no links.
///
/// # Errors
/// As [`encode`], and when there is a link.
pub fn encode_plain(value: &Ipld) -> Result<Bytes, CodecError> {
    write(value, Sort::Keep, false)
}

fn malformed(reason: impl Into<String>) -> CodecError {
    CodecError::Malformed { codec: "dag-cbor", reason: reason.into() }
}

struct Frame {
    /// Elements or entries that are still to begin.
    left: u64,
    /// A name was read, its value is next.
    named: bool,
}

struct Scanner<'a> {
    rest: &'a [u8],
    links: bool,
    frames: Vec<Frame>,
    nest: Nest<'a>,
    begun: bool,
}

impl<'a> Tokens<'a> for Scanner<'a> {
    const CODEC: &'static str = "dag-cbor";

    fn next(&mut self) -> Result<Option<Token<'a>>, CodecError> {
        let Some(top) = self.frames.last_mut() else {
            if self.begun {
                let left = self.rest.len();
                return if left == 0 { Ok(None) } else { Err(malformed(format!("{left} bytes after the value"))) };
            }
            self.begun = true;
            return self.value().map(Some);
        };
        if top.named {
            top.named = false;
            return self.value().map(Some);
        }
        if top.left == 0 {
            self.frames.pop();
            self.nest.close().map_err(|key| malformed(format!("the name {key:?} twice in a map")))?;
            return Ok(Some(Token::Close));
        }
        top.left -= 1;
        if self.nest.in_map() == Some(true) {
            top.named = true;
            return self.key().map(Some);
        }
        self.value().map(Some)
    }
}

impl<'a> Scanner<'a> {
    fn new(bytes: &'a [u8], links: bool) -> Self {
        Self { rest: bytes, links, frames: Vec::new(), nest: Nest::default(), begun: false }
    }

    fn key(&mut self) -> Result<Token<'a>, CodecError> {
        let (major, _, len) = self.head()?;
        if major != TEXT {
            return Err(malformed("a name in a map that is not text"));
        }
        let key = Cow::Borrowed(self.take(len)?);
        self.nest.key(key.clone());
        Ok(Token::Key(key))
    }

    fn value(&mut self) -> Result<Token<'a>, CodecError> {
        let (major, info, number) = self.head()?;
        Ok(match major {
            UINT => Token::Int(i128::from(number)),
            NEGATIVE => Token::Int(-1 - i128::from(number)),
            BYTES => Token::Bytes(Cow::Borrowed(self.take(number)?)),
            TEXT => Token::Text(Cow::Borrowed(self.take(number)?)),
            LIST => {
                self.open(number, false)?;
                Token::List(number)
            }
            MAP => {
                self.open(number, true)?;
                Token::Map
            }
            TAG => Token::Link(self.link(number)?),
            _ => match info {
                20 => Token::Bool(false),
                21 => Token::Bool(true),
                // 23 is `undefined`: blocks of old writers have it.
                22 | 23 => Token::Null,
                25 => Token::Float(finite(half(number))?),
                26 => Token::Float(finite(f64::from(f32::from_bits(number as u32)))?),
                27 => Token::Float(finite(f64::from_bits(number))?),
                _ => return Err(malformed(format!("the simple value {info}"))),
            },
        })
    }

    fn open(&mut self, left: u64, map: bool) -> Result<(), CodecError> {
        // Each element takes a byte, each entry two: what can't be there is refused before it is looked for.
        let least = left.saturating_mul(if map { 2 } else { 1 });
        if least > self.rest.len() as u64 {
            return Err(malformed(format!("{left} elements are declared and {} bytes are left", self.rest.len())));
        }
        self.nest.open(map)?;
        self.frames.push(Frame { left, named: false });
        Ok(())
    }

    fn link(&mut self, tag: u64) -> Result<Cid, CodecError> {
        if tag != LINK {
            return Err(malformed(format!("the tag {tag}: only links, tag {LINK}, are allowed")));
        }
        if !self.links {
            return Err(CodecError::Malformed { codec: "cbor", reason: "a link".into() });
        }
        let (major, _, len) = self.head()?;
        if major != BYTES {
            return Err(malformed("a link that is not bytes"));
        }
        match self.take(len)?.split_first() {
            Some((0, cid)) => cid::from_bytes(cid).map_err(|e| malformed(format!("link: {e}"))),
            _ => Err(malformed("a link without its leading zero")),
        }
    }

    fn head(&mut self) -> Result<(u8, u8, u64), CodecError> {
        read_head(&mut self.rest).map_err(malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CodecError> {
        take(&mut self.rest, len).map_err(malformed)
    }
}

fn finite(value: f64) -> Result<f64, CodecError> {
    if value.is_finite() { Ok(value) } else { Err(malformed(format!("the float {value}"))) }
}

/// The value of a 16-bit float.
fn half(bits: u64) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = ((bits >> 10 & 31) as i32, (bits & 0x3ff) as f64);
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

fn write(value: &Ipld, sort: Sort, links: bool) -> Result<Bytes, CodecError> {
    let codec = if links { "dag-cbor" } else { "cbor" };
    let refuse = |what: String| Err(CodecError::NotEncodable { codec, what });
    let mut out = Vec::new();
    ipld::visit(value, sort, &mut |item| {
        match item {
            Item::List(len) => push_head(&mut out, LIST, len as u64),
            Item::Map(len) => push_head(&mut out, MAP, len as u64),
            Item::Key(key) => push_slice(&mut out, TEXT, key.as_bytes()),
            Item::Leaf(Ipld::Null) => out.push(OTHER << 5 | 22),
            Item::Leaf(Ipld::Bool(value)) => out.push((OTHER << 5) | (20 + u8::from(*value))),
            Item::Leaf(Ipld::Int(value)) => match (u64::try_from(*value), u64::try_from(-1 - *value)) {
                (Ok(number), _) => push_head(&mut out, UINT, number),
                (_, Ok(number)) => push_head(&mut out, NEGATIVE, number),
                _ => return refuse(format!("the integer {value}")),
            },
            Item::Leaf(Ipld::Float(value)) if !value.is_finite() => return refuse(format!("the float {value}")),
            Item::Leaf(Ipld::Float(value)) => {
                out.push(OTHER << 5 | 27);
                out.extend_from_slice(&value.to_bits().to_be_bytes());
            }
            Item::Leaf(Ipld::String(text)) => push_slice(&mut out, TEXT, text.as_bytes()),
            Item::Leaf(Ipld::Bytes(bytes)) => push_slice(&mut out, BYTES, bytes),
            Item::Leaf(Ipld::Link(_)) if !links => return refuse("links".into()),
            Item::Leaf(Ipld::Link(cid)) => {
                push_head(&mut out, TAG, LINK);
                push_head(&mut out, BYTES, 1 + cid.encoded_len() as u64);
                out.push(0);
                // Writing to a Vec does not fail.
                let _ = cid.write_bytes(&mut out);
            }
            Item::Leaf(Ipld::List(_) | Ipld::Map(_)) | Item::Close(..) => {}
        }
        Ok(())
    })?;
    Ok(out.into())
}

fn push_slice(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    push_head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The head of an item: its major type and its number, in the shortest form.
pub(crate) fn push_head(out: &mut Vec<u8>, major: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let size = match number {
        0..24 => {
            out.push(major << 5 | bytes[7]);
            return;
        }
        24..0x100 => 0u8,
        0x100..0x1_0000 => 1,
        0x1_0000..0x1_0000_0000 => 2,
        _ => 3,
    };
    out.push(major << 5 | (24 + size));
    out.extend_from_slice(&bytes[8 - (1 << size)..]);
}

/// Reads the head of an item: major type, additional information, and the number, which must be in its shortest form.
pub(crate) fn read_head(rest: &mut &[u8]) -> Result<(u8, u8, u64), String> {
    let (&first, tail) = rest.split_first().ok_or("it ends too early")?;
    *rest = tail;
    let (major, info) = (first >> 5, first & 31);
    let size = match info {
        0..=23 => return Ok((major, info, u64::from(info))),
        24..=27 => 1u64 << (info - 24),
        31 => return Err("a length that is not declared".into()),
        _ => return Err(format!("the byte 0x{first:02x}")),
    };
    let number = take(rest, size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let least = [24, 1 << 8, 1 << 16, 1 << 32][usize::from(info - 24)];
    if major != OTHER && number < least {
        return Err(format!("{number} in {size} bytes, longer than it needs to be"));
    }
    Ok((major, info, number))
}

/// The next `len` bytes.
pub(crate) fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
    let (head, tail) = usize::try_from(len)
        .ok()
        .and_then(|len| rest.split_at_checked(len))
        .ok_or_else(|| format!("{len} bytes are declared and {} are left", rest.len()))?;
    *rest = tail;
    Ok(head)
}
