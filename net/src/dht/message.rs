//! The messages of `/ipfs/kad/1.0.0` (libp2p/specs, kad-dht): protobuf, each behind a varint length.
//!
//! Written by hand because the generated types of libp2p-kad are private, and because reading is where strangers
//! write: lists are cut at a named length, and nothing is allocated from a declared one.

use super::diversity::MAX_ADDR;
use crate::{
    protobuf::{Fields, Malformed, Value, push_bytes, push_number},
    routing::Provider,
};
use libp2p::{Multiaddr, PeerId};

/// Largest message that is read, in bytes. The largest honest ones are lists of providers of popular content.
pub(crate) const MAX_MESSAGE: usize = 1 << 20;
/// Peers that are taken from one list of a message; the rest is ignored. Twice the bucket size is twice what an
/// honest node says in `closer`; a list of providers is as long as its message.
const MAX_CLOSER: usize = 40;
/// Providers that are taken from one message.
const MAX_PROVIDERS: usize = 1000;
/// Addresses that are taken per peer.
pub(crate) const MAX_ADDRS: usize = 16;

/// What a message asks or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Keep a value.
    PutValue,
    /// A value, or peers closer to it.
    GetValue,
    /// The sender has what the key stands for.
    AddProvider,
    /// Who has what the key stands for, and peers closer to it.
    GetProviders,
    /// Peers closer to a key.
    FindNode,
    /// Nothing.
    Ping,
}

impl Kind {
    fn number(self) -> u64 {
        match self {
            Self::PutValue => 0,
            Self::GetValue => 1,
            Self::AddProvider => 2,
            Self::GetProviders => 3,
            Self::FindNode => 4,
            Self::Ping => 5,
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        [Self::PutValue, Self::GetValue, Self::AddProvider, Self::GetProviders, Self::FindNode, Self::Ping]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// A message, either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What it asks or answers.
    pub(crate) kind: Kind,
    /// The key: a multihash, `/ipns/…`, `/pk/…`, or a peer id.
    pub(crate) key: Vec<u8>,
    /// Key and value of a record.
    pub(crate) record: Option<(Vec<u8>, Vec<u8>)>,
    /// Peers closer to the key.
    pub(crate) closer: Vec<Provider>,
    /// Providers.
    pub(crate) providers: Vec<Provider>,
}

/// Bytes that are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(crate) struct MessageError(pub(crate) &'static str);

impl From<Malformed> for MessageError {
    fn from(_: Malformed) -> Self {
        Self("not protobuf")
    }
}

impl Message {
    /// A question with nothing but a key.
    pub(crate) fn ask(kind: Kind, key: Vec<u8>) -> Self {
        Self { kind, key, record: None, closer: Vec::new(), providers: Vec::new() }
    }

    /// A value to keep.
    pub(crate) fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { record: Some((key.clone(), value)), ..Self::ask(Kind::PutValue, key) }
    }

    /// An announcement.
    pub(crate) fn announce(key: Vec<u8>, provider: Provider) -> Self {
        Self { providers: vec![provider], ..Self::ask(Kind::AddProvider, key) }
    }

    /// Appends the message and the length before it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(self.key.len() + 64);
        push_number(&mut body, 1, self.kind.number());
        if !self.key.is_empty() {
            push_bytes(&mut body, 2, &self.key);
        }
        if let Some((key, value)) = &self.record {
            let mut record = Vec::with_capacity(key.len() + value.len() + 8);
            push_bytes(&mut record, 1, key);
            push_bytes(&mut record, 2, value);
            push_bytes(&mut body, 3, &record);
        }
        for peer in &self.closer {
            push_bytes(&mut body, 8, &encode_peer(peer));
        }
        for peer in &self.providers {
            push_bytes(&mut body, 9, &encode_peer(peer));
        }
        // Peers before 2020 read a missing level as an error; ours is 1 + 9 like everybody's.
        push_number(&mut body, 10, 10);
        out.extend_from_slice(unsigned_varint::encode::usize(body.len(), &mut unsigned_varint::encode::usize_buffer()));
        out.extend_from_slice(&body);
    }

    /// Reads a message without its length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut message = Self::ask(Kind::PutValue, Vec::new());
        let mut fields = Fields::new(bytes);
        while let Some((field, value)) = fields.next()? {
            match (field, value) {
                (1, Value::Number(n)) => message.kind = Kind::from_number(n).ok_or(MessageError("unknown type"))?,
                (2, Value::Bytes(b)) => message.key = b.to_vec(),
                (3, Value::Bytes(b)) => message.record = Some(decode_record(b)?),
                (8, Value::Bytes(b)) if message.closer.len() < MAX_CLOSER => message.closer.extend(decode_peer(b)?),
                (9, Value::Bytes(b)) if message.providers.len() < MAX_PROVIDERS => {
                    message.providers.extend(decode_peer(b)?);
                }
                _ => {}
            }
        }
        Ok(message)
    }
}

/// At most so many bytes does a peer take in a message.
pub(crate) fn encoded_len(peer: &Provider) -> usize {
    // Tags and lengths have one byte or two.
    let addrs: usize = peer.addrs.iter().map(|addr| addr.len() + 3).sum();
    peer.peer.as_ref().encoded_len() + addrs + 6
}

fn encode_peer(peer: &Provider) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    push_bytes(&mut out, 1, &peer.peer.to_bytes());
    for addr in peer.addrs.iter().take(MAX_ADDRS) {
        push_bytes(&mut out, 2, addr.as_ref());
    }
    out
}

