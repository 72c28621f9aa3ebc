//! A block: bytes together with the CID that they hash to.

use crate::{
    cid::{Cid, Multihash, codec},
    hash::{self, HashFn},
};
use bytes::Bytes;
use thiserror::Error;

/// Largest block that is read from a stranger, in bytes (the network's limit for one block).
pub const MAX_BLOCK_SIZE: usize = 2 << 20;

/// Bytes that were hashed and found to be what their CID names.
///
/// There is no way to make one without hashing (rule 1 of the house), except inside this crate for bytes that
/// the store itself wrote and whose checksum it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

/// Bytes that can't become a block of the wanted name.
#[derive(Debug, Clone, Error)]
pub enum BlockError {
    /// The bytes hash to something else.
    #[error("block {0}: the bytes do not match the hash")]
    Mismatch(Box<Cid>),
    /// The hash function is not one that Cairn can compute.
    #[error("block {cid}: unknown or unsafe hash function 0x{code:x}")]
    UnknownHash {
        /// The CID as asked.
        cid: Box<Cid>,
        /// Multicodec number of the function.
        code: u64,
    },
    /// An identity CID would be longer than the limit.
    #[error("identity digest of {0} bytes is over the limit of {max} bytes", max = hash::MAX_IDENTITY)]
    IdentityTooLong(usize),
}

/// All of a CID but the digest: what a new block is to be named with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// 0 or 1.
    pub version: cid::Version,
    /// Multicodec number of the codec.
    pub codec: u64,
    /// Hash function.
    pub hash: HashFn,
}

impl Prefix {
    /// CIDv0: dag-pb and SHA-256.
    pub const V0: Self = Self { version: cid::Version::V0, codec: codec::DAG_PB, hash: HashFn::SHA2_256 };

    /// CIDv1 with SHA-256.
    pub const fn v1(codec: u64) -> Self {
        Self { version: cid::Version::V1, codec, hash: HashFn::SHA2_256 }
    }

    /// Names a multihash. A CIDv0 that is not dag-pb with SHA-256 becomes a CIDv1.
    pub fn cid(self, hash: Multihash) -> Cid {
        if self.version == cid::Version::V0
            && self.codec == codec::DAG_PB
            && let Ok(cid) = Cid::new_v0(hash)
        {
            return cid;
        }
        Cid::new_v1(self.codec, hash)
    }
}

impl Block {
    /// Takes bytes from anywhere and checks that they are what `cid` names.
    ///
    /// # Errors
    /// When they are not, or when the hash function is unknown.
    pub fn verify(cid: Cid, data: Bytes) -> Result<Self, BlockError> {
        match hash::matches(cid.hash(), &data) {
            Some(true) => Ok(Self { cid, data }),
            Some(false) => Err(BlockError::Mismatch(Box::new(cid))),
            None => Err(BlockError::UnknownHash { cid: Box::new(cid), code: cid.hash().code() }),
        }
    }

    /// Names new bytes.
    ///
    /// # Errors
    /// Only for an identity digest over the limit.
    pub fn seal(prefix: Prefix, data: Bytes) -> Result<Self, BlockError> {
        let hash = prefix.hash.digest(&data).ok_or(BlockError::IdentityTooLong(data.len()))?;
        Ok(Self { cid: prefix.cid(hash), data })
    }

    /// The same bytes under another CID of the same multihash; `None` when its multihash is another. Nothing is hashed.
    pub fn renamed(&self, cid: Cid) -> Option<Self> {
        (cid.hash() == self.cid.hash()).then(|| Self { cid, data: self.data.clone() })
    }

    /// Names many new blocks at once, hashing them in lockstep.
    ///
    /// # Errors
    /// Only for an identity digest over the limit.
    pub fn seal_many(prefix: Prefix, data: Vec<Bytes>) -> Result<Vec<Self>, BlockError> {
        let messages: Vec<&[u8]> = data.iter().map(AsRef::as_ref).collect();
        let hashes = prefix.hash.digest_many(&messages);
        data.into_iter()
            .zip(hashes)
            .map(|(data, hash)| {
                let hash = hash.ok_or(BlockError::IdentityTooLong(data.len()))?;
                Ok(Self { cid: prefix.cid(hash), data })
            })
            .collect()
    }

    /// Checks many blocks at once, in lockstep those that are SHA-256: one answer for each, in order.
    pub fn verify_many(blocks: Vec<(Cid, Bytes)>) -> Vec<Result<Self, BlockError>> {
        let plain = |c: &Cid| c.hash().code() == HashFn::SHA2_256.code() && c.hash().size() == 32;
        let messages: Vec<&[u8]> = blocks.iter().filter(|(c, _)| plain(c)).map(|(_, d)| d.as_ref()).collect();
        let mut hashes = HashFn::SHA2_256.digest_many(&messages).into_iter();
        let check = |(cid, data): (Cid, Bytes)| {
            if !plain(&cid) {
                return Self::verify(cid, data);
            }
            if hashes.next().flatten().as_ref() == Some(cid.hash()) {
                Ok(Self { cid, data })
            } else {
                Err(BlockError::Mismatch(Box::new(cid)))
            }
        };
        blocks.into_iter().map(check).collect()
    }

    /// The block of an identity CID, whose bytes are in the CID itself; `None` for any other CID.
    pub fn from_identity(cid: &Cid) -> Option<Self> {
        (cid.hash().code() == HashFn::IDENTITY.code())
            .then(|| Self { cid: *cid, data: Bytes::copy_from_slice(cid.hash().digest()) })
    }

    /// Bytes that this store wrote under `cid` after hashing them, and whose checksum was verified on reading.
    pub(crate) fn from_store(cid: Cid, data: Bytes) -> Self {
        Self { cid, data }
    }

    /// The name.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Gives up the name.
    pub fn into_data(self) -> Bytes {
        self.data
    }
}
