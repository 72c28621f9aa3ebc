//! `cairn block put`.

use super::Stat;
use crate::{cmd::put, ctx::Ctx};
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use cairn_store::{
    Block,
    block::Prefix,
    cid::codec,
    hash::{HashFn, MAX_IDENTITY},
    multicodec,
};
use std::path::PathBuf;

/// Shortest digest that content may be addressed with, in bytes.
const MIN_DIGEST: u8 = 20;

/// Options of `cairn block put`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo hello | cairn block put
  cairn block put --cid-codec=dag-cbor one.cbor two.cbor

The codec only names the bytes: they are neither changed nor checked. `cairn dag put` does both.")]
pub struct Args {
    /// Files to store as one block each; `-` or none: stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Multicodec in the CID
    #[arg(long, value_name = "CODEC", default_value = "raw")]
    cid_codec: String,
    /// Hash function: `cairn cid hashes` lists them [default: Import.HashFunction, else sha2-256]
    #[arg(long, value_name = "HASH")]
    mhtype: Option<String>,
    /// Bytes of the digest that are kept; -1 is all of them
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    mhlen: i64,
    /// Pin the blocks with all that is below them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pin: bool,
    /// Store blocks over 2 MiB too, which other nodes will not take
    #[arg(long)]
    allow_big_block: bool,
    /// Old name of --cid-codec; v0 gives a CIDv0
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Runs `cairn block put`.
///
/// # Errors
/// When an option makes no sense, a file can't be read, or a block can't be stored.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let hash = match &args.mhtype {
        Some(name) => HashFn::from_name(name).with_context(|| format!("unrecognized multihash function: {name}"))?,
        None => ctx.config()?.import()?.hash.unwrap_or(HashFn::SHA2_256),
    };
    let prefix = prefix(&args, hash)?;
    let len = digest_len(hash, args.mhlen)?;
    let options = put::Options { pin: args.pin, allow_big_block: args.allow_big_block };
    let make = |bytes: Bytes| seal(prefix, len, bytes);
    put::store(ctx, args.files, &options, make, |block| {
        let stat = Stat { key: ctx.out.cid(block.cid()), size: block.data().len() };
        ctx.out.emit(&stat, |stat| format!("{}\n", stat.key))
    })
}

fn prefix(args: &Args, hash: HashFn) -> anyhow::Result<Prefix> {
    let (version, name) = match args.format.as_deref().filter(|f| !f.is_empty()) {
        None => (cid::Version::V1, args.cid_codec.as_str()),
        Some(_) if args.cid_codec != "raw" => {
            bail!("unable to use \"format\" (deprecated) and a custom \"cid-codec\" at the same time")
        }
        Some("v0") => (cid::Version::V0, "dag-pb"),
        Some("protobuf") => (cid::Version::V1, "dag-pb"),
        Some("cbor") => (cid::Version::V1, "dag-cbor"),
        Some(name) => (cid::Version::V1, name),
    };
    let codec = multicodec::codec(name).with_context(|| format!("unknown multicodec: {name:?}"))?;
    if version == cid::Version::V0 {
        let whole = args.mhlen == -1 || args.mhlen == 32;
        ensure!(hash == HashFn::SHA2_256 && whole, "only sha2-256 with all of its 32 bytes is allowed with CIDv0");
        return Ok(Prefix { version, codec: codec::DAG_PB, hash });
    }
    Ok(Prefix { version, codec, hash })
}

/// Bytes to keep of a digest, if not all.
fn digest_len(hash: HashFn, wanted: i64) -> anyhow::Result<Option<u8>> {
    let Some(full) = hash.digest_len().filter(|_| wanted != -1) else { return Ok(None) };
    let name = hash.name();
    let len = u8::try_from(wanted).ok().filter(|&len| len <= full);
    let len = len.with_context(|| format!("--mhlen={wanted}: a digest of {name} has {full} bytes"))?;
    ensure!(len >= MIN_DIGEST, "digest too small: {name} digest got {len} bytes, minimum {MIN_DIGEST}");
    Ok(Some(len))
}

fn seal(prefix: Prefix, len: Option<u8>, bytes: Bytes) -> anyhow::Result<Block> {
    if prefix.hash == HashFn::IDENTITY && bytes.len() > MAX_IDENTITY {
        bail!("digest too large: identity digest got {} bytes, maximum {MAX_IDENTITY}", bytes.len());
    }
    let block = Block::seal(prefix, bytes)?;
    match len {
        Some(len) if len < block.cid().hash().size() => {
            let short = prefix.cid(block.cid().hash().truncate(len));
            Ok(Block::verify(short, block.into_data())?)
        }
        _ => Ok(block),
    }
}
