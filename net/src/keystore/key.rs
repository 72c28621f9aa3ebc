//! A private key of any kind that libp2p knows.
//!
//! libp2p's own `Keypair` can neither make nor write RSA keys, and signs with at most 4096 bits (ring's bound); the
//! crate `rsa` does the rest. Signatures are checked by libp2p's `PublicKey`, which takes RSA keys of 2048 to 8192
//! bits.

use super::{KeyError, der};
use crate::protobuf::{self, Fields, Value};
use libp2p::{
    PeerId,
    identity::{KeyType, Keypair, PublicKey},
};
use rsa::{
    RsaPrivateKey,
    pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _},
    pkcs8::EncodePublicKey as _,
    rand_core,
    signature::{RandomizedSigner as _, SignatureEncoding as _},
};
use std::{convert::Infallible, fmt};

/// Fewest bits of an RSA key: as in go-libp2p.
pub const MIN_RSA_BITS: usize = 2048;
/// Most bits of an RSA key. A longer one makes its verifier work for seconds (CVE-2023-39533).
pub const MAX_RSA_BITS: usize = 8192;
/// Bits of an RSA key where none are asked for.
pub const DEFAULT_RSA_BITS: usize = 2048;
/// Most bytes of a private key's protobuf: an RSA key of [`MAX_RSA_BITS`] takes 4,700.
pub const MAX_ENCODED: usize = 8 << 10;

/// Field `Type` and field `Data` of libp2p's `PrivateKey` and `PublicKey`.
const TYPE: u8 = 1;
const DATA: u8 = 2;

/// What signing a message begins with, so that no signature of it can be taken for one of something else.
const SIGNED_MESSAGE: &[u8] = b"libp2p-key signed message:";

/// A kind of key that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 256 bits; the default of the network.
    Ed25519,
    /// ECDSA over secp256k1, 256 bits.
    Secp256k1,
    /// RSA with PKCS #1 v1.5 signatures and that many bits.
    Rsa(usize),
}

impl Algorithm {
    /// From the names and sizes that `key gen` takes.
    ///
    /// # Errors
    /// [`KeyError::UnknownType`] or [`KeyError::Size`].
    pub fn parse(name: &str, bits: Option<usize>) -> Result<Self, KeyError> {
        let fixed = |algorithm| match bits {
            None | Some(256) => Ok(algorithm),
            Some(bits) => Err(KeyError::Size(format!("invalid key size {bits}: {name} keys are always 256 bits"))),
        };
        match name {
            "ed25519" => fixed(Self::Ed25519),
            "secp256k1" => fixed(Self::Secp256k1),
            "rsa" => {
                let bits = bits.unwrap_or(DEFAULT_RSA_BITS);
                check_rsa_bits(bits)?;
                Ok(Self::Rsa(bits))
            }
            other => Err(KeyError::UnknownType(other.to_owned())),
        }
    }
}

fn check_rsa_bits(bits: usize) -> Result<(), KeyError> {
    match bits {
        ..MIN_RSA_BITS => Err(KeyError::Size(format!("rsa keys must be >= {MIN_RSA_BITS} bits to be useful"))),
        MIN_RSA_BITS..=MAX_RSA_BITS => Ok(()),
        _ => Err(KeyError::Size(format!("rsa keys must be <= {MAX_RSA_BITS} bits"))),
    }
}

#[derive(Clone)]
enum Secret {
    Pair(Box<Keypair>),
    Rsa(Box<RsaPrivateKey>),
}

/// A private key, with its encoding as it was read or made.
#[derive(Clone)]
pub struct PrivateKey {
    secret: Secret,
    public: PublicKey,
    encoded: Vec<u8>,
}

