//! The part that sits in the swarm: makes handlers, dials, and tells the engine who is connected. No message passes
//! through it.

use super::{
    engine::PeerEvent,
    handler::{Handler, Lanes, Report},
    link::{LinkGuard, Links},
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Dials that wait for the swarm; further ones count as failed.
pub const DIALS: usize = 64;
/// Events that wait for the engine in its channel. Those that do not fit stay with the behaviour: a few for each
/// connection, whose number the swarm limits, and for each of our own dials.
pub const PEER_EVENTS: usize = 256;

/// A wish to be connected.
#[derive(Debug)]
pub struct Dial {
    /// To whom.
    pub peer: PeerId,
    /// Where; other behaviours may know more.
    pub addrs: Vec<Multiaddr>,
}

/// Bitswap in a swarm. Its events say nothing: they may be ignored.
pub struct Behaviour {
    links: Arc<Links>,
    pub(super) lanes: Lanes,
    dials: mpsc::Receiver<Dial>,
    /// Who is to be reached for the engine. It bounds how many it asks for.
    dialed: HashSet<PeerId>,
    events: PollSender<PeerEvent>,
    waiting: VecDeque<PeerEvent>,
}

impl Behaviour {
    pub(super) fn new(
        links: Arc<Links>,
        lanes: Lanes,
        dials: mpsc::Receiver<Dial>,
        events: mpsc::Sender<PeerEvent>,
    ) -> Self {
        let (dialed, waiting) = (HashSet::new(), VecDeque::new());
        Self { links, lanes, dials, dialed, events: PollSender::new(events), waiting }
    }

    fn handler(&self, peer: PeerId, connection: ConnectionId, addr: &Multiaddr) -> Handler {
        let relayed = addr.iter().any(|part| part == Protocol::P2pCircuit);
        let (link, outgoing) = self.links.open(peer, connection, relayed);
        let guard = LinkGuard { links: Arc::clone(&self.links), peer, connection };
        Handler::new(guard, link, outgoing, self.lanes.clone())
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // The relay stands in the address that it reached us by.
        Ok(self.handler(peer, connection, local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, connection, addr))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) if e.other_established == 0 => {
                self.dialed.remove(&e.peer_id);
                let addr = e.endpoint.get_remote_address().clone();
                self.waiting.push_back(PeerEvent::Connected { peer: e.peer_id, addr });
            }
            FromSwarm::ConnectionEstablished(e) => {
                self.waiting.push_back(PeerEvent::AnotherConnection(e.peer_id));
            }
            FromSwarm::ConnectionClosed(e) => {
                self.links.close(&e.peer_id, e.connection_id);
                self.waiting.push_back(match e.remaining_established {
                    0 => PeerEvent::Disconnected(e.peer_id),
                    _ => PeerEvent::ConnectionLost(e.peer_id),
                });
            }
            FromSwarm::DialFailure(e) => {
                let Some(peer) = e.peer_id else { return };
                match e.error {
                    // It was not needed: there is a connection, or another dial, which may fail.
                    DialError::DialPeerConditionFalse(_) if !self.links.contains(&peer) => {}
                    DialError::DialPeerConditionFalse(_) => _ = self.dialed.remove(&peer),
                    _ if self.dialed.remove(&peer) => self.waiting.push_back(PeerEvent::DialFailed(peer)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        self.waiting.push_back(match event {
            Report::Speaks(version) => PeerEvent::Speaks(peer, version),
            Report::Unsupported => PeerEvent::Unsupported(peer),
        });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while !self.waiting.is_empty() {
            match self.events.poll_reserve(cx) {
                Poll::Ready(Ok(())) => {
                    if let Some(event) = self.waiting.pop_front() {
                        let _ = self.events.send_item(event);
                    }
                }
                // The engine has ended: so does the node.
                Poll::Ready(Err(_)) => self.waiting.clear(),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Some(dial)) = self.dials.poll_recv(cx) {
            self.dialed.insert(dial.peer);
            let opts = DialOpts::peer_id(dial.peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(dial.addrs)
                .extend_addresses_through_behaviour()
                .build();
            return Poll::Ready(ToSwarm::Dial { opts });
        }
        Poll::Pending
    }
}
