//! Networks and peers that the node has nothing to do with.

use crate::node::addr::{Mask, ip_of};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};
use parking_lot::RwLock;
use std::{
    collections::{BTreeSet, HashSet},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Masks and peers that may be listed; adding more is refused.
const MAX_LISTED: usize = 65_536;

#[derive(Debug, Default)]
struct Lists {
    networks: BTreeSet<Mask>,
    blocked: HashSet<PeerId>,
}

/// Networks and peers that the node has nothing to do with: it neither dials them nor takes their connections. What
/// changes here holds for connections made from then on; [`crate::node::Node::block`] closes open ones too.
#[derive(Debug, Clone, Default)]
pub struct Filters(Arc<RwLock<Lists>>);

impl Filters {
    /// Filters these networks.
    pub fn new(networks: impl IntoIterator<Item = Mask>) -> Self {
        Self(Arc::new(RwLock::new(Lists { networks: networks.into_iter().collect(), ..Lists::default() })))
    }

    /// The networks, in order.
    pub fn list(&self) -> Vec<Mask> {
        self.0.read().networks.iter().copied().collect()
    }

    /// Adds a network. `false`: it was there, or the list is full.
    pub fn add(&self, mask: Mask) -> bool {
        let mut lists = self.0.write();
        lists.networks.len() < MAX_LISTED && lists.networks.insert(mask)
    }

    /// Removes a network. `false`: it was not there.
    pub fn remove(&self, mask: &Mask) -> bool {
        self.0.write().networks.remove(mask)
    }

    /// Blocks a peer. `false`: it was blocked, or the list is full.
    pub fn block(&self, peer: PeerId) -> bool {
        let mut lists = self.0.write();
        lists.blocked.len() < MAX_LISTED && lists.blocked.insert(peer)
    }

    /// Blocks a peer no more. `false`: it was not blocked.
    pub fn unblock(&self, peer: &PeerId) -> bool {
        self.0.write().blocked.remove(peer)
    }

    /// Whether the node may have to do with a peer.
    pub fn admits_peer(&self, peer: &PeerId) -> bool {
        !self.0.read().blocked.contains(peer)
    }

    /// Whether the node may have to do with an address.
    pub fn admits(&self, addr: &Multiaddr) -> bool {
        let lists = self.0.read();
        lists.networks.is_empty() || ip_of(addr).is_none_or(|ip| !lists.networks.iter().any(|mask| mask.contains(ip)))
    }
}

/// A transport that does not dial filtered addresses, whoever asks.
pub struct Gated<T> {
    inner: T,
    filters: Filters,
}

impl<T> Gated<T> {
    /// Puts the filters before a transport.
    pub fn new(inner: T, filters: &Filters) -> Self {
        Self { inner, filters: filters.clone() }
    }
}

impl<T: Transport + Unpin> Transport for Gated<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, addr: Multiaddr, opts: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        if self.filters.admits(&addr) {
            self.inner.dial(addr, opts)
        } else {
            Err(TransportError::MultiaddrNotSupported(addr))
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
