//! `cairn bitswap`: what was exchanged with other nodes.

use crate::{address, ctx::Ctx, units};
use cairn_net::bitswap::Stat;
use cairn_store::Cid;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// Options of `cairn bitswap`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn bitswap stat\n  cairn bitswap ledger 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print counts of blocks and bytes
    Stat(StatArgs),
    /// Print the blocks that are wanted
    #[command(
        after_help = "Examples:\n  cairn bitswap wantlist\n  cairn bitswap wantlist --peer=12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
    )]
    Wantlist {
        /// Those that this peer wants [default: this node]
        #[arg(short, long)]
        peer: Option<String>,
    },
    /// Print what was exchanged with a peer
    #[command(after_help = "Example:\n  cairn bitswap ledger 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
    Ledger {
        /// Name of the peer
        peer: String,
    },
    /// Announce all that this node holds again, beginning now
    #[command(after_help = "Example:\n  cairn bitswap reprovide")]
    Reprovide,
}

/// Options of `cairn bitswap stat` and `cairn stats bitswap`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn bitswap stat\n  cairn bitswap stat -v --human")]
pub struct StatArgs {
    /// With the names of the peers
    #[arg(short, long)]
    verbose: bool,
    /// Sizes with units
    #[arg(long)]
    human: bool,
}

type Link = BTreeMap<&'static str, String>;

fn link(cid: &Cid) -> Link {
    BTreeMap::from([("/", cid.to_string())])
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    keys: Vec<Link>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatEvent {
    wantlist: Vec<Link>,
    peers: Vec<String>,
    blocks_received: u64,
    data_received: u64,
    dup_blks_received: u64,
    dup_data_received: u64,
    messages_received: u64,
    blocks_sent: u64,
    data_sent: u64,
}

/// Runs `cairn bitswap`.
///
/// # Errors
/// When there is no daemon.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Stat(args) => stat(ctx, &args),
        Command::Wantlist { peer } => wantlist(ctx, peer),
        Command::Ledger { peer } => ledger(ctx, &peer),
        Command::Reprovide => super::routing::reprovide(ctx),
    }
}

/// Runs `cairn bitswap stat`.
///
/// # Errors
/// When there is no daemon.
pub fn stat(ctx: &Ctx, args: &StatArgs) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let mut stat = ctx.block_on(async { Ok(node.bitswap().stat().await) })?;
    stat.wantlist.sort();
    stat.peers.sort_by_key(ToString::to_string);
    let event = StatEvent {
        wantlist: stat.wantlist.iter().map(link).collect(),
        peers: stat.peers.iter().map(ToString::to_string).collect(),
        blocks_received: stat.blocks_received,
        data_received: stat.data_received,
        dup_blks_received: stat.dup_blks_received,
        dup_data_received: stat.dup_data_received,
        messages_received: stat.messages_received,
        blocks_sent: stat.blocks_sent,
        data_sent: stat.data_sent,
    };
    ctx.out.emit_once(&event, |_| stat_text(ctx, &stat, args))
}

fn stat_text(ctx: &Ctx, stat: &Stat, args: &StatArgs) -> String {
    let size = |bytes: u64| if args.human { units::decimal(bytes) } else { bytes.to_string() };
    let mut text = format!(
        "bitswap status\n\tblocks received: {}\n\tblocks sent: {}\n\tdata received: {}\n\tdata sent: {}\n\
         \tdup blocks received: {}\n\tdup data received: {}\n\twantlist [{} keys]\n",
        stat.blocks_received,
        stat.blocks_sent,
        size(stat.data_received),
        size(stat.data_sent),
        stat.dup_blks_received,
        size(stat.dup_data_received),
        stat.wantlist.len()
    );
    for cid in &stat.wantlist {
        let _ = writeln!(text, "\t\t{}", ctx.out.cid(cid));
    }
    let _ = writeln!(text, "\tpartners [{}]", stat.peers.len());
    if args.verbose {
        for peer in &stat.peers {
            let _ = writeln!(text, "\t\t{peer}");
        }
    }
    text
}

fn wantlist(ctx: &Ctx, peer: Option<String>) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peer = peer.map(|text| address::peer(&text)).transpose()?;
    let mut wanted = ctx.block_on(async { Ok(node.bitswap().wantlist(peer).await) })?;
    wanted.sort();
    let keys = wanted.iter().map(link).collect();
    ctx.out.emit_once(&Keys { keys }, |_| wanted.iter().map(|cid| format!("{}\n", ctx.out.cid(cid))).collect())
}

fn ledger(ctx: &Ctx, peer: &str) -> anyhow::Result<()> {
    let receipt = ctx.node()?.bitswap().ledger(&address::peer(peer)?);
    ctx.out.emit_once(&receipt, |receipt| {
        format!(
            "Ledger for {}\nDebt ratio:\t{:.6}\nExchanges:\t{}\nBytes sent:\t{}\nBytes received:\t{}\n\n",
            receipt.peer, receipt.value, receipt.exchanged, receipt.sent, receipt.recv
        )
    })
}
