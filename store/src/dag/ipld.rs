//! The data model that dag-cbor, dag-json and dag-pb share, built from tokens and taken apart into items.
//!
//! Decoders give [`Token`]s and never nest calls; [`build`] makes a tree of them, [`collect_links`] keeps only
//! links. Encoders are driven by [`visit`]. Depth is bounded by [`MAX_DEPTH`] on both ways, which also bounds what
//! dropping, cloning and comparing a tree recurse.

use crate::Cid;
use bytes::Bytes;
use std::borrow::Cow;
use thiserror::Error;

/// Lists and maps that may stand inside each other; as in Kubo.
pub const MAX_DEPTH: usize = 1024;
/// Values of one tree: as many as a block of 2 MiB can hold, at 48 bytes of memory each.
pub const MAX_VALUES: usize = 2 << 20;
/// Elements that a list gets room for before they are seen.
const MAX_ROOM: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Ipld {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number: -2^64 to 2^64 - 1 can be encoded.
    Int(i128),
    /// A finite number.
    Float(f64),
    /// Text.
    String(String),
    /// Bytes.
    Bytes(Bytes),
    /// Values in order.
    List(Vec<Ipld>),
    /// Values by distinct names, in the order of their source; encoders sort as their format asks.
    Map(Vec<(String, Ipld)>),
    /// A link to another block.
    Link(Box<Cid>),
}

/// Why bytes can't be read as a codec, or a value can't be written in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes are malformed.
    #[error("not valid {codec}: {reason}")]
    Malformed {
        /// Name of the codec.
        codec: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The codec has no form for this value.
    #[error("{codec} cannot hold {what}")]
    NotEncodable {
        /// Name of the codec.
        codec: &'static str,
        /// The value.
        what: String,
    },
    /// Lists and maps stand too deep inside each other.
    #[error("more than {MAX_DEPTH} lists and maps inside each other")]
    TooDeep,
    /// The block has too many values.
    #[error("more than {MAX_VALUES} values in one block")]
    TooMany,
    /// The codec is not one that Cairn can read or write.
    #[error("no encoder or decoder for multicodec 0x{0:x}")]
    UnknownCodec(u64),
}

impl Ipld {
    /// Name of the kind, as in the data model.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Link(_) => "link",
        }
    }

    /// The value of that name, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// A part of an encoded value. Text is not yet known to be UTF-8.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, [u8]>),
    Bytes(Cow<'a, [u8]>),
    Link(Cid),
    /// A list begins; with the number of its elements, if that is declared.
    List(u64),
    Map,
    /// The name of the value that follows.
    Key(Cow<'a, [u8]>),
    /// The innermost list or map ends.
    Close,
}

/// A source of tokens that form exactly one value; `None` at its end.
pub(super) trait Tokens<'a> {
    /// Name of the codec, for messages.
    const CODEC: &'static str;
    fn next(&mut self) -> Result<Option<Token<'a>>, CodecError>;
}

/// Open lists and maps, and the names in the open maps.
#[derive(Debug, Default)]
pub(super) struct Nest<'a> {
    /// For each: whether it is a map, and its first name in `keys`.
    open: Vec<(bool, usize)>,
    keys: Vec<Cow<'a, [u8]>>,
}

impl<'a> Nest<'a> {
    /// Whether the innermost one is a map; `None` outside of all.
    pub(super) fn in_map(&self) -> Option<bool> {
        self.open.last().map(|&(map, _)| map)
    }

    pub(super) fn open(&mut self, map: bool) -> Result<(), CodecError> {
        if self.open.len() == MAX_DEPTH {
            return Err(CodecError::TooDeep);
        }
        self.open.push((map, self.keys.len()));
        Ok(())
    }

    pub(super) fn key(&mut self, key: Cow<'a, [u8]>) {
        self.keys.push(key);
    }

    /// Ends the innermost one. A name that it has twice is given back as an error.
    pub(super) fn close(&mut self) -> Result<(), String> {
        let Some((_, first)) = self.open.pop() else { return Ok(()) };
        let keys = &mut self.keys[first..];
        // Encoders sort by bytes or by length first: for names in neither order they are sorted here.
        let in_order = |sort: Sort| keys.windows(2).all(|w| sort.compare(&w[0], &w[1]).is_lt());
        if !in_order(Sort::LengthFirst) && !in_order(Sort::Bytes) {
            keys.sort_unstable();
            if let Some(twice) = keys.windows(2).find(|w| w[0] == w[1]) {
                return Err(String::from_utf8_lossy(&twice[0]).into_owned());
            }
        }
        self.keys.truncate(first);
        Ok(())
    }
}

