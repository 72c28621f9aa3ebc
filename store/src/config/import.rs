//! `Import.*`: what decides the CIDs of what is added.

use super::{Config, ConfigError};
use crate::chunker::ChunkerSpec;
use crate::{
    hash::HashFn,
    unixfs::{
        hamt,
        profile::{HamtEstimate, Layout, Profile},
    },
};
use ::cid::Version;

/// `Import.*`, checked. `None` stands for a key that is `null` or absent: the default of the command applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportConfig {
    /// `CidVersion`: 0 or 1.
    pub cid_version: Option<u8>,
    /// `UnixFSRawLeaves`.
    pub raw_leaves: Option<bool>,
    /// `UnixFSChunker`: `size-N`, `rabin-MIN-AVG-MAX` or `buzhash`.
    pub chunker: Option<String>,
    /// `HashFunction`.
    pub hash: Option<HashFn>,
    /// `UnixFSFileMaxLinks`: links of one node of a file, above 0.
    pub file_max_links: Option<usize>,
    /// `UnixFSDirectoryMaxLinks`: links of an unsharded directory; 0 for no limit.
    pub directory_max_links: Option<usize>,
    /// `UnixFSHAMTDirectoryMaxFanout`: a power of two from 8 to 1024.
    pub hamt_fanout: Option<usize>,
    /// `UnixFSHAMTDirectorySizeThreshold` in bytes.
    pub hamt_threshold: Option<u64>,
    /// `UnixFSHAMTDirectorySizeEstimation`.
    pub hamt_estimation: Option<HamtEstimate>,
    /// `UnixFSDAGLayout`.
    pub layout: Option<Layout>,
    /// `BatchMaxNodes`: blocks in one batch, above 0.
    pub batch_max_nodes: Option<usize>,
    /// `BatchMaxSize`: bytes in one batch, above 0.
    pub batch_max_size: Option<usize>,
    /// `FastProvideRoot`.
    pub fast_provide_root: Option<bool>,
    /// `FastProvideDAG`.
    pub fast_provide_dag: Option<bool>,
    /// `FastProvideWait`.
    pub fast_provide_wait: Option<bool>,
}

impl ImportConfig {
    /// What decides CIDs where a command says nothing else: these keys over Kubo's defaults.
    ///
    /// # Errors
    /// When keys contradict each other.
    pub fn profile(&self) -> Result<Profile, ConfigError> {
        let base = Profile::unixfs_v0_2015();
        let refuse = |key: &str, why: String| ConfigError::Value { key: format!("Import.{key}"), why };
        let hash = self.hash.unwrap_or(base.hash);
        // CIDv0 can only name SHA-256.
        let version = self.cid_version.unwrap_or(u8::from(hash != HashFn::SHA2_256));
        let chunker = self.chunker.as_deref().map(ChunkerSpec::parse).transpose();
        let profile = Profile {
            cid_version: if version == 0 { Version::V0 } else { Version::V1 },
            raw_leaves: self.raw_leaves.unwrap_or(version == 1),
            hash,
            chunker: chunker.map_err(|e| refuse("UnixFSChunker", e.to_string()))?.unwrap_or(base.chunker),
            layout: self.layout.unwrap_or(base.layout),
            max_file_links: self.file_max_links.unwrap_or(base.max_file_links),
            max_dir_links: self.directory_max_links.unwrap_or(base.max_dir_links),
            max_hamt_fanout: self.hamt_fanout.unwrap_or(base.max_hamt_fanout),
            hamt_threshold: self.hamt_threshold.unwrap_or(base.hamt_threshold),
            hamt_estimate: self.hamt_estimation.unwrap_or(base.hamt_estimate),
            inline: None,
        };
        profile.validate().map_err(|e| refuse("*", e.to_string()))?;
        Ok(profile)
    }
}

impl Config {
    /// All of `Import.*`.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn import(&self) -> Result<ImportConfig, ConfigError> {
        Ok(ImportConfig {
            cid_version: self.number("CidVersion", "must be 0 or 1", |n| n <= 1)?.map(|n| u8::from(n == 1)),
            raw_leaves: self.get_bool("Import.UnixFSRawLeaves")?,
            chunker: self.chosen("UnixFSChunker", CHUNKERS, |t| is_chunker(t).then(|| t.to_owned()))?,
            hash: self
                .chosen("HashFunction", "`cairn cid hashes` lists them", |t| HashFn::from_name(&t.to_lowercase()))?,
            file_max_links: self.size("UnixFSFileMaxLinks", "must be positive", |n| n > 0)?,
            directory_max_links: self.size("UnixFSDirectoryMaxLinks", "must not be negative", |_| true)?,
            hamt_fanout: self.size(
                "UnixFSHAMTDirectoryMaxFanout",
                "must be a power of 2, between 8 and 1024",
                |n| usize::try_from(n).is_ok_and(hamt::valid_fanout),
            )?,
            hamt_threshold: self.get_size("Import.UnixFSHAMTDirectorySizeThreshold")?,
            hamt_estimation: self.chosen(
                "UnixFSHAMTDirectorySizeEstimation",
                "must be \"links\", \"block\" or \"disabled\"",
                HamtEstimate::from_name,
            )?,
            layout: self.chosen("UnixFSDAGLayout", "must be \"balanced\" or \"trickle\"", Layout::from_name)?,
            batch_max_nodes: self.size("BatchMaxNodes", "must be positive", |n| n > 0)?,
            batch_max_size: self.size("BatchMaxSize", "must be positive", |n| n > 0)?,
            fast_provide_root: self.get_bool("Import.FastProvideRoot")?,
            fast_provide_dag: self.get_bool("Import.FastProvideDAG")?,
            fast_provide_wait: self.get_bool("Import.FastProvideWait")?,
        })
    }

    fn number(&self, key: &str, rule: &str, ok: impl Fn(u64) -> bool) -> Result<Option<u64>, ConfigError> {
        let key = format!("Import.{key}");
        let Some(number) = self.get_int(&key)? else { return Ok(None) };
        match u64::try_from(number) {
            Ok(number) if ok(number) => Ok(Some(number)),
            _ => Err(ConfigError::Value { key, why: format!("{rule}, got {number}") }),
        }
    }

    fn size(&self, key: &str, rule: &str, ok: impl Fn(u64) -> bool) -> Result<Option<usize>, ConfigError> {
        Ok(self.number(key, rule, ok)?.and_then(|n| usize::try_from(n).ok()))
    }

    fn chosen<T>(&self, key: &str, rule: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ConfigError> {
        let key = format!("Import.{key}");
        let Some(text) = self.get_str(&key)? else { return Ok(None) };
        match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Value { why: format!("{text:?} is not known: {rule}"), key }),
        }
    }
}

/// What a chunker may be.
const CHUNKERS: &str = "expected \"size-<bytes>\", \"rabin-<min>-<avg>-<max>\" or \"buzhash\"";

fn is_chunker(text: &str) -> bool {
    if let Some(size) = text.strip_prefix("size-") {
        return size.parse::<u32>().is_ok_and(|n| n > 0);
    }
    if let Some(sizes) = text.strip_prefix("rabin-") {
        let sizes: Result<Vec<u32>, _> = sizes.split('-').map(str::parse).collect();
        return sizes.is_ok_and(|s| s.len() == 3 && s.is_sorted());
    }
    text == "buzhash"
}
