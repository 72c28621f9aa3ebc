//! Which values a DHT may hold: `/pk/` and `/ipns/`, nothing else.

use crate::ipns::{self, Timestamp};
use bytes::Bytes;
use std::time::{Duration, UNIX_EPOCH};

/// Says what a value is worth.
pub trait Validator: Send + Sync {
    /// Whether a value belongs under a key, at a time in Unix seconds.
    ///
    /// # Errors
    /// Why not, as a clause.
    fn validate(&self, key: &[u8], value: &[u8], now: u64) -> Result<(), String>;

    /// Until when a valid value stays valid, in Unix seconds; without an end [`u64::MAX`].
    fn end(&self, key: &[u8], value: &[u8]) -> u64;

    /// Whether the first of two valid values is strictly better (newer) than the second.
    fn is_better(&self, key: &[u8], first: &[u8], second: &[u8]) -> bool;
}

/// `/ipns/` and `/pk/` by the rules of names; no other value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names;

impl Validator for Names {
    fn validate(&self, key: &[u8], value: &[u8], now: u64) -> Result<(), String> {
        let now = Timestamp::from(UNIX_EPOCH + Duration::from_secs(now));
        ipns::validate_value(key, &Bytes::copy_from_slice(value), now).map_err(|e| e.to_string())
    }

    fn end(&self, key: &[u8], value: &[u8]) -> u64 {
        if !key.starts_with(b"/ipns/") {
            return u64::MAX;
        }
        let eol = ipns::Record::parse(&Bytes::copy_from_slice(value)).and_then(|record| record.eol());
        eol.map_or(0, |eol| eol.since(Timestamp::from(UNIX_EPOCH)).as_secs())
    }

    fn is_better(&self, key: &[u8], first: &[u8], second: &[u8]) -> bool {
        ipns::compare_values(key, &Bytes::copy_from_slice(first), &Bytes::copy_from_slice(second)).is_gt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn a_public_key_belongs_under_its_own_peer_id() {
        let (ours, theirs) = (Keypair::generate_ed25519().public(), Keypair::generate_ed25519().public());
        let key = [b"/pk/".to_vec(), ours.to_peer_id().to_bytes()].concat();
        let validate = |key: &[u8], value: &[u8]| Names.validate(key, value, 0);
        assert_eq!(validate(&key, &ours.encode_protobuf()), Ok(()));
        assert_eq!(Names.end(&key, &ours.encode_protobuf()), u64::MAX);
        assert!(validate(&key, &theirs.encode_protobuf()).is_err());
        assert!(validate(&key, b"").is_err());
        assert!(validate(&key, &[0; 20_000]).is_err());
        assert!(validate(b"/ipns/x", &ours.encode_protobuf()).is_err());
        assert!(validate(b"/anything/x", b"x").is_err());
    }
}
