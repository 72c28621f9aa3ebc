//! The part that sits in the swarm: makes handlers, dials, and tells the engine who is connected. No message passes
//! through it.

use super::{
    engine::PeerEvent,
    handler::{Handler, Report},
    link::{Inbound, LinkGuard, Links},
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_util::sync::{PollSemaphore, PollSender};

/// Dials that wait for the swarm; further ones count as failed.
pub const DIALS: usize = 64;
/// Events that wait for the engine in its channel. Those that do not fit stay with the behaviour: at most a few for
/// each connection, whose number the swarm limits.
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
    ingress: mpsc::Sender<Inbound>,
    budget: PollSemaphore,
    dials: mpsc::Receiver<Dial>,
    events: PollSender<PeerEvent>,
    waiting: VecDeque<PeerEvent>,
}

impl Behaviour {
    pub(super) fn new(
        links: Arc<Links>,
        ingress: mpsc::Sender<Inbound>,
        budget: PollSemaphore,
        dials: mpsc::Receiver<Dial>,
        events: mpsc::Sender<PeerEvent>,
    ) -> Self {
        Self { links, ingress, budget, dials, events: PollSender::new(events), waiting: VecDeque::new() }
    }

    fn handler(&self, peer: PeerId, connection: ConnectionId) -> Handler {
        let (link, outgoing) = self.links.open(peer, connection);
        let guard = LinkGuard { links: Arc::clone(&self.links), peer, connection };
        Handler::new(guard, link, outgoing, self.ingress.clone(), self.budget.clone())
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, connection))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, connection))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(e) if e.other_established == 0 => {
                let addr = e.endpoint.get_remote_address().clone();
                self.waiting.push_back(PeerEvent::Connected { peer: e.peer_id, addr });
            }
            FromSwarm::ConnectionClosed(e) => {
                self.links.close(&e.peer_id, e.connection_id);
                if e.remaining_established == 0 {
                    self.waiting.push_back(PeerEvent::Disconnected(e.peer_id));
                }
            }
            FromSwarm::DialFailure(e) => {
                // A dial that was not needed is no failure.
                if let Some(peer) = e.peer_id
                    && !matches!(e.error, DialError::DialPeerConditionFalse(_))
                {
                    self.waiting.push_back(PeerEvent::DialFailed(peer));
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
