//! Everything that decides a CID, as one value.

use super::hamt;
use crate::{
    block::{Block, BlockError, Prefix},
    chunker::{ChunkerError, ChunkerSpec},
    cid::codec,
    hash::{HashFn, MAX_IDENTITY},
};
use ::cid::Version;
use bytes::Bytes;
use thiserror::Error;

/// Links of a file's inner node where nothing else is said: what fits into 8 KiB at 47 bytes a link.
pub const DEFAULT_FILE_LINKS: usize = 174;
/// Size above which a directory is sharded where nothing else is said, in bytes.
pub const DEFAULT_HAMT_THRESHOLD: u64 = 256 << 10;

/// Shape of a file's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// All leaves at one depth.
    Balanced,
    /// Leaves at growing depth, so that the start of a file is near the root.
    Trickle,
}

/// How a directory's size is reckoned when it is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HamtEstimate {
    /// Bytes of all names and CIDs.
    Links,
    /// Exact length of the directory as one block.
    Block,
    /// The size does not count: only the number of links does, if it is limited.
    Disabled,
}

impl Layout {
    /// The layout of that name in a configuration: `balanced` or `trickle`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "balanced" => Some(Self::Balanced),
            "trickle" => Some(Self::Trickle),
            _ => None,
        }
    }
}

impl HamtEstimate {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Block => "block",
            Self::Disabled => "disabled",
        }
    }

    /// The reckoning of that name in a configuration: `links`, `block` or `disabled`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "links" => Some(Self::Links),
            "block" => Some(Self::Block),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// What decides the CIDs of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Version of the CIDs. Raw leaves and inlined blocks have version 1 in any case.
    pub cid_version: Version,
    /// Whether leaves are the chunks themselves.
    pub raw_leaves: bool,
    /// Hash function.
    pub hash: HashFn,
    /// Where files are cut.
    pub chunker: ChunkerSpec,
    /// Shape of a file's tree.
    pub layout: Layout,
    /// Most links of a file's inner node (balanced), most leaves of one (trickle).
    pub max_file_links: usize,
    /// Most entries of a directory before it is sharded; 0: any number.
    pub max_dir_links: usize,
    /// Width of a sharded directory's nodes.
    pub max_hamt_fanout: usize,
    /// A directory is sharded when its size is *above* that many bytes; 0: never, whatever the other settings.
    pub hamt_threshold: u64,
    /// How that size is reckoned.
    pub hamt_estimate: HamtEstimate,
    /// Blocks of up to that many bytes go into their CIDs, as identity hashes.
    pub inline: Option<usize>,
}

/// Settings that contradict each other or exceed a limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// CIDv0 has no field for the hash function.
    #[error("CIDv0 only supports sha2-256")]
    HashNeedsV1,
    /// The chunker's numbers are out of bounds.
    #[error(transparent)]
    Chunker(#[from] ChunkerError),
    /// A tree of such nodes could not grow.
    #[error("max-file-links must be at least {0}, got {1}")]
    FileLinks(usize, usize),
    /// A width that no reader accepts.
    #[error("HAMT fanout must be a power of 2, between 8 and {max} (got {0})", max = hamt::MAX_FANOUT)]
    Fanout(usize),
    /// An identity CID may not be that long.
    #[error("inline-limit {0} exceeds maximum allowed size of {MAX_IDENTITY} bytes")]
    InlineLimit(usize),
}

impl Default for Profile {
    fn default() -> Self {
        Self::unixfs_v0_2015()
    }
}

impl Profile {
    /// `unixfs-v0-2015` of IPIP-499, and the default of deployed nodes.
    pub const fn unixfs_v0_2015() -> Self {
        Self {
            cid_version: Version::V0,
            raw_leaves: false,
            hash: HashFn::SHA2_256,
            chunker: ChunkerSpec::Size(256 << 10),
            layout: Layout::Balanced,
            max_file_links: DEFAULT_FILE_LINKS,
            max_dir_links: 0,
            max_hamt_fanout: hamt::DEFAULT_FANOUT,
            hamt_threshold: DEFAULT_HAMT_THRESHOLD,
            hamt_estimate: HamtEstimate::Links,
            inline: None,
        }
    }

    /// `unixfs-v1-2025` of IPIP-499.
    pub const fn unixfs_v1_2025() -> Self {
        Self {
            max_file_links: 1024,
            hamt_estimate: HamtEstimate::Block,
            chunker: ChunkerSpec::Size(1 << 20),
            ..Self::cid_v1()
        }
    }

    /// The default with CIDv1, which brings raw leaves with it (`--cid-version=1`).
    pub const fn cid_v1() -> Self {
        Self { cid_version: Version::V1, raw_leaves: true, ..Self::unixfs_v0_2015() }
    }

    /// `test-cid-v1`, which Kubo had until 0.39: 1 MiB chunks, otherwise as [`Profile::cid_v1`].
    pub const fn test_cid_v1() -> Self {
        Self { chunker: ChunkerSpec::Size(1 << 20), ..Self::cid_v1() }
    }

