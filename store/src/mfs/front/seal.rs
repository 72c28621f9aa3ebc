//! Sealing: files first, and then what is above them.
//!
//! Nothing is fetched here while the gate is held: what needs a block that is not in the store is left as it was sealed
//! last, stays dirty, and is sealed when the block is there. So it is with all that can't be sealed.

use super::{Inner, Mfs, MfsError, Rounds, blocking, deadline};
use crate::{
    Block, Cid,
    blockstore::{Blockstore as _, KvBlocks},
    kv::Durability,
    mfs::{
        Ino,
        dir::{DirError, Directory, Link, Want},
        file::{File, FileError},
        need::Blocks,
        tree::{Content, Left, Present, Trouble},
    },
    unixfs::Root,
};
use futures::StreamExt as _;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
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
/// How long directories are looked into before they are sealed, to say whether they are still to be sharded.
const RECKONING: Duration = Duration::from_secs(2);
/// How long one is left sharded that could not be looked into.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Directories of which that is known.
const MAX_UNKNOWN: usize = 1024;

/// Directories that could not be looked into, and when.
pub(super) type Unknown = HashMap<Ino, Instant>;

/// What was sealed.
pub(super) struct Outcome {
    pub(super) link: Option<Link>,
    pub(super) left: Left,
}

/// The blocks of the store.
pub(super) struct Stored<'a>(pub(super) &'a KvBlocks);

impl Blocks for Stored<'_> {
    fn block(&self, cid: &Cid) -> Option<Block> {
        // Whoever then asks for it is told what is wrong.
        self.0.get(cid).ok().flatten()
    }
}

impl Mfs {
    /// Seals all that is below an inode, with the blocks that it needs.
    pub(super) async fn seal_below(&self, ino: Ino) -> Result<Link, MfsError> {
        if let Some(link) = self.inner.tree.lock().sealed_link(ino)? {
            return Ok(link);
        }
        let mfs = self.clone();
        super::commit::in_task(async move {
            mfs.prepare(ino).await;
            mfs.inner.behind.caught_up().await;
            let mut rounds = Rounds::default();
            loop {
                let Outcome { link, left } = {
                    let _alone = mfs.inner.gate.write().await;
                    mfs.seal_alone(Some(ino), ino).await?
                };
                match left.values().next() {
                    None => return link.ok_or(MfsError::Stale(ino)),
                    Some(Trouble::Need(cids)) => {
                        rounds.another(cids)?;
                        mfs.bring(cids.clone()).await?;
                    }
                    Some(trouble) => return Err(trouble.error()),
                }
            }
        })
        .await
    }

    /// Gets blocks into the store.
    async fn bring(&self, cids: Vec<Cid>) -> Result<(), MfsError> {
        let _session = self.inner.blocks.session();
        let blocks = self.get(cids).await?;
        let inner = Arc::clone(&self.inner);
        Ok(blocking(move || inner.store_some(&blocks)).await??)
    }

    /// Finds out which of the directories below an inode are still to be sharded. One that can't be looked into, or not
    /// soon enough, stays so.
    pub(super) async fn prepare(&self, below: Ino) {
        let end = Instant::now() + RECKONING;
        let unknown = self.inner.tree.lock().unreckoned(below);
        for (ino, before) in unknown {
            let now = Instant::now();
            let failed = self.inner.unknown.lock().get(&ino).copied();
            if now >= end || failed.is_some_and(|failed| now < failed + UNKNOWN) {
                continue;
            }
            let wait = end - now;
            match tokio::time::timeout(wait, self.reckon(before.clone(), wait)).await {
                Ok(Ok(after)) => self.inner.tree.lock().reckoned(ino, &before, after),
                Ok(Err(MfsError::Store(_))) => {}
                failed => {
                    tracing::debug!("a directory that may have become small stays sharded: {:?}", failed.map(|_| ()));
                    let mut unknown = self.inner.unknown.lock();
                    unknown.retain(|_, failed| now < *failed + UNKNOWN);
                    if unknown.len() < MAX_UNKNOWN {
                        unknown.insert(ino, now);
                    }
                }
            }
        }
    }

