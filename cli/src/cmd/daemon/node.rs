//! Starting the node of a daemon.

use crate::daemon::Daemon;
use anyhow::Context as _;
use cairn_net::node::{Config, Node};
use cairn_store::repo::Identity;
use libp2p::identity::Keypair;
use std::{fmt::Write as _, sync::Arc};

/// Starts the node, and gives what to say of it.
///
/// # Errors
/// When the configuration makes no node, or it can listen nowhere.
pub async fn start(daemon: &Daemon) -> anyhow::Result<String> {
    let config = daemon.repo.config();
    let key = Identity::of(&config)?.private_key()?;
    let (_, key) = multibase::decode(format!("{}{key}", multibase::Base::Base64Pad.code()))
        .context("Identity.PrivKey is not base64")?;
    let key = Keypair::from_protobuf_encoding(&key).context("Identity.PrivKey holds no key")?;
    let settings = Config::from_repo(&config, daemon.repo.path())?;
    let node = Node::start(settings, key, Arc::clone(daemon.repo.blocks()), Arc::clone(daemon.repo.kv())).await?;
    let mut text = String::new();
    for addr in node.listeners().await {
        let _ = writeln!(text, "Swarm listening on {addr}");
    }
    let _ = daemon.node.set(node);
    Ok(text)
}
