//! `cairn swarm resources`.

use crate::{ctx::Ctx, table::Table};
use cairn_net::node::{Config, Direction, Limits, PeerInfo};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Options of `cairn swarm resources`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  cairn swarm resources")]
pub struct Args {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resources {
    system: Map<String, Value>,
    transient: Map<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    peers: BTreeMap<String, Map<String, Value>>,
}

/// One limit and how much of it is used. Without a limit only the use is told.
struct Resource {
    scope: String,
    name: &'static str,
    limit: Option<u64>,
    used: u64,
}

/// Runs `cairn swarm resources`.
///
/// # Errors
/// When there is no daemon, or the configuration is wrong.
pub fn run(ctx: &Ctx, _: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let limits = Config::from_repo(&*ctx.config()?, ctx.location()?.dir())?.limits;
    let peers = ctx.block_on(async { Ok(node.peers().await) })?;
    let all = resources(&limits, &peers);
    let mut event = Resources { system: Map::new(), transient: Map::new(), peers: BTreeMap::new() };
    for resource in &all {
        let scope = match resource.scope.as_str() {
            SYSTEM => &mut event.system,
            TRANSIENT => &mut event.transient,
            peer => event.peers.entry(peer.trim_start_matches(PEER).to_owned()).or_default(),
        };
        let limit = resource.limit.map_or_else(|| Value::from("unlimited"), Value::from);
        scope.insert(resource.name.to_owned(), limit);
        scope.insert(format!("{}Usage", resource.name), Value::from(resource.used));
    }
    ctx.out.emit_once(&event, |_| text(&all))
}

/// Kubo's names of scopes.
const SYSTEM: &str = "system";
const TRANSIENT: &str = "transient";
const PEER: &str = "peer:";

fn resources(limits: &Limits, peers: &[PeerInfo]) -> Vec<Resource> {
    let connections: Vec<_> = peers.iter().flat_map(|peer| &peer.connections).collect();
    let of = |direction| connections.iter().filter(|c| c.direction == direction).count() as u64;
    let streams = |peer: &PeerInfo| peer.streams.iter().map(|(_, open)| *open as u64).sum::<u64>();
    let row = |scope: &str, name, limit, used| Resource { scope: scope.to_owned(), name, limit, used };
    let bound = |limit: u32| Some(u64::from(limit)).filter(|_| limit != u32::MAX);
    let mut all = vec![
        row(SYSTEM, "Conns", bound(limits.total), connections.len() as u64),
        row(SYSTEM, "ConnsInbound", bound(limits.inbound), of(Direction::Inbound)),
        row(SYSTEM, "ConnsOutbound", None, of(Direction::Outbound)),
        row(SYSTEM, "Streams", None, peers.iter().map(streams).sum()),
    ];
    all.extend(peers.iter().flat_map(|peer| {
        let scope = format!("{PEER}{}", peer.peer);
        let conns = row(&scope, "Conns", bound(limits.per_peer), peer.connections.len() as u64);
        [conns, row(&scope, "Streams", None, streams(peer))]
    }));
    all
}

fn text(all: &[Resource]) -> String {
    let mut table = Table::new(20, 2);
    table.row(["Scope", "Limit Name", "Limit Value", "Limit Usage Amount", "Limit Usage Percent"]);
    for resource in all {
        let Some(limit) = resource.limit else { continue };
        let percent = match resource.used {
            0 => "0%".to_owned(),
            used => format!("{:.1}%", used as f64 / limit as f64 * 100.0),
        };
        let cells =
            [resource.scope.clone(), resource.name.to_owned(), limit.to_string(), resource.used.to_string(), percent];
        table.row(cells);
    }
    table.text()
}
