//! Pins: which DAGs are kept.
//!
//! A *recursive* pin keeps a block and everything below it, a *direct* one keeps the block alone. A block below a
//! recursive pin is pinned *indirectly*: nothing is stored for it. A CID has at most one pin, which may have a
//! name; many pins may share a name.
//!
//! | Module | Holds |
//! |---|---|
//! | this one | reading and changing pins |
//! | `adopt` | the walk that makes sure that a DAG is here, and keeps it from a running collection |
//! | `query` | listing, indirect pins, what keeps a block |
//! | `verify` | whether what is pinned is here |

mod adopt;
mod query;
mod rows;
mod verify;

pub use adopt::Progress;
pub(crate) use adopt::stamp_below;
pub use query::{Found, Kind, Which};
pub use verify::{BadNode, Status};

use crate::{
    Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    dag::{
        DagError, NodeError,
        seen::{MAX_VISITED, SeenError},
    },
    fetch::{Fetch, FetchError},
    gc,
    kv::{Batch, Durability, Table},
    sync::Mutex,
    task::in_context,
};
use adopt::Adoption;
use std::sync::Arc;
use thiserror::Error;

/// Longest name of a pin, in bytes; as in Kubo.
pub const MAX_NAME: usize = 255;

/// How much a pin keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PinMode {
    /// The block and everything below it.
    Recursive,
    /// The block alone.
    Direct,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What is pinned.
    pub cid: Cid,
    /// How much of it.
    pub mode: PinMode,
    /// Its name, empty when it has none.
    pub name: String,
}

/// Why pins can't be read or changed. The messages are Kubo's where it has one.
#[derive(Debug, Clone, Error)]
pub enum PinError {
    /// A block of the DAG is not here and can't be had: nothing was pinned.
    #[error("block was not found locally (offline): ipld: could not find {0}")]
    Missing(Box<Cid>),
    /// A direct pin was asked for what has a recursive one.
    #[error("{0} already pinned recursively")]
    AlreadyRecursive(Box<Cid>),
    /// Only a direct pin was to be removed.
    #[error("{0} is pinned recursively")]
    IsRecursive(Box<Cid>),
    /// There is no pin of its own to remove.
    #[error("not pinned or pinned indirectly")]
    NotPinned,
    /// The pin to be replaced is not there.
    #[error("'from' cid was not recursively pinned already")]
    FromNotPinned,
    /// The pin to be made is there.
    #[error("'to' cid was already recursively pinned")]
    ToPinned,
    /// The name is too long.
    #[error("pin name is {0} bytes (max {MAX_NAME} bytes)")]
    NameTooLong(usize),
    /// A DAG has more blocks than can be kept track of.
    #[error("there are more than {MAX_VISITED} distinct nodes: pin parts of them")]
    TooMany,
    /// The caller stopped the work: no pin was changed.
    #[error("stopped")]
    Stopped,
    /// A block is not what its codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// A block can't be had for another reason than that nobody has it.
    #[error(transparent)]
    Fetch(FetchError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NodeError> for PinError {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Missing(cid) => Self::Missing(cid),
            NodeError::Dag(error) => Self::Dag(error),
            NodeError::Store(error) => Self::Store(error),
        }
    }
}

impl From<SeenError> for PinError {
    fn from(error: SeenError) -> Self {
        match error {
            SeenError::Full => Self::TooMany,
            SeenError::Disk(error) => Self::Store(error),
        }
    }
}

impl From<FetchError> for PinError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NotFound(cid) => Self::Missing(cid),
            FetchError::Store(error) => Self::Store(error),
            other @ (FetchError::TimedOut(_) | FetchError::Denied { .. }) => Self::Fetch(other),
        }
    }
}

/// Refuses a name that is too long.
///
/// # Errors
/// [`PinError::NameTooLong`].
pub fn check_name(name: &str) -> Result<(), PinError> {
    if name.len() > MAX_NAME { Err(PinError::NameTooLong(name.len())) } else { Ok(()) }
}

/// The pins of a store. All methods but the `async` ones may block on the disk.
///
/// IMPORTANT: one of these for each store, cloned for all who change pins: the clones share the lock that makes
/// "is it pinned? then change it" one step.
#[derive(Clone)]
pub struct Pins {
    blocks: Arc<KvBlocks>,
    changing: Arc<Mutex<()>>,
}

impl Pins {
    /// The pins in the tables of that store.
    pub fn new(blocks: Arc<KvBlocks>) -> Self {
        Self { blocks, changing: Arc::new(Mutex::new(())) }
    }

    /// Stages the rows of a pin, in place of the pin that the CID may have. For an importer, which writes blocks
    /// and pin in one batch: it holds a session, and has checked the name with [`check_name`].
    pub fn stage(&self, batch: &mut Batch, cid: &Cid, mode: PinMode, name: &str) {
        batch.put(Table::Pins, rows::key(cid), rows::value(mode, name));
    }

    /// The pin of a CID; `None` when it has none of its own.
    ///
    /// # Errors
    /// When the disk fails or the row is damaged.
    pub fn get(&self, cid: &Cid) -> Result<Option<Pin>, StoreError> {
        let key = rows::key(cid);
        self.blocks.kv().get(Table::Pins, &key)?.map(|value| rows::parse(&key, &value)).transpose()
    }

