//! `cairn swarm addrs`: addresses of this node and of others.

use super::Strings;
use crate::ctx::Ctx;
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
    /// Print which addresses of this node others can reach, as AutoNAT found out
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
    reachability: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reachable: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreachable: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

/// Runs `cairn swarm addrs`.
///
/// # Errors
/// When there is no daemon.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    match args.command {
        None => {
            let known = ctx.block_on(async { Ok(node.known_addresses().await?) })?;
            let addrs = known.iter().map(|(peer, addrs)| (peer.to_string(), texts(addrs))).collect();
            ctx.out.emit_once(&Known { addrs }, known_text)
        }
        Some(Command::Listen) => {
            let mut addrs = texts(&ctx.block_on(async { Ok(node.listeners().await?) })?);
            addrs.sort();
            Strings::print(ctx, addrs)
        }
        Some(Command::Local { id }) => {
            let mut addrs = ctx.block_on(async { Ok(node.addresses().await?) })?;
            if id {
                addrs.iter_mut().for_each(|addr| addr.push(Protocol::P2p(node.peer_id())));
            }
            let mut addrs = texts(&addrs);
            addrs.sort();
            Strings::print(ctx, addrs)
        }
        Some(Command::Autonat) => {
            let found = ctx.block_on(async { Ok(node.reachability().await?) })?;
            let event = AutoNat {
                reachability: found.summary().to_owned(),
                reachable: texts(&found.reachable),
                unreachable: texts(&found.unreachable),
                unknown: texts(&found.unknown),
            };
            ctx.out.emit_once(&event, autonat_text)
        }
    }
}

fn texts(addrs: &[Multiaddr]) -> Vec<String> {
    addrs.iter().map(ToString::to_string).collect()
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

fn autonat_text(found: &AutoNat) -> String {
    let mut text = format!("AutoNAT V2 Status:\n  Reachability: {}\n\nPer-Address Reachability:\n", found.reachability);
    let sections =
        [("Reachable", &found.reachable), ("Unreachable", &found.unreachable), ("Unknown", &found.unknown)];
    if sections.iter().all(|(_, addrs)| addrs.is_empty()) {
        text.push_str("  (no address reachability data available)\n");
    }
    for (title, addrs) in sections.iter().filter(|(_, addrs)| !addrs.is_empty()) {
        let _ = writeln!(text, "  {title}:");
        for addr in *addrs {
            let _ = writeln!(text, "    {addr}");
        }
    }
    text
}
