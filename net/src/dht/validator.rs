//! Which values a DHT may hold: `/pk/` and `/ipns/`, nothing else.

use libp2p::identity::PublicKey;
use std::sync::Arc;

/// Says what a value is worth.
pub trait Validator: Send + Sync {
    /// Whether a value belongs under a key, at a time in Unix seconds.
    ///
    /// # Errors
    /// Why not, as a clause.
    fn validate(&self, key: &[u8], value: &[u8], now: u64) -> Result<(), String>;

    /// Whether the first of two valid values is strictly better (newer) than the second.
    fn is_better(&self, key: &[u8], first: &[u8], second: &[u8]) -> bool;
}

/// `/pk/<peer id>`: a public key, which must hash to the peer id.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublicKeys;

/// Longest public key in protobuf: that of RSA with 8192 bits, the largest that libp2p takes.
const MAX_PUBLIC_KEY: usize = 1200;

impl Validator for PublicKeys {
    fn validate(&self, key: &[u8], value: &[u8], _: u64) -> Result<(), String> {
        let peer = key.strip_prefix(b"/pk/").ok_or("no value of this kind is kept in the DHT")?;
        if value.len() > MAX_PUBLIC_KEY {
            return Err("the public key is too long".into());
        }
        let public = PublicKey::try_decode_protobuf(value).map_err(|e| format!("not a public key: {e}"))?;
        if public.to_peer_id().to_bytes() == peer { Ok(()) } else { Err("the public key is another peer's".into()) }
    }

    fn is_better(&self, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        // Valid keys of one peer are the same key.
        false
    }
}

/// `/pk/` by [`PublicKeys`], `/ipns/` by another validator.
#[derive(Clone)]
pub struct Validators {
    /// For keys that begin with `/ipns/`.
    pub ipns: Arc<dyn Validator>,
}

impl Validators {
    fn of(&self, key: &[u8]) -> &dyn Validator {
        if key.starts_with(b"/ipns/") { &*self.ipns } else { &PublicKeys }
    }
}

impl Validator for Validators {
    fn validate(&self, key: &[u8], value: &[u8], now: u64) -> Result<(), String> {
        self.of(key).validate(key, value, now)
    }

    fn is_better(&self, key: &[u8], first: &[u8], second: &[u8]) -> bool {
        self.of(key).is_better(key, first, second)
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
        let validate = |key: &[u8], value: &[u8]| PublicKeys.validate(key, value, 0);
        assert_eq!(validate(&key, &ours.encode_protobuf()), Ok(()));
        assert!(validate(&key, &theirs.encode_protobuf()).is_err());
        assert!(validate(&key, b"").is_err());
        assert!(validate(&key, &[0; MAX_PUBLIC_KEY + 1]).is_err());
        assert!(validate(b"/ipns/x", &ours.encode_protobuf()).is_err(), "no IPNS without an IPNS validator");
        assert!(validate(b"/anything/x", b"x").is_err());
    }
}
