//! A stack of names, in little memory whatever their number.
//!
//! How many nodes wait to be read, or to be fetched, is a stranger's choice: every ancestor of the present node may have
//! a quarter of a million links. What lies deepest goes to a temporary file without a name (in `$TMPDIR`).

use crate::{Cid, StoreError};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Names that are written, and read back, together. 5 MiB of memory: a name takes 160 bytes.
const CHUNK: usize = 32 << 10;
/// Names in memory: more than any bounded user piles up. 15 MiB, 20 MiB with the slack.
const IN_MEMORY: usize = 3 * CHUNK;

/// Names that wait, the latest on top.
#[derive(Debug, Default)]
pub(crate) struct Pile {
    top: Vec<Cid>,
    /// Lengths in bytes of the chunks in the file, the deepest first.
    chunks: Vec<usize>,
    file: Option<File>,
    /// Where the file ends.
    end: u64,
}

fn refuse(error: io::Error) -> StoreError {
    StoreError::io(format!("cannot keep a list of blocks in {}", std::env::temp_dir().display()), error)
}

impl Pile {
    /// Nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One name.
    pub(crate) fn of(cid: Cid) -> Self {
        Self { top: vec![cid], ..Self::default() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.top.len() + self.chunks.len() * CHUNK
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.top.is_empty() && self.chunks.is_empty()
    }

    /// Puts a name on top.
    ///
    /// # Errors
    /// When the temporary file can't be written.
    pub(crate) fn push(&mut self, cid: Cid) -> Result<(), StoreError> {
        self.top.push(cid);
        if self.top.len() > IN_MEMORY { self.spill().map_err(refuse) } else { Ok(()) }
    }

    /// Puts names on top, the last of them uppermost.
    ///
    /// # Errors
    /// As [`Pile::push`].
    pub(crate) fn extend(&mut self, cids: impl IntoIterator<Item = Cid>) -> Result<(), StoreError> {
        cids.into_iter().try_for_each(|cid| self.push(cid))
    }

    /// Takes up to that many from the top, the uppermost last. Nothing comes only from an empty pile.
    ///
    /// # Errors
    /// When the temporary file can't be read.
    pub(crate) fn take(&mut self, many: usize) -> Result<Vec<Cid>, StoreError> {
        if self.top.is_empty() {
            self.read_back()?;
        }
        Ok(self.top.split_off(self.top.len().saturating_sub(many)))
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let mut bytes = Vec::with_capacity(CHUNK * 40);
        for cid in self.top.drain(..CHUNK) {
            // Writing to a Vec does not fail.
            let _ = cid.write_bytes(&mut bytes);
        }
        let written = file.write_all_at(&bytes, self.end);
        self.file = Some(file);
        written?;
        self.end += bytes.len() as u64;
        self.chunks.push(bytes.len());
        Ok(())
    }

    fn read_back(&mut self) -> Result<(), StoreError> {
        let (Some(length), Some(file)) = (self.chunks.pop(), &self.file) else { return Ok(()) };
        self.end -= length as u64;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, self.end).map_err(refuse)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let cid = Cid::read_bytes(&mut rest).map_err(|e| StoreError::Backend(format!("a list of blocks: {e}")))?;
            self.top.push(cid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Multihash, cid::codec};

    fn name(number: usize) -> Cid {
        let digest = number.to_be_bytes().repeat(1 + number % 16);
        Cid::new_v1(
            codec::RAW + (number % 3) as u64,
            Multihash::wrap(0x12, &digest[..digest.len().min(64)]).expect("short"),
        )
    }

    #[test]
    fn what_was_put_on_it_comes_back_in_reverse() {
        let mut pile = Pile::new();
        let (mut next, mut model) = (0, Vec::new());
        // Up and down again, across several chunks.
        for (put, take) in [(10, 3), (5 * CHUNK, 2 * CHUNK), (7 * CHUNK + 5, CHUNK / 2), (3, 11 * CHUNK), (4, 100)] {
            for _ in 0..put {
                pile.push(name(next)).expect("writes");
                model.push(next);
                next += 1;
            }
            assert!(pile.top.len() <= IN_MEMORY);
            let mut left = take;
            while left > 0 {
                let some = pile.take(left.min(16)).expect("reads");
                if some.is_empty() {
                    break;
                }
                left -= some.len();
                let wanted: Vec<Cid> = model.split_off(model.len() - some.len()).into_iter().map(name).collect();
                assert_eq!(some, wanted);
            }
            assert_eq!(pile.len(), model.len());
            assert_eq!(pile.is_empty(), model.is_empty());
        }
        assert!(model.is_empty() && pile.end == 0);
    }
}
