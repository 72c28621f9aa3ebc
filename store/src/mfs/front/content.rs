//! What files hold: reading and writing.

use super::{Mfs, Rounds, blocking, seal::Stored};
use crate::{
    Block, Cid,
    blockstore::Blockstore as _,
    kv::Durability,
    mfs::{
        Change, Ino, MfsError,
        file::{File, FileError, Seek, Segment},
        need::{Need, Supplied},
        tree::{Content, Present},
    },
    unixfs::{meta::FileMeta, node::Mtime},
};
use bytes::{Bytes, BytesMut};
use std::{ops::Range, sync::Arc};

/// Bytes that are read at once.
pub(super) const MAX_READ: usize = 16 << 20;

/// Bytes of a file in memory from which on its leaves are written one by one; of others the whole file is.
const LARGE: u64 = 4 << 20;
/// Other files that are written together.
const RECLAIMED: usize = 64;

/// Where the bytes of a file are.
enum Source {
    /// In the file of that root and length.
    Sealed(Cid, u64),
    /// In memory, in part.
    Content(Content),
}

impl Mfs {
    /// At most `len` bytes from `offset` on; fewer only at the end of the file, or where `len` is above [`MAX_READ`].
    ///
    /// # Errors
    /// When it is no file, or a block can't be had.
    pub async fn read(&self, ino: Ino, offset: u64, len: usize) -> Result<Bytes, MfsError> {
        let end = offset.saturating_add(len.min(MAX_READ) as u64);
        self.measure(ino).await?;
        let before = self.inner.tree.lock().inode(ino)?.link;
        match self.read_once(ino, offset..end).await {
            // What was sealed when it was looked up may have been replaced, committed and collected since.
            Err(MfsError::Fetch(_)) if self.inner.tree.lock().inode(ino)?.link != before => {
                self.read_once(ino, offset..end).await
            }
            read => read,
        }
    }

    async fn read_once(&self, ino: Ino, range: Range<u64>) -> Result<Bytes, MfsError> {
        let source = {
            let mut tree = self.inner.tree.lock();
            let content = tree.file(ino)?.content.clone();
            let inode = tree.inode(ino)?;
            match (content, inode.link) {
                (Some(content), _) => Source::Content(content),
                (None, Some(link)) => Source::Sealed(link.cid, inode.size),
                (None, None) => return Err(MfsError::Stale(ino)),
            }
        };
        let segments = match source {
            Source::Sealed(cid, size) => {
                let of = range.start..range.end.min(size);
                if of.is_empty() { Vec::new() } else { vec![Segment::Sealed { cid, size, of }] }
            }
            Source::Content(content) => {
                let file = content.lock().await;
                let (mut at, end) = (range.start, range.end.min(file.len()));
                let mut segments = Vec::new();
                // Very many pieces come in several answers.
                while at < end {
                    let some = file.segments(at..end);
                    at += some.iter().map(Segment::len).sum::<u64>().max(1);
                    segments.extend(some);
                }
                segments
            }
        };
        self.gather(segments).await
    }

    async fn gather(&self, segments: Vec<Segment>) -> Result<Bytes, MfsError> {
        let single = segments.len() == 1;
        let mut out = BytesMut::new();
        for segment in segments {
            let bytes = match segment {
                Segment::Bytes(bytes) => bytes,
                Segment::Zeros(len) => {
                    // At most `MAX_READ` were asked for.
                    out.resize(out.len() + usize::try_from(len).unwrap_or_default(), 0);
                    continue;
                }
                Segment::Sealed { cid, of, .. } => {
                    let streams = &self.inner.streams;
                    streams.read(&self.fetch, &cid, of, self.patience).await?
                }
            };
            if single {
                return Ok(bytes);
            }
            out.extend_from_slice(&bytes);
        }
        Ok(out.freeze())
    }

    /// Writes bytes; a hole is made where they begin behind the end.
    ///
    /// # Errors
    /// When it is no file, it would be too long, a block can't be had that is changed in part, or there is too much in
    /// memory and the store takes nothing.
    pub async fn write(&self, ino: Ino, offset: u64, data: Bytes) -> Result<(), MfsError> {
        self.check_quota(data.len() as u64).await?;
        self.check_behind(ino)?;
        let lot = self.edit(ino, |file, have| file.write(offset, &data, have).map(|()| self.has_lot(file))).await?;
        self.make_way(ino, lot).await
    }

