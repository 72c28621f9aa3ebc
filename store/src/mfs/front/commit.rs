//! Sealing and committing.
//!
//! A commit seals the tree as it is at one moment, makes its blocks durable, and then the row that names its root: in this
//! order, so that a crash at any point leaves the last committed tree, whole. What is large is sealed before that moment,
//! while others go on writing; the moment itself lasts as long as it takes to seal the rest, and readers are never
//! stopped.

use super::{Inner, Mfs, MfsError, blocking};
use crate::{
    Block, Cid,
    fetch::{Fetch, Offline},
    kv::Durability,
    mfs::{
        Ino, ROOT_INO,
        dir::Link,
        file::{File, FileError},
        need::Supplied,
        tree::{Content, Fail, Needed},
    },
    session::Session,
    unixfs::Root,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::OwnedMutexGuard;

/// Bytes since the last commit that go through the log of the store. What is more is flushed at the commit instead: half
/// of its cost would be the log's.
const LOGGED: u64 = 4 << 20;
/// Bytes of blocks that are stored at once.
const BATCH: usize = 4 << 20;
/// A file with fewer bytes in memory is stored together with others.
const SMALL: u64 = 512 << 10;
/// Files that are sealed at once.
const FILES: usize = 256;
/// Bytes in memory from which on files are sealed before the moment of a commit, and how often.
const AHEAD_BYTES: u64 = 1 << 20;
const AHEAD_ROUNDS: usize = 2;
/// Delay before a background commit that failed is tried again, at most.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// Commits of a tree: those who ask for one while another is running share the next.
pub(super) struct Commits {
    running: tokio::sync::Mutex<()>,
    /// How many were asked for.
    asked: AtomicU64,
    /// The last that ended: how many had been asked for when it began, and what came of it.
    done: Mutex<(u64, Option<Result<Cid, MfsError>>)>,
    /// The root that the cell holds.
    root: Mutex<Option<Cid>>,
    count: AtomicU64,
}

impl Commits {
    pub(super) fn new(root: Option<Cid>) -> Self {
        Self {
            running: tokio::sync::Mutex::new(()),
            asked: AtomicU64::new(0),
            done: Mutex::new((0, None)),
            root: Mutex::new(root),
            count: AtomicU64::new(0),
        }
    }

    /// Commits that were done.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Commits changes that nobody else commits, for as long as somebody has the tree.
pub(super) fn in_background(inner: &Arc<Inner>, after: Duration) {
    let (weak, changed) = (Arc::downgrade(inner), Arc::clone(&inner.changed));
    tokio::spawn(async move {
        let mut delay = after;
        loop {
            changed.notified().await;
            tokio::time::sleep(delay).await;
            let Some(mfs) = local_view(&weak) else { return };
            if mfs.inner.guard.lock().sessions.is_empty() {
                continue;
            }
            match mfs.sync().await {
                Ok(_) => delay = after,
                Err(error) => {
                    tracing::warn!("changes of the tree can't be committed yet: {error}");
                    delay = (delay * 2).min(MAX_RETRY);
                    mfs.inner.changed.notify_one();
                }
            }
        }
    });
}

/// The tree without a network.
fn local_view(weak: &Weak<Inner>) -> Option<Mfs> {
    let inner = weak.upgrade()?;
    let fetch: Arc<dyn Fetch> = Arc::new(Offline::new(Arc::clone(&inner.blocks) as _));
    let patience = inner.options.deadline;
    Some(Mfs { inner, fetch, stamps: false, patience })
}

impl Mfs {
    /// Seals what is below an inode; answers its root. Its blocks are in the store then, and durable after the next
    /// [`Mfs::sync`].
    ///
    /// # Errors
    /// When the store takes nothing, or a block that is needed can't be had.
    pub async fn flush(&self, ino: Ino) -> Result<Cid, MfsError> {
        Ok(self.seal_below(ino).await?.cid)
    }

    /// Makes everything that was done before the call durable; answers the root of the tree. Concurrent calls share a
    /// commit. The commit goes on when the call is given up.
    ///
    /// # Errors
    /// As [`Mfs::flush`]; what was committed before is what a crash leaves then, and nothing in memory is lost.
    pub async fn sync(&self) -> Result<Cid, MfsError> {
        let mfs = self.clone();
        let mine = self.inner.commits.asked.fetch_add(1, Ordering::SeqCst) + 1;
        in_task(async move {
            let commits = &mfs.inner.commits;
            let _running = commits.running.lock().await;
            if let (upto, Some(result)) = &*commits.done.lock()
                && *upto >= mine
            {
                return result.clone();
            }
            let upto = commits.asked.load(Ordering::SeqCst);
            let result = mfs.commit().await;
            *commits.done.lock() = (upto, Some(result.clone()));
            result
        })
        .await
    }

    pub(super) async fn seal_below(&self, ino: Ino) -> Result<Link, MfsError> {
        if let Some(link) = self.inner.tree.lock().sealed_link(ino)? {
            return Ok(link);
        }
        let mfs = self.clone();
        in_task(async move {
            mfs.prepare(ino).await?;
            let _alone = mfs.inner.gate.write().await;
            mfs.seal_alone(Some(ino), ino).await
        })
        .await
    }

    async fn commit(&self) -> Result<Cid, MfsError> {
        let inner = &self.inner;
        self.prepare(ROOT_INO).await?;
        for _ in 0..AHEAD_ROUNDS {
            if inner.tree.lock().dirty_bytes() > AHEAD_BYTES {
                self.seal_files(None).await?;
            }
        }
        let (root, adopted, sessions) = {
            let _alone = inner.gate.write().await;
            let root = self.seal_alone(None, ROOT_INO).await?;
            let mut guard = inner.guard.lock();
            // What is changed from now on opens a session of its own.
            let linked = guard.adopted.iter().filter(|(_, adopted)| adopted.linked);
            let linked: Vec<u64> = linked.map(|(number, _)| *number).collect();
            (root.cid, linked, std::mem::take(&mut guard.sessions))
        };
        // IMPORTANT: the sessions end only when the root is durable (rule 2 of `session`).
        let kept = Kept { inner, sessions };
        if *inner.commits.root.lock() != Some(root) {
            let cell = Arc::clone(inner);
            blocking(move || {
                cell.blocks.settle()?;
                cell.cell.commit(&root)
            })
            .await??;
            *inner.commits.root.lock() = Some(root);
            inner.commits.count.fetch_add(1, Ordering::Relaxed);
            inner.stored.store(0, Ordering::Relaxed);
        }
        inner.guard.lock().adopted.retain(|number, _| adopted.binary_search(number).is_err());
        kept.end();
        let mut tree = inner.tree.lock();
        tree.drop_orphans();
        if tree.is_heavy() {
            tree.trim();
        }
        Ok(root)
    }

    /// Fetches what sealing will need.
    async fn prepare(&self, below: Ino) -> Result<(), MfsError> {
        self.look(|tree| tree.prepare_links(below)).await?;
        let mut skip = BTreeSet::new();
        loop {
            let done = self.inner.tree.lock().prepare_forms(below, &skip);
            let needed = match done {
                Ok(()) => return Ok(()),
                Err(Fail::Error(error)) => return Err(error),
                Err(Fail::Need(needed)) => needed,
            };
            if let Err(error) = self.provide(&needed).await {
                // A directory that can't be looked into stays sharded.
                tracing::debug!("a directory that may have become small stays sharded: {error}");
                match *needed {
                    Needed::Shards { ino, .. } => skip.insert(ino),
                    _ => return Err(error),
                };
            }
        }
    }

    /// Seals files, all of them or those below an inode, and then directories. The caller has the gate alone.
    async fn seal_alone(&self, files: Option<Ino>, below: Ino) -> Result<Link, MfsError> {
        self.seal_files(files).await?;
        let plan = self.inner.tree.lock().plan(below)?;
        let inner = Arc::clone(&self.inner);
        let sealed = blocking(move || {
            let mut batch = Vec::new();
            let mut bytes = 0;
            let sealed = plan.seal(&inner.blocks, &mut |block: Block| {
                bytes += block.data().len();
                batch.push(block);
                if bytes < BATCH {
                    return Ok(());
                }
                bytes = 0;
                inner.store_some(&std::mem::take(&mut batch))
            })?;
            inner.store_some(&batch)?;
            Ok::<_, MfsError>(sealed)
        })
        .await??;
        let mut tree = self.inner.tree.lock();
        tree.apply(sealed);
        tree.sealed_link(below)?.ok_or(MfsError::Stale(below))
    }

    /// Seals the files below an inode that have changes, or all of them.
    async fn seal_files(&self, below: Option<Ino>) -> Result<(), MfsError> {
        let files = self.inner.tree.lock().dirty_files(below);
        self.seal_these(files).await
    }

    /// Seals files, which come by ascending number. Unless the caller has the gate alone they may be changed again by then.
    pub(super) async fn seal_these(&self, mut files: Vec<(Ino, Content)>) -> Result<(), MfsError> {
        let mut have = Supplied::new();
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(FILES));
            let mut locked = Vec::with_capacity(files.len());
            for (ino, content) in &files {
                locked.push((*ino, Arc::clone(content).lock_owned().await));
            }
            let (inner, supplied) = (Arc::clone(&self.inner), have.clone());
            match blocking(move || inner.seal_locked(locked, &supplied)).await? {
                Ok(()) => files = rest,
                // Those that were sealed are passed over quickly.
                Err(FileError::Need(need)) => {
                    have.put(self.fetch.fetch(&need.0, self.deadline()).await?);
                    files.extend(rest);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Inner {
    /// Stores blocks: through the log while they are few.
    pub(super) fn store_some(&self, blocks: &[Block]) -> Result<(), crate::StoreError> {
        let few = self.stored.load(Ordering::Relaxed) < LOGGED;
        self.store(blocks, if few { Durability::Logged } else { Durability::Buffered })
    }

    fn seal_locked(&self, files: Vec<(Ino, OwnedMutexGuard<File>)>, have: &Supplied) -> Result<(), FileError> {
        let mut small = Small::default();
        for (ino, mut file) in files {
            if file.dirty_bytes() >= SMALL {
                let root = file.seal(have, &mut |blocks: Vec<Block>| self.store_some(&blocks))?;
                self.tree.lock().file_sealed(ino, &root);
                continue;
            }
            small.seal(ino, file, have)?;
            if small.bytes >= BATCH {
                self.store_small(std::mem::take(&mut small))?;
            }
        }
        Ok(self.store_small(small)?)
    }

    /// Stores the blocks of small files together, and only then puts what was sealed in the place of what was not.
    fn store_small(&self, small: Small) -> Result<(), crate::StoreError> {
        self.store_some(&small.blocks)?;
        for (ino, mut file, sealed, root) in small.files {
            *file = sealed;
            // IMPORTANT: while the file is locked, so that nobody changes it in between.
            self.tree.lock().file_sealed(ino, &root);
        }
        Ok(())
    }
}

/// Small files whose blocks are not stored yet.
#[derive(Default)]
struct Small {
    files: Vec<(Ino, OwnedMutexGuard<File>, File, Root)>,
    blocks: Vec<Block>,
    bytes: usize,
}

impl Small {
    fn seal(&mut self, ino: Ino, file: OwnedMutexGuard<File>, have: &Supplied) -> Result<(), FileError> {
        let mut sealed = file.clone();
        let root = sealed.seal(have, &mut |blocks: Vec<Block>| {
            self.bytes += blocks.iter().map(|block| block.data().len()).sum::<usize>();
            self.blocks.extend(blocks);
            Ok(())
        })?;
        self.files.push((ino, file, sealed, root));
        Ok(())
    }
}

/// The sessions of a commit: given back if it fails.
struct Kept<'a> {
    inner: &'a Inner,
    sessions: Vec<Session>,
}

impl Kept<'_> {
    fn end(mut self) {
        self.sessions.clear();
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !self.sessions.is_empty() {
            self.inner.guard.lock().sessions.append(&mut self.sessions);
        }
    }
}

/// Does something that must come to its end, whether or not somebody waits for it.
async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, MfsError>> + Send + 'static,
) -> Result<T, MfsError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(MfsError::Closed(format!("a task died: {error}"))),
    }
}
