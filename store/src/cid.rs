//! Content identifiers: the types, the codecs that Cairn knows, and reading one from text.
//!
//! Identity multihashes may hold 128 bytes (IPIP-512), so the types are wider than the `cid` crate's default.

use thiserror::Error;

/// A content identifier with room for the largest allowed identity digest.
pub type Cid = cid::CidGeneric<MAX_DIGEST>;
/// A multihash with room for the largest allowed identity digest.
pub type Multihash = multihash::Multihash<MAX_DIGEST>;

/// Largest digest in bytes (IPIP-512: identity digests up to 128 B).
pub const MAX_DIGEST: usize = 128;

/// Multicodec numbers of the codecs that Cairn names. Source: the multicodec table.
pub mod codec {
    /// Raw bytes.
    pub const RAW: u64 = 0x55;
    /// MerkleDAG protobuf.
    pub const DAG_PB: u64 = 0x70;
    /// MerkleDAG CBOR.
    pub const DAG_CBOR: u64 = 0x71;
    /// libp2p public key.
    pub const LIBP2P_KEY: u64 = 0x72;
    /// CBOR without links.
    pub const CBOR: u64 = 0x51;
    /// JSON without links.
    pub const JSON: u64 = 0x0200;
    /// MerkleDAG JSON.
    pub const DAG_JSON: u64 = 0x0129;
}

/// Text that is not a CID.
#[derive(Debug, Clone, Error)]
#[error("invalid cid {text:?}: {reason}")]
pub struct CidError {
    /// The text as given, cut at 200 characters.
    pub text: String,
    /// Why it was refused.
    pub reason: String,
}

/// Reads a CID from text: CIDv0 (`Qm…`), or CIDv1 in any multibase. No path, no scheme.
///
/// # Errors
/// When the text is not a CID, or its digest is longer than [`MAX_DIGEST`].
pub fn parse(text: &str) -> Result<Cid, CidError> {
    let refuse = |reason: &str| CidError { text: text.chars().take(200).collect(), reason: reason.to_owned() };
    if text.len() < 2 {
        return Err(refuse("cid too short"));
    }
    if text.len() > 2048 {
        return Err(refuse("cid too long"));
    }
    if text.starts_with('\0') {
        // The multibase `identity`: binary, which is no text.
        return Err(refuse("selected encoding not supported"));
    }
    if text.len() == 46 && text.starts_with("Qm") {
        let bytes = multibase::Base::Base58Btc.decode(text).map_err(|e| refuse(&e.to_string()))?;
        return Cid::try_from(bytes.as_slice()).map_err(|e| refuse(&e.to_string()));
    }
    let (_, bytes) = multibase::decode(text).map_err(|e| refuse(&e.to_string()))?;
    let cid = from_bytes(&bytes).map_err(|e| refuse(&e))?;
    if cid.version() == cid::Version::V0 {
        return Err(refuse("a CIDv0 takes no multibase prefix"));
    }
    Ok(cid)
}

/// Reads a CID from its binary form; every byte must belong to it.
///
/// # Errors
/// A sentence that says why the bytes are not a CID.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid, String> {
    let mut rest = bytes;
    let cid = read(&mut rest)?;
    if rest.is_empty() { Ok(cid) } else { Err(format!("{} bytes after the cid", rest.len())) }
}

/// Reads a CID in its binary form from the front of `bytes`, which then hold what follows it.
///
/// # Errors
/// As [`from_bytes`].
pub fn read(bytes: &mut &[u8]) -> Result<Cid, String> {
    let mut rest = *bytes;
    let cid = Cid::read_bytes(&mut rest).map_err(|e| e.to_string())?;
    // The varint reader drops what goes beyond 64 bits, so that one CID would have many forms. The format
    // allows nine bytes, hence 63 bits.
    let plain = cid.codec() <= i64::MAX as u64 && cid.hash().code() <= i64::MAX as u64;
    if !plain || cid.encoded_len() != bytes.len() - rest.len() {
        return Err("a varint in the cid is longer than nine bytes".into());
    }
    *bytes = rest;
    Ok(cid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_other_bases_are_read() {
        let v0 = parse("Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD").expect("v0");
        assert_eq!(v0.version(), cid::Version::V0);
        let v1 = parse("bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am").expect("v1");
        let base58 = v1.to_string_of_base(multibase::Base::Base58Btc).expect("encodes");
        assert_eq!(parse(&base58).expect("base58"), v1);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "Q", "Qm", "hello", "zQm", "bafk", "/ipfs/x", "\0\0"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn varints_over_63_bits_are_refused() {
        // The hash function as a varint of ten bytes, whose last one holds bits that do not fit.
        for last in [0x01, 0x02, 0x7f] {
            let mut bytes = vec![0x01, 0x55];
            bytes.extend_from_slice(&[0x80; 9]);
            bytes.extend_from_slice(&[last, 0x00]);
            assert!(from_bytes(&bytes).is_err(), "{last:02x}");
        }
    }
}