/// Makes a tree. Bytes share the memory of `whole` where the tokens borrow from it.
pub(super) fn build<'a, T: Tokens<'a>>(mut tokens: T, whole: &Bytes) -> Result<Ipld, CodecError> {
    let malformed = |reason: &str| CodecError::Malformed { codec: T::CODEC, reason: reason.to_owned() };
    let text =
        |bytes: Cow<'a, [u8]>| String::from_utf8(bytes.into_owned()).map_err(|_| malformed("text that is not UTF-8"));
    // What is open, and for maps the name that waits for its value.
    let mut stack: Vec<(Ipld, String)> = Vec::new();
    let mut done = None;
    let mut values = 0;
    while let Some(token) = tokens.next()? {
        let value = match token {
            Token::Null => Ipld::Null,
            Token::Bool(value) => Ipld::Bool(value),
            Token::Int(value) => Ipld::Int(value),
            Token::Float(value) => Ipld::Float(value),
            Token::Text(value) => Ipld::String(text(value)?),
            Token::Bytes(Cow::Borrowed(value)) => Ipld::Bytes(whole.slice_ref(value)),
            Token::Bytes(Cow::Owned(value)) => Ipld::Bytes(value.into()),
            Token::Link(cid) => Ipld::Link(Box::new(cid)),
            Token::Key(key) => {
                if let Some((_, waiting)) = stack.last_mut() {
                    *waiting = text(key)?;
                }
                continue;
            }
            Token::List(len) => {
                let room = usize::try_from(len).unwrap_or(MAX_ROOM).min(MAX_ROOM);
                stack.push((Ipld::List(Vec::with_capacity(room)), String::new()));
                continue;
            }
            Token::Map => {
                stack.push((Ipld::Map(Vec::new()), String::new()));
                continue;
            }
            Token::Close => match stack.pop() {
                Some((value, _)) => value,
                None => return Err(malformed("an end without a beginning")),
            },
        };
        values += 1;
        if values > MAX_VALUES {
            return Err(CodecError::TooMany);
        }
        match stack.last_mut() {
            Some((Ipld::List(list), _)) => list.push(value),
            Some((Ipld::Map(map), key)) => map.push((std::mem::take(key), value)),
            _ => done = Some(value),
        }
    }
    done.ok_or_else(|| malformed("no value"))
}

/// The links among tokens, in order.
pub(super) fn collect_links<'a, T: Tokens<'a>>(mut tokens: T) -> Result<Vec<Cid>, CodecError> {
    let mut links = Vec::new();
    while let Some(token) = tokens.next()? {
        if let Token::Link(cid) = token {
            links.push(cid);
        }
    }
    Ok(links)
}

/// Order of names in maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// As in the value.
    Keep,
    /// By their bytes.
    Bytes,
    /// Short ones first, equally long ones by their bytes.
    LengthFirst,
}

impl Sort {
    fn compare(self, a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        match self {
            Self::Keep => std::cmp::Ordering::Equal,
            Self::Bytes => a.cmp(b),
            Self::LengthFirst => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        }
    }
}

/// A part of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'a> {
    /// Neither list nor map.
    Leaf(&'a Ipld),
    /// A list of that many elements.
    List(usize),
    /// A map of that many entries.
    Map(usize),
    /// The name of the value that follows.
    Key(&'a str),
    /// The innermost list or map ends: whether it is a map, and how many entries it had.
    Close(bool, usize),
}

enum Frame<'a> {
    List(std::slice::Iter<'a, Ipld>, usize),
    Map(std::vec::IntoIter<&'a (String, Ipld)>, usize),
}

/// Hands the parts of a tree to `on`, in the order in which encoders write them.
pub(super) fn visit<'a>(
    root: &'a Ipld,
    sort: Sort,
    on: &mut dyn FnMut(Item<'a>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut stack: Vec<Frame<'a>> = Vec::new();
    let mut next = Some(root);
    loop {
        match next {
            Some(Ipld::List(list)) => {
                on(Item::List(list.len()))?;
                stack.push(Frame::List(list.iter(), list.len()));
            }
            Some(Ipld::Map(map)) => {
                on(Item::Map(map.len()))?;
                let mut entries: Vec<&(String, Ipld)> = map.iter().collect();
                entries.sort_by(|a, b| sort.compare(a.0.as_bytes(), b.0.as_bytes()));
                stack.push(Frame::Map(entries.into_iter(), map.len()));
            }
            Some(leaf) => on(Item::Leaf(leaf))?,
            None => {}
        }
        if stack.len() > MAX_DEPTH {
            return Err(CodecError::TooDeep);
        }
        let Some(top) = stack.last_mut() else { return Ok(()) };
        let (after, map, len) = match top {
            Frame::List(list, len) => (list.next(), false, *len),
            Frame::Map(entries, len) => match entries.next() {
                Some((key, value)) => {
                    on(Item::Key(key))?;
                    (Some(value), true, *len)
                }
                None => (None, true, *len),
            },
        };
        next = after;
        if next.is_none() {
            stack.pop();
            on(Item::Close(map, len))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_small() {
        // `MAX_VALUES` of them are 96 MiB.
        assert!(size_of::<Ipld>() <= 48);
    }

    #[test]
    fn repeated_names_are_found_in_any_order() {
        for (keys, twice) in [
            (vec!["a", "b", "aa"], false),
            (vec!["a", "aa", "b"], false),
            (vec!["b", "a"], false),
            (vec!["b", "a", "b"], true),
            (vec!["a", "a"], true),
            (vec!["", ""], true),
            (vec![], false),
        ] {
            let mut nest = Nest::default();
            nest.open(true).expect("shallow");
            for key in &keys {
                nest.key(Cow::Borrowed(key.as_bytes()));
            }
            assert_eq!(nest.close().is_err(), twice, "{keys:?}");
        }
    }
}
