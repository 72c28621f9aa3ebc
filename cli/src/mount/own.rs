//! The names of this node, as trees that are published when they change.

use super::{Ground, publish::Publisher};
use async_trait::async_trait;
use cairn_fuse::core::{Errno, OwnName, OwnNames};
use cairn_net::{
    ipns::Name,
    keystore::{Keystore, PrivateKey, SELF},
};
use cairn_store::{
    Cid, StoreError,
    fetch::{Deadline, Fetch},
    mfs::{Mfs, MfsError, NamedCell, RootCell},
    names::{NameError, Names as _},
    path::Path,
    repo::Identity,
    resolve::{self, ResolveError},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long the network is asked at most what is published under a name before its tree is opened.
const PATIENCE: Duration = Duration::from_secs(20);

/// The keys of a repository.
pub struct OwnKeys {
    ground: Ground,
    store: Keystore,
    own: PrivateKey,
    fetch: Arc<dyn Fetch>,
    patience: Duration,
}

impl OwnKeys {
    /// Those of that repository; the network is asked for no longer than `patience`.
    ///
    /// # Errors
    /// When the configuration holds no key.
    pub fn new(ground: Ground, fetch: Arc<dyn Fetch>, patience: Duration) -> anyhow::Result<Self> {
        let own = PrivateKey::from_protobuf(&Identity::of(&ground.repo.config())?.to_protobuf()?)?;
        let store = Keystore::of_repo(ground.repo.path());
        Ok(Self { ground, store, own, fetch, patience: patience.min(PATIENCE) })
    }
}

fn named(alias: &str, key: &PrivateKey) -> OwnName {
    OwnName { alias: alias.to_owned(), name: Name::from(key.peer_id()).to_string() }
}

#[async_trait]
impl OwnNames for OwnKeys {
    fn list(&self) -> Vec<OwnName> {
        let others = self.store.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "the keys can't be listed");
            Vec::new()
        });
        let own = std::iter::once(named(SELF, &self.own));
        own.chain(others.iter().map(|(alias, key)| named(alias, key))).collect()
    }

    fn find(&self, text: &str) -> Option<OwnName> {
        // Most names are those of others: they are not looked for among the files of the keystore.
        let name = Name::parse(text).ok();
        if text.contains('.') && name.is_none() {
            return None;
        }
        let wanted = name.map(|name| name.to_string());
        let all = self.list();
        let by_alias = all.iter().find(|own| own.alias == text);
        by_alias.or_else(|| all.iter().find(|own| Some(&own.name) == wanted.as_ref())).cloned()
    }

    async fn tree(&self, name: &OwnName) -> Result<Mfs, Errno> {
        let key = self.store.find(&name.alias, &self.own).map_err(|error| {
            tracing::warn!(%error, alias = name.alias, "a key can't be read");
            Errno::EIO
        })?;
        let opening = self.ground.repo.named_tree(&name.name, Arc::clone(&self.fetch), || self.cell(&name.name, key));
        Ok(opening.await?)
    }
}

impl OwnKeys {
    /// The place of a tree's root, with what is published there now, and a task that publishes what changes.
    async fn cell(&self, name: &str, key: PrivateKey) -> Result<Arc<dyn RootCell>, MfsError> {
        let row = Arc::new(NamedCell::new(Arc::clone(self.ground.repo.blocks()), name));
        let state = row.state()?;
        let there = self.published(name).await?;
        match there {
            // Somebody published another one since, by hand for example: that is what the name stands for.
            Some(there) if Some(there) != state.published && Some(there) != state.root => row.reset(&there)?,
            _ => {}
        }
        let (sender, changes) = watch::channel(None);
        let state = row.state()?;
        if state.root != state.published {
            // A process that was killed had not come to it.
            sender.send_replace(state.root);
        }
        Publisher { names: self.ground.names.clone(), key, row: Arc::clone(&row), changes }
            .start(&self.ground.publishers);
        Ok(Arc::new(Cell { row, sender }))
    }

    /// What is published under a name; `None` if nothing is.
    async fn published(&self, name: &str) -> Result<Option<Cid>, MfsError> {
        let deadline = Some(Instant::now() + self.patience);
        let target = match self.ground.names.lookup(name, deadline).await {
            Ok(target) => target.path,
            Err(NameError::NotFound(_) | NameError::Offline(_)) => return Ok(None),
            Err(error) => {
                // Another one may be published: it is found when the name is published the next time, by its number.
                tracing::warn!(%error, name, "what is published under a name of this node is not known");
                return Ok(None);
            }
        };
        self.resolved(&target, deadline).await.map(Some)
    }

    async fn resolved(&self, target: &Path, deadline: Deadline) -> Result<Cid, MfsError> {
        match resolve::resolve_block(&self.fetch, &self.ground.names, target, deadline).await {
            Ok(cid) => Ok(cid),
            Err(ResolveError::Fetch(error)) => Err(error.into()),
            Err(error) => Err(MfsError::Invalid(format!("{target}: {error}"))),
        }
    }
}

/// Keeps a root, and tells of it.
struct Cell {
    row: Arc<NamedCell>,
    sender: watch::Sender<Option<Cid>>,
}

impl RootCell for Cell {
    fn load(&self) -> Result<Option<Cid>, StoreError> {
        self.row.load()
    }

    fn commit(&self, root: &Cid) -> Result<(), StoreError> {
        self.row.commit(root)?;
        self.sender.send_replace(Some(*root));
        Ok(())
    }
}
