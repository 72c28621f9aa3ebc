//! Changes of content.

use super::{
    File, FileError, MAX_LEN,
    load::Want,
    tree::{ANCHOR, Child, Form, Id, Inner, Leaf, Place, ROOT, Spot},
};
use crate::{cid::codec, mfs::need::Blocks};
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// A leaf that is begun with this part of a chunk gets the memory of a whole one.
const LARGE_PART: u64 = 8;

impl File {
    /// Writes bytes. Beyond the end, zeros are put between.
    ///
    /// # Errors
    /// [`FileError::Need`] while a block is missing: the leaves that are changed in part, the nodes above, and the end of
    /// the file when it grows. Or the file would be too long, or a block is malformed. Nothing was changed then.
    pub fn write(&mut self, offset: u64, data: &[u8], blocks: &dyn Blocks) -> Result<(), FileError> {
        let (len, end) = (self.len(), end_of(offset, data.len() as u64)?);
        if data.is_empty() {
            return Ok(());
        }
        if offset < len {
            self.prepare(&(offset..end.min(len)), Want::Leaves, blocks)?;
        }
        if end > len {
            self.prepare_tail(blocks)?;
        }
        if offset > len {
            self.grow(offset - len);
        }
        // Below the length of `data`, so it fits.
        let inside = self.len().saturating_sub(offset).min(data.len() as u64) as usize;
        let (inside, beyond) = data.split_at(inside);
        self.overwrite(offset, inside);
        self.append(beyond);
        self.run.note(offset, data.len() as u64);
        self.trim();
        Ok(())
    }

    /// Cuts the file, or lets it grow by zeros.
    ///
    /// # Errors
    /// As [`File::write`].
    pub fn truncate(&mut self, len: u64, blocks: &dyn Blocks) -> Result<(), FileError> {
        end_of(len, 0)?;
        let old = self.len();
        if len == 0 && old > 0 {
            self.clear();
        } else if len > old {
            self.prepare_tail(blocks)?;
            self.grow(len - old);
        } else if len < old {
            let spot = self.prepare_cut(len, blocks)?;
            let mut new = self.clone();
            new.cut(len, &spot);
            // A tree that becomes the root may get metadata, now or later.
            new.open_root(blocks)?;
            *self = new;
        }
        self.run.cut(len);
        self.trim();
        Ok(())
    }

    /// Takes all content away.
    pub(super) fn clear(&mut self) {
        *self = Self::empty(&self.profile, self.meta);
    }

    /// Puts zeros over a range, as far as there is content. What is wholly in it takes no more memory and no blocks of
    /// its own.
    ///
    /// # Errors
    /// As [`File::write`].
    pub fn punch(&mut self, range: Range<u64>, blocks: &dyn Blocks) -> Result<(), FileError> {
        let range = range.start..range.end.min(self.len());
        if range.start >= range.end {
            return Ok(());
        }
        self.prepare(&range, Want::Trees, blocks)?;
        let mut at = range.start;
        while at < range.end {
            let within = |spot: &Spot| spot.start >= range.start && spot.end() <= range.end;
            let spot = self.tree.spot(at, |_, spot| within(spot));
            if within(&spot) {
                let height = self.height_at(spot.depth).unwrap_or_else(|| self.shape.height_of(spot.size));
                self.tree.put(spot.place, Child::Zeros(height));
            } else if matches!(self.tree.child(spot.place), Child::Leaf(_)) {
                self.edit(&spot, |bytes| {
                    let index = |at: u64| at.saturating_sub(spot.start).min(spot.size) as usize;
                    bytes[index(range.start)..index(range.end)].fill(0);
                });
            }
            self.changed(spot.place);
            at = spot.end();
        }
        self.collapse(|_| false);
        self.trim();
        Ok(())
    }

