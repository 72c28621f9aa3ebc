//! Private keys as other programs exchange them: PKCS #8 (RFC 5208) in PEM (RFC 7468), without a password.

use super::{KeyError, PrivateKey, der};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libp2p::identity::{KeyType, ecdsa, ed25519, secp256k1};

/// The only label that is read and written.
const LABEL: &str = "PRIVATE KEY";
/// Characters of base64 in a line.
const LINE: usize = 64;

/// Object identifiers of algorithms and curves, encoded.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];

/// Bytes of a secret on either curve.
const SCALAR: usize = 32;

impl PrivateKey {
    /// Writes PKCS #8 in PEM.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when the key's data is not what its kind has.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let data = self.data()?;
        let short = || KeyError::malformed("the key is too short");
        let oid = |oid| der::element(der::OID, oid);
        let (algorithm, key) = match self.kind() {
            KeyType::RSA => (vec![oid(RSA), der::element(der::NULL, &[])], data.to_vec()),
            KeyType::Ed25519 => {
                let seed = data.get(..SCALAR).ok_or_else(short)?;
                (vec![oid(ED25519)], der::element(der::OCTET_STRING, seed))
            }
            KeyType::Secp256k1 => {
                let public = self.public().clone().try_into_secp256k1().map_err(KeyError::malformed)?;
                (vec![oid(EC), oid(SECP256K1)], ec_key(data, None, &public.to_bytes_uncompressed()))
            }
            KeyType::Ecdsa => {
                let public = self.public().clone().try_into_ecdsa().map_err(KeyError::malformed)?;
                let secret = ec_secret(data).ok_or_else(short)?;
                (vec![oid(EC), oid(P256)], ec_key(&secret, None, &public.to_bytes()))
            }
        };
        let parts = [
            der::element(der::INTEGER, &[0]),
            der::element(der::SEQUENCE, &algorithm.concat()),
            der::element(der::OCTET_STRING, &key),
        ];
        Ok(armour(&der::element(der::SEQUENCE, &parts.concat())))
    }

    /// Reads PKCS #8 in PEM.
    ///
    /// # Errors
    /// [`KeyError`] when there is no such block, or it holds no key that libp2p knows.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let bytes = dearmour(text)?;
        let malformed = || KeyError::malformed("parsing PKCS8 format: not a private key");
        let (content, _) = der::expect(&bytes, der::SEQUENCE).ok_or_else(malformed)?;
        let (_version, rest) = der::expect(content, der::INTEGER).ok_or_else(malformed)?;
        let (algorithm, rest) = der::expect(rest, der::SEQUENCE).ok_or_else(malformed)?;
        let (key, _) = der::expect(rest, der::OCTET_STRING).ok_or_else(malformed)?;
        let (algorithm, parameters) = der::expect(algorithm, der::OID).ok_or_else(malformed)?;
        match algorithm {
            RSA => Self::from_parts(KeyType::RSA, key),
            ED25519 => {
                let (seed, _) = der::expect(key, der::OCTET_STRING).ok_or_else(malformed)?;
                let secret = ed25519::SecretKey::try_from_bytes(seed.to_vec()).map_err(KeyError::malformed)?;
                Self::from_parts(KeyType::Ed25519, &ed25519::Keypair::from(secret).to_bytes())
            }
            EC => {
                let (curve, _) = der::expect(parameters, der::OID).ok_or_else(malformed)?;
                Self::from_curve(curve, &ec_secret(key).ok_or_else(malformed)?)
            }
            _ => Err(KeyError::malformed("parsing PKCS8 format: an algorithm that libp2p does not know")),
        }
    }

    fn from_curve(curve: &[u8], secret: &[u8; SCALAR]) -> Result<Self, KeyError> {
        match curve {
            SECP256K1 => {
                // Only to have it checked.
                secp256k1::SecretKey::try_from_bytes(*secret).map_err(KeyError::malformed)?;
                Self::from_parts(KeyType::Secp256k1, secret)
            }
            P256 => {
                let key = ecdsa::SecretKey::try_from_bytes(secret).map_err(KeyError::malformed)?;
                let public = ecdsa::Keypair::from(key).public().to_bytes();
                Self::from_parts(KeyType::Ecdsa, &ec_key(secret, Some(P256), &public))
            }
            _ => Err(KeyError::malformed("parsing PKCS8 format: a curve that libp2p does not know")),
        }
    }
}

/// Whether text holds a PEM block of any label.
pub fn is_pem(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| block(text).is_some())
}

/// An EC key (RFC 5915). Inside PKCS #8 the curve stands outside of it.
fn ec_key(secret: &[u8], curve: Option<&[u8]>, public: &[u8]) -> Vec<u8> {
    let mut parts = der::element(der::INTEGER, &[1]);
    parts.extend(der::element(der::OCTET_STRING, secret));
    if let Some(curve) = curve {
        parts.extend(der::element(der::CONTEXT_0, &der::element(der::OID, curve)));
    }
    // A bit string begins with the number of bits that its last byte leaves unused.
    parts.extend(der::element(der::CONTEXT_1, &der::element(der::BIT_STRING, &[&[0], public].concat())));
    der::element(der::SEQUENCE, &parts)
}

/// The secret of an EC key, with the leading zeros that some writers leave out.
fn ec_secret(key: &[u8]) -> Option<[u8; SCALAR]> {
    let (content, _) = der::expect(key, der::SEQUENCE)?;
    let (version, rest) = der::expect(content, der::INTEGER)?;
    let (secret, _) = der::expect(rest, der::OCTET_STRING)?;
    let mut padded = [0; SCALAR];
    let zeros = SCALAR.checked_sub(secret.len())?;
    padded[zeros..].copy_from_slice(secret);
    (version == [1]).then_some(padded)
}

fn armour(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut out = format!("-----BEGIN {LABEL}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {LABEL}-----\n"));
    out
}

/// Label and content of the first block.
fn block(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (content, _) = rest.split_once(&format!("-----END {label}-----"))?;
    (!label.contains('\n')).then_some((label, content))
}

fn dearmour(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let missing = || KeyError::malformed("PEM block not found in input data");
    let text = std::str::from_utf8(text).map_err(|_| missing())?;
    let (label, content) = block(text).ok_or_else(missing)?;
    if label != LABEL {
        return Err(KeyError::malformed(format!("expected {LABEL} type in PEM block but got: {label}")));
    }
    let base64: String = content.split_ascii_whitespace().collect();
    STANDARD.decode(base64).map_err(|_| missing())
}
