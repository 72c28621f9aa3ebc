//! The tree as others use it: asynchronous, from many tasks at once.
//!
//! Three locks, taken in this order, and never held while a block is fetched:
//!
//! 1. `gate`: whoever changes something holds it shared, for as long as the change itself takes. Sealing holds it alone,
//!    so that what is sealed is the tree at one moment. Readers don't take it.
//! 2. A file's content. Whoever takes several takes them by ascending number.
//! 3. `tree`: the namespace. Nothing is hashed or read from the disk under it.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | bytes written and in memory | [`Options::dirty_max`] | the writer has leaves written before it goes on |
//! | bytes on their way to the store | `behind::LOTS` times [`Options::lot`] | the writer waits |
//! | dirty inodes | [`MAX_DIRTY`], and one for each change under way | whoever changes one commits first |
//! | rounds of fetching for one operation | `rounds::MAX_ROUNDS`, a block `rounds::MAX_REPEATS` times | it fails |
//! | streams of reading | `streams::MAX_STREAMS` | the one that was used longest ago goes |

mod behind;
mod commit;
mod content;
mod copies;
mod draft;
mod names;
mod replace;
mod retry;
mod rounds;
mod seal;
mod streams;

pub use rounds::interruptible;

use super::{
    Attr, Ino, MfsError, ROOT_INO, RootCell, Stats,
    dir::Directory,
    need::SUPPLIED_BYTES,
    tree::{Fail, Needed, Ready, Step, Tree, naming_of},
};
use crate::{
    Block, Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    fetch::{Deadline, Fetch},
    session::Session,
    unixfs::{meta::FileMeta, node::Mtime, profile::Profile},
};
use behind::Behind;
use commit::Commits;
pub use draft::Draft;
use draft::Drafts;
use futures::StreamExt as _;
use parking_lot::Mutex;
pub use replace::Snapshot;
use rounds::Rounds;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::AtomicU64},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use streams::Streams;
use tokio::sync::{Notify, RwLock};

/// Times that something is done again because others changed what it is about meanwhile.
const MAX_ATTEMPTS: usize = 256;
/// Inodes with changes, about.
const MAX_DIRTY: usize = 1 << 15;
/// Sources of blocks that are known.
const MAX_SOURCES: usize = 4;
/// Bytes of blocks that are read on a thread of the runtime.
const READ_HERE: usize = 64 << 10;

/// How a tree behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decides the CIDs of what is written.
    pub profile: Profile,
    /// Bytes of written files that are kept in memory; a writer that passes it has leaves written first.
    pub dirty_max: u64,
    /// Bytes behind a sequential writer that are stored together, in the background.
    pub lot: u64,
    /// How far behind it they have to be: what it wrote last stays in memory.
    pub margin: u64,
    /// How long an operation waits for a block.
    pub deadline: Duration,
    /// How long a change waits for a commit that nobody asks for, at most: a fifth of that once nothing more changes.
    /// `None`: until somebody asks.
    pub commit_after: Option<Duration>,
    /// What time it is.
    pub now: fn() -> Mtime,
}

impl Options {
    /// The usual: 48 MiB, stored by 4 MiB with as much between them and the writer, half a minute, a commit after a second.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            dirty_max: 48 << 20,
            lot: 4 << 20,
            margin: 4 << 20,
            deadline: Duration::from_secs(30),
            commit_after: Some(Duration::from_secs(1)),
            now: system_time,
        }
    }
}

fn system_time() -> Mtime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Mtime { seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanos: now.subsec_nanos() }
}

/// A mutable tree. Cheap to clone: clones are the same tree.
#[derive(Clone)]
pub struct Mfs {
    inner: Arc<Inner>,
    /// Where missing blocks come from.
    fetch: Arc<dyn Fetch>,
    /// Whether times are noted that nobody asked for.
    stamps: bool,
    /// How long an operation waits for a block.
    patience: Duration,
}

struct Inner {
    gate: RwLock<()>,
    tree: Mutex<Tree>,
    guard: Mutex<Guard>,
    blocks: Arc<KvBlocks>,
    cell: Arc<dyn RootCell>,
    options: Options,
    commits: Commits,
    /// Held by whoever has leaves written because there are too many bytes in memory.
    reclaiming: tokio::sync::Mutex<()>,
    behind: Behind,
    /// Bytes of blocks that were stored since the last commit.
    stored: AtomicU64,
    streams: Streams,
    /// Directories that could not be looked into.
    unknown: Mutex<seal::Unknown>,
    /// Where views of the tree get blocks from, those used last at the end.
    sources: Mutex<Vec<Weak<dyn Fetch>>>,
    drafts: Drafts,
    /// There is something to commit, or nobody has the tree any more.
    changed: Arc<Notify>,
}

