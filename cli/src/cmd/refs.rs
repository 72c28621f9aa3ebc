//! `cairn refs`: the links of objects; `cairn refs local`: all blocks.

use crate::{cmd::source, ctx::Ctx, exit::AlreadyReported};
use cairn_net::bitswap::Order;
use cairn_store::{
    Cid,
    blockstore::Blockstore as _,
    cid::codec,
    refs::{Edge, Options, Refs},
};
use serde::Serialize;

/// Options of `cairn refs`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  cairn refs -r QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc
  cairn refs --format '<src> -> <dst> (<linkname>)' /ipfs/bafy…
  cairn refs local"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Paths of the objects [default: one per line of stdin]
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// What to print of each link: <src>, <dst> and <linkname> are replaced
    #[arg(long, value_name = "FORMAT", default_value = "<dst>")]
    format: String,
    /// Print both ends: `<src> -> <dst>`
    #[arg(short, long)]
    edges: bool,
    /// Print no link target twice
    #[arg(short, long)]
    unique: bool,
    /// Go on with what the links point at
    #[arg(short, long)]
    recursive: bool,
    /// With -r: levels to go down; -1 is all of them
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    max_depth: i64,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all blocks of the repository, as raw CIDs
    #[command(after_help = "Example:\n  cairn refs local | wc -l")]
    Local,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ref {
    r#ref: String,
    err: String,
}

/// Runs `cairn refs`.
///
/// # Errors
/// When a path leads nowhere or a block can't be had.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    if let Some(Command::Local) = args.command {
        return local(ctx);
    }
    anyhow::ensure!(!args.edges || args.format == "<dst>", "using format argument with edges is not allowed");
    let format = if args.edges { "<src> -> <dst>" } else { &args.format };
    let max_depth = if args.recursive { u32::try_from(args.max_depth).ok() } else { Some(1) };
    let paths = source::paths(ctx, args.paths)?;
    let fetch = ctx.fetch_in(Order::Rarest)?;
    ctx.block_on(async {
        let mut roots = Vec::with_capacity(paths.len());
        for path in &paths {
            roots.push(source::resolve(ctx, &fetch, path).await?);
        }
        let mut refs = Refs::new(fetch.clone(), Options { unique: args.unique, max_depth, deadline: None });
        let mut failed = false;
        for root in roots {
            if let Err(error) = list(ctx, &mut refs, &root, format).await {
                // As in Kubo: text ends here, while a reader of JSON is told and gets the other objects.
                if !ctx.out.json() || ctx.cancel.requested() {
                    return Err(error);
                }
                failed = true;
                let err = format!("{error:#}");
                ctx.out.emit(&Ref { r#ref: String::new(), err }, |_| String::new())?;
            }
        }
        if failed { Err(AlreadyReported.into()) } else { Ok(()) }
    })
}

async fn list(ctx: &Ctx, refs: &mut Refs, root: &Cid, format: &str) -> anyhow::Result<()> {
    refs.start(root).await?;
    while let Some(edge) = refs.next().await? {
        ctx.cancel.check()?;
        let r#ref = fill(ctx, format, &edge);
        ctx.out.emit(&Ref { r#ref, err: String::new() }, |r| format!("{}\n", r.r#ref))?;
    }
    Ok(())
}

fn fill(ctx: &Ctx, format: &str, edge: &Edge) -> String {
    if format == "<dst>" {
        return ctx.out.cid(&edge.to);
    }
    let name = String::from_utf8_lossy(&edge.name);
    let text = format.replace("<src>", &ctx.out.cid(&edge.from)).replace("<dst>", &ctx.out.cid(&edge.to));
    text.replace("<linkname>", &ctx.out.escape(&name))
}

/// Prints all blocks, as CIDv1 and raw, since the store knows multihashes only.
///
/// # Errors
/// When the repository can't be read.
pub fn local(ctx: &Ctx) -> anyhow::Result<()> {
    for listed in ctx.blocks()?.list() {
        ctx.cancel.check()?;
        let (hash, entry) = listed?;
        if !entry.bad {
            let r#ref = ctx.out.cid(&Cid::new_v1(codec::RAW, hash));
            ctx.out.emit(&Ref { r#ref, err: String::new() }, |r| format!("{}\n", r.r#ref))?;
        }
    }
    Ok(())
}
