//! `cairn resolve`: what a path leads to.

use crate::{cmd::source, ctx::Ctx};
use cairn_net::ipns::ResolveOptions;
use cairn_store::{
    Cid,
    config::parse_duration,
    path::{Namespace, Path},
    resolve,
};
use serde::Serialize;
use std::time::Instant;

/// Options of `cairn resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn resolve /ipfs/QmeZy1fGbwgVSrqbfh9fKQrAWgeyRnj7h8fsHS1oy3k99x/beep/boop")]
pub struct Args {
    /// The path or name [default: the first line of stdin]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Follow names until a path is immutable; with =false only one step
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true"
    )]
    recursive: bool,
    /// How long a name may take: 30s, 5m; 0 is as long as needed
    #[arg(long, visible_alias = "dhtt", value_name = "DURATION", value_parser = parse_duration)]
    dht_timeout: Option<std::time::Duration>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resolved {
    path: String,
}

/// Runs `cairn resolve`.
///
/// # Errors
/// When the path leads nowhere.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let names = source::arguments(ctx, args.name.into_iter().collect())?;
    let path = Path::parse(&names[0])?;
    let (fetch, names) = (ctx.fetch()?, ctx.names()?);
    let deadline = args.dht_timeout.filter(|limit| !limit.is_zero()).map(|limit| Instant::now() + limit);
    let found = ctx.block_on(async {
        if path.namespace() == Namespace::Ipns && !args.recursive {
            let options = ResolveOptions { depth: 1, deadline, ..ResolveOptions::default() };
            return Ok(ctx.ipns()?.resolve(&path, &options).await?.path.to_string());
        }
        let found = resolve::resolve(&fetch, &*names, &path, deadline).await?;
        let cid = encode(ctx, &path, &found.cid);
        let rest: String = found.remainder.iter().flat_map(|segment| ["/", segment]).collect();
        Ok(format!("/{}/{cid}{rest}", found.namespace.name()))
    })?;
    ctx.out.emit_once(&Resolved { path: found }, |r| format!("{}\n", r.path))
}

/// A CID in the base that was asked for, else in the base that the path came in.
pub(super) fn encode(ctx: &Ctx, path: &Path, cid: &Cid) -> String {
    let given = path.cid().filter(|c| c.version() != cid::Version::V0).and_then(|_| path.root().chars().next());
    let base = given.and_then(|letter| multibase::Base::from_code(letter).ok());
    match base {
        Some(base) if ctx.global.cid_base.is_none() => {
            let v1 = Cid::new_v1(cid.codec(), *cid.hash());
            v1.to_string_of_base(base).unwrap_or_else(|_| v1.to_string())
        }
        _ => ctx.out.cid(cid),
    }
}