/// What keeps blocks that no committed root leads to.
#[derive(Default)]
struct Guard {
    /// Open since the first change that is not committed; those before it belong to commits under way.
    sessions: Vec<Session>,
    /// Whether there were changes since the last commit began, or it failed.
    pending: bool,
    /// Counts changes.
    changes: u64,
    /// What is taken into the tree by reference, until it is committed.
    adopted: BTreeMap<u64, Adopted>,
    /// Counts what was adopted.
    last: u64,
}

impl Guard {
    /// Puts a root on the list of what collections keep; answers its number there.
    fn keep(&mut self, adopted: Adopted) -> u64 {
        self.last += 1;
        self.adopted.insert(self.last, adopted);
        self.last
    }
}

/// What was taken into the tree by reference, or is about to be.
struct Adopted {
    cid: Cid,
    /// Whether it has its entry.
    linked: bool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// A reference to an inode, given up when this is dropped.
pub struct Held {
    mfs: Mfs,
    attr: Attr,
}

impl Mfs {
    /// Opens the tree that `cell` names, an empty one if it names none. Blocks are fetched from `fetch` as they are needed.
    ///
    /// # Errors
    /// When the root can't be read or had, or is no directory.
    pub async fn open(
        blocks: Arc<KvBlocks>,
        fetch: Arc<dyn Fetch>,
        cell: Arc<dyn RootCell>,
        options: Options,
    ) -> Result<Self, MfsError> {
        let reading = Arc::clone(&cell);
        let root = blocking(move || reading.load()).await??;
        let directory = match root {
            None => Directory::empty(&options.profile, FileMeta::NONE),
            Some(cid) => {
                let block = fetch.fetch(&cid, deadline(options.deadline)).await?;
                let mut directory = Directory::from_block(&options.profile, &block)?;
                directory.rename_later(naming_of(&options.profile));
                directory
            }
        };
        let inner = Arc::new(Inner {
            gate: RwLock::new(()),
            tree: Mutex::new(Tree::new(options.profile, directory, options.now)),
            guard: Mutex::default(),
            blocks,
            cell,
            options,
            commits: Commits::new(root),
            reclaiming: tokio::sync::Mutex::new(()),
            behind: Behind::default(),
            stored: AtomicU64::new(0),
            streams: Streams::default(),
            unknown: Mutex::default(),
            sources: Mutex::new(vec![Arc::downgrade(&fetch)]),
            drafts: Drafts::default(),
            changed: Arc::default(),
        });
        if let Some(after) = options.commit_after {
            commit::in_background(&inner, after);
        }
        Ok(Self { inner, fetch, stamps: false, patience: options.deadline })
    }

    /// The same tree, as a file system is expected to behave: what is made or written gets the present time, and the
    /// directory with it. Otherwise a file's time is kept up to date if it has one, and nothing else, as Kubo does.
    #[must_use]
    pub fn stamping(&self) -> Self {
        Self { stamps: true, ..self.clone() }
    }

    /// The same tree, whose missing blocks come from there.
    #[must_use]
    pub fn through(&self, fetch: Arc<dyn Fetch>) -> Self {
        self.inner.note_source(&fetch);
        Self { fetch, ..self.clone() }
    }

