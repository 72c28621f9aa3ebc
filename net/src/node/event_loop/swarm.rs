//! What the swarm tells the event loop.

use super::{EventLoop, command::dial_error};
use crate::dht::Mode;
use crate::node::{
    Direction, Reachability,
    addr::{Scope, is_relayed, scope},
    behaviour::BehaviourEvent,
    peerstore::unix_now,
    relays,
};
use libp2p::{
    Multiaddr, PeerId,
    autonat::v2 as autonat,
    core::ConnectedPoint,
    identify, mdns,
    metrics::Recorder as _,
    relay,
    swarm::{ConnectionId, SwarmEvent},
};
use std::time::Instant;

/// Peers found on the LAN that are dialed and kept; further ones are only remembered.
const MAX_LAN: usize = 128;
/// Tag under which those are protected.
const LAN: &str = "lan";

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
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
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
                self.confirmed.remove(&address);
                self.reckon_reachability(false);
            }
            _ => {}
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
            BehaviourEvent::AutonatClient(autonat::client::Event { result: Err(_), .. }) => {
                self.reckon_reachability(true);
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
            let book = self.setup.swarm.behaviour_mut().peers.book();
            book.identified(peer, &info.listen_addrs, &connection.addr, unix_now());
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
            self.confirmed.insert(addr);
            self.reckon_reachability(false);
        }
    }

    /// Says whether the node can be reached, when that changed. `failed`: somebody tried and could not.
    fn reckon_reachability(&mut self, failed: bool) {
        let public = self.confirmed.iter().any(|addr| scope(addr) == Scope::Public);
        let changed = self.setup.reachability.send_if_modified(|now| {
            let next = match () {
                () if public => Reachability::Public,
                () if failed || *now == Reachability::Public => Reachability::Private,
                () => *now,
            };
            std::mem::replace(now, next) != next
        });
        if changed && self.serves_by_reachability {
            let mode = if public { Mode::Server } else { Mode::Client };
            self.setup.swarm.behaviour_mut().dht.set_mode(mode);
        }
    }
}
