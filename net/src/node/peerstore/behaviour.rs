//! The address book in the swarm.

use super::{Book, unix_now};
use crate::node::addr::is_relayed;
use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};
use parking_lot::{Mutex, MutexGuard};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

/// Learns addresses from the swarm and gives them to dials.
pub struct Behaviour {
    book: Arc<Mutex<Book>>,
}

impl Behaviour {
    /// Begins with that book.
    pub fn new(book: Arc<Mutex<Book>>) -> Self {
        Self { book }
    }

    /// The book.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock()
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

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        Ok(peer.map(|peer| self.book().addresses(&peer)).unwrap_or_default())
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
                for addr in event.failed_addresses {
                    self.book().failed(event.peer_id, addr);
                }
                let dialed = match event.endpoint {
                    // A relayed address works as long as the relay's reservation does.
                    ConnectedPoint::Dialer { address, .. } if !is_relayed(address) => Some(address),
                    _ => None,
                };
                self.book().connected(event.peer_id, dialed, unix_now());
            }
            FromSwarm::ConnectionClosed(event) if event.remaining_established == 0 => {
                self.book().disconnected(event.peer_id, unix_now());
            }
            FromSwarm::DialFailure(event) => {
                let Some(peer) = event.peer_id else { return };
                match event.error {
                    DialError::Transport(tried) => tried.iter().for_each(|(addr, _)| self.book().failed(peer, addr)),
                    DialError::WrongPeerId { address, .. } => self.book().failed(peer, address),
                    _ => {}
                }
            }
            FromSwarm::NewExternalAddrOfPeer(event) => {
                self.book().add(event.peer_id, event.addr, false, unix_now());
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
