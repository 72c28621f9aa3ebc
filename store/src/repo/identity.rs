//! The node's key and the name that follows from it, written as Kubo writes them.
//!
//! Source: the libp2p specification `peer-ids`: the private key is a protobuf in base64, the peer ID the
//! base58 form of the (identity) multihash of the public key's protobuf.

use super::RepoError;
use crate::config::{Config, PEER_ID, PRIVATE_KEY};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libp2p_identity::{Keypair, PeerId};

/// A node's key.
#[derive(Clone)]
pub struct Identity {
    keys: Keypair,
}

impl Identity {
    /// Makes a new Ed25519 key.
    pub fn generate() -> Self {
        Self { keys: Keypair::generate_ed25519() }
    }

    /// Makes a new key of the algorithm that `init -a` names.
    ///
    /// # Errors
    /// [`RepoError::Key`] for every other than `ed25519`.
    pub fn generate_as(algorithm: &str) -> Result<Self, RepoError> {
        match algorithm {
            "ed25519" => Ok(Self::generate()),
            "rsa" | "secp256k1" => Err(RepoError::Key(format!(
                "cairn makes no {algorithm} keys: use ed25519, the default of the network, with names that fit a DNS label"
            ))),
            other => Err(RepoError::Key(format!("unrecognized key type: {other}"))),
        }
    }

    /// Reads the key of a configuration.
    ///
    /// # Errors
    /// [`RepoError::Key`] when there is none, it can't be read, or the peer ID beside it is that of another key.
    pub fn of(config: &Config) -> Result<Self, RepoError> {
        let refuse = |why: &str| RepoError::Key(format!("{PRIVATE_KEY} in the configuration {why}"));
        let text = config.get_str(PRIVATE_KEY)?.ok_or_else(|| refuse("is missing"))?;
        let bytes = STANDARD.decode(text).map_err(|_| refuse("is not base64"))?;
        let keys = Keypair::from_protobuf_encoding(&bytes)
            .map_err(|_| refuse("is not an Ed25519 key; other kinds are not supported"))?;
        let identity = Self { keys };
        match config.get_str(PEER_ID)? {
            Some(id) if id != identity.peer_id() => {
                Err(RepoError::Key(format!("{PEER_ID} is {id}, but the private key is that of {}", identity.peer_id())))
            }
            _ => Ok(identity),
        }
    }

    /// Its name in base58: `12D3KooW…`.
    pub fn peer_id(&self) -> String {
        self.keys.public().to_peer_id().to_base58()
    }

    /// The public key as its protobuf.
    pub fn public_key(&self) -> Vec<u8> {
        self.keys.public().encode_protobuf()
    }

    /// The multihash of which the peer ID is the base58 form.
    pub fn peer_hash(&self) -> Vec<u8> {
        self.keys.public().to_peer_id().to_bytes()
    }

    /// Whether a peer ID, in base58 or as a CIDv1, is that of this key.
    pub fn is(&self, peer_id: &str) -> bool {
        let ours = self.keys.public().to_peer_id();
        match crate::cid::parse(peer_id) {
            Ok(cid) => PeerId::from_bytes(&cid.hash().to_bytes()).is_ok_and(|id| id == ours),
            Err(_) => peer_id.parse::<PeerId>().is_ok_and(|id| id == ours),
        }
    }

    /// The private key as it stands in the configuration.
    ///
    /// # Errors
    /// [`RepoError::Key`] when it can't be encoded.
    pub fn private_key(&self) -> Result<String, RepoError> {
        let bytes = self.keys.to_protobuf_encoding().map_err(|e| RepoError::Key(e.to_string()))?;
        Ok(STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Made by `ipfs init` of Kubo 0.44 for this test.
    const KUBO_ID: &str = "12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV";
    const KUBO_KEY: &str =
        "CAESQEFbLdiLeRW9EUzLLZXtUAZcSXQCatYov7FpZqUhOR/nUHtbfMkLiwtlruoBioE75g0pTDBijoAcSoJTroa+vPg=";

    #[test]
    fn a_key_of_kubo_has_the_name_that_kubo_gave_it() {
        let identity = Identity::of(&Config::defaults(KUBO_ID, KUBO_KEY)).expect("a valid key");
        assert_eq!(identity.peer_id(), KUBO_ID);
        assert_eq!(identity.private_key().expect("encodes"), KUBO_KEY);
        assert!(identity.is(KUBO_ID));
        // The same name as a CIDv1 of codec libp2p-key, from `ipfs id -f '<id>' --peerid-base=k`.
        assert!(identity.is("k51qzi5uqu5di6sw61qdesf5qq6uxodo356a799sz1ib0ql6xozomah1umbraw"));
        assert!(!identity.is("foo") && !identity.is(&Identity::generate().peer_id()));
    }

    #[test]
    fn new_keys_differ_and_read_back() {
        let (one, two) = (Identity::generate(), Identity::generate_as("ed25519").expect("supported"));
        assert_ne!(one.peer_id(), two.peer_id());
        let config = Config::defaults(&one.peer_id(), &one.private_key().expect("encodes"));
        assert_eq!(Identity::of(&config).expect("valid").peer_id(), one.peer_id());
    }

    #[test]
    fn wrong_keys_are_refused_with_the_reason() {
        let cases = [
            (json!(null), KUBO_ID, "is missing"),
            (json!("%"), KUBO_ID, "not base64"),
            (json!("AAAA"), KUBO_ID, "not an Ed25519 key"),
            (json!(KUBO_KEY), "12D3KooWEPpvbQngUQ5nzXgXYazHUtoWkyvxUrXuGwKnpw7ocuA4", "is that of 12D3KooWFEX"),
        ];
        for (key, id, why) in cases {
            let mut config = Config::defaults(id, "");
            config.set(PRIVATE_KEY, key).expect("a string or null");
            let error = Identity::of(&config).err().expect("refused").to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(Identity::generate_as("rsa").is_err());
        let unknown = Identity::generate_as("foo").err().expect("refused").to_string();
        assert_eq!(unknown, "unrecognized key type: foo");
    }
}
