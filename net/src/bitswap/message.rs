//! Bitswap messages and their protobuf form (specification: specs.ipfs.tech/bitswap-protocol).
//!
//! The reader takes what deployed peers send: unknown fields are skipped, a message may lack its wantlist, and an
//! entry that is no usable CID is left out rather than costing the whole message. What it keeps is bounded, whatever
//! the message says.

use crate::protobuf::{Fields, Malformed, Value, push_bytes, push_number, push_varint};
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

impl From<Malformed> for MessageError {
    fn from(_: Malformed) -> Self {
        Self("not protobuf")
    }
}

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
        let mut reader = Fields::new(bytes);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(body)) => message.read_wantlist(body)?,
                (2, Value::Bytes(body)) => message.push_block(Prefix::V0, bytes.slice_ref(body)),
                (3, Value::Bytes(body)) => message.read_payload(bytes, body)?,
                (4, Value::Bytes(body)) => message.read_presence(body)?,
                (5, Value::Number(n)) => message.pending_bytes = n as i32,
                _ => {}
            }
        }
        Ok(message)
    }

    fn read_wantlist(&mut self, body: &[u8]) -> Result<(), MessageError> {
        let mut reader = Fields::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(entry)) => self.read_entry(entry)?,
                (2, Value::Number(full)) => self.full = full != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_entry(&mut self, body: &[u8]) -> Result<(), MessageError> {
        let mut name: &[u8] = &[];
        let (mut priority, mut cancel, mut want, mut send_dont_have) = (0, false, WantType::Block, false);
        let mut reader = Fields::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Number(n)) => priority = n as i32,
                (3, Value::Number(n)) => cancel = n != 0,
                (4, Value::Number(n)) => want = if n == 1 { WantType::Have } else { WantType::Block },
                (5, Value::Number(n)) => send_dont_have = n != 0,
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
        let mut reader = Fields::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => prefix = bytes,
                (2, Value::Bytes(bytes)) => data = bytes,
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
        let mut reader = Fields::new(body);
        while let Some((field, value)) = reader.next()? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Number(0)) => presence = Presence::Have,
                (2, Value::Number(_)) => presence = Presence::DontHave,
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
        push_bytes(&mut out.head, 1, &wantlist);
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
                push_bytes(&mut body, 1, &cid.to_bytes());
                push_given(&mut body, 2, u64::from(*presence == Presence::DontHave));
                push_bytes(&mut out.head, 4, &body);
            }
            // Negative numbers take ten bytes, as int32 has it.
            push_given(&mut out.head, 5, i64::from(self.pending_bytes) as u64);
        }
        out.finish()
    }

    fn encode_wantlist(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.wants.len() * 48);
        for entry in &self.wants {
            let mut body = Vec::with_capacity(48);
            push_bytes(&mut body, 1, &entry.cid.to_bytes());
            push_given(&mut body, 2, i64::from(entry.priority) as u64);
            push_given(&mut body, 3, u64::from(entry.cancel));
            if version >= Version::V1_2 {
                push_given(&mut body, 4, u64::from(entry.want == WantType::Have));
                push_given(&mut body, 5, u64::from(entry.send_dont_have));
            }
            push_bytes(&mut out, 1, &body);
        }
        push_given(&mut out, 2, u64::from(self.full));
        out
    }
}

