//! Content that is written beside the tree, and put in place in one change.
//!
//! A [`Draft`] is a file that no directory leads to. Nobody sees it, and no commit has it, before [`Draft::finish`]; if it
//! is dropped instead, nothing was changed. Of each file there is one draft at a time: whoever wants another one waits.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | bytes of one draft in memory | [`MAX_BYTES`] | its leaves are written |
//! | bytes of all drafts in memory | half of [`Options::dirty_max`](super::Options::dirty_max) | leaves are written at each write |
//!
//! Leaves that were written are kept from collections by the draft's session, which the next commit takes over; what is
//! left of the old content is kept as what was adopted is.

use super::{Held, Inner, Mfs, Rounds, blocking, names::Adoption};
use crate::{
    Block,
    blockstore::Blockstore as _,
    kv::Durability,
    mfs::{
        Ino, Kind, MfsError, New,
        error::shown,
        file::{File, FileError},
        need::Supplied,
    },
    session::Session,
    unixfs::meta::FileMeta,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::OwnedMutexGuard;

/// Bytes of a draft in memory from which on its leaves are written.
const MAX_BYTES: u64 = 4 << 20;

/// What drafts of a tree share.
#[derive(Default)]
pub(super) struct Drafts {
    /// Who writes what now, and who waits for it.
    turns: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    /// Bytes in memory.
    bytes: AtomicU64,
}

/// What is written one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    File(Ino),
    /// A file that is not there yet.
    Name(Ino, Bytes),
}

/// The right to write something, or the wait for it.
struct Turn {
    inner: Arc<Inner>,
    key: Key,
    lock: Arc<tokio::sync::Mutex<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

/// Where a draft goes.
enum Target {
    File(Held),
    New { parent: Held, name: Bytes, new: New },
}

/// A file's content that is being written. See the module.
pub struct Draft {
    mfs: Mfs,
    target: Target,
    /// `None` only while a thread writes it back, or when that thread died.
    file: Option<File>,
    have: Supplied,
    counted: Counted,
    /// What of the old content is left.
    adoption: Option<Adoption>,
    session: Session,
    _turn: Turn,
}

/// Bytes that are counted with those of all drafts.
struct Counted {
    inner: Arc<Inner>,
    bytes: u64,
}

impl Mfs {
    /// Begins to write the content of a file: on what is in it, or, if `empty`, from nothing. With `new` it is made if
    /// there is none. Changes that others make to the file's content meanwhile are written over in the end, all of them.
    ///
    /// # Errors
    /// When there is no such file, or something else, or it can't be read.
    pub async fn draft(&self, parent: Ino, name: &[u8], new: Option<New>, empty: bool) -> Result<Draft, MfsError> {
        for _ in 0..super::MAX_ATTEMPTS {
            let there = self.there(parent, name, new).await?;
            let turn = self.turn(there.as_ref(), parent, name).await;
            // Whoever had the turn before may have made it, or moved it.
            let again = self.there(parent, name, new).await?;
            match (there, again, new) {
                (Some(there), Some(again), _) if there.ino() == again.ino() => {
                    return self.draft_of(there, turn, empty).await;
                }
                (None, None, Some(new)) => {
                    let parent = self.hold(self.lookup(parent, b".").await?);
                    let file = self.look(|tree| tree.begin_file(parent.ino(), name, new)).await?;
                    let target = Target::New { parent, name: Bytes::copy_from_slice(name), new };
                    return Ok(self.begun(target, turn, file, None));
                }
                _ => {}
            }
        }
        Err(super::restless(name))
    }

