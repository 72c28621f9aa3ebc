//! The streams' part in the swarm: which peer is connected, and what waits for a dial.

use super::{
    super::serve::{Desk, Inbound, Served},
    Handler, Order, Outgoing, Request, WireError,
};
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour,
        NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll, Waker},
};

/// Requests that wait for dials, over all peers; more are refused.
const MAX_WAITING: usize = 4096;

/// The part in the swarm.
pub struct Behaviour {
    desk: Desk,
    served: Served,
    connected: HashMap<PeerId, Vec<ConnectionId>>,
    waiting: HashMap<PeerId, Vec<Request>>,
    waiting_count: usize,
    events: VecDeque<ToSwarm<Infallible, Order>>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub(crate) fn new(desk: Desk, served: Served) -> Self {
        Self {
            desk,
            served,
            connected: HashMap::new(),
            waiting: HashMap::new(),
            waiting_count: 0,
            events: VecDeque::new(),
            waker: None,
        }
    }

    /// Lets others ask on these networks from now on. Connected peers hear of it from identify.
    pub(crate) fn serve(&mut self, served: Served) {
        if std::mem::replace(&mut self.served, served) == served {
            return;
        }
        for (peer_id, connections) in &self.connected {
            self.events.extend(connections.iter().map(|id| ToSwarm::NotifyHandler {
                peer_id: *peer_id,
                handler: NotifyHandler::One(*id),
                event: Order::Serve(served),
            }));
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self, peer: PeerId) -> Handler {
        Handler::new(Inbound::new(self.desk.clone(), peer, self.served))
    }

    /// Sends a request to a peer, over a connection it has or a new one to `addrs` (and to what other behaviours
    /// know).
    pub(crate) fn send(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, request: Request) {
        if self.connected.contains_key(&peer) {
            self.notify(peer, request);
        } else if self.waiting_count >= MAX_WAITING {
            request.fail(WireError::Busy);
        } else {
            self.waiting_count += 1;
            self.waiting.entry(peer).or_default().push(request);
            let opts = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addrs)
                .extend_addresses_through_behaviour()
                .build();
            self.events.push_back(ToSwarm::Dial { opts });
        }
        self.wake();
    }

    fn notify(&mut self, peer_id: PeerId, request: Request) {
        let event = Order::Ask(Outgoing(Box::new(request)));
        self.events.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event });
    }

    fn take_waiting(&mut self, peer: &PeerId) -> Vec<Request> {
        let requests = self.waiting.remove(peer).unwrap_or_default();
        self.waiting_count -= requests.len();
        requests
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.connected.entry(peer_id).or_default().push(connection_id);
                for request in self.take_waiting(&peer_id) {
                    self.notify(peer_id, request);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(open) = self.connected.get_mut(&peer_id) {
                    open.retain(|id| *id != connection_id);
                    if open.is_empty() {
                        self.connected.remove(&peer_id);
                    }
                }
            }
            // "Not dialled, for somebody else is dialling": that dial's end decides.
            FromSwarm::DialFailure(DialFailure { error: DialError::DialPeerConditionFalse(_), .. }) => {}
            FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error, .. }) => {
                // This node's own limits say nothing of the peer.
                let denied = matches!(error, DialError::Denied { .. });
                let error = if denied { WireError::Busy } else { WireError::Unreachable };
                for request in self.take_waiting(&peer) {
                    request.fail(error.clone());
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::{Net, SystemClock, serve::Refused, tests::support::Anything};
    use std::sync::Arc;
    use tokio::sync::{mpsc, oneshot};

    /// What a request gets whose dial ends like this.
    fn after(error: &DialError) -> Result<(), WireError> {
        let desk = Desk {
            questions: mpsc::channel(1).0,
            validator: Arc::new(Anything),
            clock: Arc::new(SystemClock),
            refused: Refused::default(),
        };
        let mut behaviour = Behaviour::new(desk, Served::default());
        let (peer, (reply, mut answer)) = (PeerId::random(), oneshot::channel());
        let request = Request { protocol: Net::Wan.protocol(), bytes: Vec::new(), answered: true, reply };
        behaviour.send(peer, Vec::new(), request);
        let connection_id = ConnectionId::new_unchecked(1);
        behaviour.on_swarm_event(FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error, connection_id }));
        answer.try_recv().expect("the dial is over").map(|_| ())
    }

    #[test]
    fn a_dial_that_this_node_forbids_itself_is_no_fault_of_the_peers() {
        let denied = DialError::Denied { cause: ConnectionDenied::new("as many connections as may be") };
        assert!(matches!(after(&denied), Err(WireError::Busy)));
        assert!(matches!(after(&DialError::NoAddresses), Err(WireError::Unreachable)));
    }
}