    /// All pins, by the bytes of their CIDs, over a snapshot.
    pub fn iter(&self) -> impl Iterator<Item = Result<Pin, StoreError>> + Send + '_ {
        let rows = self.blocks.kv().scan(Table::Pins, &rows::PREFIX, Some(&rows::END));
        rows.map(|row| row.and_then(|(key, value)| rows::parse(&key, &value)))
    }

    /// Pins a DAG, or with [`PinMode::Direct`] one block, in place of the pin that the CID may have. What is not
    /// here is fetched. On return the pin and all that it keeps are durable.
    ///
    /// `progress` is told a few times a second how far the walk is, and once at its end.
    ///
    /// # Errors
    /// When a block can't be had or the disk refuses; the pins are as they were.
    pub async fn add(
        &self,
        fetch: Arc<dyn Fetch>,
        cid: &Cid,
        mode: PinMode,
        name: &str,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), PinError> {
        check_name(name)?;
        let (cid, name) = (*cid, name.to_owned());
        self.blocking(move |pins| pins.may_pin(&cid, mode)).await?;
        // IMPORTANT: before the first block is looked at, and held until the pin is durable.
        let _session = self.blocks.session();
        adopt::fetch_all(&self.blocks, fetch, Adoption::new(cid, mode), progress).await?;
        self.blocking(move |pins| pins.commit(&cid, mode, &name)).await
    }

    /// As [`Pins::add`] with what is in the local store only.
    ///
    /// # Errors
    /// [`PinError::Missing`] when something is not here, or as [`Pins::add`].
    pub fn add_local(&self, cid: &Cid, mode: PinMode, name: &str) -> Result<Progress, PinError> {
        check_name(name)?;
        self.may_pin(cid, mode)?;
        // IMPORTANT: as above.
        let _session = self.blocks.session();
        let progress = Adoption::new(*cid, mode).local(&self.blocks)?;
        self.commit(cid, mode, name)?;
        Ok(progress)
    }

    /// Removes a pin. `recursive` says whether a recursive one may be removed too.
    ///
    /// # Errors
    /// [`PinError::NotPinned`], [`PinError::IsRecursive`], or when the disk refuses.
    pub fn remove(&self, cid: &Cid, recursive: bool) -> Result<(), PinError> {
        let _one = self.changing.lock();
        let pin = self.get(cid)?.ok_or(PinError::NotPinned)?;
        if pin.mode == PinMode::Recursive && !recursive {
            return Err(PinError::IsRecursive(Box::new(*cid)));
        }
        let mut batch = Batch::new();
        stage_removal(&mut batch, cid);
        Ok(self.blocks.kv().write(batch, Durability::Synced)?)
    }

    /// Pins `to` recursively under the name of `from`, and with `unpin` removes the pin of `from` in the same
    /// step.
    ///
    /// # Errors
    /// [`PinError::FromNotPinned`], [`PinError::ToPinned`], or as [`Pins::add`]; the pins are as they were.
    pub async fn update(&self, fetch: Arc<dyn Fetch>, from: &Cid, to: &Cid, unpin: bool) -> Result<(), PinError> {
        let (from, to) = (*from, *to);
        self.blocking(move |pins| pins.may_update(&from, &to)).await?;
        if from == to {
            return Ok(());
        }
        // IMPORTANT: as in `add`. What both DAGs share is touched as well: the old pin may vanish meanwhile.
        let _session = self.blocks.session();
        adopt::fetch_all(&self.blocks, fetch, Adoption::new(to, PinMode::Recursive), &|_| ()).await?;
        self.blocking(move |pins| pins.commit_update(&from, &to, unpin)).await
    }

    fn commit_update(&self, from: &Cid, to: &Cid, unpin: bool) -> Result<(), PinError> {
        self.blocks.settle()?;
        let _one = self.changing.lock();
        let name = self.may_update(from, to)?;
        let mut batch = Batch::new();
        self.stage(&mut batch, to, PinMode::Recursive, &name);
        if unpin {
            stage_removal(&mut batch, from);
        }
        Ok(self.blocks.kv().write(batch, Durability::Synced)?)
    }

    /// Runs a step that may block on the disk where that harms nobody.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PinError> + Send + 'static,
    ) -> Result<T, PinError> {
        let pins = self.clone();
        tokio::task::spawn_blocking(in_context(move || work(&pins)))
            .await
            .map_err(|e| StoreError::Backend(format!("a pinning thread died: {e}")))?
    }

    /// The name of the pin of `from`, if it may be updated to `to`.
    fn may_update(&self, from: &Cid, to: &Cid) -> Result<String, PinError> {
        let old = self.get(from)?.filter(|p| p.mode == PinMode::Recursive).ok_or(PinError::FromNotPinned)?;
        if from != to && self.get(to)?.is_some_and(|p| p.mode == PinMode::Recursive) {
            return Err(PinError::ToPinned);
        }
        Ok(old.name)
    }

    fn may_pin(&self, cid: &Cid, mode: PinMode) -> Result<(), PinError> {
        if mode == PinMode::Direct && self.get(cid)?.is_some_and(|p| p.mode == PinMode::Recursive) {
            return Err(PinError::AlreadyRecursive(Box::new(*cid)));
        }
        Ok(())
    }

    /// Writes the pin of a DAG that was adopted in the session that the caller holds.
    fn commit(&self, cid: &Cid, mode: PinMode, name: &str) -> Result<(), PinError> {
        // IMPORTANT: first the blocks, then what names them.
        self.blocks.settle()?;
        let _one = self.changing.lock();
        self.may_pin(cid, mode)?;
        let mut batch = Batch::new();
        self.stage(&mut batch, cid, mode, name);
        Ok(self.blocks.kv().write(batch, Durability::Synced)?)
    }
}

fn stage_removal(batch: &mut Batch, cid: &Cid) {
    batch.delete(Table::Pins, rows::key(cid));
    // An interrupted collection has marked what this pin kept: the next one must not trust those marks.
    gc::stage_forget(batch);
}