    async fn there(&self, parent: Ino, name: &[u8], new: Option<New>) -> Result<Option<Held>, MfsError> {
        let held = match self.lookup(parent, name).await {
            Ok(attr) => self.hold(attr),
            Err(MfsError::NotFound(_)) if new.is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        match held.attr().kind {
            Kind::File => Ok(Some(held)),
            Kind::Directory => Err(MfsError::IsDir(shown(name))),
            Kind::Symlink => Err(MfsError::IsSymlink(shown(name))),
        }
    }

    async fn turn(&self, there: Option<&Held>, parent: Ino, name: &[u8]) -> Turn {
        let key = match there {
            Some(held) => Key::File(held.ino()),
            None => Key::Name(parent, Bytes::copy_from_slice(name)),
        };
        let lock = Arc::clone(self.inner.drafts.turns.lock().entry(key.clone()).or_default());
        // Made before the wait, so that one that is given up leaves nothing.
        let mut turn = Turn { inner: Arc::clone(&self.inner), key, lock, held: None };
        turn.held = Some(Arc::clone(&turn.lock).lock_owned().await);
        turn
    }

    async fn draft_of(&self, held: Held, turn: Turn, empty: bool) -> Result<Draft, MfsError> {
        let ino = held.ino();
        let content = self.look(|tree| tree.content(ino)).await?;
        let (profile, meta) = {
            let file = content.lock().await;
            (*file.profile(), file.meta())
        };
        let (file, adoption) = if empty {
            (File::empty(&profile, meta), None)
        } else {
            let (link, kept) = self.keep_sealed(ino).await?;
            let block = self.fetch.fetch(&link.cid, self.deadline()).await?;
            (File::from_block(&profile, &block)?, Some(kept))
        };
        Ok(self.begun(Target::File(held), turn, file, adoption))
    }

    fn begun(&self, target: Target, turn: Turn, file: File, adoption: Option<Adoption>) -> Draft {
        Draft {
            mfs: self.clone(),
            target,
            file: Some(file),
            have: Supplied::new(),
            counted: Counted { inner: Arc::clone(&self.inner), bytes: 0 },
            adoption,
            session: self.inner.blocks.session(),
            _turn: turn,
        }
    }
}

impl Draft {
    /// Writes bytes; a hole is made where they begin behind the end.
    ///
    /// # Errors
    /// When it would be too long, a block can't be had that is changed in part, or the store takes nothing.
    pub async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MfsError> {
        self.mfs.check_quota(data.len() as u64).await?;
        let mut rounds = Rounds::default();
        loop {
            let file = self.file.as_mut().ok_or_else(lost)?;
            match file.write(offset, data, &self.have) {
                Ok(()) => {
                    self.counted.set(file.dirty_bytes());
                    return self.write_back().await;
                }
                Err(FileError::Need(need)) => {
                    self.mfs.supply(need, &mut self.have, &mut rounds).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has leaves written if there are many bytes in memory.
    async fn write_back(&mut self) -> Result<(), MfsError> {
        let inner = Arc::clone(&self.mfs.inner);
        let all = inner.drafts.bytes.load(Ordering::Relaxed);
        if self.counted.bytes < MAX_BYTES && all <= inner.options.dirty_max / 2 {
            return Ok(());
        }
        let mut file = self.file.take().ok_or_else(lost)?;
        let (file, done) = blocking(move || {
            let done = file.write_back(&mut |blocks: Vec<Block>| inner.store(&blocks, Durability::Buffered));
            (file, done)
        })
        .await?;
        self.counted.set(file.dirty_bytes());
        self.file = Some(file);
        Ok(done?)
    }

    /// Puts the content in place, in one change for whoever looks, and for a crash. Permissions of a file that is there
    /// stay as they are by then; its time, if it has one, is that of now.
    ///
    /// # Errors
    /// When a file of that name was made meanwhile, or its directory removed, or there is too much in memory and the store
    /// takes nothing.
    pub async fn finish(self) -> Result<(), MfsError> {
        let Self { mfs, target, file, counted, adoption, session, _turn, .. } = self;
        let mut file = file.ok_or_else(lost)?;
        file.mark_changed();
        let mut session = Some(session);
        // With the gate held: the next commit has the content, and ends the session.
        let mut in_place = || {
            mfs.inner.guard.lock().sessions.extend(session.take());
            adoption.iter().for_each(Adoption::linked);
        };
        match &target {
            Target::File(held) => {
                mfs.edit_as(held.ino(), true, |old, have| {
                    let meta = old.meta();
                    // What the change is stamped with has to have its place.
                    file.prepare_meta(FileMeta { mtime: mfs.time_for(old).or(meta.mtime), ..meta }, have)?;
                    file.set_meta(meta);
                    std::mem::swap(old, &mut file);
                    in_place();
                    Ok(())
                })
                .await?;
            }
            Target::New { parent, name, new } => {
                mfs.make_room().await?;
                let now = mfs.now();
                let made = mfs.change(|tree| {
                    let made = tree.make_file(parent.ino(), name, *new, &file, now)?;
                    in_place();
                    Ok(made)
                });
                mfs.hold(made.await?);
            }
        }
        drop((file, counted));
        mfs.reclaim().await
    }
}

impl Counted {
    fn set(&mut self, bytes: u64) {
        let all = &self.inner.drafts.bytes;
        all.fetch_add(bytes, Ordering::Relaxed);
        all.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut turns = self.inner.drafts.turns.lock();
        // This one, and that of the table: nobody waits.
        if Arc::strong_count(&self.lock) == 2 {
            turns.remove(&self.key);
        }
    }
}

fn lost() -> MfsError {
    MfsError::Closed("what was written is lost: a thread died".into())
}