    /// Writes over what is there, after it was prepared.
    fn overwrite(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let spot = self.tree.spot(at, |_, _| false);
            if self.expand(&spot) {
                continue;
            }
            let from = at - spot.start;
            let (piece, after) = rest.split_at((spot.size - from).min(rest.len() as u64) as usize);
            if piece.len() as u64 == spot.size {
                let form = self.form_at(spot.place);
                let room = if self.is_tail(&spot) { self.room_for(spot.size) } else { 0 };
                self.tree.put(spot.place, Child::Leaf(Leaf::new(copied(piece, room), form)));
            } else {
                // Below the length of a leaf in memory.
                let from = from as usize;
                self.edit(&spot, |bytes| bytes[from..from + piece.len()].copy_from_slice(piece));
            }
            self.changed(spot.place);
            at += piece.len() as u64;
            rest = after;
        }
    }

    /// Writes behind the end, after that was prepared.
    fn append(&mut self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let tail = self.tree.tail();
            let fills = match self.tree.child(tail.place) {
                Child::Leaf(leaf) if leaf.form != Form::Inline && tail.size > 0 => self.shape.chunk > tail.size,
                _ => false,
            };
            let room = if fills { self.shape.chunk - tail.size } else { self.shape.chunk };
            let (piece, after) = rest.split_at(room.min(rest.len() as u64) as usize);
            if fills {
                self.extend(&tail, piece);
            } else {
                let at = self.len();
                self.grow(piece.len() as u64);
                self.overwrite(at, piece);
            }
            rest = after;
        }
    }

    /// Makes the last leaf longer.
    fn extend(&mut self, tail: &Spot, piece: &[u8]) {
        let child = self.tree.swap(tail.place, Child::Zeros(0));
        let Child::Leaf(leaf) = child else { return };
        let mut bytes = owned(leaf.bytes);
        bytes.extend_from_slice(piece);
        self.tree.put(tail.place, Child::Leaf(Leaf::new(bytes.freeze(), leaf.form)));
        self.tree.lengthen(tail.place, piece.len() as u64);
        self.root = None;
    }

    /// Changes the bytes of a leaf in memory, or of zeros that become one. It stays as long as it is.
    fn edit(&mut self, spot: &Spot, change: impl FnOnce(&mut [u8])) {
        let (mut bytes, form) = match self.tree.swap(spot.place, Child::Zeros(0)) {
            Child::Leaf(leaf) => (owned(leaf.bytes), leaf.form),
            // A leaf of zeros is no longer than a chunk.
            _ => (BytesMut::zeroed(spot.size as usize), self.form()),
        };
        change(&mut bytes);
        self.tree.put(spot.place, Child::Leaf(Leaf::new(bytes.freeze(), form)));
    }

    /// How the bytes of a leaf are kept that is written over.
    fn form_at(&self, place: Place) -> Form {
        match self.tree.child(place) {
            Child::Leaf(leaf) => leaf.form,
            Child::Sealed(link) if link.cid.codec() == codec::RAW => Form::Raw,
            Child::Sealed(_) => Form::Node,
            Child::Zeros(_) | Child::Inner(_) => self.form(),
        }
    }

    fn is_tail(&self, spot: &Spot) -> bool {
        spot.end() == self.len()
    }

    /// Bytes of memory for a leaf at the end that has `size` bytes and may get more.
    fn room_for(&self, size: u64) -> usize {
        if size < self.shape.chunk && size >= self.shape.chunk / LARGE_PART { self.shape.chunk as usize } else { 0 }
    }

    /// Looks into the end of the file, as far as it may take more.
    pub(super) fn prepare_tail(&mut self, blocks: &dyn Blocks) -> Result<(), FileError> {
        loop {
            let tail = self.tree.tail();
            let Child::Sealed(link) = *self.tree.child(tail.place) else { return Ok(()) };
            let full = match self.height_at(tail.depth) {
                Some(height) => tail.size == self.shape.capacity(height),
                None => link.cid.codec() == codec::RAW && tail.size >= self.shape.chunk,
            };
            if full {
                return Ok(());
            }
            self.open(&tail, blocks)?;
        }
    }

    /// Lets the file grow by zeros, after its end was prepared: first in the last leaf or tree, then next to it, then next
    /// to what is above.
    pub(super) fn grow(&mut self, by: u64) {
        let mut extra = by;
        let tail = self.tree.tail();
        let mut height = self.fill(&tail, &mut extra);
        self.root = None;
        let mut id = tail.place.node;
        while extra > 0 {
            if id == ANCHOR {
                id = self.raise();
            }
            let step = self.shape.capacity(height);
            while extra > 0 && self.tree.node(id).children.len() < self.shape.links {
                let size = step.min(extra);
                self.tree.append(id, Child::Zeros(height), size);
                extra -= size;
            }
            height += 1;
            id = self.tree.node(id).parent.node;
        }
    }

    /// Lets the last child grow as far as it may; answers its height.
    fn fill(&mut self, tail: &Spot, extra: &mut u64) -> u32 {
        let (height, zeros) = match self.tree.child(tail.place) {
            Child::Zeros(height) => (*height, true),
            Child::Leaf(leaf) if leaf.form == Form::Inline => return 0,
            Child::Leaf(leaf) => (0, leaf.bytes.is_empty()),
            Child::Sealed(_) | Child::Inner(_) => return self.height_at(tail.depth).unwrap_or_default(),
        };
        let room = self.shape.capacity(height).saturating_sub(tail.size);
        let size = room.min(*extra);
        *extra -= size;
        if zeros {
            self.tree.put(tail.place, Child::Zeros(height));
            self.tree.lengthen(tail.place, size);
        } else if size > 0 {
            // At most a chunk.
            self.extend(tail, &vec![0; size as usize]);
        }
        height
    }

    /// Puts a node above the root; answers it.
    fn raise(&mut self) -> Id {
        self.unmark_root();
        let len = self.len();
        let mut above = Inner::new();
        above.push(self.tree.swap(ROOT, Child::Zeros(0)), len);
        let id = self.tree.insert(above, ROOT);
        self.tree.put(ROOT, Child::Inner(id));
        self.height += 1;
        id
    }

    /// Looks into what a cut at `len` goes through; answers the child that begins there, or that it cuts.
    pub(super) fn prepare_cut(&mut self, len: u64, blocks: &dyn Blocks) -> Result<Spot, FileError> {
        loop {
            let spot = self.tree.spot(len, |_, spot| spot.start == len);
            if spot.start == len || !matches!(self.tree.child(spot.place), Child::Sealed(_)) {
                return Ok(spot);
            }
            self.open(&spot, blocks)?;
        }
    }

    /// Ends the file in a child that was prepared for it, or before it.
    pub(super) fn cut(&mut self, len: u64, spot: &Spot) {
        let Place { node, slot } = spot.place;
        self.changed(spot.place);
        if len == spot.start {
            self.tree.cut(node, slot);
        } else {
            self.tree.cut(node, slot + 1);
            self.shorten(spot.place, len - spot.start);
        }
        let mut id = node;
        while id != ANCHOR {
            let (place, size) = (self.tree.node(id).parent, self.tree.node(id).size());
            self.tree.cut(place.node, place.slot + 1);
            let above = self.tree.node_mut(place.node);
            above.ends[place.slot] = above.start(place.slot) + size;
            self.unwrap_inline(id, place);
            id = place.node;
        }
        self.collapse(|child| !matches!(child, Child::Leaf(Leaf { form: Form::Inline, .. })));
    }

    /// Cuts a leaf in memory or zeros.
    fn shorten(&mut self, place: Place, keep: u64) {
        match self.tree.swap(place, Child::Zeros(0)) {
            Child::Leaf(leaf) => {
                // No longer than it was.
                let bytes = leaf.bytes.slice(..keep as usize);
                self.tree.put(place, Child::Leaf(Leaf::new(bytes, leaf.form)));
            }
            other => self.tree.put(place, other),
        }
        let node = self.tree.node_mut(place.node);
        node.ends[place.slot] = node.start(place.slot) + keep;
    }

    /// A node that has nothing but its own bytes is a leaf.
    fn unwrap_inline(&mut self, id: Id, place: Place) {
        if let [Child::Leaf(leaf)] = self.tree.node(id).children.as_slice()
            && leaf.form == Form::Inline
        {
            let leaf = Leaf::new(leaf.bytes.clone(), Form::Node);
            self.tree.put(place, Child::Leaf(leaf));
        }
    }
}

/// Where a write ends.
pub(super) fn end_of(offset: u64, len: u64) -> Result<u64, FileError> {
    offset.checked_add(len).filter(|&end| end <= MAX_LEN).ok_or(FileError::TooLong)
}

fn copied(piece: &[u8], room: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(room.max(piece.len()));
    bytes.extend_from_slice(piece);
    bytes.freeze()
}

/// The bytes, to be changed: a copy only if a reader still has them.
fn owned(bytes: Bytes) -> BytesMut {
    bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}