    /// Writes at the end, in one step; answers where that was.
    ///
    /// # Errors
    /// As [`Mfs::write`].
    pub async fn append(&self, ino: Ino, data: Bytes) -> Result<u64, MfsError> {
        self.check_quota(data.len() as u64).await?;
        self.check_behind(ino)?;
        let (at, lot) = self
            .edit(ino, |file, have| {
                let at = file.len();
                file.write(at, &data, have).map(|()| (at, self.has_lot(file)))
            })
            .await?;
        self.make_way(ino, lot).await?;
        Ok(at)
    }

    /// Has bytes stored that were written: those behind the writer if there is a lot of them, and others if all together are
    /// too many.
    async fn make_way(&self, ino: Ino, lot: bool) -> Result<(), MfsError> {
        if lot {
            self.write_behind(ino).await?;
        }
        self.reclaim().await
    }

    /// Refuses bytes that the repository is not to hold: here and not when they are sealed, which has to go on.
    pub(super) async fn check_quota(&self, bytes: u64) -> Result<(), MfsError> {
        if self.inner.blocks.is_near_quota(bytes) {
            let blocks = Arc::clone(&self.inner.blocks);
            blocking(move || blocks.check_quota()).await??;
        }
        Ok(())
    }

    /// Makes the bytes of a range zeros, as far as there are any; the length stays.
    ///
    /// # Errors
    /// As [`Mfs::write`].
    pub async fn punch(&self, ino: Ino, range: Range<u64>) -> Result<(), MfsError> {
        self.edit(ino, |file, have| file.punch(range.clone(), have)).await
    }

    /// Makes a file that long if it is shorter.
    ///
    /// # Errors
    /// As [`Mfs::write`].
    pub async fn extend(&self, ino: Ino, len: u64) -> Result<(), MfsError> {
        self.edit(ino, |file, have| if file.len() < len { file.truncate(len, have) } else { Ok(()) }).await
    }

    /// Learns how long a file is of which only its directory says so: see [`Attr::claimed`](crate::mfs::Attr::claimed).
    /// Says whether it is another length.
    ///
    /// # Errors
    /// When its block can't be had.
    pub async fn measure(&self, ino: Ino) -> Result<bool, MfsError> {
        let claim = {
            let tree = self.inner.tree.lock();
            let inode = tree.inode(ino)?;
            inode.link.filter(|_| inode.claimed)
        };
        let Some(link) = claim else { return Ok(false) };
        let block = self.fetch.fetch(&link.cid, self.deadline()).await?;
        self.inner.tree.lock().measured(ino, &block);
        Ok(block.data().len() as u64 != link.tsize)
    }

    pub(super) async fn set_file(&self, ino: Ino, change: Change) -> Result<(), MfsError> {
        let timed = change.mtime.is_none() && change.size.is_some();
        // Also if it has that length already, as ftruncate(2) has it.
        let cut = change.size.and(self.now());
        self.edit_as(ino, timed, |file, have| {
            let meta = file.meta();
            let mode = change.mode.map_or(meta.mode, Some);
            let new = FileMeta { mode, mtime: change.mtime.or(cut).or(meta.mtime) };
            // First what may fail.
            match change.size {
                Some(size) => file.truncate(size, have)?,
                None if new != meta => file.prepare_meta(new, have)?,
                None => {}
            }
            file.set_meta(new);
            Ok(())
        })
        .await
    }

    /// Where the next hole or the next bytes are, at `from` or behind it; `None` if there are none, or it is behind the end.
    /// What is not here counts as bytes.
    ///
    /// # Errors
    /// When it is no file, or its root can't be had.
    pub async fn seek(&self, ino: Ino, from: u64, what: Seek) -> Result<Option<u64>, MfsError> {
        self.measure(ino).await?;
        let content = self.look(|tree| tree.content(ino)).await?;
        let (inner, mut file) = (Arc::clone(&self.inner), content.lock_owned().await);
        blocking(move || {
            let found = file.seek(from, what, &Stored(&inner.blocks));
            let now = Present::of(&mut file);
            inner.tree.lock().file_changed(ino, now);
            Ok(found)
        })
        .await?
    }

    /// Gets blocks that a file needs.
    pub(super) async fn supply(&self, need: Need, have: &mut Supplied, rounds: &mut Rounds) -> Result<(), MfsError> {
        rounds.another(&need.0)?;
        self.get(need.0).await?.into_iter().for_each(|block| have.put(block));
        Ok(())
    }

    /// Changes a file's content.
    pub(super) async fn edit<T>(
        &self,
        ino: Ino,
        mut work: impl FnMut(&mut File, &Supplied) -> Result<T, FileError>,
    ) -> Result<T, MfsError> {
        self.edit_as(ino, true, |file, have| {
            let meta = file.meta();
            // What the change is stamped with has to have its place.
            file.prepare_meta(FileMeta { mtime: self.time_for(file).or(meta.mtime), ..meta }, have)?;
            work(file, have)
        })
        .await
    }

