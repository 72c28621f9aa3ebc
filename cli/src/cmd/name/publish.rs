//! `cairn name publish`.

use super::{Entry, network};
use crate::{
    cmd::source,
    ctx::Ctx,
    names::{self, IpnsBase, ipns_base},
    units::go_duration,
};
use anyhow::{Context as _, anyhow, ensure};
use cairn_net::ipns::{DEFAULT_LIFETIME, DEFAULT_TTL, Publish, PublishError};
use cairn_store::config::parse_duration;
use cairn_store::path::Path;
use std::time::Duration;

/// Options of `cairn name publish`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn name publish /ipfs/bafkqaaa
  cairn name publish --key=blog --ttl=1m --lifetime=24h /ipfs/bafkqaaa
  cairn name publish --allow-offline -Q /ipfs/bafkqaaa")]
pub struct Args {
    /// Where the name shall point [default: the first line of stdin]
    #[arg(value_name = "PATH")]
    path: Option<String>,
    /// Name or ID of the key, as `cairn key ls -l` lists them
    #[arg(short, long, value_name = "NAME", default_value = "self")]
    key: String,
    /// Check first that the path leads somewhere
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    resolve: bool,
    /// How long the record is valid [default: 48h]
    #[arg(short = 't', long, value_name = "DURATION", value_parser = parse_duration)]
    lifetime: Option<Duration>,
    /// How long an answer may be kept before it is looked up again [default: 5m, at most the lifetime]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Print the name only
    #[arg(short = 'Q', long)]
    quieter: bool,
    /// Sign for readers of version 1 too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    v1compat: bool,
    /// Without a network keep the record here
    #[arg(long)]
    allow_offline: bool,
    /// Give the record to the HTTP servers of Ipns.DelegatedPublishers, and to nobody else
    #[arg(long, conflicts_with = "allow_offline")]
    allow_delegated: bool,
    /// Number of this version; it must be higher than that of the last one
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Form of the name: a multibase for CIDs, or b58mh for peer IDs
    #[arg(long, value_name = "BASE", default_value = "base36", value_parser = ipns_base)]
    ipns_base: IpnsBase,
}

/// Runs `cairn name publish`.
///
/// # Errors
/// When the key is not known, the path leads nowhere, the options make no sense, or there is no network.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let lifetime = args.lifetime.unwrap_or(DEFAULT_LIFETIME);
    ensure!(!lifetime.is_zero(), "lifetime must be greater than zero, got 0s");
    if let Some(ttl) = args.ttl.filter(|ttl| *ttl > lifetime) {
        let (ttl, lifetime) = (go_duration(ttl), go_duration(lifetime));
        return Err(anyhow!("ttl ({ttl}) must not be greater than lifetime ({lifetime})"));
    }
    let given = source::arguments(ctx, args.path.clone().into_iter().collect())?;
    let path = Path::parse(&given[0])?;
    let (store, own) = names::keys(ctx)?;
    let key = store.find(&args.key, &own)?;
    let options = Publish {
        lifetime,
        ttl: args.ttl.unwrap_or(DEFAULT_TTL.min(lifetime)),
        sequence: args.sequence,
        v1: args.v1compat,
        network: network(args.allow_offline, args.allow_delegated),
        deadline: None,
    };
    let names = ctx.ipns()?;
    let fetch = ctx.fetch()?;
    ctx.block_on(async {
        if args.resolve {
            let cid = source::resolve(ctx, &fetch, &path).await?;
            fetch.fetch(&cid, None).await?;
        }
        names.publish(&key, &path, &options).await.map_err(|error| match error {
            PublishError::Offline => anyhow!("can't publish while offline: pass `--allow-offline` to override"),
            other => other.into(),
        })
    })
    .with_context(|| format!("cannot publish {path}"))?;
    let event = Entry { name: args.ipns_base.encode(key.peer_id()), value: path.to_string() };
    ctx.out.emit(&event, |event| match args.quieter {
        true => format!("{}\n", event.name),
        false => format!("Published to {}: {}\n", event.name, ctx.out.escape(&event.value)),
    })
}
