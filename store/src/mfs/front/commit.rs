//! Sealing and committing.
//!
//! A commit seals the tree as it is at one moment, makes its blocks durable, and then the row that names its root: in this
//! order, so that a crash at any point leaves the last committed tree, whole. What is large is sealed before that moment,
//! while others go on writing; the moment itself lasts as long as it takes to seal the rest, and readers are never
//! stopped.

use super::{
    Inner, Mfs, MfsError, blocking,
    seal::{Outcome, trouble_below},
};
use crate::{
    Cid,
    fetch::{Fetch, Offline},
    mfs::{
        Ino, ROOT_INO,
        tree::{Left, Trouble},
    },
    session::Session,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Bytes in memory from which on files are sealed before the moment of a commit, and how often.
const AHEAD_BYTES: u64 = 1 << 20;
const AHEAD_ROUNDS: usize = 2;
/// Delay before a background commit that failed is tried again, at most.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// Part of the time that a change waits for a commit after which it comes once nothing more changes.
const AT_REST: u32 = 5;
/// Commits that nobody asks for take no more than that part of the time, as long as they come at least so often.
const SHARE: u32 = 10;
const LONGEST: Duration = Duration::from_secs(3);

/// Commits of a tree: those who ask for one while another is running share the next.
pub(super) struct Commits {
    running: tokio::sync::Mutex<()>,
    /// How many were asked for.
    asked: AtomicU64,
    /// The last that ended: how many had been asked for when it began, and what came of it.
    done: Mutex<(u64, Option<Result<Committed, MfsError>>)>,
    /// The root that the cell holds.
    root: Mutex<Option<Cid>>,
    count: AtomicU64,
    /// What the last commit left as it was sealed last.
    left: Mutex<Arc<Left>>,
    /// Whether somebody looks for the blocks that it needs.
    pub(super) retrying: AtomicBool,
}

#[derive(Clone)]
struct Committed {
    root: Cid,
    left: Arc<Left>,
}

impl Commits {
    pub(super) fn new(root: Option<Cid>) -> Self {
        Self {
            running: tokio::sync::Mutex::new(()),
            asked: AtomicU64::new(0),
            done: Mutex::new((0, None)),
            root: Mutex::new(root),
            count: AtomicU64::new(0),
            left: Mutex::default(),
            retrying: AtomicBool::new(false),
        }
    }

    /// What the last commit left.
    pub(super) fn left(&self) -> Arc<Left> {
        Arc::clone(&self.left.lock())
    }

    /// How much that was.
    pub(super) fn stuck(&self) -> usize {
        self.left.lock().len()
    }

    /// Commits that were done.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Commits changes that nobody else commits, for as long as somebody has the tree: soon after the last of them, or `after`
/// the first.
pub(super) fn in_background(inner: &Arc<Inner>, after: Duration) {
    let (weak, changed) = (Arc::downgrade(inner), Arc::clone(&inner.changed));
    tokio::spawn(async move {
        let (mut wait, mut retry) = (after, after);
        loop {
            changed.notified().await;
            at_rest(&weak, wait).await;
            let Some(mfs) = local_view(&weak) else { return };
            if !mfs.inner.guard.lock().pending {
                continue;
            }
            let begun = Instant::now();
            match mfs.sync().await {
                Ok(_) => {
                    wait = after.max((begun.elapsed() * SHARE).min(LONGEST));
                    retry = after;
                    super::retry::in_background(&mfs.inner);
                }
                Err(error) => {
                    tracing::warn!("changes of the tree can't be committed yet: {error}");
                    retry = (retry * 2).min(MAX_RETRY);
                    drop(mfs);
                    tokio::time::sleep(retry).await;
                    changed.notify_one();
                }
            }
        }
    });
}

/// Waits until nothing changes for a while, but not too long.
async fn at_rest(weak: &Weak<Inner>, longest: Duration) {
    let end = Instant::now() + longest;
    let count = || weak.upgrade().map(|inner| inner.guard.lock().changes);
    let mut before = count();
    while before.is_some() && Instant::now() < end {
        tokio::time::sleep((longest / AT_REST).min(end.saturating_duration_since(Instant::now()))).await;
        let now = count();
        if now == before {
            return;
        }
        before = now;
    }
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
    /// What can't be sealed, or not without a block that is not here, is in the committed tree as it was sealed last, or
    /// empty if it never was: it is nobody's error but of whoever asks for it, by [`Mfs::sync_below`] or [`Mfs::flush`].
    ///
    /// # Errors
    /// When the store takes nothing; what was committed before is what a crash leaves then, and nothing in memory is lost.
    pub async fn sync(&self) -> Result<Cid, MfsError> {
        Ok(self.shared_commit().await?.root)
    }

    /// The same for whoever depends on an inode and what is below it: what is missing for that is fetched.
    ///
    /// # Errors
    /// As [`Mfs::flush`] and [`Mfs::sync`]: the rest of the tree is durable all the same, unless the store failed.
    pub async fn sync_below(&self, ino: Ino) -> Result<Cid, MfsError> {
        let mut committed = self.shared_commit().await?;
        if trouble_below(&self.inner, &committed.left, ino).is_some() {
            self.seal_below(ino).await?;
            committed = self.shared_commit().await?;
        }
        match trouble_below(&self.inner, &committed.left, ino) {
            None => Ok(committed.root),
            Some((_, trouble)) => Err(trouble.error()),
        }
    }

    /// The same for the whole tree, from what is here: nothing is fetched.
    ///
    /// # Errors
    /// As [`Mfs::sync`], and when something was left; the rest is durable all the same.
    pub async fn sync_here(&self) -> Result<Cid, MfsError> {
        let committed = self.shared_commit().await?;
        match trouble_below(&self.inner, &committed.left, ROOT_INO) {
            None => Ok(committed.root),
            Some((_, trouble)) => Err(trouble.error()),
        }
    }

    /// Why something below an inode, or itself, is not in the last commit as it was then, if there is such a thing: what a
    /// message calls it, and the error. Nothing is fetched.
    pub fn left_below(&self, ino: Ino) -> Option<(String, MfsError)> {
        let (stuck, trouble) = trouble_below(&self.inner, &self.inner.commits.left(), ino)?;
        Some((self.inner.tree.lock().name(stuck), trouble.error()))
    }

    async fn shared_commit(&self) -> Result<Committed, MfsError> {
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

    async fn commit(&self) -> Result<Committed, MfsError> {
        let inner = &self.inner;
        self.prepare(ROOT_INO).await;
        // What is on its way is not to be hashed again.
        inner.behind.caught_up().await;
        for _ in 0..AHEAD_ROUNDS {
            if inner.tree.lock().dirty_bytes() > AHEAD_BYTES {
                self.seal_files(None).await?;
            }
        }
        let (root, left, adopted, sessions) = {
            let _alone = inner.gate.write().await;
            let Outcome { link, left } = self.seal_alone(None, ROOT_INO).await?;
            // All else is below it.
            if let Some(trouble) = left.get(&ROOT_INO) {
                return Err(trouble.error());
            }
            let root = link.ok_or(MfsError::Stale(ROOT_INO))?;
            let mut guard = inner.guard.lock();
            // What is changed from now on opens a session of its own.
            let linked = guard.adopted.iter().filter(|(_, adopted)| adopted.linked);
            let linked: Vec<u64> = linked.map(|(number, _)| *number).collect();
            guard.pending = false;
            (root.cid, Arc::new(left), linked, std::mem::take(&mut guard.sessions))
        };
        // IMPORTANT: the sessions end only when the root is durable (rule 2 of `session`).
        let mut kept = Kept { inner, sessions, failed: true };
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
        note_left(inner, &left);
        kept.failed = false;
        if left.is_empty() {
            inner.guard.lock().adopted.retain(|number, _| adopted.binary_search(number).is_err());
            kept.sessions.clear();
        }
        // Of what is left, some blocks may be stored that the root does not lead to.
        drop(kept);
        let mut tree = inner.tree.lock();
        tree.drop_orphans();
        tree.put_away();
        if tree.is_heavy() {
            tree.trim();
        }
        Ok(Committed { root, left })
    }
}

/// Keeps what a commit left, and tells of what is new.
fn note_left(inner: &Inner, left: &Arc<Left>) {
    let before = std::mem::replace(&mut *inner.commits.left.lock(), Arc::clone(left));
    for (ino, trouble) in left.iter().filter(|(ino, _)| !before.contains_key(ino)) {
        let name = inner.tree.lock().name(*ino);
        match trouble {
            Trouble::Need(_) => tracing::warn!("{name} stays as it was until its blocks are here: {}", trouble.error()),
            Trouble::Error(error) => tracing::warn!("{name} can't be written as it is now: {error}"),
        }
    }
}

/// The sessions of a commit: given back unless they are ended.
struct Kept<'a> {
    inner: &'a Inner,
    sessions: Vec<Session>,
    failed: bool,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let mut guard = self.inner.guard.lock();
        guard.pending |= self.failed;
        if !self.sessions.is_empty() {
            // The oldest guards what those after it do.
            self.sessions.truncate(1);
            guard.sessions = std::mem::take(&mut self.sessions);
        }
    }
}

/// Does something that must come to its end, whether or not somebody waits for it.
pub(super) async fn in_task<T: Send + 'static>(
    work: impl Future<Output = Result<T, MfsError>> + Send + 'static,
) -> Result<T, MfsError> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(MfsError::Closed(format!("a task died: {error}"))),
    }
}
