//! `cairn id`: who this node is.

use crate::{ctx::Ctx, output::parse_base};
use anyhow::bail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cairn_store::{Cid, Multihash, cid::codec, repo::Identity};
use serde::Serialize;

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

/// Runs `cairn id`.
///
/// # Errors
/// When it is another node, or the key can't be read.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let config = ctx.config()?;
    let identity = Identity::of(&config)?;
    if args.peer.as_deref().is_some_and(|peer| !identity.is(peer)) {
        bail!("'cairn id' cannot query information on remote peers without a running daemon that is online");
    }
    let node = Node {
        id: peer_id(&identity, &args.peerid_base)?,
        public_key: STANDARD.encode(identity.public_key()),
        addresses: None,
        agent: agent_version(),
        protocols: None,
    };
    ctx.out.emit_once(&node, |node| text(node, args.format.as_deref()))
}

/// What this node calls itself: `cairn/0.1.0/COMMIT`.
pub fn agent_version() -> String {
    format!("cairn/{}/{}", env!("CARGO_PKG_VERSION"), env!("CAIRN_COMMIT"))
}

fn peer_id(identity: &Identity, base: &str) -> anyhow::Result<String> {
    if base == BARE {
        return Ok(identity.peer_id());
    }
    let hash = Multihash::from_bytes(&identity.peer_hash())?;
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
