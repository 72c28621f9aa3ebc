//! Known answers are records of Kubo 0.44: `net/tests/vectors/names`.

mod delegated;
mod names;
mod rules;

use super::*;
use crate::keystore::PrivateKey;
use bytes::Bytes;

pub(super) struct Vector {
    pub key: PrivateKey,
    pub record: Bytes,
    pub value: &'static str,
    pub sequence: u64,
    pub eol: &'static str,
    pub ttl: u64,
    pub v1: bool,
}

impl Vector {
    pub(super) fn name(&self) -> Name {
        Name::from(self.key.peer_id())
    }

    /// While all of them were valid.
    pub(super) fn now() -> Timestamp {
        "2026-11-21T12:30:00Z".parse().expect("a time")
    }
}

/// What `ipfs name inspect` says of them, read off its output.
pub(super) fn vectors() -> [Vector; 4] {
    macro_rules! vector {
        ($key:literal, $record:literal, $value:literal, $sequence:literal, $eol:literal, $ttl:literal, $v1:literal) => {
            Vector {
                key: PrivateKey::from_protobuf(include_bytes!(concat!("../../tests/vectors/names/", $key, ".key")))
                    .expect("a key"),
                record: Bytes::from_static(include_bytes!(concat!("../../tests/vectors/names/", $record, ".record"))),
                value: $value,
                sequence: $sequence,
                eol: $eol,
                ttl: $ttl,
                v1: $v1,
            }
        };
    }
    [
        vector!("ed25519", "ed25519", "/ipfs/bafkqaaa", 8, "2026-11-23T12:26:33.252249662Z", 300, true),
        vector!(
            "ed25519",
            "ed25519-v2",
            "/ipfs/bafkqaddimvwgy3zao5xxe3debi",
            7,
            "2027-11-21T12:25:34.72680518Z",
            60,
            false
        ),
        vector!("rsa", "rsa", "/ipfs/bafkqaddimvwgy3zao5xxe3debi", 0, "2026-11-23T12:25:34.677681568Z", 300, true),
        vector!(
            "secp256k1",
            "secp256k1",
            "/ipfs/bafkqaddimvwgy3zao5xxe3debi",
            0,
            "2026-11-23T12:25:34.633230491Z",
            300,
            true
        ),
    ]
}
