//! Copies of content by reference.

use super::{Mfs, Rounds, blocking, seal::Stored};
use crate::{
    Block, Cid,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    mfs::{
        Ino, MfsError,
        file::{File, FileError},
        need::{Blocks as _, Supplied},
    },
    unixfs::entity::FileNode,
};
use std::{collections::HashSet, ops::Range, sync::Arc};

/// Parts of a file that are looked at to say whether all of it is here: those of about 32 GiB. Their names take 20 MiB.
const MAX_PARTS: usize = 1 << 17;

impl Mfs {
    /// Copies a range of one file into another, or into the same one, by reference where it can; answers how many bytes:
    /// fewer than asked for at the end of `from` alone.
    ///
    /// # Errors
    /// As [`Mfs::write`].
    pub async fn copy_range(&self, from: Ino, range: Range<u64>, to: Ino, at: u64) -> Result<u64, MfsError> {
        let (mut range, mut copied) = (range, 0);
        if from == to {
            // What the copy itself appends is no part of what is copied.
            range.end = range.end.min(self.inner.tree.lock().inode(from)?.size);
        }
        while range.start + copied < range.end {
            let rest = range.start + copied..range.end;
            let some = if from == to {
                self.edit(to, |file, have| {
                    let mut same = file.clone();
                    file.copy_range(at + copied, &mut same, rest.clone(), have)
                })
                .await
            } else {
                self.copy_some(from, rest, to, at + copied).await
            };
            let some = match some {
                Err(MfsError::Interrupted) if copied > 0 => break,
                some => some?,
            };
            self.reclaim().await?;
            if some == 0 {
                break;
            }
            copied += some;
        }
        Ok(copied)
    }

    async fn copy_some(&self, from: Ino, range: Range<u64>, to: Ino, at: u64) -> Result<u64, MfsError> {
        self.make_room().await?;
        let (mut have, mut rounds) = (Supplied::new(), Rounds::default());
        loop {
            let (source, target) = self.look(|tree| Ok((tree.content(from)?, tree.content(to)?))).await?;
            let need = {
                let _open = self.inner.gate.read().await;
                self.inner.begin_change();
                // IMPORTANT: by number, as everybody does who locks several.
                let (mut source, mut target) = if from < to {
                    let source = source.lock().await;
                    (source, target.lock().await)
                } else {
                    let target = target.lock().await;
                    (source.lock().await, target)
                };
                match target.copy_range(at, &mut source, range.clone(), &have) {
                    Ok(copied) => {
                        self.changed(to, &mut target, copied > 0);
                        self.inner.adopt_orphan(from);
                        return Ok(copied);
                    }
                    Err(FileError::Need(need)) => need,
                    Err(error) => return Err(error.into()),
                }
            };
            self.supply(need, &mut have, &mut rounds).await?;
        }
    }

    /// Copies a range of a file that is stored and in no tree into one, by reference where it can; answers how many bytes.
    /// `None`, and nothing is changed, if not all of that file is here, or it is none: whoever copies bytes has them here
    /// afterwards.
    ///
    /// # Errors
    /// As [`Mfs::write`].
    pub async fn copy_from(&self, cid: &Cid, range: Range<u64>, to: Ino, at: u64) -> Result<Option<u64>, MfsError> {
        let adoption = self.adopt(*cid).await?;
        let (blocks, root) = (Arc::clone(&self.inner.blocks), *cid);
        let Some(block) = blocking(move || whole(&blocks, &root)).await? else { return Ok(None) };
        let Ok(mut source) = File::from_block(self.profile(), &block) else { return Ok(None) };
        let (mut have, mut rounds, mut copied) = (Supplied::new(), Rounds::default(), 0);
        while range.start + copied < range.end.min(source.len()) {
            self.make_room().await?;
            let target = self.look(|tree| tree.content(to)).await?;
            let need = {
                let _open = self.inner.gate.read().await;
                self.inner.begin_change();
                let mut target = target.lock().await;
                match target.copy_range(at + copied, &mut source, range.start + copied..range.end, &have) {
                    Ok(0) => break,
                    Ok(some) => {
                        self.changed(to, &mut target, true);
                        adoption.linked();
                        copied += some;
                        None
                    }
                    Err(FileError::Need(need)) => Some(need),
                    Err(error) => return Err(error.into()),
                }
            };
            match need {
                Some(need) => self.supply(need, &mut have, &mut rounds).await?,
                None => self.reclaim().await?,
            }
        }
        Ok(Some(copied))
    }
}

/// The root of a file, if all of its blocks are here.
fn whole(blocks: &KvBlocks, root: &Cid) -> Option<Block> {
    let (mut todo, mut seen) = (vec![*root], HashSet::from([*root]));
    while let Some(cid) = todo.pop() {
        if cid.codec() == codec::RAW {
            if Block::from_identity(&cid).is_none() && !blocks.has(cid.hash()).ok()? {
                return None;
            }
            continue;
        }
        for part in FileNode::decode(&Stored(blocks).block(&cid)?).ok()?.children {
            if seen.insert(part.cid) {
                todo.push(part.cid);
            }
        }
        if seen.len() > MAX_PARTS {
            return None;
        }
    }
    Stored(blocks).block(root)
}
