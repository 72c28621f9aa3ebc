//! What a node does with its swarm: routing, blocks, names.

use super::peerstore::Book;
use super::{
    config::{Config, RoutingKind},
    connman::Protection,
    names_pubsub::Topics,
    pubsub::PubSub,
    record_fetch::Fetcher,
};
use crate::{
    bitswap::{self, Bitswap},
    delegated,
    dht::{self, Dht, Mode, sweep::Sweep},
    dnslink::{Resolver, TextSource},
    exchange::Exchange,
    ipns::{Names, pubsub::FETCH_PROTOCOL},
    routing::{Ignoring, Parallel, Routing},
};
use cairn_store::{
    blockstore::{Blockstore, KvBlocks},
    kv::Kv,
};
use libp2p::identity::Keypair;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// For one request to an HTTP router: as in Kubo.
const ROUTER_PATIENCE: Duration = Duration::from_secs(15);
/// Protocols of which they are asked for providers: as in Kubo. Others have nothing that this node could fetch.
const ROUTER_PROTOCOLS: &str = "unknown,transport-bitswap";
/// The same when gateways are asked too.
const ROUTER_PROTOCOLS_WITH_HTTP: &str = "unknown,transport-bitswap,transport-ipfs-gateway-http";

/// What a peer is worth that has what somebody here waits for, next to other uses of connections.
const HOLDER: i32 = 100;

/// In which mode a node begins in the public DHT, and in that of the LAN.
pub(super) fn modes(kind: RoutingKind) -> (Option<Mode>, Option<Mode>) {
    match kind {
        RoutingKind::Delegated | RoutingKind::None => (None, None),
        RoutingKind::AutoClient | RoutingKind::DhtClient => (Some(Mode::Client), Some(Mode::Client)),
        // It serves the public one when it turns out that others can reach it.
        RoutingKind::Auto | RoutingKind::Dht => (Some(Mode::Client), Some(Mode::Server)),
        RoutingKind::DhtServer => (Some(Mode::Server), Some(Mode::Server)),
    }
}

/// Protocols that a node with this configuration answers, but for those of the public DHT and of relaying, which depend
/// on who reaches it.
pub(super) fn protocols(config: &Config) -> Vec<&'static str> {
    let mut all = vec![
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
        "/ipfs/bitswap",
        "/ipfs/bitswap/1.0.0",
        "/ipfs/bitswap/1.1.0",
        "/ipfs/bitswap/1.2.0",
        "/libp2p/autonat/2/dial-back",
    ];
    if config.nat.autonat_server {
        all.push("/libp2p/autonat/2/dial-request");
    }
    if config.nat.hole_punching {
        // On relayed connections only.
        all.push("/libp2p/dcutr");
    }
    if config.nat.relay_client.is_some() {
        all.push("/libp2p/circuit/relay/0.2.0/stop");
    }
    if modes(config.routing.kind).1 == Some(Mode::Server) {
        all.push("/ipfs/lan/kad/1.0.0");
    }
    if config.pubsub.is_some() {
        all.extend(["/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0", "/meshsub/1.3.0"]);
        all.extend(config.ipns_pubsub.then_some(FETCH_PROTOCOL));
    }
    all
}

/// The DHT's two halves.
pub(super) fn dht(config: &Config, keys: &Keypair, kv: Arc<dyn Kv>, book: &Arc<Mutex<Book>>) -> (dht::Behaviour, Dht) {
    let book = Arc::clone(book);
    let (wan, lan) = modes(config.routing.kind);
    let announce = config.announce.clone();
    let settings = dht::Config {
        wan,
        lan,
        loopback_on_lan: config.routing.loopback_on_lan,
        announces: Arc::new(move |addr| announce.allows(addr)),
        addresses: Arc::new(move |peer| book.lock().addresses(peer)),
        ..Default::default()
    };
    dht::new(settings, keys, kv)
}

/// Bitswap's two halves.
pub(super) fn bitswap(
    config: &Config,
    keys: &Keypair,
    blocks: &Arc<KvBlocks>,
    kv: Arc<dyn Kv>,
    protection: Protection,
) -> (bitswap::Behaviour, Bitswap) {
    let store: Arc<dyn Blockstore> = Arc::clone(blocks) as Arc<dyn Blockstore>;
    let keep: bitswap::Keep = Arc::new(move |peer, of_use| {
        protection.set_value(peer, "bitswap", if of_use { HOLDER } else { 0 });
    });
    bitswap::new(config.bitswap.clone(), keys.public().to_peer_id(), store, Some(kv), Some(keep))
}

/// What works over the swarm.
pub(super) struct Services {
    pub dht: Dht,
    pub exchange: Exchange,
    pub routing: Arc<dyn Routing>,
    pub names: Names,
    pub sweep: Mutex<Option<Sweep>>,
}

impl Services {
    /// Joins the handles.
    ///
    /// # Errors
    /// A sentence, when an HTTP router can't be asked.
    pub fn new(
        config: &Config,
        (dht, bitswap): (Dht, Bitswap),
        (pubsub, fetcher): (&PubSub, Option<Fetcher>),
        blocks: &Arc<KvBlocks>,
        kv: Arc<dyn Kv>,
    ) -> Result<Self, String> {
        let routing = routing(config, &dht)?;
        let store: Arc<dyn Blockstore> = Arc::clone(blocks) as Arc<dyn Blockstore>;
        let ignored = &config.routing.ignore_providers;
        let sources = routing.clone().map(|all| match ignored.is_empty() {
            true => all,
            false => Arc::new(Ignoring::new(all, ignored.iter().copied())) as Arc<dyn Routing>,
        });
        let exchange = Exchange::new(store, bitswap, sources);
        let dns: Option<Arc<dyn TextSource>> = Some(Arc::new(Resolver::new(config.dns.clone())));
        let follower = fetcher.map(|fetcher| Topics::follower(pubsub, fetcher));
        let names = Names::with_pubsub(&config.names, kv, routing.clone(), dns, follower);
        // Of nobody the answer is that there are no peers to ask.
        let routing = routing.unwrap_or_else(|| Arc::new(Parallel::new(Vec::new())));
        Ok(Self { dht, exchange, routing, names, sweep: Mutex::new(None) })
    }
}

/// Everybody who can be asked; `None` when there is nobody.
fn routing(config: &Config, dht: &Dht) -> Result<Option<Arc<dyn Routing>>, String> {
    let mut routers: Vec<Arc<dyn Routing>> = Vec::new();
    if config.routing.kind.has_dht() {
        routers.push(Arc::new(dht.clone()));
    }
    let mut endpoints = config.routing.delegated.clone();
    if config.routing.delegated_auto {
        endpoints.push(delegated::PUBLIC.to_owned());
    }
    if config.routing.kind.has_delegated() && !endpoints.is_empty() {
        let protocols = if config.bitswap.gateways.is_some() { ROUTER_PROTOCOLS_WITH_HTTP } else { ROUTER_PROTOCOLS };
        let client = delegated::ClientConfig {
            endpoints,
            filter: delegated::Filter::parse("", protocols),
            timeout: ROUTER_PATIENCE,
            user_agent: config.agent.clone(),
            validator: Arc::new(dht::Names),
        };
        routers.push(Arc::new(delegated::Client::new(client).map_err(|e| e.to_string())?));
    }
    Ok(match routers.len() {
        0 => None,
        1 => routers.pop(),
        _ => Some(Arc::new(Parallel::new(routers))),
    })
}