impl PrivateKey {
    /// Makes a new key from the operating system's randomness. An RSA key takes seconds: call it where blocking is
    /// allowed.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the libraries fail.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::Ed25519 => Self::of_pair(Keypair::generate_ed25519()),
            Algorithm::Secp256k1 => Self::of_pair(Keypair::generate_secp256k1()),
            Algorithm::Rsa(bits) => {
                check_rsa_bits(bits)?;
                let key = RsaPrivateKey::new(&mut Random, bits).map_err(KeyError::malformed)?;
                let pkcs1 = key.to_pkcs1_der().map_err(KeyError::malformed)?;
                let encoded = encode(&KeyType::RSA, pkcs1.as_bytes());
                Self::of_rsa(key, encoded)
            }
        }
    }

    /// Reads libp2p's protobuf, which is the form in the keystore, in the configuration and of `key export`.
    ///
    /// # Errors
    /// [`KeyError`] when it is too long, malformed, or of a size or curve that is not allowed.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, KeyError> {
        let (kind, data) = decode(bytes)?;
        Self::from_data(&kind, data, bytes.to_vec())
    }

    /// Reads a key from its kind and the data that libp2p's protobuf has for it.
    pub(super) fn from_parts(kind: KeyType, data: &[u8]) -> Result<Self, KeyError> {
        let encoded = encode(&kind, data);
        Self::from_data(&kind, data, encoded)
    }

    fn from_data(kind: &KeyType, data: &[u8], encoded: Vec<u8>) -> Result<Self, KeyError> {
        if *kind == KeyType::RSA {
            check_rsa_bits(rsa_bits(data).ok_or_else(|| KeyError::malformed("not an RSA key in PKCS #1"))?)?;
            let key = RsaPrivateKey::from_pkcs1_der(data).map_err(KeyError::malformed)?;
            return Self::of_rsa(key, encoded);
        }
        // Old Ed25519 keys repeat their public half.
        let data = match data.split_at_checked(64) {
            Some((key, again)) if *kind == KeyType::Ed25519 && again == &key[32..] => key,
            _ => data,
        };
        let pair = Keypair::from_protobuf_encoding(&encode(kind, data)).map_err(KeyError::malformed)?;
        Ok(Self { public: pair.public(), secret: Secret::Pair(Box::new(pair)), encoded })
    }

    fn of_pair(pair: Keypair) -> Result<Self, KeyError> {
        let encoded = pair.to_protobuf_encoding().map_err(KeyError::malformed)?;
        Ok(Self { public: pair.public(), secret: Secret::Pair(Box::new(pair)), encoded })
    }

    fn of_rsa(key: RsaPrivateKey, encoded: Vec<u8>) -> Result<Self, KeyError> {
        let spki = key.to_public_key().to_public_key_der().map_err(KeyError::malformed)?;
        let public = PublicKey::try_decode_protobuf(&encode(&KeyType::RSA, spki.as_bytes()));
        Ok(Self { secret: Secret::Rsa(Box::new(key)), public: public.map_err(KeyError::malformed)?, encoded })
    }

    /// libp2p's protobuf: byte for byte what was read, for a key that was.
    pub fn to_protobuf(&self) -> &[u8] {
        &self.encoded
    }

    /// The data in libp2p's protobuf.
    pub(super) fn data(&self) -> Result<&[u8], KeyError> {
        decode(&self.encoded).map(|(_, data)| data)
    }

    /// What kind of key it is.
    pub fn kind(&self) -> KeyType {
        self.public.key_type()
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.public.to_peer_id()
    }

    /// The same key for the transports.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] for an RSA key of more than 4096 bits, which they can't sign with.
    pub fn to_keypair(&self) -> Result<Keypair, KeyError> {
        match &self.secret {
            Secret::Pair(pair) => Ok((**pair).clone()),
            Secret::Rsa(_) => Keypair::from_protobuf_encoding(&self.encoded).map_err(KeyError::malformed),
        }
    }

    /// Signs bytes: Ed25519, ECDSA over SHA-256 in DER, or RSA PKCS #1 v1.5 over SHA-256.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the libraries fail.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.secret {
            Secret::Pair(pair) => pair.sign(bytes).map_err(KeyError::malformed),
            Secret::Rsa(key) => {
                let signer = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new((**key).clone());
                // The randomness blinds the computation; the signature does not depend on it.
                let signature = signer.try_sign_with_rng(&mut Random, bytes).map_err(KeyError::malformed)?;
                Ok(signature.to_vec())
            }
        }
    }

    /// Signs a message of a user, as `key sign` does.
    ///
    /// # Errors
    /// As [`PrivateKey::sign`].
    pub fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign(&[SIGNED_MESSAGE, message].concat())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.peer_id())
    }
}

/// Whether a signature of [`PrivateKey::sign_message`] is that key's.
pub fn verify_message(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    check_public(key).is_ok() && key.verify(&[SIGNED_MESSAGE, message].concat(), signature)
}

/// Refuses public keys that nobody should work with: RSA keys of too few or too many bits.
///
/// # Errors
/// [`KeyError::Size`] or [`KeyError::Malformed`].
pub fn check_public(key: &PublicKey) -> Result<(), KeyError> {
    let Ok(rsa) = key.clone().try_into_rsa() else { return Ok(()) };
    let pkcs1 = rsa.encode_pkcs1();
    let modulus = der::expect(&pkcs1, der::SEQUENCE).and_then(|(content, _)| der::expect(content, der::INTEGER));
    let (modulus, _) = modulus.ok_or_else(|| KeyError::malformed("not an RSA key in PKCS #1"))?;
    check_rsa_bits(der::bits(modulus))
}

/// Bits of the modulus of a private key in PKCS #1.
fn rsa_bits(pkcs1: &[u8]) -> Option<usize> {
    let (content, _) = der::expect(pkcs1, der::SEQUENCE)?;
    let (_version, rest) = der::expect(content, der::INTEGER)?;
    let (modulus, _) = der::expect(rest, der::INTEGER)?;
    Some(der::bits(modulus))
}

fn number(kind: &KeyType) -> u64 {
    match kind {
        KeyType::RSA => 0,
        KeyType::Ed25519 => 1,
        KeyType::Secp256k1 => 2,
        KeyType::Ecdsa => 3,
    }
}

fn encode(kind: &KeyType, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 6);
    protobuf::push_number(&mut out, TYPE, number(kind));
    protobuf::push_bytes(&mut out, DATA, data);
    out
}

fn decode(bytes: &[u8]) -> Result<(KeyType, &[u8]), KeyError> {
    if bytes.len() > MAX_ENCODED {
        return Err(KeyError::Size(format!("{} bytes are more than a private key has", bytes.len())));
    }
    let (mut kind, mut data) = (None, None);
    let mut fields = Fields::new(bytes);
    while let Some((field, value)) = fields.next().map_err(KeyError::malformed)? {
        match (u8::try_from(field), value) {
            (Ok(TYPE), Value::Number(number)) => kind = Some(number),
            (Ok(DATA), Value::Bytes(bytes)) => data = Some(bytes),
            _ => {}
        }
    }
    let kind = match kind {
        Some(0) => KeyType::RSA,
        Some(1) => KeyType::Ed25519,
        Some(2) => KeyType::Secp256k1,
        Some(3) => KeyType::Ecdsa,
        Some(other) => return Err(KeyError::malformed(format!("unknown key type {other}"))),
        None => return Err(KeyError::malformed("it names no key type")),
    };
    Ok((kind, data.ok_or_else(|| KeyError::malformed("it holds no key"))?))
}

/// The thread's random generator, which the operating system seeds, in the form that `rsa` takes.
struct Random;

impl rand_core::TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(rand::random())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(rand::random())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        rand::fill(bytes);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}