    /// The same tree, whose operations wait so long for a block.
    #[must_use]
    pub fn waiting(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// What decides the CIDs of what is written.
    pub fn profile(&self) -> &Profile {
        &self.inner.options.profile
    }

    /// Numbers of the tree.
    pub fn stats(&self) -> Stats {
        let tree = self.inner.tree.lock();
        Stats {
            inodes: tree.len(),
            dirty_bytes: tree.dirty_bytes(),
            dirty_inodes: tree.dirty(),
            commits: self.inner.commits.count(),
        }
    }

    /// Roots that a collection has to keep besides those of the pins: that of the tree, what was taken into it since, and
    /// what was unlinked and is in use. To be called after the collection has begun.
    ///
    /// # Errors
    /// When the root can't be read.
    pub fn keep(&self) -> Result<Vec<Cid>, StoreError> {
        let inner = &self.inner;
        let mut root = inner.cell.load()?;
        loop {
            let mut kept: Vec<Cid> = inner.guard.lock().adopted.values().map(|adopted| adopted.cid).collect();
            kept.extend(inner.tree.lock().orphans());
            // IMPORTANT: what a commit took out of the two lists is below its root, or needs no keeping: only if there
            // was none in between do they belong together.
            let again = inner.cell.load()?;
            if again == root {
                kept.extend(root);
                kept.sort_unstable();
                kept.dedup();
                return Ok(kept);
            }
            root = again;
        }
    }

    /// What time a change is stamped with.
    fn now(&self) -> Option<Mtime> {
        self.stamps.then(self.inner.options.now)
    }

    fn deadline(&self) -> Deadline {
        deadline(self.patience)
    }

    /// Does something that changes nothing, with as many blocks as it needs.
    async fn look<T>(&self, mut work: impl FnMut(&mut Tree) -> Step<T>) -> Result<T, MfsError> {
        let mut rounds = Rounds::default();
        loop {
            let done = work(&mut self.inner.tree.lock());
            match done {
                Ok(value) => return Ok(value),
                Err(Fail::Error(error)) => return Err(error),
                Err(Fail::Need(needed)) => self.provide(&needed, &mut rounds).await?,
            }
        }
    }

    /// Does something that changes the namespace.
    async fn change<T>(&self, mut work: impl FnMut(&mut Tree) -> Step<T>) -> Result<T, MfsError> {
        let mut rounds = Rounds::default();
        loop {
            let done = {
                let _open = self.inner.gate.read().await;
                self.inner.begin_change();
                work(&mut self.inner.tree.lock())
            };
            match done {
                Ok(value) => return Ok(value),
                Err(Fail::Error(error)) => return Err(error),
                Err(Fail::Need(needed)) => self.provide(&needed, &mut rounds).await?,
            }
        }
    }

    /// Has the tree committed if it has too many changes.
    async fn make_room(&self) -> Result<(), MfsError> {
        let full = || {
            let dirty = self.inner.tree.lock().dirty();
            dirty.saturating_sub(self.inner.commits.stuck()) >= MAX_DIRTY
        };
        if full() { self.sync().await.map(drop) } else { Ok(()) }
    }

    /// Gets the blocks that an operation needs.
    async fn provide(&self, needed: &Needed, rounds: &mut Rounds) -> Result<(), MfsError> {
        let cids: Vec<Cid> = match needed {
            Needed::Body { cid, .. } | Needed::Child { cid, .. } => vec![*cid],
            Needed::Shards { wanted, .. } => wanted.iter().map(|want| want.cid).collect(),
        };
        rounds.another(&cids)?;
        let blocks = self.get(cids).await?;
        let ready = self.make_ready(needed, blocks).await?;
        let mut tree = self.inner.tree.lock();
        tree.supply(needed, ready)?;
        if tree.is_heavy() {
            tree.trim();
        }
        Ok(())
    }

    /// Reads blocks as what they are needed for, outside of all locks, and of the runtime's threads if they are large.
    async fn make_ready(&self, needed: &Needed, blocks: Vec<Block>) -> Result<Ready, MfsError> {
        let reading = self.inner.tree.lock().reading(needed);
        let bytes: usize = blocks.iter().map(|block| block.data().len()).sum();
        if bytes <= READ_HERE {
            return reading.read(&blocks);
        }
        blocking(move || reading.read(&blocks)).await?
    }

    /// Gets blocks: some of them, the first at least, if they are many bytes.
    async fn get(&self, cids: Vec<Cid>) -> Result<Vec<Block>, MfsError> {
        let mut coming = self.fetch.fetch_many(cids, self.deadline());
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        while bytes < SUPPLIED_BYTES
            && let Some(block) = rounds::unless_interrupted(coming.next()).await?
        {
            let block = block?;
            bytes += block.data().len();
            blocks.push(block);
        }
        Ok(blocks)
    }
}

impl Inner {
    /// To be called, with the gate held, before something is changed.
    fn begin_change(&self) {
        let mut guard = self.guard.lock();
        if guard.sessions.is_empty() {
            guard.sessions.push(self.blocks.session());
        }
        guard.changes += 1;
        if !std::mem::replace(&mut guard.pending, true) {
            self.changed.notify_one();
        }
    }

    /// Notes a source of blocks, in place of one that is gone or was used longest ago.
    fn note_source(&self, fetch: &Arc<dyn Fetch>) {
        let source = Arc::downgrade(fetch);
        let mut sources = self.sources.lock();
        sources.retain(|other| other.strong_count() > 0 && !other.ptr_eq(&source));
        if sources.len() >= MAX_SOURCES {
            sources.remove(0);
        }
        sources.push(source);
    }
}

/// What an operation says that others kept from coming to its end.
fn restless(name: &[u8]) -> MfsError {
    MfsError::Invalid(format!("gave up: {} changed {MAX_ATTEMPTS} times meanwhile", super::error::shown(name)))
}

fn deadline(after: Duration) -> Deadline {
    Some(Instant::now() + after)
}

/// Does something that blocks or computes for long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, MfsError> {
    let work = crate::task::in_context(work);
    tokio::task::spawn_blocking(work).await.map_err(|e| MfsError::Closed(format!("a thread died: {e}")))
}

impl Held {
    /// What was said of it when it was taken.
    pub fn attr(&self) -> Attr {
        self.attr
    }

    /// Its number.
    pub fn ino(&self) -> Ino {
        self.attr.ino
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.attr.ino != ROOT_INO {
            self.mfs.forget(self.attr.ino, 1);
        }
    }
}