    /// `test-cid-v1-wide`, which Kubo had until 0.39.
    pub const fn test_cid_v1_wide() -> Self {
        Self { max_file_links: 1024, max_hamt_fanout: 1024, hamt_threshold: 1 << 20, ..Self::test_cid_v1() }
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "unixfs-v0-2015" | "legacy-cid-v0" => Some(Self::unixfs_v0_2015()),
            "unixfs-v1-2025" => Some(Self::unixfs_v1_2025()),
            "test-cid-v1" => Some(Self::test_cid_v1()),
            "test-cid-v1-wide" => Some(Self::test_cid_v1_wide()),
            _ => None,
        }
    }

    /// Checks that the settings agree.
    ///
    /// # Errors
    /// The first setting that does not.
    pub fn validate(&self) -> Result<(), ProfileError> {
        if self.cid_version == Version::V0 && self.hash != HashFn::SHA2_256 {
            return Err(ProfileError::HashNeedsV1);
        }
        self.chunker.validate()?;
        // A balanced tree of one-link nodes never holds a second leaf.
        let least = if self.layout == Layout::Balanced { 2 } else { 1 };
        if self.max_file_links < least {
            return Err(ProfileError::FileLinks(least, self.max_file_links));
        }
        if !hamt::valid_fanout(self.max_hamt_fanout) {
            return Err(ProfileError::Fanout(self.max_hamt_fanout));
        }
        match self.inline {
            Some(limit) if limit > MAX_IDENTITY => Err(ProfileError::InlineLimit(limit)),
            _ => Ok(()),
        }
    }

    /// What dag-pb nodes are named with.
    pub fn node_prefix(&self) -> Prefix {
        Prefix { version: self.cid_version, codec: codec::DAG_PB, hash: self.hash }
    }

    /// What leaves are named with, unless they are inlined.
    pub fn leaf_prefix(&self) -> Prefix {
        if self.raw_leaves {
            Prefix { version: Version::V1, codec: codec::RAW, hash: self.hash }
        } else {
            self.node_prefix()
        }
    }

    /// Names a node, or inlines it when it is short enough.
    ///
    /// # Errors
    /// Only when the hash function is identity and the bytes are over its limit.
    pub fn seal_node(&self, data: Bytes) -> Result<Block, BlockError> {
        Block::seal(self.inlined(self.node_prefix(), data.len()), data)
    }

    /// Names an encoded leaf (see [`super::leaf::encode`]), or inlines it when it is short enough.
    ///
    /// # Errors
    /// As [`Profile::seal_node`].
    pub fn seal_leaf(&self, data: Bytes) -> Result<Block, BlockError> {
        Block::seal(self.inlined(self.leaf_prefix(), data.len()), data)
    }

    /// Names many encoded leaves at once, in order, as [`Profile::seal_leaf`] does.
    ///
    /// # Errors
    /// As [`Profile::seal_node`].
    pub fn seal_leaves(&self, leaves: Vec<Bytes>) -> Result<Vec<Block>, BlockError> {
        let inlines = |leaf: &Bytes| self.inline.is_some_and(|limit| leaf.len() <= limit);
        if !leaves.iter().any(inlines) {
            return Block::seal_many(self.leaf_prefix(), leaves);
        }
        leaves.into_iter().map(|leaf| self.seal_leaf(leaf)).collect()
    }

    fn inlined(&self, prefix: Prefix, len: usize) -> Prefix {
        match self.inline {
            Some(limit) if len <= limit => Prefix { version: Version::V1, hash: HashFn::IDENTITY, ..prefix },
            _ => prefix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_profile_is_valid() {
        for name in ["unixfs-v0-2015", "legacy-cid-v0", "unixfs-v1-2025", "test-cid-v1", "test-cid-v1-wide"] {
            Profile::named(name).expect(name).validate().expect(name);
        }
        Profile::cid_v1().validate().expect("valid");
        assert_eq!(Profile::named("server"), None);
        assert_eq!(
            ["balanced", "trickle", "Trickle"].map(Layout::from_name),
            [Some(Layout::Balanced), Some(Layout::Trickle), None]
        );
        assert_eq!(
            ["links", "block", "disabled", ""].map(HamtEstimate::from_name),
            [Some(HamtEstimate::Links), Some(HamtEstimate::Block), Some(HamtEstimate::Disabled), None]
        );
    }

    #[test]
    fn contradictions_are_named() {
        let base = Profile::unixfs_v0_2015();
        let blake3 = HashFn::from_name("blake3").expect("known");
        for (profile, message) in [
            (Profile { hash: blake3, ..base }, "CIDv0 only supports sha2-256"),
            (Profile { max_file_links: 1, ..base }, "max-file-links must be at least 2, got 1"),
            (Profile { max_hamt_fanout: 4, ..base }, "HAMT fanout must be a power of 2, between 8 and 1024 (got 4)"),
            (
                Profile { max_hamt_fanout: 2048, ..base },
                "HAMT fanout must be a power of 2, between 8 and 1024 (got 2048)",
            ),
            (Profile { max_hamt_fanout: 24, ..base }, "HAMT fanout must be a power of 2, between 8 and 1024 (got 24)"),
            (Profile { inline: Some(129), ..base }, "inline-limit 129 exceeds maximum allowed size of 128 bytes"),
            (Profile { chunker: ChunkerSpec::Size(0), ..base }, "chunker size must be greater than 0"),
        ] {
            assert_eq!(profile.validate().expect_err(message).to_string(), message);
        }
        Profile { hash: blake3, ..Profile::cid_v1() }.validate().expect("valid");
        Profile { max_file_links: 1, layout: Layout::Trickle, ..base }.validate().expect("valid");
    }
}
