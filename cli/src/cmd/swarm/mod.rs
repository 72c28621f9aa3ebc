//! `cairn swarm`: connections with other nodes.

mod addrs;
mod connect;
mod filters;
mod peering;
mod peers;
mod resources;

use crate::ctx::Ctx;
use serde::Serialize;

/// Options of `cairn swarm`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn swarm peers -v\n  cairn swarm connect /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the addresses that are known of each peer
    Addrs(addrs::Args),
    /// Connect with peers
    Connect(connect::Connect),
    /// Close connections with peers
    Disconnect(connect::Disconnect),
    /// Print the connected peers
    Peers(peers::Args),
    /// Networks that the node has nothing to do with
    Filters(filters::Args),
    /// Peers that the node stays connected with
    Peering(peering::Args),
    /// Print the limits of connections and streams, and how much of them is used
    Resources(resources::Args),
}

/// A list of texts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Strings {
    /// The texts.
    pub strings: Vec<String>,
}

impl Strings {
    /// Prints a list, one text on a line.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn print(ctx: &Ctx, strings: Vec<String>) -> anyhow::Result<()> {
        ctx.out.emit_once(&Self { strings }, |list| {
            list.strings.iter().map(|text| format!("{}\n", ctx.out.escape(text))).collect()
        })
    }
}

/// Runs `cairn swarm`.
///
/// # Errors
/// When there is no daemon, or what was asked for can't be done.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Addrs(args) => addrs::run(ctx, args),
        Command::Connect(args) => connect::connect(ctx, args),
        Command::Disconnect(args) => connect::disconnect(ctx, args),
        Command::Peers(args) => peers::run(ctx, &args),
        Command::Filters(args) => filters::run(ctx, args),
        Command::Peering(args) => peering::run(ctx, args),
        Command::Resources(args) => resources::run(ctx, &args),
    }
}
