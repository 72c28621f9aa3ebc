//! Where what is served reads from: the repository, and the network for what is not there.

use cairn_net::node::Node;
use cairn_store::{
    Block, Cid,
    fetch::{Deadline, Fetch, FetchError, Offline},
    names::Names,
    repo::Repo,
};
use futures::{StreamExt as _, stream::BoxStream};
use std::sync::{Arc, OnceLock};

/// Sources of blocks and names.
pub struct Reading {
    /// Makes a source of blocks for one piece of work.
    pub session: Arc<dyn Fn() -> Arc<dyn Fetch> + Send + Sync>,
    /// What can be had without asking anybody else.
    pub local: Arc<dyn Fetch>,
    /// Names.
    pub names: Arc<dyn Names>,
}

impl Reading {
    /// From a repository; with a node, from the network too. Without one, names that stand in DNS are looked up unless
    /// `offline`.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(repo: &Repo, node: Option<&Node>, offline: bool) -> anyhow::Result<Self> {
        let local: Arc<dyn Fetch> = Arc::new(Offline::new(Arc::clone(repo.blocks()) as _));
        let Some(node) = node else {
            let names: Arc<dyn Names> = Arc::new(crate::names::of_repo(repo, offline)?);
            let here = Arc::clone(&local);
            return Ok(Self { session: Arc::new(move || Arc::clone(&here)), local, names });
        };
        let (here, node) = (Arc::clone(&local), node.clone());
        let names: Arc<dyn Names> = Arc::new(node.names().clone());
        let session = Arc::new(move || {
            Arc::new(LocalFirst { local: Arc::clone(&here), node: node.clone(), session: OnceLock::new() })
                as Arc<dyn Fetch>
        });
        Ok(Self { session, local, names })
    }
}

/// The local store, and a session of the network once something is not there: most requests never need one.
struct LocalFirst {
    local: Arc<dyn Fetch>,
    node: Node,
    session: OnceLock<Arc<dyn Fetch>>,
}

impl LocalFirst {
    fn session(&self) -> &Arc<dyn Fetch> {
        self.session.get_or_init(|| self.node.session())
    }
}

#[async_trait::async_trait]
impl Fetch for LocalFirst {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        match self.local.fetch(cid, deadline).await {
            Err(FetchError::NotFound(_)) => self.session().fetch(cid, deadline).await,
            answer => answer,
        }
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        if let Some(session) = self.session.get() {
            return session.fetch_many(cids, deadline);
        }
        // In order, until one is missing: from there on the session is asked for all of them at once.
        let here = self.local.fetch_many(cids.clone(), deadline);
        futures::stream::unfold((here, cids, 0), move |(mut from, cids, taken)| async move {
            match from.next().await? {
                Err(FetchError::NotFound(_)) if taken < cids.len() => {
                    let mut rest = self.session().fetch_many(cids[taken..].to_vec(), deadline);
                    let answer = rest.next().await?;
                    // All of these come from the session, which does not say that something is missing here.
                    Some((answer, (rest, Vec::new(), 0)))
                }
                answer => Some((answer, (from, cids, taken + 1))),
            }
        })
        .boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.local.has_local(cid).await
    }

    async fn has_local_many(&self, cids: &[Cid]) -> Result<Vec<bool>, FetchError> {
        self.local.has_local_many(cids).await
    }
}