    async fn reckon(&self, mut directory: Directory, wait: Duration) -> Result<Directory, MfsError> {
        loop {
            let wanted = match directory.reckon() {
                Ok(()) => return Ok(directory),
                Err(DirError::Missing(wanted)) => wanted,
                Err(error) => return Err(error.into()),
            };
            let cids: Vec<Cid> = wanted.iter().map(|want| want.cid).collect();
            let mut coming = self.fetch.fetch_many(cids, deadline(wait));
            let mut blocks: Vec<Block> = Vec::with_capacity(wanted.len());
            while let Some(block) = coming.next().await {
                blocks.push(block?);
            }
            directory = blocking(move || placed(directory, &wanted, &blocks)).await??;
        }
    }

    /// Seals files, all of them or those below an inode, and then directories, from what is in the store. The caller has
    /// the gate alone.
    pub(super) async fn seal_alone(&self, files: Option<Ino>, below: Ino) -> Result<Outcome, MfsError> {
        let left = self.seal_files(files).await?;
        let plan = self.inner.tree.lock().plan(below, left)?;
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
        tree.apply(sealed.done);
        let link = match sealed.link {
            Some(link) => Some(link),
            None => tree.sealed_link(below)?,
        };
        Ok(Outcome { link, left: sealed.left })
    }

    /// Seals the files below an inode that have changes, or all of them, as far as it can.
    pub(super) async fn seal_files(&self, below: Option<Ino>) -> Result<Left, MfsError> {
        let files = self.inner.tree.lock().dirty_files(below);
        self.seal_these(files).await
    }

    /// Seals files, which come by ascending number. Unless the caller has the gate alone they may be changed again by then.
    pub(super) async fn seal_these(&self, mut files: Vec<(Ino, Content)>) -> Result<Left, MfsError> {
        let mut left = Left::new();
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(FILES));
            let mut locked = Vec::with_capacity(files.len());
            for (ino, content) in &files {
                locked.push((*ino, Arc::clone(content).lock_owned().await));
            }
            let inner = Arc::clone(&self.inner);
            left.extend(blocking(move || inner.seal_locked(locked)).await??);
            files = rest;
        }
        Ok(left)
    }
}

/// The directory with more shards.
fn placed(mut directory: Directory, wanted: &[Want], blocks: &[Block]) -> Result<Directory, MfsError> {
    for want in wanted {
        if let Some(block) = blocks.iter().find(|block| *block.cid() == want.cid) {
            directory.supply(want, block)?;
        }
    }
    Ok(directory)
}

impl Inner {
    /// Stores blocks: through the log while they are few.
    pub(super) fn store_some(&self, blocks: &[Block]) -> Result<(), crate::StoreError> {
        let few = self.stored.load(Ordering::Relaxed) < LOGGED;
        self.store(blocks, if few { Durability::Logged } else { Durability::Buffered })
    }

    fn seal_locked(&self, files: Vec<(Ino, OwnedMutexGuard<File>)>) -> Result<Left, MfsError> {
        let (mut small, mut left) = (Small::default(), Left::new());
        for (ino, mut file) in files {
            let sealed = if file.dirty_bytes() >= SMALL {
                let root = file.seal(&Stored(&self.blocks), &mut |blocks: Vec<Block>| self.store_some(&blocks));
                match &root {
                    Ok(root) => self.tree.lock().file_sealed(ino, root),
                    // Some of it may be sealed all the same.
                    Err(_) => {
                        let now = Present::unsealed(&mut file);
                        self.tree.lock().file_changed(ino, now);
                    }
                }
                root.map(drop)
            } else {
                small.seal(ino, file, &Stored(&self.blocks))
            };
            if let Err(error) = sealed {
                left.insert(ino, Trouble::of_file(error)?);
            }
            if small.bytes >= BATCH {
                self.store_small(std::mem::take(&mut small))?;
            }
        }
        self.store_small(small)?;
        Ok(left)
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
    fn seal(&mut self, ino: Ino, file: OwnedMutexGuard<File>, have: &dyn Blocks) -> Result<(), FileError> {
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

/// What is told of what was left.
pub(super) fn trouble_below(inner: &Inner, left: &Left, below: Ino) -> Option<(Ino, Trouble)> {
    let tree = inner.tree.lock();
    let found = left.iter().find(|(ino, _)| tree.is_below(**ino, below));
    found.map(|(ino, trouble)| (*ino, trouble.clone()))
}
