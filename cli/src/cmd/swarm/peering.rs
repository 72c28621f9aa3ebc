//! `cairn swarm peering`: peers that the node stays connected with. Changes last as long as the daemon runs;
//! `Peering.Peers` of the configuration is what it begins with.

use crate::{
    address::{self, AddrInfo},
    ctx::Ctx,
};
use serde::Serialize;
use std::fmt::Write as _;

/// Options of `cairn swarm peering`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Changes are not kept in the configuration: for that, change Peering.Peers.

Examples:
  cairn swarm peering ls
  cairn swarm peering add /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Stay connected with peers
    #[command(
        after_help = "Example:\n  cairn swarm peering add /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
    )]
    Add {
        /// Addresses that end with /p2p/PEER
        #[arg(value_name = "ADDRESS", required = true)]
        addresses: Vec<String>,
    },
    /// Print the peers
    #[command(after_help = "Example:\n  cairn swarm peering ls")]
    Ls,
    /// Let peers go
    #[command(after_help = "Example:\n  cairn swarm peering rm 12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
    Rm {
        /// Names of peers
        #[arg(value_name = "PEER", required = true)]
        peers: Vec<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    #[serde(rename = "ID")]
    id: String,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    peers: Vec<AddrInfo>,
}

/// Runs `cairn swarm peering`.
///
/// # Errors
/// When there is no daemon, or an address is wrong.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    match args.command {
        Command::Add { addresses } => {
            for (peer, addrs) in address::peers(&addresses)? {
                ctx.block_on(async { Ok(node.add_peering(peer, addrs).await?) })?;
                let event = Changed { id: peer.to_string(), status: "success" };
                ctx.out.emit(&event, |event| format!("add {} {}\n", event.id, event.status))?;
            }
            Ok(())
        }
        Command::Rm { peers } => {
            let peers = peers.iter().map(|text| address::peer(text)).collect::<Result<Vec<_>, _>>()?;
            for peer in peers {
                ctx.block_on(async { Ok(node.remove_peering(peer).await) })?;
                let event = Changed { id: peer.to_string(), status: "success" };
                ctx.out.emit(&event, |event| format!("remove {} {}\n", event.id, event.status))?;
            }
            Ok(())
        }
        Command::Ls => {
            let peers = ctx.block_on(async { Ok(node.peering().await) })?;
            let peers = peers.iter().map(|(peer, addrs)| AddrInfo::new(peer, addrs)).collect();
            ctx.out.emit_once(&List { peers }, text)
        }
    }
}

fn text(list: &List) -> String {
    let mut text = String::new();
    for peer in &list.peers {
        let _ = writeln!(text, "{}", peer.id);
        for addr in &peer.addrs {
            let _ = writeln!(text, "\t{addr}");
        }
    }
    text
}
