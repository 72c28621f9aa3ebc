//! Copies between files by reference.

use super::{
    File, FileError,
    load::Want,
    tree::{Child, Spot},
    write::end_of,
};
use crate::{
    cid::codec,
    mfs::need::{Blocks, Need},
};
use std::ops::Range;

/// Bytes that are copied at once where they have to be.
const MAX_BYTES: u64 = 1 << 20;
/// Children that are taken over at once.
const MAX_TAKEN: u64 = 1024;

impl File {
    /// Puts a range of another file, as far as there is content, at `at`; answers how much was copied: less than all when
    /// there is much to do, and whoever wants the rest calls again. Where leaves of both files lie alike, they and the
    /// trees above are shared, and no byte is read; elsewhere bytes are copied. A file that is replaced from its beginning
    /// takes over the other's shape.
    ///
    /// To copy within one file, `from` is a clone of it.
    ///
    /// # Errors
    /// As [`File::write`]; a block that is needed may be either file's.
    pub fn copy_range(
        &mut self,
        at: u64,
        from: &mut Self,
        range: Range<u64>,
        blocks: &dyn Blocks,
    ) -> Result<u64, FileError> {
        let range = range.start..range.end.min(from.len());
        if range.start >= range.end {
            return Ok(0);
        }
        let len = range.end - range.start;
        end_of(at, len)?;
        if at == 0 && range.start == 0 && len >= self.len() {
            self.become_like(from, len, blocks)?;
            return Ok(len);
        }
        let chunk = self.shape.chunk;
        let alike = self.uniform && from.uniform && self.profile == from.profile && at % chunk == range.start % chunk;
        if !alike {
            return self.copy_bytes(at, from, range.start, len.min(MAX_BYTES), blocks);
        }
        if !at.is_multiple_of(chunk) {
            let len = len.min(chunk - at % chunk);
            return self.copy_bytes(at, from, range.start, len, blocks);
        }
        // The last leaf of both files need not be full.
        let to_end = range.end == from.len() && at + len >= self.len();
        match if to_end { len } else { len - len % chunk } {
            0 => self.copy_bytes(at, from, range.start, len, blocks),
            len => self.share(at, from, range.start, len, blocks),
        }
    }

    /// The first `len` bytes of another file become the content.
    fn become_like(&mut self, from: &mut Self, len: u64, blocks: &dyn Blocks) -> Result<(), FileError> {
        if len > 0 && len < from.len() {
            from.prepare_cut(len, blocks)?;
        }
        let mut new = from.clone();
        new.set_meta(self.meta);
        new.truncate(len, blocks)?;
        new.open_root(blocks)?;
        *self = new;
        Ok(())
    }

    fn copy_bytes(
        &mut self,
        at: u64,
        from: &mut Self,
        start: u64,
        len: u64,
        blocks: &dyn Blocks,
    ) -> Result<u64, FileError> {
        from.prepare(&(start..start + len), Want::Bytes, blocks)?;
        // A megabyte at most.
        let mut bytes = Vec::with_capacity(len as usize);
        while (bytes.len() as u64) < len {
            let here = start + bytes.len() as u64;
            let spot = from.tree.spot(here, |_, _| false);
            let (skip, count) = (here - spot.start, (spot.end() - here).min(len - bytes.len() as u64) as usize);
            match from.tree.child(spot.place) {
                // Below the length of a leaf in memory.
                Child::Leaf(leaf) => bytes.extend_from_slice(&leaf.bytes[skip as usize..][..count]),
                _ => bytes.resize(bytes.len() + count, 0),
            }
        }
        self.write(at, &bytes, blocks)?;
        Ok(len)
    }

    /// Takes over leaves and trees of a file of the same profile, from where one of its leaves begins to where one of
    /// this file begins. Answers how many bytes.
    fn share(&mut self, at: u64, from: &mut Self, start: u64, len: u64, blocks: &dyn Blocks) -> Result<u64, FileError> {
        let mut pieces: Vec<(u64, u32, Child)> = Vec::new();
        let mut done = 0;
        while done < len && (pieces.len() as u64) < MAX_TAKEN {
            let mut height = self.common_height(at + done, start + done, len - done);
            let spot = loop {
                let spot = from.down_to(start + done, height, blocks)?;
                match from.tree.child(spot.place) {
                    // It has changes below, so it has no name: what is below is taken one by one.
                    Child::Inner(id) if from.tree.node(*id).link.is_none() && height > 0 => height -= 1,
                    _ => break spot,
                }
            };
            let child = from.tree.child(spot.place);
            let child = match from.tree.link(child) {
                Some(link) => Child::Sealed(link),
                None => child.clone(),
            };
            pieces.push((spot.size, height, child));
            done += spot.size;
        }
        if at + done < self.len() {
            // All that is replaced has to be looked into before the first change.
            let mut here = at;
            for (size, height, _) in &pieces {
                self.down_to(here, *height, blocks)?;
                here += size;
            }
        } else {
            self.prepare_end(at, blocks)?;
        }
        if !self.uniform || !from.uniform {
            // A look showed that one of them is of another shape.
            return self.copy_bytes(at, from, start, len.min(MAX_BYTES), blocks);
        }
        if let [(_, _, Child::Sealed(link))] = &pieces[..]
            && at == 0
            && done >= self.len()
            && link.cid.codec() != codec::RAW
            && blocks.block(&link.cid).is_none()
        {
            // It becomes the root, which may get metadata, now or later.
            return Err(Need::from(link.cid).into());
        }
        if at + done >= self.len() {
            self.end_at(at);
            self.grow(done);
        }
        let mut here = at;
        for (size, height, child) in pieces {
            let spot = self.down_to(here, height, &())?;
            self.tree.put(spot.place, child);
            self.changed(spot.place);
            here += size;
        }
        self.open_root(blocks)?;
        self.trim();
        Ok(done)
    }

    /// Looks into what has to be known to let the file end at a leaf's beginning and grow from there.
    fn prepare_end(&mut self, at: u64, blocks: &dyn Blocks) -> Result<(), FileError> {
        if at < self.len() { self.prepare_cut(at, blocks).map(drop) } else { self.prepare_tail(blocks) }
    }

    /// Lets the file end at a leaf's beginning, after [`File::prepare_end`].
    fn end_at(&mut self, at: u64) {
        if at == 0 {
            self.clear();
        } else if at < self.len() {
            let spot = self.tree.spot(at, |_, spot| spot.start == at);
            self.cut(at, &spot);
        } else {
            self.grow(at - self.len());
        }
    }

    /// Height of the largest trees that begin at both positions, and are no longer than `len`.
    fn common_height(&self, at: u64, start: u64, len: u64) -> u32 {
        let mut height = 0;
        loop {
            let capacity = self.shape.capacity(height + 1);
            if capacity > len || !at.is_multiple_of(capacity) || !start.is_multiple_of(capacity) {
                return height;
            }
            height += 1;
        }
    }

    /// Looks into nodes down to the tree of that height at a position.
    fn down_to(&mut self, at: u64, height: u32, blocks: &dyn Blocks) -> Result<Spot, FileError> {
        loop {
            let top = self.height;
            let spot = self.tree.spot(at, |_, spot| top.saturating_sub(spot.depth) <= height);
            let ends = matches!(self.tree.child(spot.place), Child::Leaf(_) | Child::Zeros(0));
            if ends || top.saturating_sub(spot.depth) <= height {
                return Ok(spot);
            }
            self.open(&spot, blocks)?;
        }
    }
}
