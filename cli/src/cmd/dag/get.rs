//! `cairn dag get`.

use crate::{cmd::source::arguments, ctx::Ctx};
use anyhow::{Context as _, anyhow};
use cairn_store::{
    dag::{
        self, Ipld,
        select::{Selected, select},
    },
    multicodec,
    path::Path,
    resolve,
};
use std::io::Write as _;

/// Options of `cairn dag get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn dag get bafyreibc3ll65psx6kbwb56wqfuoxyvhrqnzyh2lyykxpcj4yrum7xtcty/a/l/0
  cairn dag get --output-codec=dag-cbor QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB > node.cbor")]
pub struct Args {
    /// CID or path of the object, or of a value inside it [default: the first line of stdin]
    #[arg(value_name = "REF")]
    target: Option<String>,
    /// Codec of the output: dag-json, dag-cbor, dag-pb, json, cbor or raw
    #[arg(long, value_name = "CODEC", default_value = "dag-json")]
    output_codec: String,
}

/// Runs `cairn dag get`.
///
/// # Errors
/// When the object can't be had, or can't be written in the codec.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let name = &args.output_codec;
    let codec = multicodec::codec(name).with_context(|| format!("unknown multicodec: {name:?}"))?;
    let given = arguments(ctx, args.target.into_iter().collect())?;
    let value = value(ctx, &Path::parse(&given[0])?)?;
    let encoded = dag::encode(&value, codec).with_context(|| format!("{} as {name}", given[0]))?;
    Ok(ctx.out.stdout().write_all(&encoded)?)
}

/// The value to which a path leads.
fn value(ctx: &Ctx, path: &Path) -> anyhow::Result<Ipld> {
    let (fetch, names) = (ctx.fetch()?, ctx.names());
    ctx.block_on(async {
        let end = resolve::resolve(&fetch, &*names, path, None).await?;
        let block = fetch.fetch(&end.cid, None).await?;
        let root = dag::decode(block.cid(), block.data())?;
        if end.remainder.is_empty() {
            return Ok(root);
        }
        match select(root, &end.remainder)? {
            Selected::Value(value) => Ok(value),
            Selected::Link(cid, _) => Err(anyhow!("{path} was to end in a value, and ends in a link to {cid}")),
        }
    })
}
