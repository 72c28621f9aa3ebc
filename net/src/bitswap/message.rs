//! Bitswap messages and their protobuf form (specification: specs.ipfs.tech/bitswap-protocol).
//!
//! The reader takes what deployed peers send: unknown fields are skipped, a message may lack its wantlist, and an
//! entry that is no usable CID is left out rather than costing the whole message. What it keeps is bounded, whatever
//! the message says.

use super::wire::{self, Reader};
use bytes::Bytes;
use cairn_store::{
    Cid,
    block::{MAX_BLOCK_SIZE, Prefix},
    cid::{self, codec},
    hash::HashFn,
};

/// Largest message in bytes.
pub const MAX_MESSAGE: usize = 4 << 20;
/// Longest CID in bytes; entries with a longer one are ignored.
pub const MAX_CID: usize = 168;
/// Wantlist entries kept of one message; those after them are ignored. Four full wantlists of a peer.
pub const MAX_ENTRIES: usize = 4096;
/// Presences kept of one message; those after them are ignored.
pub const MAX_PRESENCES: usize = 8192;
/// Blocks kept of one message; those after them are ignored. 256 bytes each fill a message.
pub const MAX_BLOCKS: usize = 16384;

/// Version of the protocol, by what its peers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0.0 and the one without a number: blocks without names, which are CIDv0.
    V1_0,
    /// 1.1.0: blocks with the prefix of their CID.
    V1_1,
    /// 1.2.0: HAVE and DONT_HAVE.
    V1_2,
}

/// What is wanted of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WantType {
    /// To know whether the peer has it.
    Have,
    /// The block.
    Block,
}

/// An entry of a wantlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The block.
    pub cid: Cid,
    /// Greater ones first.
    pub priority: i32,
    /// It is not wanted any more.
    pub cancel: bool,
    /// What is wanted.
    pub want: WantType,
    /// Whether to say so if the block is not there.
    pub send_dont_have: bool,
}

impl Entry {
    /// Takes a want back.
    pub fn cancel(cid: Cid) -> Self {
        Self { cid, priority: 0, cancel: true, want: WantType::Block, send_dont_have: false }
    }

    /// Wants something, with an answer in any case.
    pub fn want(cid: Cid, want: WantType, priority: i32) -> Self {
        Self { cid, priority, cancel: false, want, send_dont_have: true }
    }
}

/// A block as it came: nothing has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What its CID is made with, besides its hash.
    pub prefix: Prefix,
    /// The bytes.
    pub data: Bytes,
}

