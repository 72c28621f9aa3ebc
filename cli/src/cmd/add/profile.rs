//! The flags of `cairn add` that decide CIDs, over the defaults in `Import.*`.

use cairn_store::{
    chunker::ChunkerSpec,
    config::ImportConfig,
    hash::HashFn,
    unixfs::profile::{Layout, Profile},
};

/// What decides the CID
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What decides the CID")]
pub struct Flags {
    /// CID version: 0 or 1; 1 turns raw leaves on [default: Import.CidVersion, else 0]
    #[arg(long, value_name = "0|1", value_parser = clap::value_parser!(u8).range(0..=1))]
    cid_version: Option<u8>,
    /// Leaves are raw blocks [default: Import.UnixFSRawLeaves, else as the CID version]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,
    /// Hash function; others than sha2-256 need CID version 1 [default: Import.HashFunction]
    #[arg(long, value_name = "NAME")]
    hash: Option<String>,
    /// size-N, rabin, rabin-MIN-AVG-MAX or buzhash [default: Import.UnixFSChunker]
    #[arg(short = 's', long, value_name = "CHUNKER")]
    chunker: Option<String>,
    /// Trickle layout: for streams that are read from the front [default: Import.UnixFSDAGLayout]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    trickle: Option<bool>,
    /// Links of one node of a file, at most [default: Import.UnixFSFileMaxLinks]
    #[arg(long, value_name = "N")]
    max_file_links: Option<usize>,
    /// Links of a directory that is not sharded, at most; 0 for no limit [default: Import.UnixFSDirectoryMaxLinks]
    #[arg(long, value_name = "N")]
    max_directory_links: Option<usize>,
    /// Links of one node of a sharded directory: a power of 2 from 8 to 1024 [default:
    /// Import.UnixFSHAMTDirectoryMaxFanout]
    #[arg(long, value_name = "N")]
    max_hamt_fanout: Option<usize>,
    /// Put small blocks into their CIDs
    #[arg(long)]
    inline: bool,
    /// Largest block that is put into its CID, in bytes; 128 at most
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    inline_limit: usize,
}

impl Flags {
    /// The profile: flags first, then the configuration, then Kubo's defaults. `metadata` says that modes or
    /// times are stored, which raw leaves have no place for.
    pub fn resolve(&self, config: &ImportConfig, metadata: bool) -> anyhow::Result<Profile> {
        let mut profile = Profile::unixfs_v0_2015();
        if let Some(name) = &self.hash {
            let name = name.to_lowercase();
            profile.hash = HashFn::from_name(&name).ok_or_else(|| {
                anyhow::anyhow!("unrecognized hash function: {name:?}; `cairn cid hashes` lists them")
            })?;
        } else if let Some(hash) = config.hash {
            profile.hash = hash;
        }
        let version = self.cid_version.or(config.cid_version);
        // CIDv0 can only name SHA-256.
        let version = version.unwrap_or(u8::from(profile.hash != HashFn::SHA2_256));
        profile.cid_version = if version == 0 { cid::Version::V0 } else { cid::Version::V1 };
        let raw_leaves = self.raw_leaves.or(config.raw_leaves);
        profile.raw_leaves = raw_leaves.unwrap_or(version == 1);
        if metadata {
            anyhow::ensure!(
                raw_leaves != Some(true),
                "raw-leaves can't be used with UnixFS metadata like mode or modification time"
            );
            profile.raw_leaves = false;
        }
        if let Some(text) = self.chunker.as_deref().or(config.chunker.as_deref()) {
            profile.chunker = ChunkerSpec::parse(text)?;
        }
        let configured = config.layout.map(|l| l == Layout::Trickle);
        if self.trickle.or(configured) == Some(true) {
            profile.layout = Layout::Trickle;
        }
        if let Some(n) = self.max_file_links.or(config.file_max_links) {
            profile.max_file_links = n;
        }
        if let Some(n) = self.max_directory_links.or(config.directory_max_links) {
            profile.max_dir_links = n;
        }
        if let Some(n) = self.max_hamt_fanout.or(config.hamt_fanout) {
            profile.max_hamt_fanout = n;
        }
        if let Some(bytes) = config.hamt_threshold {
            profile.hamt_threshold = bytes;
        }
        if let Some(estimation) = config.hamt_estimation {
            profile.hamt_estimate = estimation;
        }
        profile.inline = self.inline.then_some(self.inline_limit);
        profile.validate()?;
        Ok(profile)
    }
}
