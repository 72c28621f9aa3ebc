//! What a [`crate::node::Node`] asks of the event loop.

use super::{EventLoop, MAX_DIALED, MAX_WAITING, Waiting, favour};
use crate::node::{NodeError, PeerInfo, addr::split_peer, peering};
use libp2p::{
    Multiaddr, PeerId,
    swarm::{
        DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{collections::BTreeMap, time::Instant};
use tokio::sync::oneshot;

type Reply<T> = oneshot::Sender<T>;

/// A command.
pub enum Command {
    Listeners(Reply<Vec<Multiaddr>>),
    Addresses(Reply<Vec<Multiaddr>>),
    Connect(PeerId, Vec<Multiaddr>, Reply<Result<(), NodeError>>),
    Disconnect(PeerId, Reply<Result<(), NodeError>>),
    Peers(Reply<Vec<PeerInfo>>),
    Known(Reply<BTreeMap<PeerId, Vec<Multiaddr>>>),
    Peering(Reply<Vec<(PeerId, Vec<Multiaddr>)>>),
    AddPeering(PeerId, Vec<Multiaddr>, Reply<Result<(), NodeError>>),
    RemovePeering(PeerId, Reply<bool>),
    /// Handled by the loop itself.
    Shutdown,
}

/// A dial that failed, in one line.
pub fn dial_error(peer: PeerId, error: &DialError) -> NodeError {
    let mut why = match error {
        DialError::NoAddresses => "no addresses are known".to_owned(),
        DialError::Denied { cause } => {
            let mut source: &dyn std::error::Error = cause;
            while let Some(next) = source.source() {
                source = next;
            }
            source.to_string()
        }
        other => other.to_string(),
    };
    if why.is_empty() {
        why = format!("{error:?}");
    }
    NodeError::Dial { peer, why }
}

impl EventLoop {
    pub(super) fn obey(&mut self, command: Command) {
        // Whoever asked may be gone.
        match command {
            Command::Listeners(reply) => drop(reply.send(self.setup.swarm.listeners().cloned().collect())),
            Command::Addresses(reply) => drop(reply.send(self.addresses())),
            Command::Connect(peer, addrs, reply) => self.connect(peer, addrs, reply),
            Command::Disconnect(peer, reply) => {
                let done = self.setup.swarm.disconnect_peer_id(peer);
                drop(reply.send(done.map_err(|()| NodeError::NotConnected(peer))));
            }
            Command::Peers(reply) => drop(reply.send(self.peers())),
            Command::Known(reply) => {
                drop(reply.send(self.setup.swarm.behaviour_mut().peers.book().all().collect()));
            }
            Command::Peering(reply) => drop(reply.send(self.peering.list())),
            Command::AddPeering(peer, addrs, reply) => drop(reply.send(self.add_peering(peer, addrs))),
            Command::RemovePeering(peer, reply) => {
                self.setup.protection.unprotect(peer, peering::TAG);
                self.setup.swarm.behaviour_mut().gate.distrust(&peer);
                let removed = self.peering.remove(&peer);
                self.befriend();
                let _ = reply.send(removed);
            }
            Command::Shutdown => {}
        }
    }

    fn addresses(&self) -> Vec<Multiaddr> {
        let swarm = &self.setup.swarm;
        self.announce.all(swarm.listeners().chain(swarm.external_addresses()))
    }

    fn connect(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, reply: Reply<Result<(), NodeError>>) {
        if self.setup.swarm.is_connected(&peer) {
            return drop(reply.send(Ok(())));
        }
        if peer == *self.setup.swarm.local_peer_id() {
            return drop(reply.send(Err(NodeError::Dial { peer, why: "it is this node".into() })));
        }
        if self.waiting.len() >= MAX_WAITING {
            return drop(reply.send(Err(NodeError::TooMany("dials"))));
        }
        self.setup.swarm.behaviour_mut().gate.insist(&peer);
        let addrs = addrs.iter().take(MAX_DIALED).map(|addr| split_peer(addr).0).collect();
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(addrs)
            .extend_addresses_through_behaviour()
            .build();
        let id = opts.connection_id();
        match self.setup.swarm.dial(opts) {
            Ok(()) => drop(self.waiting.insert(id, Waiting { peer, reply })),
            Err(error) => drop(reply.send(Err(dial_error(peer, &error)))),
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let meters = &self.setup.meters;
        let mut peers: Vec<_> = self.peers.iter().map(|(id, peer)| peer.info(*id, meters.streams(id))).collect();
        peers.sort_unstable_by_key(|info| info.peer);
        peers
    }

    fn add_peering(&mut self, peer: PeerId, addrs: Vec<Multiaddr>) -> Result<(), NodeError> {
        let addrs = addrs.iter().take(MAX_DIALED).map(|addr| split_peer(addr).0).collect();
        let connected = self.setup.swarm.is_connected(&peer);
        if !self.peering.add(peer, addrs, connected, Instant::now()) {
            return Err(NodeError::TooMany("peered peers"));
        }
        favour(&mut self.setup, peer);
        self.befriend();
        Ok(())
    }
}