/// A peer whose id is no id is left out, as an address is that can't be read: one bad entry must not take the
/// others with it.
fn decode_peer(bytes: &[u8]) -> Result<Option<Provider>, MessageError> {
    let mut peer = None;
    let mut addrs = Vec::new();
    let mut fields = Fields::new(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(b)) => peer = PeerId::from_bytes(b).ok(),
            (2, Value::Bytes(b)) if addrs.len() < MAX_ADDRS && b.len() <= MAX_ADDR => {
                addrs.extend(Multiaddr::try_from(b.to_vec()).ok());
            }
            _ => {}
        }
    }
    Ok(peer.map(|peer| Provider { peer, addrs: addrs.into_iter().filter_map(|a| without_peer(a, &peer)).collect() }))
}

/// The address without `/p2p/…` at its end; `None` when it names another peer, or nothing is left.
pub(crate) fn without_peer(mut addr: Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    if let Some(libp2p::multiaddr::Protocol::P2p(named)) = addr.iter().last() {
        if named != *peer {
            return None;
        }
        addr.pop();
    }
    (!addr.is_empty()).then_some(addr)
}

fn decode_record(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), MessageError> {
    let (mut key, mut record) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(bytes);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, Value::Bytes(b)) => key = b.to_vec(),
            (2, Value::Bytes(b)) => record = b.to_vec(),
            _ => {}
        }
    }
    Ok((key, record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(message: &Message) -> Vec<u8> {
        let mut framed = Vec::new();
        message.encode(&mut framed);
        let (len, rest) = unsigned_varint::decode::usize(&framed).expect("a length");
        assert_eq!(len, rest.len());
        rest.to_vec()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let peer = PeerId::random();
        let addr: Multiaddr = "/ip4/1.2.3.4/udp/4001/quic-v1".parse().expect("an address");
        let provider = Provider { peer, addrs: vec![addr] };
        for message in [
            Message::ask(Kind::FindNode, peer.to_bytes()),
            Message::put(b"/ipns/x".to_vec(), b"value".to_vec()),
            Message::announce(b"\x12\x20key".to_vec(), provider.clone()),
            Message { closer: vec![provider], ..Message::ask(Kind::GetProviders, b"k".to_vec()) },
        ] {
            assert_eq!(Message::decode(&body(&message)), Ok(message));
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        // Field 2 with a length of 2^63, then nothing; and a length that is itself endless.
        for bytes in [
            &[0x12, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01][..],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x42, 0x05, 0x0a],
            &[0x08, 0x09],
            &[0x0b],
        ] {
            assert!(Message::decode(bytes).is_err(), "{bytes:02x?}");
        }
    }

    #[test]
    fn lists_are_cut() {
        let peers: Vec<_> = (0..200).map(|_| Provider { peer: PeerId::random(), addrs: Vec::new() }).collect();
        let message = Message { closer: peers, ..Message::ask(Kind::FindNode, Vec::new()) };
        assert_eq!(Message::decode(&body(&message)).expect("reads").closer.len(), MAX_CLOSER);
    }

    #[test]
    fn an_address_of_somebody_else_is_left_out() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let addr = |p: &PeerId| format!("/ip4/1.2.3.4/tcp/1/p2p/{p}").parse::<Multiaddr>().expect("an address");
        let bytes = encode_peer(&Provider { peer, addrs: vec![addr(&peer), addr(&other)] });
        let read = decode_peer(&bytes).expect("reads").expect("a peer");
        assert_eq!(read.addrs, vec!["/ip4/1.2.3.4/tcp/1".parse::<Multiaddr>().expect("an address")]);
    }

    #[test]
    fn kubos_messages_are_read_and_ours_are_the_same() {
        // Both written by go-libp2p-kad-dht v0.42.1: pb.NewMessage(FIND_NODE, "k", 10), and its answer of one peer.
        assert_eq!(Message::decode(b"\x08\x04\x12\x01k\x50\x0b"), Ok(Message::ask(Kind::FindNode, b"k".to_vec())));
        let peer = PeerId::from_bytes(b"\x00\x01p").expect("an identity multihash");
        let addrs = vec!["/ip4/1.2.3.4/tcp/1".parse().expect("an address")];
        let answer = Message { closer: vec![Provider { peer, addrs }], ..Message::ask(Kind::FindNode, Vec::new()) };
        let listed = b"\x42\x0f\x0a\x03\x00\x01p\x12\x08\x04\x01\x02\x03\x04\x06\x00\x01";
        let theirs = [&b"\x08\x04"[..], listed, b"\x50\x0b"].concat();
        assert_eq!(Message::decode(&theirs).as_ref(), Ok(&answer));
        // All but the level.
        assert_eq!(body(&answer)[..], [&b"\x08\x04"[..], listed, b"\x50\x0a"].concat());
    }

    #[test]
    fn a_long_address_is_left_out_and_the_others_stay() {
        let peer = PeerId::random();
        let addr: Multiaddr = "/ip4/1.2.3.4/tcp/1".parse().expect("an address");
        let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(MAX_ADDR)).parse().expect("an address");
        let bytes = encode_peer(&Provider { peer, addrs: vec![long, addr.clone()] });
        assert_eq!(decode_peer(&bytes).expect("reads").expect("a peer").addrs, [addr]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Message::decode(&bytes);
        }
    }
}
