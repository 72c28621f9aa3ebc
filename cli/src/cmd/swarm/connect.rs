//! `cairn swarm connect` and `cairn swarm disconnect`.

use super::Strings;
use crate::{address, cmd::source, ctx::Ctx};
use cairn_net::node::Node;
use libp2p::{Multiaddr, PeerId};

/// Options of `cairn swarm connect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  cairn swarm connect /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou"
)]
pub struct Connect {
    /// Addresses that end with /p2p/PEER [default: one per line of stdin]
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<String>,
}

/// Options of `cairn swarm disconnect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A node that wants to talk with the peer later connects again.

Example:
  cairn swarm disconnect /p2p/12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou")]
pub struct Disconnect {
    /// Addresses that end with /p2p/PEER; without an address before it, all connections with that peer [default: one
    /// per line of stdin]
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<String>,
}

/// Runs `cairn swarm connect`.
///
/// # Errors
/// When an address is wrong, or a peer can't be reached.
pub fn connect(ctx: &Ctx, args: Connect) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peers = address::peers(&source::arguments(ctx, args.addresses)?)?;
    let done = ctx.block_on(async {
        let mut done = Vec::with_capacity(peers.len());
        for (peer, addrs) in peers {
            let connected = node.connect(peer, addrs, None).await;
            connected.map_err(|error| anyhow::anyhow!("connect {peer} failure: {error}"))?;
            done.push(format!("connect {peer} success"));
        }
        Ok(done)
    })?;
    Strings::print(ctx, done)
}

/// Runs `cairn swarm disconnect`.
///
/// # Errors
/// When an address is wrong.
pub fn disconnect(ctx: &Ctx, args: Disconnect) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peers = address::peers(&source::arguments(ctx, args.addresses)?)?;
    let done = ctx.block_on(async {
        let mut done = Vec::with_capacity(peers.len());
        for (peer, addrs) in peers {
            // One line for each address that was given, as in Kubo.
            let places: Vec<_> = if addrs.is_empty() { vec![None] } else { addrs.into_iter().map(Some).collect() };
            for place in places {
                done.push(match close(&node, peer, place.as_ref()).await {
                    Ok(()) => format!("disconnect {peer} success"),
                    Err(error) => format!("disconnect {peer} failure: {error}"),
                });
            }
        }
        Ok(done)
    })?;
    Strings::print(ctx, done)
}

/// Closes the connections with a peer, if one of them is with that address.
async fn close(node: &Node, peer: PeerId, place: Option<&Multiaddr>) -> anyhow::Result<()> {
    let peers = node.peers().await;
    let Some(info) = peers.iter().find(|p| p.peer == peer) else { anyhow::bail!("not connected") };
    if let Some(place) = place {
        anyhow::ensure!(info.connections.iter().any(|c| c.addr == *place), "conn not found");
    }
    Ok(node.disconnect(peer).await?)
}
