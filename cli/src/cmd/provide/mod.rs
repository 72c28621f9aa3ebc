//! `cairn provide`: telling others what this node holds.

mod stat;

pub use stat::{Args as StatArgs, run as stat};

use crate::{cmd::routing, cmd::source, ctx::Ctx};
use anyhow::{Context as _, bail};
use cairn_net::{dht::sweep::Sweep, node::Node};
use cairn_store::{
    Cid, Multihash,
    blockstore::Blockstore as _,
    refs::{Options, Refs},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::collections::HashSet;

/// Blocks that are announced at the same time.
const AT_ONCE: usize = 8;
/// Blocks that are queued in one go.
const BATCH: usize = 1024;
/// Blocks that are remembered as done. Above that many, a block that several roots share may be announced twice.
const MAX_REMEMBERED: usize = 1 << 20;

/// Options of `cairn provide`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn provide stat\n  cairn provide once bafy…")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print how far announcing is
    Stat(stat::Args),
    /// Forget blocks that wait to be announced for the first time
    #[command(after_help = "Example:\n  cairn provide clear")]
    Clear {
        /// Print nothing
        #[arg(short, long)]
        quiet: bool,
    },
    /// Announce blocks that are here, as soon as can be
    #[command(after_help = "Examples:\n  cairn provide once bafy…\n  cairn provide once -r bafy…")]
    Once {
        /// CIDs of the blocks [default: one per line of stdin]
        #[arg(value_name = "CID")]
        cids: Vec<String>,
        /// With all that they lead to
        #[arg(short, long)]
        recursive: bool,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Queued {
    queued: String,
}

/// Runs `cairn provide`.
///
/// # Errors
/// When there is no daemon, or it announces nothing.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Stat(args) => stat::run(ctx, &args),
        Command::Clear { quiet } => {
            let node = ctx.node()?;
            let sweep = sweep(&node)?;
            let cleared = ctx.block_on(async { sweep.clear().await.map_err(anyhow::Error::msg) })?;
            if quiet {
                return Ok(());
            }
            ctx.out.emit_once(&cleared, |cleared| format!("removed {cleared} items from provide queue\n"))
        }
        Command::Once { cids, recursive } => once(ctx, &source::arguments(ctx, cids)?, recursive),
    }
}

/// The sweep of a node.
///
/// # Errors
/// When it announces nothing.
pub fn sweep(node: &Node) -> anyhow::Result<Sweep> {
    node.sweep().context(
        "this node announces nothing: see Provide.Enabled, Provide.DHT.Interval and Routing.Type in the configuration",
    )
}

fn once(ctx: &Ctx, cids: &[String], recursive: bool) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let sweep = sweep(&node)?;
    let mut count = 0_u64;
    each(ctx, &node, cids, recursive, async |blocks| {
        let keys: Vec<Multihash> = blocks.iter().map(|cid| *cid.hash()).collect();
        sweep.add(keys).await.map_err(anyhow::Error::msg)?;
        count += blocks.len() as u64;
        for cid in blocks {
            // People are told the number at the end; programs each block.
            let shown = ctx.is_rpc();
            ctx.out.emit(&Queued { queued: cid.to_string() }, |e| {
                if shown { format!("{}\n", e.queued) } else { String::new() }
            })?;
        }
        Ok(())
    })?;
    if !ctx.out.json() && !ctx.is_rpc() {
        ctx.out.note(&format!("queued {count} CID(s) for immediate provide\n"));
    }
    Ok(())
}

/// Announces blocks now, and calls `done` for each.
///
/// # Errors
/// When a block is not here, or nobody took the announcement.
pub fn announce(
    ctx: &Ctx,
    cids: &[String],
    recursive: bool,
    done: impl Fn(&Cid) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let node = ctx.node()?;
    each(ctx, &node, cids, recursive, async |blocks| {
        let (routing, done) = (node.routing(), &done);
        let announced = stream::iter(blocks).map(Ok).try_for_each_concurrent(AT_ONCE, |cid| {
            let routing = routing.clone();
            async move {
                routing
                    .provide(*cid.hash(), None)
                    .await
                    .map_err(|error| anyhow::anyhow!("error providing {cid}: {error}"))?;
                done(&cid)
            }
        });
        announced.await
    })
}

/// Calls `work` with blocks that are here, each once: those that are named, and with `recursive` what they lead to.
fn each(
    ctx: &Ctx,
    node: &Node,
    cids: &[String],
    recursive: bool,
    mut work: impl AsyncFnMut(Vec<Cid>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if ctx.config()?.get_bool("Provide.Enabled")? == Some(false) {
        bail!("cannot provide: Provide.Enabled is false");
    }
    let roots = cids.iter().map(|text| routing::cid(text)).collect::<Result<Vec<_>, _>>()?;
    for root in &roots {
        if !ctx.blocks()?.has(root.hash())? {
            bail!("block {root} not found locally, cannot provide");
        }
    }
    let fetch = ctx.fetch()?;
    ctx.block_on(async {
        if node.peers().await.is_empty() {
            bail!("cannot provide: no connected peers");
        }
        let mut seen: HashSet<Multihash> = HashSet::new();
        let mut new =
            |cid: &Cid| !seen.contains(cid.hash()) && (seen.len() >= MAX_REMEMBERED || seen.insert(*cid.hash()));
        let mut batch = Vec::new();
        let mut refs = Refs::new(fetch, Options { unique: true, max_depth: None, deadline: None });
        for root in roots {
            if new(&root) {
                batch.push(root);
            }
            if recursive {
                refs.start(&root).await?;
                while let Some(edge) = refs.next().await? {
                    if new(&edge.to) {
                        batch.push(edge.to);
                    }
                    if batch.len() >= BATCH {
                        work(std::mem::take(&mut batch)).await?;
                    }
                }
            }
        }
        work(batch).await
    })
}
