//! Names of multicodecs (source: the multicodec table, entries tagged `ipld`) and of multihash functions.

use crate::{cid::codec, hash::HashFn};
use std::borrow::Cow;

/// Codecs of content, by ascending number.
pub const CODECS: &[(u64, &str)] = &[
    (0x51, "cbor"),
    (0x55, "raw"),
    (0x70, "dag-pb"),
    (0x71, "dag-cbor"),
    (0x72, "libp2p-key"),
    (0x78, "git-raw"),
    (0x7b, "torrent-info"),
    (0x7c, "torrent-file"),
    (0x80, "blake3-hashseq"),
    (0x81, "leofcoin-block"),
    (0x82, "leofcoin-tx"),
    (0x83, "leofcoin-pr"),
    (0x85, "dag-jose"),
    (0x86, "dag-cose"),
    (0x90, "eth-block"),
    (0x91, "eth-block-list"),
    (0x92, "eth-tx-trie"),
    (0x93, "eth-tx"),
    (0x94, "eth-tx-receipt-trie"),
    (0x95, "eth-tx-receipt"),
    (0x96, "eth-state-trie"),
    (0x97, "eth-account-snapshot"),
    (0x98, "eth-storage-trie"),
    (0x99, "eth-receipt-log-trie"),
    (0x9a, "eth-receipt-log"),
    (0xb0, "bitcoin-block"),
    (0xb1, "bitcoin-tx"),
    (0xb2, "bitcoin-witness-commitment"),
    (0xc0, "zcash-block"),
    (0xc1, "zcash-tx"),
    (0xd0, "stellar-block"),
    (0xd1, "stellar-tx"),
    (0xe0, "decred-block"),
    (0xe1, "decred-tx"),
    (0xf0, "dash-block"),
    (0xf1, "dash-tx"),
    (0xfa, "swarm-manifest"),
    (0xfb, "swarm-feed"),
    (0xfc, "beeson"),
    (0x129, "dag-json"),
    (0x1f0, "swhid-1-snp"),
    (0x200, "json"),
    (0xb403, "rdfc-1"),
    (0xb601, "json-jcs"),
];

/// Codecs that Cairn can read or write, besides naming them.
pub const SUPPORTED: &[u64] =
    &[codec::CBOR, codec::RAW, codec::DAG_PB, codec::DAG_CBOR, codec::LIBP2P_KEY, codec::DAG_JSON, codec::JSON];

/// Hash functions that content may not be addressed with, but that CIDs are met with.
const OTHER_HASHES: &[(u64, &str)] = &[
    (0x18, "shake-128"),
    (0x22, "murmur3-x64-64"),
    (0xd5, "md5"),
    (0x1012, "sha2-256-trunc254-padded"),
    (0x1100, "x11"),
    (0xb401, "poseidon-bls12_381-a2-fc1"),
];

/// The number of a codec, from its name or from a number that is known.
pub fn codec(text: &str) -> Option<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    CODECS.iter().find_map(|&(code, name)| (name == text || number == Some(code)).then_some(code))
}

/// The name of a codec.
pub fn codec_name(code: u64) -> Option<&'static str> {
    CODECS.iter().find_map(|&(known, name)| (known == code).then_some(name))
}

/// The name of a hash function, whether or not content may be addressed with it.
pub fn hash_name(code: u64) -> Option<Cow<'static, str>> {
    let named = HashFn::from_code(code).map(HashFn::name);
    let named = named.or_else(|| OTHER_HASHES.iter().find_map(|&(known, name)| (known == code).then_some(name)));
    match code {
        _ if named.is_some() => named.map(Cow::Borrowed),
        // The short ones of the two families.
        0xb201..=0xb240 => Some(format!("blake2b-{}", (code - 0xb200) * 8).into()),
        0xb241..=0xb260 => Some(format!("blake2s-{}", (code - 0xb240) * 8).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for text in ["dag-cbor", "113", "0x71"] {
            assert_eq!(codec(text), Some(codec::DAG_CBOR), "{text}");
        }
        for text in ["", "foo", "0", "0x", "999", "-1"] {
            assert_eq!(codec(text), None, "{text:?}");
        }
        assert!(CODECS.is_sorted());
        assert!(SUPPORTED.iter().all(|&code| codec_name(code).is_some()));
    }

    #[test]
    fn hashes_have_kubos_names() {
        for (code, name) in
            [(0x12, "sha2-256"), (0x22, "murmur3-x64-64"), (0xb201, "blake2b-8"), (0xb260, "blake2s-256")]
        {
            assert_eq!(hash_name(code).as_deref(), Some(name));
        }
        assert_eq!(hash_name(0x40), None);
    }
}
