//! `cairn stats dht`.

use crate::{ctx::Ctx, exit::Usage, table::Table};
use cairn_net::{dht, node::PeerInfo};
use libp2p::PeerId;
use serde::Serialize;
use std::collections::HashMap;

/// Options of `cairn stats dht`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn stats dht\n  cairn stats dht lan --enc=json")]
pub struct Args {
    /// wan or lan; wanserver and lanserver are the same here [default: both]
    #[arg(value_name = "DHT")]
    names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    name: String,
    buckets: Vec<Bucket>,
}

/// The times of Kubo's shape are not kept here, and empty.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    last_refresh: String,
    peers: Vec<Peer>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peer {
    #[serde(rename = "ID")]
    id: String,
    connected: bool,
    agent_version: String,
    last_useful_at: String,
    last_queried_at: String,
}

/// Runs `cairn stats dht`.
///
/// # Errors
/// When there is no daemon, or no such DHT.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let default = ["wan".to_owned(), "lan".to_owned()];
    let names = if args.names.is_empty() { &default[..] } else { &args.names };
    for name in names {
        if !["wan", "lan"].contains(&name.trim_end_matches("server")) {
            return Err(Usage(format!("unknown dht type: {name}")).into());
        }
    }
    let (all, peers) = ctx.block_on(async { Ok((node.dht().stats().await, node.peers().await)) })?;
    let connected: HashMap<PeerId, &PeerInfo> = peers.iter().map(|info| (info.peer, info)).collect();
    for name in names {
        let found = all.iter().find(|stats| stats.net.name() == name.trim_end_matches("server"));
        let buckets = found.map_or_else(Vec::new, |stats| buckets(stats, &connected));
        ctx.out.emit(&Event { name: name.clone(), buckets }, text)?;
    }
    Ok(())
}

/// All buckets up to the last that holds somebody, by the bits that its peers share with this node.
fn buckets(stats: &dht::Stats, connected: &HashMap<PeerId, &PeerInfo>) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    for bucket in &stats.buckets {
        // A name has 256 bits.
        let at = bucket.shared_bits.min(255);
        if buckets.len() <= at {
            buckets.resize_with(at + 1, Bucket::default);
        }
        buckets[at].peers.extend(bucket.peers.iter().map(|id| {
            let info = connected.get(id);
            Peer {
                id: id.to_string(),
                connected: info.is_some(),
                agent_version: info
                    .map(|info| crate::output::escape_control(&info.agent).into_owned())
                    .unwrap_or_default(),
                last_useful_at: String::new(),
                last_queried_at: String::new(),
            }
        }));
    }
    buckets
}

fn text(event: &Event) -> String {
    let mut table = Table::new(4, 2);
    let count: usize = event.buckets.iter().map(|bucket| bucket.peers.len()).sum();
    table.row([format!("DHT {} ({count} peers):", event.name), String::new(), String::new()]);
    for (number, bucket) in event.buckets.iter().enumerate() {
        table.row([format!("  Bucket {number:2} ({} peers):", bucket.peers.len()), String::new(), String::new()]);
        table.row(["    Peer", "Agent Version"]);
        for peer in &bucket.peers {
            let state = if peer.connected { "@" } else { " " };
            table.row([format!("  {state} {}", peer.id), peer.agent_version.clone()]);
        }
        table.row(["", "", ""]);
    }
    table.text()
}
