//! The connection manager in the swarm.

use super::{CHECK, Core, Protection};
use crate::node::config::ConnMgr;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Closes connections when there are too many.
pub struct Behaviour {
    core: Core,
    protection: Protection,
    timer: Interval,
    /// As many as there are connected peers.
    closing: VecDeque<PeerId>,
}

impl Behaviour {
    /// Inside of a tokio runtime.
    pub fn new(config: ConnMgr, protection: Protection) -> Self {
        let mut timer = interval(CHECK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { core: Core::new(config), protection, timer, closing: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.core.opened(event.connection_id, event.peer_id, event.endpoint.is_listener(), Instant::now());
            }
            FromSwarm::ConnectionClosed(event) => self.core.closed(event.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        while self.timer.poll_tick(cx).is_ready() {
            self.closing.extend(self.core.trim(Instant::now(), |peer| self.protection.worth(peer)));
        }
        match self.closing.pop_front() {
            Some(peer_id) => Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All }),
            None => Poll::Pending,
        }
    }
}
