//! Copies of content by reference.

use super::{Mfs, Rounds};
use crate::mfs::{Ino, MfsError, file::FileError, need::Supplied};
use std::ops::Range;

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
}