/// Whether a peer has a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has.
    Have,
    /// It has not.
    DontHave,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Wants and cancels.
    pub wants: Vec<Entry>,
    /// Whether `wants` replaces all wants that were sent before.
    pub full: bool,
    /// Blocks.
    pub blocks: Vec<Payload>,
    /// Who has what.
    pub presences: Vec<(Cid, Presence)>,
    /// Bytes that wait to be sent to the receiver.
    pub pending_bytes: i32,
    /// Parts that were ignored on reading: not CIDs, too long, or too many. Never written.
    pub ignored: usize,
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a bitswap message: {0}")]
pub struct MessageError(pub &'static str);

impl Message {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty() && !self.full && self.blocks.is_empty() && self.presences.is_empty()
    }

    /// Bytes of all blocks.
    pub fn data_len(&self) -> usize {
        self.blocks.iter().map(|b| b.data.len()).sum()
    }

    /// Reads a message; blocks share the memory of `bytes`.
    ///
    /// # Errors
    /// When the bytes are not protobuf. Time is linear in their length; memory too, with a small factor.
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        let mut message = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((field, value)) = reader.next_field()? {
            match (field, value) {
                (1, wire::Value::Bytes(body)) => message.read_wantlist(body)?,
                (2, wire::Value::Bytes(body)) => message.push_block(Prefix::V0, bytes.slice_ref(body)),
                (3, wire::Value::Bytes(body)) => message.read_payload(bytes, body)?,
                (4, wire::Value::Bytes(body)) => message.read_presence(body)?,
                (5, wire::Value::Varint(n)) => message.pending_bytes = n as i32,
                _ => {}
            }
        }
        Ok(message)
    }

    fn read_wantlist(&mut self, body: &[u8]) -> Result<(), MessageError> {
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next_field()? {
            match (field, value) {
                (1, wire::Value::Bytes(entry)) => self.read_entry(entry)?,
                (2, wire::Value::Varint(full)) => self.full = full != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_entry(&mut self, body: &[u8]) -> Result<(), MessageError> {
        let mut name: &[u8] = &[];
        let (mut priority, mut cancel, mut want, mut send_dont_have) = (0, false, WantType::Block, false);
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next_field()? {
            match (field, value) {
                (1, wire::Value::Bytes(bytes)) => name = bytes,
                (2, wire::Value::Varint(n)) => priority = n as i32,
                (3, wire::Value::Varint(n)) => cancel = n != 0,
                (4, wire::Value::Varint(n)) => want = if n == 1 { WantType::Have } else { WantType::Block },
                (5, wire::Value::Varint(n)) => send_dont_have = n != 0,
                _ => {}
            }
        }
        match read_cid(name) {
            Some(cid) if self.wants.len() < MAX_ENTRIES => {
                self.wants.push(Entry { cid, priority, cancel, want, send_dont_have });
            }
            _ => self.ignored += 1,
        }
        Ok(())
    }

    fn read_payload(&mut self, whole: &Bytes, body: &[u8]) -> Result<(), MessageError> {
        let (mut prefix, mut data): (&[u8], &[u8]) = (&[], &[]);
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next_field()? {
            match (field, value) {
                (1, wire::Value::Bytes(bytes)) => prefix = bytes,
                (2, wire::Value::Bytes(bytes)) => data = bytes,
                _ => {}
            }
        }
        match read_prefix(prefix) {
            // An empty slice may not point into the message.
            Some(prefix) if data.is_empty() => self.push_block(prefix, Bytes::new()),
            Some(prefix) => self.push_block(prefix, whole.slice_ref(data)),
            None => self.ignored += 1,
        }
        Ok(())
    }

    fn push_block(&mut self, prefix: Prefix, data: Bytes) {
        if data.len() > MAX_BLOCK_SIZE || self.blocks.len() >= MAX_BLOCKS {
            self.ignored += 1;
        } else {
            self.blocks.push(Payload { prefix, data });
        }
    }

    fn read_presence(&mut self, body: &[u8]) -> Result<(), MessageError> {
        let mut name: &[u8] = &[];
        let mut presence = Presence::Have;
        let mut reader = Reader::new(body);
        while let Some((field, value)) = reader.next_field()? {
            match (field, value) {
                (1, wire::Value::Bytes(bytes)) => name = bytes,
                (2, wire::Value::Varint(0)) => presence = Presence::Have,
                (2, wire::Value::Varint(_)) => presence = Presence::DontHave,
                _ => {}
            }
        }
        match read_cid(name) {
            Some(cid) if self.presences.len() < MAX_PRESENCES => self.presences.push((cid, presence)),
            _ => self.ignored += 1,
        }
        Ok(())
    }

    /// Writes the message for peers of that version, as pieces in order, so that blocks are not copied. The length
    /// that frames it comes first. Versions before 1.2 are not told of presences, and their want-haves become wants.
    pub fn encode(&self, version: Version) -> Vec<Bytes> {
        let mut out = Pieces::default();
        let wantlist = self.encode_wantlist(version);
        // Always there, even empty: its absence crashes old peers.
        wire::put_bytes(&mut out.head, 1, &wantlist);
        for block in &self.blocks {
            if version == Version::V1_0 {
                out.put_data(2, &[], &block.data);
            } else {
                out.put_data(3, &encode_prefix(&block.prefix), &block.data);
            }
        }
        if version >= Version::V1_2 {
            for (cid, presence) in &self.presences {
                let mut body = Vec::with_capacity(48);
                wire::put_bytes(&mut body, 1, &cid.to_bytes());
                wire::put_varint(&mut body, 2, u64::from(*presence == Presence::DontHave));
                wire::put_bytes(&mut out.head, 4, &body);
            }
            // Negative numbers take ten bytes, as int32 has it.
            wire::put_varint(&mut out.head, 5, i64::from(self.pending_bytes) as u64);
        }
        out.finish()
    }

    fn encode_wantlist(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.wants.len() * 48);
        for entry in &self.wants {
            let mut body = Vec::with_capacity(48);
            wire::put_bytes(&mut body, 1, &entry.cid.to_bytes());
            wire::put_varint(&mut body, 2, i64::from(entry.priority) as u64);
            wire::put_varint(&mut body, 3, u64::from(entry.cancel));
            if version >= Version::V1_2 {
                wire::put_varint(&mut body, 4, u64::from(entry.want == WantType::Have));
                wire::put_varint(&mut body, 5, u64::from(entry.send_dont_have));
            }
            wire::put_bytes(&mut out, 1, &body);
        }
        wire::put_varint(&mut out, 2, u64::from(self.full));
        out
    }
}

/// Encoded pieces: bytes that are collected, and blocks that are passed on as they are.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    head: Vec<u8>,
}

