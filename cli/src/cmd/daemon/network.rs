//! The daemon's node: started, told what to announce, and announced itself.

use super::{Args, provide, say};
use crate::{ctx::Ctx, daemon::Daemon};
use anyhow::Context as _;
use cairn_net::{
    ipns::{NamesConfig, republish_forever},
    keystore::{Keystore, PrivateKey},
    node::{Config, Node},
};
use cairn_store::{config::Config as Settings, repo::Identity};
use libp2p::identity::Keypair;
use serde_json::Value;
use std::sync::Arc;

/// Starts the node of a repository.
///
/// # Errors
/// When its configuration makes no node, or it can listen nowhere.
pub async fn start(ctx: &Ctx, args: &Args, daemon: &Arc<Daemon>) -> anyhow::Result<Node> {
    let repo = &daemon.repo;
    let settings = settings(repo.config().as_ref().clone(), args)?;
    let key = Identity::of(&settings)?.to_protobuf()?;
    let keys = Keypair::from_protobuf_encoding(&key).context("Identity.PrivKey")?;
    let mut config = Config::from_repo(&settings, repo.path())?;
    config.raise_open_files = args.manage_fdlimit != Some(false);
    if config.swarm_key.is_some() {
        say(ctx, "Swarm is limited to private network of peers with the swarm key\n")?;
    }
    let node = Node::start(config, keys, Arc::clone(repo.blocks()), Arc::clone(repo.kv())).await?;
    let mut listeners: Vec<String> = node.listeners().await.iter().map(ToString::to_string).collect();
    listeners.sort();
    for address in listeners {
        say(ctx, &format!("Swarm listening on {address}\n"))?;
    }
    daemon.online(node.clone());
    provide::start(daemon, &node, &settings)?;

    let own = PrivateKey::from_protobuf(&key)?;
    let keystore = Keystore::of_repo(repo.path());
    let keys = move || {
        let others = keystore.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "names of keys are not published again");
            Vec::new()
        });
        std::iter::once(own.clone()).chain(others.into_iter().map(|(_, key)| key)).collect()
    };
    tokio::spawn(republish_forever(node.names().clone(), Arc::new(keys), NamesConfig::load(&settings)?));
    if let Some(follower) = node.names().pubsub() {
        tokio::spawn(Arc::clone(follower).rebroadcast_forever());
    }
    Ok(node)
}

/// The configuration with what options say in place of it.
fn settings(mut config: Settings, args: &Args) -> anyhow::Result<Settings> {
    if let Some(kind) = &args.routing {
        config.set("Routing.Type", Value::from(kind.as_str())).context("--routing")?;
    }
    if let Some(on) = args.enable_pubsub_experiment {
        config.set("Pubsub.Enabled", Value::from(on))?;
    }
    if let Some(on) = args.enable_namesys_pubsub {
        config.set("Ipns.UsePubsub", Value::from(on))?;
    }
    if let Some(suffix) = &args.agent_version_suffix
        && config.get_str("Version.AgentSuffix")?.unwrap_or_default().is_empty()
    {
        config.set("Version.AgentSuffix", Value::from(suffix.as_str()))?;
    }
    Ok(config)
}
