//! `cairn dag put`.

use super::Link;
use crate::{cmd::put, ctx::Ctx};
use anyhow::Context as _;
use cairn_store::{Block, block::Prefix, dag, hash::HashFn, multicodec};
use serde::Serialize;
use std::path::PathBuf;

/// Options of `cairn dag put`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo '{\"name\": \"hello\", \"list\": [1, 2]}' | cairn dag put
  cairn dag put --input-codec=dag-cbor --store-codec=dag-json object.cbor

A link is written as {\"/\": \"<cid>\"}, bytes as {\"/\": {\"bytes\": \"<base64>\"}}.")]
pub struct Args {
    /// Files with one object each; `-` or none: stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Codec of the stored block: dag-cbor, dag-json, dag-pb, json, cbor or raw
    #[arg(long, value_name = "CODEC", default_value = "dag-cbor")]
    store_codec: String,
    /// Codec of the input
    #[arg(long, value_name = "CODEC", default_value = "dag-json")]
    input_codec: String,
    /// Pin the objects with all that is below them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pin: bool,
    /// Hash function: `cairn cid hashes` lists them [default: Import.HashFunction, else sha2-256]
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Store blocks over 2 MiB too, which other nodes will not take
    #[arg(long)]
    allow_big_block: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    cid: Link,
}

/// Runs `cairn dag put`.
///
/// # Errors
/// When an input can't be read or has no form in the codec, or a block can't be stored.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let codec = |name: &str| multicodec::codec(name).with_context(|| format!("unknown multicodec: {name:?}"));
    let (input, store) = (codec(&args.input_codec)?, codec(&args.store_codec)?);
    let hash = match &args.hash {
        Some(name) => HashFn::from_name(name)
            .with_context(|| format!("{name:?} is no hash function to address content with: see `cairn cid hashes`"))?,
        None => ctx.config()?.import()?.hash.unwrap_or(HashFn::SHA2_256),
    };
    let prefix = Prefix { version: cid::Version::V1, codec: store, hash };
    let options = put::Options { pin: args.pin, allow_big_block: args.allow_big_block };
    let make = |bytes| Ok(Block::seal(prefix, dag::encode(&dag::decode_as(input, &bytes)?, store)?)?);
    put::store(ctx, args.files, &options, make, |block| {
        let text = format!("{}\n", ctx.out.cid(block.cid()));
        ctx.out.emit(&Event { cid: Link { cid: block.cid().to_string() } }, |_| text)
    })
}
