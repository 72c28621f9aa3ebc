//! `cairn swarm addrs`: addresses of this node and of others.

use super::Strings;
use crate::{address, ctx::Ctx};
use cairn_net::node::Reachability;
use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// Options of `cairn swarm addrs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn swarm addrs\n  cairn swarm addrs local --id")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the addresses that this node listens on
    #[command(after_help = "Example:\n  cairn swarm addrs listen")]
    Listen,
    /// Print the addresses that this node tells others
    #[command(after_help = "Example:\n  cairn swarm addrs local --id")]
    Local {
        /// With the node's name at the end
        #[arg(long)]
        id: bool,
    },
    /// Print whether others can reach this node, as AutoNAT found out
    #[command(after_help = "Example:\n  cairn swarm addrs autonat")]
    Autonat,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Known {
    addrs: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize)]
struct AutoNat {
    reachability: &'static str,
}

/// Runs `cairn swarm addrs`.
///
/// # Errors
/// When there is no daemon.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    match args.command {
        None => {
            let known = ctx.block_on(async { Ok(node.known_addresses().await) })?;
            let addrs = known.iter().map(|(peer, addrs)| (peer.to_string(), texts(addrs))).collect();
            ctx.out.emit_once(&Known { addrs }, known_text)
        }
        Some(Command::Listen) => {
            let mut addrs = texts(&ctx.block_on(async { Ok(node.listeners().await) })?);
            addrs.sort();
            Strings::print(ctx, addrs)
        }
        Some(Command::Local { id }) => {
            let mut addrs = ctx.block_on(async { Ok(node.addresses().await) })?;
            if id {
                addrs.iter_mut().for_each(|addr| addr.push(Protocol::P2p(node.peer_id())));
            }
            let mut addrs = texts(&addrs);
            addrs.sort();
            Strings::print(ctx, addrs)
        }
        Some(Command::Autonat) => {
            let reachability = match *node.reachability().borrow() {
                Reachability::Unknown => "Unknown",
                Reachability::Public => "Public",
                Reachability::Private => "Private",
            };
            ctx.out.emit_once(&AutoNat { reachability }, |found| {
                format!("AutoNAT V2 Status:\n  Reachability: {}\n", found.reachability)
            })
        }
    }
}

fn texts(addrs: &[Multiaddr]) -> Vec<String> {
    addrs.iter().map(address::text).collect()
}

fn known_text(known: &Known) -> String {
    let mut text = String::new();
    for (peer, addrs) in &known.addrs {
        let _ = writeln!(text, "{peer} ({})", addrs.len());
        for addr in addrs {
            let _ = writeln!(text, "\t{addr}");
        }
    }
    text
}
