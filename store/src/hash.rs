//! Hash functions: one message, or many at once with the fastest kernel of the running CPU.

use crate::cid::{MAX_DIGEST, Multihash};
use sha2::Digest as _;

/// Longest identity digest that is accepted (IPIP-512).
pub const MAX_IDENTITY: usize = MAX_DIGEST;

/// A hash function by its multicodec number and the length of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HashFn {
    code: u64,
    name: &'static str,
    /// Digest length in bytes; `None` for identity.
    len: Option<u8>,
}

const IDENTITY: u64 = 0x00;
const SHA1: u64 = 0x11;
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;
const SHA3_512: u64 = 0x14;
const SHA3_384: u64 = 0x15;
const SHA3_256: u64 = 0x16;
const SHA3_224: u64 = 0x17;
const SHAKE_256: u64 = 0x19;
const KECCAK_224: u64 = 0x1a;
const KECCAK_256: u64 = 0x1b;
const KECCAK_384: u64 = 0x1c;
const KECCAK_512: u64 = 0x1d;
const BLAKE3: u64 = 0x1e;
const DBL_SHA2_256: u64 = 0x56;
/// blake2b with `n` bytes of digest is `BLAKE2B_8 + n - 1`, for n in 1..=64.
const BLAKE2B_8: u64 = 0xb201;
/// blake2s with `n` bytes of digest is `BLAKE2S_8 + n - 1`, for n in 1..=32.
const BLAKE2S_8: u64 = 0xb241;

const NAMED: &[(u64, &str, Option<u8>)] = &[
    (IDENTITY, "identity", None),
    (SHA1, "sha1", Some(20)),
    (SHA2_256, "sha2-256", Some(32)),
    (SHA2_512, "sha2-512", Some(64)),
    (SHA3_512, "sha3-512", Some(64)),
    (SHA3_384, "sha3-384", Some(48)),
    (SHA3_256, "sha3-256", Some(32)),
    (SHA3_224, "sha3-224", Some(28)),
    (SHAKE_256, "shake-256", Some(64)),
    (KECCAK_224, "keccak-224", Some(28)),
    (KECCAK_256, "keccak-256", Some(32)),
    (KECCAK_384, "keccak-384", Some(48)),
    (KECCAK_512, "keccak-512", Some(64)),
    (BLAKE3, "blake3", Some(32)),
    (DBL_SHA2_256, "dbl-sha2-256", Some(32)),
];

/// Names of the blake2 family from 160 bits on; shorter ones are not safe to address content with.
const BLAKE2B_NAMES: [&str; 45] = [
    "blake2b-160",
    "blake2b-168",
    "blake2b-176",
    "blake2b-184",
    "blake2b-192",
    "blake2b-200",
    "blake2b-208",
    "blake2b-216",
    "blake2b-224",
    "blake2b-232",
    "blake2b-240",
    "blake2b-248",
    "blake2b-256",
    "blake2b-264",
    "blake2b-272",
    "blake2b-280",
    "blake2b-288",
    "blake2b-296",
    "blake2b-304",
    "blake2b-312",
    "blake2b-320",
    "blake2b-328",
    "blake2b-336",
    "blake2b-344",
    "blake2b-352",
    "blake2b-360",
    "blake2b-368",
    "blake2b-376",
    "blake2b-384",
    "blake2b-392",
    "blake2b-400",
    "blake2b-408",
    "blake2b-416",
    "blake2b-424",
    "blake2b-432",
    "blake2b-440",
    "blake2b-448",
    "blake2b-456",
    "blake2b-464",
    "blake2b-472",
    "blake2b-480",
    "blake2b-488",
    "blake2b-496",
    "blake2b-504",
    "blake2b-512",
];
const BLAKE2S_NAMES: [&str; 13] = [
    "blake2s-160",
    "blake2s-168",
    "blake2s-176",
    "blake2s-184",
    "blake2s-192",
    "blake2s-200",
    "blake2s-208",
    "blake2s-216",
    "blake2s-224",
    "blake2s-232",
    "blake2s-240",
    "blake2s-248",
    "blake2s-256",
];
/// Shortest blake2 digest in bytes that is accepted.
const BLAKE2_MIN: u64 = 20;

impl HashFn {
    /// SHA-256, the default of the network.
    pub const SHA2_256: Self = Self { code: SHA2_256, name: "sha2-256", len: Some(32) };
    /// The bytes themselves.
    pub const IDENTITY: Self = Self { code: IDENTITY, name: "identity", len: None };

    /// Every function that content may be addressed with.
    fn each() -> impl Iterator<Item = Self> {
        let blake2b = (0u64..).zip(BLAKE2B_NAMES).map(|(i, n)| (BLAKE2B_8 + BLAKE2_MIN - 1 + i, n, BLAKE2_MIN + i));
        let blake2s = (0u64..).zip(BLAKE2S_NAMES).map(|(i, n)| (BLAKE2S_8 + BLAKE2_MIN - 1 + i, n, BLAKE2_MIN + i));
        let blake2 = blake2b.chain(blake2s).map(|(code, name, len)| Self { code, name, len: u8::try_from(len).ok() });
        NAMED.iter().map(|&(code, name, len)| Self { code, name, len }).chain(blake2)
    }

