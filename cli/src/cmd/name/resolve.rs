//! `cairn name resolve`.

use crate::{ctx::Ctx, names};
use cairn_net::ipns::{Name, ResolveOptions};
use cairn_store::config::parse_duration;
use cairn_store::{
    path::{Namespace, Path},
    resolve::MAX_NAMES,
};
use futures::StreamExt as _;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What stands for "no limit" of a search.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

/// Options of `cairn name resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn name resolve
  cairn name resolve k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k
  cairn name resolve --nocache docs.ipfs.tech")]
pub struct Args {
    /// The name, or a path that begins with it [default: the name of the node's own key]
    name: Option<String>,
    /// Follow names until a path is immutable; with =false only one step
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    recursive: bool,
    /// Look it up even if an earlier answer is still good
    #[arg(short, long)]
    nocache: bool,
    /// End the search after this many records, each newer than the one before; 0: when the network agrees
    #[arg(long, visible_alias = "dhtrc", value_name = "N", default_value_t = 16)]
    dht_record_count: usize,
    /// How long a record is searched for; 0 is as long as needed
    #[arg(long, visible_alias = "dhtt", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    dht_timeout: Duration,
    /// Print every newer answer as it is found
    #[arg(short, long)]
    stream: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resolved {
    path: String,
}

/// Runs `cairn name resolve`.
///
/// # Errors
/// When the name leads nowhere.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let path = match &args.name {
        Some(name) => path(name)?,
        None => Path::parse_strict(&format!("/ipns/{}", Name::from(names::keys(ctx)?.1.peer_id())))?,
    };
    let limit = if args.dht_timeout.is_zero() { FOREVER } else { args.dht_timeout };
    let options = ResolveOptions {
        depth: if args.recursive { MAX_NAMES } else { 1 },
        cache: !args.nocache,
        records: args.dht_record_count,
        deadline: Instant::now().checked_add(limit),
    };
    let names = ctx.ipns()?;
    let emit =
        |path: &Path| ctx.out.emit(&Resolved { path: path.to_string() }, |r| format!("{}\n", ctx.out.escape(&r.path)));
    ctx.block_on(async {
        if !args.stream {
            return emit(&names.resolve(&path, &options).await?.path);
        }
        let mut found = names.search(path, options);
        while let Some(target) = found.next().await {
            emit(&target?.path)?;
            ctx.out.finish()?;
        }
        Ok(())
    })
}

/// A bare name, an `/ipns` path or an `ipns:` URI.
fn path(text: &str) -> anyhow::Result<Path> {
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("ipns"));
    let path = if text.starts_with('/') || has_scheme {
        Path::parse(text)?
    } else {
        Path::parse_strict(&format!("/ipns/{text}"))?
    };
    anyhow::ensure!(path.namespace() == Namespace::Ipns, "{text:?} is not an IPNS name");
    Ok(path)
}
