//! The protocols of a node, put together.

use super::{
    autonat,
    config::{Config, RelayService},
    connman, identify, limits, peerstore, pinger,
    pubsub::{self, PubSub},
    punch, record_fetch,
};
use crate::{bitswap, dht};
use libp2p::{
    autonat::v2::client as autonat_client,
    dcutr,
    identity::Keypair,
    mdns, memory_connection_limits, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
    upnp,
};
use std::{num::NonZeroU32, sync::Arc};

/// Part of the machine's memory that the process may take before no connection comes in: Kubo's.
const MEMORY_PART: f64 = 0.5;

/// All protocols. Each field sees each event in this order: what refuses connections stands first, so that no other
/// counts a connection that is never made.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    pub gate: limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    connections: connman::Behaviour,
    pub peers: peerstore::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pinger: pinger::Behaviour,
    autonat_client: autonat_client::Behaviour,
    autonat_server: Toggle<autonat::Behaviour>,
    upnp: Toggle<upnp::tokio::Behaviour>,
    relay_client: Toggle<relay::client::Behaviour>,
    pub relay_service: Toggle<relay::Behaviour>,
    dcutr: Toggle<dcutr::Behaviour>,
    punch: Toggle<punch::Behaviour>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub dht: dht::Behaviour,
    bitswap: bitswap::Behaviour,
    pubsub: Toggle<pubsub::Behaviour>,
    record_fetch: Toggle<record_fetch::Behaviour>,
}

/// What the behaviours are made of besides the configuration.
pub(super) struct Parts {
    pub filters: limits::Filters,
    pub protection: connman::Protection,
    pub book: Arc<parking_lot::Mutex<peerstore::Book>>,
    pub relay_client: Option<relay::client::Behaviour>,
    pub dht: dht::Behaviour,
    pub bitswap: bitswap::Behaviour,
}

/// What others talk with to the behaviours.
pub(super) struct Handles {
    pub pinger: pinger::Pinger,
    pub pubsub: PubSub,
    /// If names are followed on PubSub.
    pub fetcher: Option<record_fetch::Fetcher>,
}

impl Behaviour {
    /// Puts them together. Inside of a tokio runtime.
    ///
    /// # Errors
    /// When a protocol refuses its settings.
    pub fn new(config: &Config, keys: &Keypair, parts: Parts) -> Result<(Self, Handles), String> {
        let local = keys.public().to_peer_id();
        let nat = &config.nat;
        let memory = match config.limits.memory {
            Some(bytes) => memory_connection_limits::Behaviour::with_max_bytes(bytes),
            None => memory_connection_limits::Behaviour::with_max_percentage(MEMORY_PART),
        };
        let (pubsub, pubsub_handle) = match &config.pubsub {
            Some(settings) => pubsub::new(settings, keys).map(|(behaviour, handle)| (Some(behaviour), handle))?,
            None => (None, PubSub::disabled()),
        };
        let (pinger, pinger_handle) = pinger::new();
        let (record_fetch, fetcher) = (config.ipns_pubsub && config.pubsub.is_some()).then(record_fetch::new).unzip();
        let punches = nat.hole_punching && parts.relay_client.is_some();
        let behaviour = Self {
            gate: limits::Behaviour::new(config.limits.clone(), parts.filters),
            memory,
            connections: connman::Behaviour::new(config.connections.clone(), parts.protection),
            peers: peerstore::Behaviour::new(parts.book),
            identify: identify::Behaviour::new(config, keys),
            ping: ping::Behaviour::default(),
            pinger,
            autonat_client: autonat_client::Behaviour::default(),
            autonat_server: nat.autonat_server.then(autonat::Behaviour::new).into(),
            upnp: nat.port_map.then(upnp::tokio::Behaviour::default).into(),
            dcutr: punches.then(|| dcutr::Behaviour::new(local)).into(),
            punch: punches.then(punch::Behaviour::new).into(),
            relay_client: parts.relay_client.into(),
            relay_service: nat.relay_service.as_ref().map(|s| relay::Behaviour::new(local, relay_config(s))).into(),
            mdns: mdns(config, local).into(),
            dht: parts.dht,
            bitswap: parts.bitswap,
            pubsub: pubsub.into(),
            record_fetch: record_fetch.into(),
        };
        Ok((behaviour, Handles { pinger: pinger_handle, pubsub: pubsub_handle, fetcher }))
    }
}

fn mdns(config: &Config, local: libp2p::PeerId) -> Option<mdns::tokio::Behaviour> {
    if !config.mdns {
        return None;
    }
    match mdns::tokio::Behaviour::new(mdns::Config::default(), local) {
        Ok(behaviour) => Some(behaviour),
        // A machine without multicast still has a network.
        Err(error) => {
            tracing::warn!(%error, "peers on the LAN are not looked for: multicast DNS can't be used");
            None
        }
    }
}

fn relay_config(service: &RelayService) -> relay::Config {
    let config = relay::Config {
        max_reservations: service.reservations,
        max_reservations_per_peer: 1,
        reservation_duration: service.ttl,
        // Kubo limits what one peer has open, and the whole only by its places.
        max_circuits: service.circuits_per_peer.saturating_mul(service.reservations),
        max_circuits_per_peer: service.circuits_per_peer,
        max_circuit_duration: service.duration,
        max_circuit_bytes: service.bytes,
        ..relay::Config::default()
    };
    // A place is renewed once before it ends, and a renewal is a request as any other.
    match NonZeroU32::new(service.reservations_per_ip.saturating_mul(2)) {
        Some(limit) => config.reservation_rate_per_ip(limit, service.ttl),
        None => config,
    }
}
