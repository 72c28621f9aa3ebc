//! `cairn id`: who this node is.

use crate::{ctx::Ctx, output::parse_base};
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_net::node::{Node as NetNode, PeerInfo, config::AGENT};
use cairn_store::{Cid, Multihash, cid::codec, config::Config, repo::Identity};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Kubo's word for the old form of a peer ID.
const BARE: &str = "b58mh";

/// Options of `cairn id`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cairn id
  cairn id -f '<id>\\n'
  cairn id --peerid-base=base36

In the format: <id>, <aver> (agent version), <pubkey>, <addrs>, <protocols>; \\n and \\t are a line end and a tab.")]
pub struct Args {
    /// Peer ID of the node [default: this one]
    #[arg(value_name = "PEER-ID")]
    peer: Option<String>,
    /// What to print
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Form of peer IDs: b58mh, or a multibase for CIDs
    #[arg(long, value_name = "BASE", default_value = BARE)]
    peerid_base: String,
}

/// A node, in Kubo's shape.
#[derive(Debug, Serialize)]
struct Node {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "PublicKey")]
    public_key: String,
    #[serde(rename = "Addresses")]
    addresses: Option<Vec<String>>,
    #[serde(rename = "AgentVersion")]
    agent: String,
    #[serde(rename = "Protocols")]
    protocols: Option<Vec<String>>,
}

/// How long a search for another node may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a peer has said who it is, and how long that may take once it is connected.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 100;

/// Runs `cairn id`.
///
/// # Errors
/// When another node can't be reached or does not say who it is, or the key can't be read.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let config = ctx.config()?;
    let identity = Identity::of(&config)?;
    let node = match args.peer.as_deref().filter(|peer| !identity.is(peer)) {
        Some(peer) => ctx.block_on(other(ctx, peer, args))?,
        None => {
            let running = ctx.node().ok();
            let (addresses, protocols) = match running.as_ref().filter(|_| !ctx.global.offline) {
                Some(node) => ctx.block_on(async { Ok(own(node).await) })?,
                None => (None, None),
            };
            Node {
                id: name(&identity.peer_hash(), &args.peerid_base)?,
                public_key: STANDARD.encode(identity.public_key()),
                addresses,
                agent: running.map_or_else(|| agent_version(&config), |node| Ok(node.agent().to_owned()))?,
                protocols,
            }
        }
    };
    ctx.out.emit_once(&node, |node| text(node, args.format.as_deref()))
}

/// What this node calls itself.
///
/// # Errors
/// When `Version.AgentSuffix` is no text.
pub fn agent_version(config: &Config) -> anyhow::Result<String> {
    let suffix = config.get_str("Version.AgentSuffix")?.unwrap_or_default();
    Ok(if suffix.is_empty() { AGENT.to_owned() } else { format!("{AGENT}/{suffix}") })
}

/// Addresses with the peer's name at their end, in order; none at all is `null`, as in Kubo.
fn named(addresses: &[Multiaddr], peer: PeerId) -> Option<Vec<String>> {
    let mut named: Vec<String> =
        addresses
            .iter()
            .map(|a| {
                if a.iter().any(|p| p == Protocol::P2p(peer)) { a.clone() } else { a.clone().with(Protocol::P2p(peer)) }
            })
            .map(|a| crate::address::text(&a))
            .collect();
    named.sort();
    Some(named).filter(|n| !n.is_empty())
}

async fn own(node: &NetNode) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let mut addresses = node.addresses().await;
    if addresses.is_empty() {
        addresses = node.listeners().await;
    }
    let mut protocols = node.protocols();
    protocols.sort();
    (named(&addresses, node.peer_id()), Some(protocols).filter(|p| !p.is_empty()))
}

/// Another node, connected if it is not.
async fn other(ctx: &Ctx, text: &str, args: &Args) -> anyhow::Result<Node> {
    let node = ctx.node().context("'cairn id' can't ask other peers without a daemon that is online")?;
    let peer = crate::address::peer(text)?;
    let known = |peers: Vec<PeerInfo>| peers.into_iter().find(|p| p.peer == peer);
    let mut found = known(node.peers().await);
    if found.is_none() {
        let deadline = Some(Instant::now() + PATIENCE);
        let addrs = node.routing().find_peer(peer, deadline).await.map(|p| p.addrs).unwrap_or_default();
        node.connect(peer, addrs, deadline).await?;
    }
    for _ in 0..LOOKS {
        if found.as_ref().is_some_and(|p| !p.agent.is_empty()) {
            break;
        }
        tokio::time::sleep(LOOK).await;
        found = known(node.peers().await);
    }
    let found = found.with_context(|| format!("{peer} went away before it said who it is"))?;
    let key = found.public_key.map(|key| STANDARD.encode(key.encode_protobuf())).unwrap_or_default();
    let mut protocols: Vec<String> = found.protocols.iter().map(|name| crate::address::claim(name)).collect();
    protocols.sort();
    Ok(Node {
        id: name(&peer.to_bytes(), &args.peerid_base)?,
        public_key: key,
        addresses: named(&found.listen_addrs, peer),
        agent: crate::address::claim(&found.agent),
        protocols: Some(protocols).filter(|p| !p.is_empty()),
    })
}

/// A peer's name in the wanted form.
fn name(peer: &[u8], base: &str) -> anyhow::Result<String> {
    let hash = Multihash::from_bytes(peer)?;
    if base == BARE {
        return Ok(PeerId::from_bytes(peer).context("not the name of a peer")?.to_string());
    }
    Ok(Cid::new_v1(codec::LIBP2P_KEY, hash).to_string_of_base(parse_base(base)?)?)
}

fn text(node: &Node, format: Option<&str>) -> String {
    let Some(format) = format else {
        let mut json = Vec::new();
        let pretty = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        // Strings and lists always have a form.
        let _ = node.serialize(&mut serde_json::Serializer::with_formatter(&mut json, pretty));
        return String::from_utf8_lossy(&json).into_owned() + "\n\n";
    };
    let lines = |list: &Option<Vec<String>>| list.as_ref().map(|l| l.join("\n")).unwrap_or_default();
    [
        ("<id>", node.id.clone()),
        ("<aver>", node.agent.clone()),
        ("<pubkey>", node.public_key.clone()),
        ("<addrs>", lines(&node.addresses)),
        ("<protocols>", lines(&node.protocols)),
        ("\\n", "\n".into()),
        ("\\t", "\t".into()),
    ]
    .iter()
    .fold(format.to_owned(), |text, (key, value)| text.replace(key, value))
}
