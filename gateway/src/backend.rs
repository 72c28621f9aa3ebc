//! What a gateway reads from.

use cairn_store::{fetch::Fetch, names::Names};
use std::sync::Arc;

/// Sources of blocks and names.
#[derive(Clone)]
pub struct Backend {
    /// Makes a source of blocks for one request; it may go to the network.
    pub session: Arc<dyn Fn() -> Arc<dyn Fetch> + Send + Sync>,
    /// What can be had without asking anybody else.
    pub local: Arc<dyn Fetch>,
    /// Names: IPNS keys and DNSLink domains.
    pub names: Arc<dyn Names>,
}

impl Backend {
    /// A gateway of what is here: it never asks anybody else for blocks.
    pub fn local(blocks: Arc<dyn Fetch>, names: Arc<dyn Names>) -> Self {
        let session = Arc::clone(&blocks);
        Self { session: Arc::new(move || Arc::clone(&session)), local: blocks, names }
    }
}
