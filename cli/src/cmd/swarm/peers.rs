//! `cairn swarm peers`.

use crate::{address, ctx::Ctx, units};
use cairn_net::node::{ConnectionInfo, Direction, PeerInfo};
use libp2p::multiaddr::Protocol;
use serde::Serialize;
use std::fmt::Write as _;

/// Options of `cairn swarm peers`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  cairn swarm peers\n  cairn swarm peers --latency --direction\n  cairn swarm peers -v --enc=json"
)]
pub struct Args {
    /// Print all of the following
    #[arg(short, long)]
    verbose: bool,
    /// With the protocols of the open streams
    #[arg(long)]
    streams: bool,
    /// With the round-trip time
    #[arg(long)]
    latency: bool,
    /// With who opened the connection
    #[arg(long)]
    direction: bool,
    /// With what the peer says of itself; in JSON only
    #[arg(long)]
    identify: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peers {
    peers: Vec<Peer>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Peer {
    addr: String,
    peer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    latency: String,
    /// As go-libp2p counts: 1 inbound, 2 outbound; 0 is not shown.
    #[serde(skip_serializing_if = "is_zero")]
    direction: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    streams: Vec<Stream>,
    identify: Identify,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    protocol: String,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Identify {
    #[serde(rename = "ID")]
    id: String,
    public_key: String,
    addresses: Option<Vec<String>>,
    agent_version: String,
    protocols: Option<Vec<String>>,
}

/// Runs `cairn swarm peers`.
///
/// # Errors
/// When there is no daemon.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let node = ctx.node()?;
    let peers = ctx.block_on(async { Ok(node.peers().await) })?;
    // One line for each connection, as in Kubo.
    let mut peers: Vec<_> =
        peers.iter().flat_map(|info| info.connections.iter().map(|connection| peer(info, connection, args))).collect();
    peers.sort_by(|a, b| a.addr.cmp(&b.addr));
    ctx.out.emit_once(&Peers { peers }, |all| all.peers.iter().map(text).collect())
}

fn peer(info: &PeerInfo, connection: &ConnectionInfo, args: &Args) -> Peer {
    let wanted = |flag: bool| args.verbose || flag;
    let mut streams: Vec<String> = Vec::new();
    if wanted(args.streams) {
        for (name, open) in &info.streams {
            streams.extend(std::iter::repeat_n(address::claim(name), *open));
        }
    }
    streams.sort();
    Peer {
        addr: address::text(&connection.addr),
        peer: info.peer.to_string(),
        latency: match info.latency {
            _ if !wanted(args.latency) => String::new(),
            Some(latency) if !latency.is_zero() => units::go_duration(latency),
            _ => "n/a".to_owned(),
        },
        direction: match connection.direction {
            _ if !wanted(args.direction) => 0,
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        },
        streams: streams.into_iter().map(|protocol| Stream { protocol }).collect(),
        identify: if wanted(args.identify) { identify(info) } else { Identify::default() },
    }
}

fn identify(info: &PeerInfo) -> Identify {
    let mut addresses: Vec<_> =
        info.listen_addrs.iter().map(|addr| address::text(&addr.clone().with(Protocol::P2p(info.peer)))).collect();
    addresses.sort();
    let mut protocols: Vec<_> = info.protocols.iter().map(|name| address::claim(name)).collect();
    protocols.sort();
    Identify {
        id: info.peer.to_string(),
        public_key: info
            .public_key
            .as_ref()
            .map_or_else(String::new, |key| multibase::Base::Base64Pad.encode(key.encode_protobuf())),
        addresses: (!addresses.is_empty()).then_some(addresses),
        agent_version: address::claim(&info.agent),
        protocols: (!protocols.is_empty()).then_some(protocols),
    }
}

fn text(peer: &Peer) -> String {
    let mut text = format!("{}/p2p/{}", peer.addr, peer.peer);
    if !peer.latency.is_empty() {
        let _ = write!(text, " {}", peer.latency);
    }
    match peer.direction {
        1 => text.push_str(" inbound"),
        2 => text.push_str(" outbound"),
        _ => {}
    }
    text.push('\n');
    for stream in &peer.streams {
        let name = if stream.protocol.is_empty() { "<no protocol name>" } else { &stream.protocol };
        let _ = writeln!(text, "  {name}");
    }
    text
}