    /// The same; with `timed` the time of the change is noted.
    pub(super) async fn edit_as<T>(
        &self,
        ino: Ino,
        timed: bool,
        mut work: impl FnMut(&mut File, &Supplied) -> Result<T, FileError>,
    ) -> Result<T, MfsError> {
        self.make_room().await?;
        let (mut have, mut rounds) = (Supplied::new(), Rounds::default());
        loop {
            let content = self.look(|tree| tree.content(ino)).await?;
            let need = {
                let _open = self.inner.gate.read().await;
                self.inner.begin_change();
                let mut file = content.lock().await;
                match work(&mut file, &have) {
                    Ok(value) => {
                        self.changed(ino, &mut file, timed);
                        return Ok(value);
                    }
                    Err(FileError::Need(need)) => need,
                    Err(error) => return Err(error.into()),
                }
            };
            self.supply(need, &mut have, &mut rounds).await?;
        }
    }

    /// What time is noted when a file is changed now.
    pub(super) fn time_for(&self, file: &File) -> Option<Mtime> {
        self.now().or_else(|| file.meta().mtime.map(|_| (self.inner.options.now)()))
    }

    /// Notes what has become of a file that the caller has locked.
    pub(super) fn changed(&self, ino: Ino, file: &mut File, timed: bool) {
        let (meta, now) = (file.meta(), self.time_for(file));
        if timed && file.is_dirty() && now.is_some() {
            file.set_meta(FileMeta { mtime: now, ..meta });
        }
        let now = Present::of(file);
        let mut tree = self.inner.tree.lock();
        tree.file_changed(ino, now);
        tree.note_change(ino);
    }

    /// Has leaves written as long as there are too many bytes in memory.
    pub(super) async fn reclaim(&self) -> Result<(), MfsError> {
        let max = self.inner.options.dirty_max;
        if self.inner.tree.lock().dirty_bytes() <= max {
            return Ok(());
        }
        let _one = self.inner.reclaiming.lock().await;
        // Some may be on their way.
        self.inner.behind.caught_up().await;
        let files = {
            let tree = self.inner.tree.lock();
            if tree.dirty_bytes() <= max {
                return Ok(());
            }
            tree.fat_files()
        };
        let (large, small): (Vec<_>, Vec<_>) = files.into_iter().partition(|(bytes, ..)| *bytes >= LARGE);
        for (_, ino, content) in &large {
            self.write_back(*ino, Arc::clone(content)).await?;
            if self.inner.tree.lock().dirty_bytes() <= max - max / 4 {
                return Ok(());
            }
        }
        // What is left are ends of files: they are read again when more is appended.
        for some in [small, large].concat().chunks(RECLAIMED) {
            let mut some: Vec<(Ino, Content)> = some.iter().map(|(_, ino, content)| (*ino, content.clone())).collect();
            some.sort_unstable_by_key(|(ino, _)| *ino);
            self.seal_these(some).await?;
            if self.inner.tree.lock().dirty_bytes() <= max - max / 4 {
                break;
            }
        }
        Ok(())
    }

    /// Has the leaves of a file written, but for the last.
    async fn write_back(&self, ino: Ino, content: Content) -> Result<(), MfsError> {
        let (inner, mut file) = (Arc::clone(&self.inner), content.lock_owned().await);
        blocking(move || {
            let done = file.write_back(&mut |blocks: Vec<Block>| inner.store(&blocks, Durability::Buffered));
            let now = Present::of(&mut file);
            inner.tree.lock().file_changed(ino, now);
            Ok(done?)
        })
        .await?
    }
}

impl super::Inner {
    /// Stores blocks. They can be read on return; durable they are after the next commit.
    pub(super) fn store(&self, blocks: &[Block], durability: Durability) -> Result<(), crate::StoreError> {
        let bytes: u64 = blocks.iter().map(|block| block.data().len() as u64).sum();
        self.stored.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        self.blocks.put_many(blocks, durability)
    }
}

/// What is to be done with a file's answer that it needs a block, where there is nobody to ask.
impl From<FileError> for MfsError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Need(Need(cids)) => match cids.first() {
                Some(cid) => crate::fetch::FetchError::NotFound(Box::new(*cid)).into(),
                None => Self::Closed("a file needs a block that has no name".into()),
            },
            FileError::Read(error) => error.into(),
            FileError::Build(error) => error.into(),
            FileError::Store(error) => error.into(),
            FileError::TooLong => Self::TooLarge,
        }
    }
}
