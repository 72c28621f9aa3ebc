//! Blocks from the local store, else from peers: the [`Fetch`] that may go to the network.
//!
//! A block that is not in the store, or whose bytes there are damaged, is wanted of a Bitswap session, which finds
//! peers that have it; it is verified when it comes, stored, and then handed over. Callers that ask for one block at
//! the same time share one want. Dropping a future or a stream gives up what it asked for.

mod many;
mod prefetch;
mod session;
#[cfg(test)]
mod tests;

use crate::{
    bitswap::{Bitswap, Order},
    routing::Routing,
};
use async_trait::async_trait;
use cairn_store::{
    Block, Cid,
    blockstore::Blockstore,
    fetch::{Deadline, Fetch, FetchError, Offline},
};
use futures::stream::BoxStream;
use session::SessionFetch;
use std::sync::Arc;

/// The network's source of blocks.
#[derive(Clone)]
pub struct Exchange {
    store: Arc<dyn Blockstore>,
    bitswap: Bitswap,
}

impl Exchange {
    /// Fetches into that store. Without routing only connected peers are asked.
    pub fn new(store: Arc<dyn Blockstore>, bitswap: Bitswap, routing: Option<Arc<dyn Routing>>) -> Self {
        bitswap.set_routing(routing);
        Self { store, bitswap }
    }

    /// A source for one piece of work: a command, a request. Blocks that it brings are kept from garbage collection
    /// while it is held.
    pub fn session(&self) -> Arc<dyn Fetch> {
        self.session_in(Order::Sequential)
    }

    /// The same for work that needs its blocks in no particular order: see [`Order::Rarest`].
    pub fn session_in(&self, order: Order) -> Arc<dyn Fetch> {
        Arc::new(SessionFetch::new(Arc::clone(&self.store), self.bitswap.clone(), order))
    }

    /// Bitswap below.
    pub fn bitswap(&self) -> &Bitswap {
        &self.bitswap
    }
}

/// Each call is a session of its own: work of more than one call does better with [`Exchange::session`].
#[async_trait]
impl Fetch for Exchange {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        self.session().fetch(cid, deadline).await
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        SessionFetch::new(Arc::clone(&self.store), self.bitswap.clone(), Order::Sequential).stream(cids, deadline)
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Offline::new(Arc::clone(&self.store)).has_local(cid).await
    }

    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        Offline::new(Arc::clone(&self.store)).has_local_many(cids).await
    }
}