/// A number; 0 is the default and is left out.
fn push_given(out: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        push_number(out, field, number);
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
    fn put_data(&mut self, field: u8, prefix: &[u8], data: &Bytes) {
        if field == 3 {
            let mut body = Vec::with_capacity(16);
            push_bytes(&mut body, 1, prefix);
            push_varint(&mut body, 2 << 3 | 2);
            push_varint(&mut body, data.len() as u64);
            push_varint(&mut self.head, u64::from(field) << 3 | 2);
            push_varint(&mut self.head, (body.len() + data.len()) as u64);
            self.head.extend_from_slice(&body);
        } else {
            push_varint(&mut self.head, u64::from(field) << 3 | 2);
            push_varint(&mut self.head, data.len() as u64);
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
        push_varint(&mut frame, len as u64);
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
    push_varint(&mut out, u64::from(prefix.version == ::cid::Version::V1));
    push_varint(&mut out, prefix.codec);
    push_varint(&mut out, prefix.hash.code());
    push_varint(&mut out, prefix.hash.digest_len().map_or(0, u64::from));
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

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::Multihash;

    fn hash() -> Multihash {
        HashFn::SHA2_256.digest(b"hello world").expect("hashes")
    }

    fn v1() -> Cid {
        Cid::new_v1(codec::RAW, hash())
    }

    fn v0() -> Cid {
        Cid::new_v0(hash()).expect("sha2-256")
    }

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex")
    }

    fn block(cid: &Cid) -> Message {
        let payload = Payload { prefix: prefix_of(cid).expect("known"), data: Bytes::from_static(b"hello world") };
        Message { blocks: vec![payload], ..Message::default() }
    }

    /// Bytes that boxo 0.42 writes for the same messages (`ToNetV1`).
    #[test]
    fn messages_are_those_of_boxo() {
        let digest = "1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        let have = Entry::want(v1(), WantType::Have, i32::MAX);
        let want = Entry { send_dont_have: false, ..Entry::want(v0(), WantType::Block, 1) };
        let list = |entry, full| Message { wants: vec![entry], full, ..Message::default() };
        let told = |cid, presence, pending_bytes| Message {
            presences: vec![(cid, presence)],
            pending_bytes,
            ..Message::default()
        };
        let cases = [
            (Message::default(), "020a00".to_owned()),
            (list(have, true), format!("360a340a300a240155{digest}10ffffffff07200128011001")),
            (list(want, false), format!("2a0a280a260a22{digest}1001")),
            (list(Entry::cancel(v1()), false), format!("2c0a2a0a280a240155{digest}1801")),
            (
                Message { pending_bytes: 5, ..block(&v1()) },
                "190a001a130a0401551220120b68656c6c6f20776f726c642805".into(),
            ),
            (block(&v0()), "170a001a130a0400701220120b68656c6c6f20776f726c64".into()),
            (told(v1(), Presence::Have, 0), format!("2a0a0022260a240155{digest}")),
            (told(v0(), Presence::DontHave, -1), format!("350a0022260a22{digest}100128ffffffffffffffffff01")),
        ];
        for (message, golden) in cases {
            let encoded = message.encode(Version::V1_2).concat();
            assert_eq!(data_encoding::HEXLOWER.encode(&encoded), golden, "{message:?}");
            assert_eq!(Message::decode(&Bytes::copy_from_slice(&encoded[1..])).as_ref(), Ok(&message));
        }
        // `ToNetV0`.
        let old = block(&v0()).encode(Version::V1_0).concat();
        assert_eq!(old, hex("0f0a00120b68656c6c6f20776f726c64"));
        assert_eq!(Message::decode(&Bytes::copy_from_slice(&old[1..])), Ok(block(&v0())));
        assert_eq!(told(v1(), Presence::Have, 0).encode(Version::V1_0).concat(), hex("020a00"));
    }

    #[test]
    fn what_strangers_send_is_bounded_and_does_not_cost_the_message() {
        // Without a wantlist.
        let without = hex("1a130a0401551220120b68656c6c6f20776f726c64");
        assert_eq!(Message::decode(&Bytes::from(without)).expect("decodes").blocks, block(&v1()).blocks);
        // An identity CID, one that is too long, none at all, and one that is good.
        let identity = Cid::new_v1(codec::RAW, HashFn::IDENTITY.digest(b"x").expect("short"));
        let mut list = Vec::new();
        for cid in [identity.to_bytes(), vec![1; MAX_CID + 1], Vec::new(), v1().to_bytes()] {
            let mut entry = Vec::new();
            push_bytes(&mut entry, 1, &cid);
            push_bytes(&mut list, 1, &entry);
        }
        let mut bytes = Vec::new();
        push_bytes(&mut bytes, 1, &list);
        let message = Message::decode(&Bytes::from(bytes)).expect("decodes");
        assert_eq!((message.wants.len(), message.ignored), (1, 3));
        // A million entries of a few bytes.
        let mut list = Vec::new();
        let mut entry = Vec::new();
        push_bytes(&mut entry, 1, &v1().to_bytes());
        for _ in 0..50_000 {
            push_bytes(&mut list, 1, &entry);
        }
        let mut bytes = Vec::new();
        push_bytes(&mut bytes, 1, &list);
        assert_eq!(Message::decode(&Bytes::from(bytes)).expect("decodes").wants.len(), MAX_ENTRIES);
        // A block over the limit is left out.
        let mut bytes = Vec::new();
        push_bytes(&mut bytes, 2, &vec![0; MAX_BLOCK_SIZE + 1]);
        let message = Message::decode(&Bytes::from(bytes)).expect("decodes");
        assert_eq!((message.blocks.len(), message.ignored), (0, 1));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_taken(data in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            fuzz(&data);
        }

        #[test]
        fn mutated_messages_are_taken(at in 0usize..54, to in proptest::num::u8::ANY) {
            let mut bytes = Message { wants: vec![Entry::want(v1(), WantType::Have, 7)], ..block(&v0()) }
                .encode(Version::V1_2)
                .concat();
            let at = at % bytes.len();
            bytes[at] = to;
            fuzz(&bytes[1..]);
        }
    }
}