impl Pieces {
    /// A block: bare in field 2, or with its prefix in field 3.
    fn put_data(&mut self, field: u64, prefix: &[u8], data: &Bytes) {
        if field == 3 {
            let mut body = Vec::with_capacity(16);
            wire::put_bytes(&mut body, 1, prefix);
            wire::put_key(&mut body, 2, wire::BYTES);
            wire::put_raw_varint(&mut body, data.len() as u64);
            wire::put_key(&mut self.head, field, wire::BYTES);
            wire::put_raw_varint(&mut self.head, (body.len() + data.len()) as u64);
            self.head.extend_from_slice(&body);
        } else {
            wire::put_key(&mut self.head, field, wire::BYTES);
            wire::put_raw_varint(&mut self.head, data.len() as u64);
        }
        self.done.push(std::mem::take(&mut self.head).into());
        self.done.push(data.clone());
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.head.is_empty() {
            self.done.push(self.head.into());
        }
        let len: usize = self.done.iter().map(Bytes::len).sum();
        let mut frame = Vec::with_capacity(4);
        wire::put_raw_varint(&mut frame, len as u64);
        self.done.insert(0, frame.into());
        self.done
    }
}

/// A CID that may stand in a message: identity CIDs carry their block with them and are never asked for.
fn read_cid(bytes: &[u8]) -> Option<Cid> {
    if bytes.len() > MAX_CID {
        return None;
    }
    cid::from_bytes(bytes).ok().filter(|cid| cid.hash().code() != HashFn::IDENTITY.code())
}

/// Version, codec, hash function and length of the digest, each a varint.
fn read_prefix(bytes: &[u8]) -> Option<Prefix> {
    let mut rest = bytes;
    let mut number = || {
        let (n, after) = unsigned_varint::decode::u64(rest).ok()?;
        rest = after;
        Some(n)
    };
    let (version, codec, code, len) = (number()?, number()?, number()?, number()?);
    let version = match version {
        0 => ::cid::Version::V0,
        1 => ::cid::Version::V1,
        _ => return None,
    };
    let hash = HashFn::from_code(code)?;
    let whole = hash.digest_len().is_some_and(|n| u64::from(n) == len);
    (whole && rest.is_empty()).then_some(Prefix { version, codec, hash })
}

/// The reverse of [`read_prefix`]: the prefix of a CID that was asked for, to name the answer as the asker did.
fn encode_prefix(prefix: &Prefix) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    wire::put_raw_varint(&mut out, u64::from(prefix.version == ::cid::Version::V1));
    wire::put_raw_varint(&mut out, prefix.codec);
    wire::put_raw_varint(&mut out, prefix.hash.code());
    wire::put_raw_varint(&mut out, prefix.hash.digest_len().map_or(0, u64::from));
    out
}

/// The prefix of a CID; `None` when its hash is not one that Cairn computes in that length.
pub fn prefix_of(cid: &Cid) -> Option<Prefix> {
    let hash = HashFn::from_code(cid.hash().code())?;
    let version = if cid.version() == ::cid::Version::V0 { ::cid::Version::V0 } else { ::cid::Version::V1 };
    let codec = if version == ::cid::Version::V0 { codec::DAG_PB } else { cid.codec() };
    (hash.digest_len() == Some(cid.hash().size())).then_some(Prefix { version, codec, hash })
}

/// A target for fuzzing: what decodes is encoded to what decodes to the same, within the bounds of the reader.
///
/// # Panics
/// When that does not hold.
pub fn fuzz(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(mut message) = Message::decode(&bytes) else { return };
    assert!(message.wants.len() <= MAX_ENTRIES && message.presences.len() <= MAX_PRESENCES);
    assert!(message.data_len() <= data.len() && message.blocks.len() <= MAX_BLOCKS);
    message.ignored = 0;
    let pieces = message.encode(Version::V1_2).concat();
    let (len, body) = unsigned_varint::decode::usize(&pieces).expect("a length comes first");
    assert_eq!(len, body.len());
    let again = Message::decode(&Bytes::copy_from_slice(body)).expect("what was encoded decodes");
    assert_eq!(again, message);
}
