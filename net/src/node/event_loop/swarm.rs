//! What the swarm tells the event loop.

use super::{EventLoop, command::dial_error, relay_status};
use crate::dht::Mode;
use crate::node::{
    Direction, Reachability,
    addr::{Scope, ip_of, is_relayed, scope},
    behaviour::BehaviourEvent,
    peerstore::unix_now,
    relays,
};
use libp2p::{
    Multiaddr, PeerId,
    autonat::v2::client,
    core::ConnectedPoint,
    identify, mdns,
    memory_connection_limits::MemoryUsageLimitExceeded,
    metrics::Recorder as _,
    relay,
    swarm::{ConnectionDenied, ConnectionId, DialError, ListenError, SwarmEvent},
    upnp,
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// Peers found on the LAN that are dialed and kept; further ones are only remembered.
const MAX_LAN: usize = 128;
/// Tag under which those are protected.
const LAN: &str = "lan";
/// Shortest time between two warnings of the same kind.
const WARN_EVERY: Duration = Duration::from_secs(600);

impl EventLoop {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.setup.metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_opened(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                self.on_closed(peer_id, connection_id, num_established);
            }
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { cause }, .. } => self.on_denied(&cause),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let DialError::Denied { cause } = &error {
                    self.on_denied(cause);
                }
                if let Some(waiting) = self.waiting.remove(&connection_id) {
                    drop(waiting.reply.send(Err(dial_error(waiting.peer, &error))));
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ListenerClosed { listener_id, .. } => {
                if let Some(relay) = self.relays.as_mut().and_then(|all| all.closed(listener_id, Instant::now())) {
                    self.setup.protection.unprotect(relay, relays::TAG);
                }
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_confirmed(address),
            SwarmEvent::ExternalAddrExpired { address } => {
                self.reached.expired(&address);
                self.reckon_reachability(false);
            }
            _ => {}
        }
    }

    /// Says when memory is what keeps peers out: nobody would look for the reason there.
    fn on_denied(&mut self, cause: &ConnectionDenied) {
        let now = Instant::now();
        if let Some(full) = cause.downcast_ref::<MemoryUsageLimitExceeded>()
            && self.warned.is_none_or(|last| now.duration_since(last) >= WARN_EVERY)
        {
            self.warned = Some(now);
            let (used, limit) = (full.process_physical_memory_bytes(), full.max_allowed_bytes());
            tracing::warn!(used, limit, "no connections are made: the process has Swarm.ResourceMgr.MaxMemory or more");
        }
    }

    fn on_opened(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        self.peers.entry(peer).or_default().opened(id, endpoint, Instant::now());
        self.peering.connected(&peer);
        // Whoever waits for the peer is served, whichever dial it was that succeeded.
        for (_, waiting) in self.waiting.extract_if(|_, waiting| waiting.peer == peer) {
            drop(waiting.reply.send(Ok(())));
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId, left: u32) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.closed(id);
        }
        if left == 0 {
            self.peers.remove(&peer);
            self.peering.disconnected(&peer, Instant::now());
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => {
                self.setup.metrics.record(&event);
                if let identify::Event::Received { peer_id, connection_id, info } = event {
                    self.on_identified(peer_id, connection_id, info);
                }
            }
            BehaviourEvent::Ping(event) => {
                self.setup.metrics.record(&event);
                if let (Ok(took), Some(peer)) = (event.result, self.peers.get_mut(&event.peer)) {
                    peer.latency = Some(took);
                }
            }
            // That nobody reaches the node at an address of the LAN says nothing.
            BehaviourEvent::AutonatClient(client::Event { result: Err(_), tested_addr, .. }) => {
                self.reckon_reachability(scope(&tested_addr) == Scope::Public);
            }
            BehaviourEvent::Upnp(upnp::Event::NewExternalAddr { external_addr, .. }) => {
                self.reached.keep(&external_addr);
            }
            BehaviourEvent::RelayService(event) => self.setup.metrics.record(&event),
            BehaviourEvent::RelayClient(relay::client::Event::ReservationReqAccepted { relay_peer_id, .. }) => {
                tracing::info!(relay = %relay_peer_id, "this node can be reached through a relay");
            }
            BehaviourEvent::Dcutr(event) => {
                self.setup.metrics.record(&event);
                match event.result {
                    Ok(_) => tracing::debug!(peer = %event.remote_peer_id, "a relayed connection became a direct one"),
                    Err(error) => tracing::debug!(peer = %event.remote_peer_id, %error, "no hole was punched"),
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => self.on_lan(found),
            BehaviourEvent::Mdns(mdns::Event::Expired(lost)) => {
                for (peer, _) in lost {
                    if self.lan.remove(&peer) {
                        self.setup.protection.unprotect(peer, LAN);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(connection) = known.addr(id).cloned() else { return };
        if !is_relayed(&connection.addr) {
            let mut book = self.setup.swarm.behaviour_mut().peers.book();
            let chosen = connection.direction == Direction::Outbound;
            book.identified(peer, &info.listen_addrs, &connection.addr, chosen, unix_now());
        }
        let relays_for_others = info.protocols.contains(&relay::HOP_PROTOCOL_NAME);
        if let Some(relays) = &mut self.relays
            && relays_for_others
            && connection.direction == Direction::Outbound
        {
            relays.found(peer, &connection.addr, Instant::now());
        }
        self.setup.swarm.behaviour_mut().dht.identified(peer, &info, &connection.addr);
        known.identity = Some(info);
        self.value_members();
    }

    fn on_lan(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, addr) in found {
            self.setup.swarm.behaviour_mut().peers.book().add(peer, &addr, false, unix_now());
            if self.lan.len() < MAX_LAN && self.lan.insert(peer) {
                self.setup.protection.protect(peer, LAN);
            }
            if self.lan.contains(&peer) {
                self.dial(peer, vec![addr]);
            }
        }
    }

    fn on_confirmed(&mut self, addr: Multiaddr) {
        if !is_relayed(&addr) {
            let fixed = self.announce.fixed().any(|fixed| *fixed == addr);
            if let Some(forgotten) = self.reached.confirmed(&addr, fixed, Instant::now()) {
                self.setup.swarm.remove_external_address(&forgotten);
            }
            self.reckon_reachability(false);
        }
    }

    /// Announces addresses where peers see this node, and others no more.
    pub(super) fn see_addresses(&mut self, now: Instant) {
        let said = self.peers.values().filter_map(|peer| peer.identity.as_ref());
        let seen = said.map(|info| &info.observed_addr).filter(|addr| !is_relayed(addr));
        let ips: HashSet<_> = seen.filter_map(ip_of).map(|ip| ip.to_canonical()).collect();
        for (addr, holds) in self.reached.observed(&ips, now) {
            tracing::info!(%addr, holds, "an address of this node");
            match holds {
                true => self.setup.swarm.add_external_address(addr),
                false => self.setup.swarm.remove_external_address(&addr),
            }
        }
        self.reckon_reachability(false);
    }

    /// Says whether the node can be reached, when that changed. `failed`: somebody tried and could not.
    fn reckon_reachability(&mut self, failed: bool) {
        let public = self.reached.is_public();
        let changed = self.setup.reachability.send_if_modified(|now| {
            let next = match () {
                () if public => Reachability::Public,
                () if failed || *now == Reachability::Public => Reachability::Private,
                () => *now,
            };
            std::mem::replace(now, next) != next
        });
        if !changed {
            return;
        }
        let announced = self.announce.fixed().next().is_some();
        let behaviour = self.setup.swarm.behaviour_mut();
        if self.serves_by_reachability {
            behaviour.dht.set_mode(if public { Mode::Server } else { Mode::Client });
        }
        if let Some(service) = behaviour.relay_service.as_mut() {
            service.set_status(Some(relay_status(public || announced)));
        }
    }
}
