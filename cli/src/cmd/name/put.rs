//! `cairn name put`.

use super::{Entry, network};
use crate::{cmd::put::read, ctx::Ctx};
use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use cairn_net::ipns::{MAX_RECORD, Name, Names, Network, PublishError, Record, ResolveOptions, validate};
use std::{path::PathBuf, time::SystemTime};

/// Options of `cairn name put`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn name put k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k record")]
pub struct Args {
    /// The name that the record is for
    name: String,
    /// File with the record; `-` or none: stdin
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    record: PathBuf,
    /// Skip the checks of signature, sequence number and size
    #[arg(short, long)]
    force: bool,
    /// Without a network keep the record here
    #[arg(long)]
    allow_offline: bool,
    /// Give the record to the HTTP servers of Ipns.DelegatedPublishers, and to nobody else
    #[arg(long, conflicts_with = "allow_offline")]
    allow_delegated: bool,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

/// Runs `cairn name put`.
///
/// # Errors
/// When the record is not valid or not new, or there is no network.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let name = Name::parse(&args.name).context("invalid IPNS name")?;
    let bytes = read(ctx, &args.record)?;
    ensure!(!bytes.is_empty(), "record is empty");
    let names = ctx.ipns()?;
    let network = network(args.allow_offline, args.allow_delegated);
    ctx.block_on(async {
        if !args.force {
            check(&names, name, &bytes).await?;
        }
        keep(&names, name, bytes.clone(), network).await
    })?;
    let value = Record::parse(&bytes).and_then(|record| record.value()).map(|path| path.to_string());
    let event = Entry { name: name.to_string(), value: value.unwrap_or_default() };
    ctx.out.emit(&event, |event| if args.quiet { String::new() } else { format!("{}\n", event.name) })
}

async fn check(names: &Names, name: Name, bytes: &Bytes) -> anyhow::Result<()> {
    if bytes.len() > MAX_RECORD {
        bail!("record exceeds maximum size of {MAX_RECORD} bytes, use --force to skip size check");
    }
    let new = Record::parse(bytes).context("invalid IPNS record")?;
    validate(&new, name, SystemTime::now().into()).context("record validation failed")?;
    let Ok(old) = names.best(name, ResolveOptions::default()).await else { return Ok(()) };
    let (was, is) = (old.sequence()?, new.sequence()?);
    // The same record again refreshes it in the network.
    if old.bytes() != bytes && was >= is {
        bail!(
            "existing IPNS record has sequence {was} >= new record sequence {is}, use 'cairn name put --force' to \
             skip this check"
        );
    }
    Ok(())
}

/// Keeps a record, and warns when it is not valid.
///
/// # Errors
/// As [`Names::put`].
pub async fn keep(names: &Names, name: Name, bytes: Bytes, network: Network) -> anyhow::Result<()> {
    match names.put(name, bytes, network, None).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(why)) => {
            tracing::warn!("the record is kept, but not valid, so that {name} will not resolve by it: {why}");
            Ok(())
        }
        Err(PublishError::Offline) => Err(anyhow!("can't put while offline: pass `--allow-offline` to override")),
        Err(error) => Err(error.into()),
    }
}