    /// Every function that content may be addressed with, by ascending code.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Self::each().collect();
        all.sort_by_key(|f| f.code);
        all
    }

    /// The function of that multicodec name, such as `sha2-256`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::each().find(|f| f.name == name)
    }

    /// The function of that multicodec number.
    pub fn from_code(code: u64) -> Option<Self> {
        match code {
            SHA2_256 => Some(Self::SHA2_256),
            IDENTITY => Some(Self::IDENTITY),
            _ => Self::each().find(|f| f.code == code),
        }
    }

    /// Multicodec number.
    pub fn code(self) -> u64 {
        self.code
    }

    /// Multicodec name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Length of a full digest in bytes; `None` for identity.
    pub fn digest_len(self) -> Option<u8> {
        self.len
    }

    /// Hashes one message. `None` only for an identity message longer than [`MAX_IDENTITY`].
    pub fn digest(self, message: &[u8]) -> Option<Multihash> {
        let wrap = |digest: &[u8]| Multihash::wrap(self.code, digest).ok();
        match self.code {
            IDENTITY => wrap(message),
            SHA1 => wrap(&sha1::Sha1::digest(message)),
            SHA2_256 => wrap(&sha256(message)),
            SHA2_512 => wrap(ring::digest::digest(&ring::digest::SHA512, message).as_ref()),
            SHA3_512 => wrap(&sha3::Sha3_512::digest(message)),
            SHA3_384 => wrap(&sha3::Sha3_384::digest(message)),
            SHA3_256 => wrap(&sha3::Sha3_256::digest(message)),
            SHA3_224 => wrap(&sha3::Sha3_224::digest(message)),
            SHAKE_256 => {
                use sha3::digest::{ExtendableOutput as _, Update as _};
                let mut out = [0; 64];
                sha3::Shake256::default().chain(message).finalize_xof_into(&mut out);
                wrap(&out)
            }
            KECCAK_224 => wrap(&sha3::Keccak224::digest(message)),
            KECCAK_256 => wrap(&sha3::Keccak256::digest(message)),
            KECCAK_384 => wrap(&sha3::Keccak384::digest(message)),
            KECCAK_512 => wrap(&sha3::Keccak512::digest(message)),
            BLAKE3 => wrap(blake3::hash(message).as_bytes()),
            DBL_SHA2_256 => wrap(&sha256(&sha256(message))),
            _ => self.blake2(message),
        }
    }

    fn blake2(self, message: &[u8]) -> Option<Multihash> {
        use blake2::digest::{Update as _, VariableOutput as _};
        let mut out = [0; 64];
        let out = &mut out[..usize::from(self.len?)];
        if self.code < BLAKE2S_8 {
            let mut hasher = blake2::Blake2bVar::new(out.len()).ok()?;
            hasher.update(message);
            hasher.finalize_variable(out).ok()?;
        } else {
            let mut hasher = blake2::Blake2sVar::new(out.len()).ok()?;
            hasher.update(message);
            hasher.finalize_variable(out).ok()?;
        }
        Multihash::wrap(self.code, out).ok()
    }

    /// Hashes many independent messages. SHA-256 runs several of them in lockstep on one core, which is what
    /// makes an import fast on a CPU without SHA instructions; other functions go one by one.
    pub fn digest_many(self, messages: &[&[u8]]) -> Vec<Option<Multihash>> {
        if self.code != SHA2_256 || messages.len() < 2 {
            return messages.iter().map(|m| self.digest(m)).collect();
        }
        let mut digests = vec![[0; 32]; messages.len()];
        tape_sha256::hash_many(messages, &mut digests);
        digests.iter().map(|d| Multihash::wrap(SHA2_256, d).ok()).collect()
    }
}

/// SHA-256 of one message.
pub fn sha256(message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, message).as_ref());
    out
}

/// Whether `bytes` are what `expected` names. A digest that is cut short, as some multihashes are, matches
/// when it is a prefix of the full one and at least 20 bytes long. `None` when the function is unknown.
pub fn matches(expected: &Multihash, bytes: &[u8]) -> Option<bool> {
    const SHORTEST_DIGEST: usize = 20;
    let function = HashFn::from_code(expected.code())?;
    if function == HashFn::IDENTITY {
        return Some(expected.digest() == bytes);
    }
    let full = function.digest(bytes)?;
    let digest = expected.digest();
    Some(digest.len() >= SHORTEST_DIGEST && full.digest().starts_with(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_and_single_agree_at_every_boundary() {
        // 55, 56, 63 and 64 are where SHA-256's padding spills into one more block.
        let lengths = [0usize, 1, 55, 56, 63, 64, 65, 119, 120, 4096, 262_144, 262_158];
        let messages: Vec<Vec<u8>> = lengths.iter().map(|&n| (0..n).map(|i| (i * 31 % 251) as u8).collect()).collect();
        let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        for (one, many) in slices.iter().zip(HashFn::SHA2_256.digest_many(&slices)) {
            assert_eq!(HashFn::SHA2_256.digest(one), many, "length {}", one.len());
            assert_eq!(many.expect("hashes").digest(), sha2::Sha256::digest(one).as_slice());
        }
    }

    #[test]
    fn every_function_gives_its_full_length() {
        for function in HashFn::all() {
            let hash = function.digest(b"cairn").expect("hashes");
            assert_eq!(hash.code(), function.code(), "{}", function.name());
            assert_eq!(usize::from(hash.size()), function.digest_len().map_or(5, usize::from), "{}", function.name());
            assert_eq!(HashFn::from_name(function.name()), Some(function));
        }
    }

    #[test]
    fn short_digests_do_not_pass() {
        let full = HashFn::SHA2_256.digest(b"x").expect("hashes");
        assert_eq!(matches(&full.truncate(20), b"x"), Some(true));
        assert_eq!(matches(&full.truncate(4), b"x"), Some(false));
        assert_eq!(matches(&full, b"y"), Some(false));
    }
}
