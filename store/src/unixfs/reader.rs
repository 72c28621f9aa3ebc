//! Reads files: seekable, with read-ahead, over any source of blocks.
//!
//! A file is a DAG whose shape belongs to strangers. The reader goes down it without recursion; each level is
//! a [`Frame`] with the parts of one node. What is held in memory has bounds:
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | blocks read ahead at one level | [`BATCHES`] batches of [`MAX_WINDOW`] bytes or `BATCH_BLOCKS` blocks | the reader asks later |
//! | blocks read ahead at all levels | [`MAX_WAITING`] | one at a time is asked for |
//! | parts of all levels | [`MAX_PARTS`] | refused |
//! | levels | [`MAX_DEPTH`] | refused |
//! | after [`FileReader::release`]: parts and bytes of the root | `KEPT_PARTS`, `KEPT_HEAD` | the root is read again |
//!
//! Sizes are believed only for finding one's way: each part is checked against what its parent said of it
//! when it is reached, and parts that are said to be empty are never fetched, so that a node that is shared a
//! billion times costs only what is read of it.

use super::{
    ahead::{Ahead, BATCH_BLOCKS},
    entity::{self, FileNode, Part, ReadError},
};
use crate::{
    Block, Cid,
    fetch::{Deadline, Fetch},
};
use bytes::Bytes;
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bytes that a batch asks for at first: one jump into a file should not fetch much that nobody reads.
const MIN_WINDOW: u64 = 512 << 10;
/// Bytes that a batch asks for after some sequential reading.
const MAX_WINDOW: u64 = 4 << 20;
/// Batches under way at one level: one is being read from while the other is being fetched.
const BATCHES: usize = 2;
/// Blocks under way or waiting at all levels: what ancestors asked for is kept while the reader is below them.
const MAX_WAITING: usize = 64;
/// Levels of a file. A balanced file of 2^64 bytes with two links a node has 64.
pub const MAX_DEPTH: usize = 1024;
/// Parts of a node that are held by a reader that shall hold little, from the position on.
const KEPT_PARTS: usize = 128;
/// Bytes of the root's own that it holds.
const KEPT_HEAD: usize = 16 << 10;
/// Parts of all nodes between the root and the position, about 50 MiB of them. Writers make nodes of at most
/// some thousand parts.
pub const MAX_PARTS: usize = 1 << 18;

/// A file, opened for reading.
pub struct FileReader {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    cid: Cid,
    /// The root's own bytes, or none of them.
    head: Bytes,
    head_len: u64,
    size: u64,
    position: u64,
    end: u64,
    window: u64,
    /// Largest window; zero for one block at a time.
    max_window: u64,
    frames: Vec<Frame>,
    /// Bytes at the position, from the block that was used last.
    rest: Bytes,
}

/// One node's parts.
struct Frame {
    /// Where the first part begins in the file.
    start: u64,
    parts: Vec<Part>,
    /// Whether the node has more parts behind those.
    cut: bool,
    /// First part that was not asked for, and where it begins.
    next: usize,
    next_start: u64,
    ahead: Ahead,
    /// Parts asked for: index and where they begin.
    asked: VecDeque<(usize, u64)>,
    /// The node at the front of `asked`, when it was looked into early: its bytes, and its parts if it has any.
    opened: Option<(Bytes, Option<Box<Frame>>)>,
}

impl FileReader {
    /// Opens the file with that root, at its beginning.
    ///
    /// # Errors
    /// When the root can't be had, is malformed or is not a file. The rest is not looked at yet.
    pub async fn open(fetch: Arc<dyn Fetch>, cid: &Cid, deadline: Deadline) -> Result<Self, ReadError> {
        let block = fetch.fetch(cid, deadline).await?;
        Self::from_block(fetch, &block, deadline)
    }

    /// The same with the root's block at hand.
    ///
    /// # Errors
    /// As [`FileReader::open`].
    pub fn from_block(fetch: Arc<dyn Fetch>, block: &Block, deadline: Deadline) -> Result<Self, ReadError> {
        Ok(Self::from_node(fetch, block.cid(), FileNode::decode(block)?, deadline))
    }

    /// The same with the root decoded.
    pub fn from_node(fetch: Arc<dyn Fetch>, cid: &Cid, node: FileNode, deadline: Deadline) -> Self {
        let root = Frame::new(node.data.len() as u64, node.children, Ahead::new(Arc::clone(&fetch), deadline));
        Self {
            fetch,
            deadline,
            cid: *cid,
            head_len: node.data.len() as u64,
            head: node.data,
            size: node.size,
            position: 0,
            end: node.size,
            window: MIN_WINDOW,
            max_window: MAX_WINDOW,
            frames: vec![root],
            rest: Bytes::new(),
        }
    }

    /// The root.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Length in bytes, as the root declares it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where reading ends: the size, or the end of the range.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Where the next byte comes from.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads on from `position`; beyond the end there is nothing.
    pub fn seek(&mut self, position: u64) {
        let skip = position.checked_sub(self.position).and_then(|n| usize::try_from(n).ok());
        if let Some(skip) = skip.filter(|&n| n < self.rest.len()) {
            self.rest = self.rest.slice(skip..);
            self.position = position;
            return;
        }
        self.position = position;
        self.rest = Bytes::new();
        self.window = MIN_WINDOW;
        while self.frames.len() > 1 && self.frames.last().is_some_and(|f| !f.range().contains(&position)) {
            self.frames.pop();
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.restart(0, frame.start);
            frame.skip_to(position);
        }
        // Levels above know which of their parts leads here: it is the one being read. Their own read-ahead is
        // kept.
    }

    /// Reads at most that many bytes ahead in each of two batches from now on, one block at least; with zero, one block
    /// at a time and none ahead, and of nodes with many parts only the next ones are held.
    pub fn set_read_ahead(&mut self, bytes: u64) {
        self.max_window = bytes.min(MAX_WINDOW);
    }

    /// Gives up what was read ahead, the rest of the present block, the nodes on the way to it, and all but a little of the
    /// root. Reading goes on where it was, and asks for these blocks again.
    pub fn release(&mut self) {
        self.rest = Bytes::new();
        self.window = MIN_WINDOW;
        if self.head.len() > KEPT_HEAD {
            self.head = Bytes::new();
        }
        self.climb();
        if let Some(root) = self.frames.first_mut() {
            root.trim();
        }
    }

    /// Bytes that it holds besides blocks that are read ahead: the parts of the nodes on the way to the position, and what
    /// the root itself has of the file.
    pub fn held(&self) -> usize {
        self.parts() * size_of::<Part>() + self.head.len()
    }

    /// Goes back up to the root, from where the position is reached again.
    fn climb(&mut self) {
        self.frames.truncate(1);
        if let Some(root) = self.frames.first_mut() {
            root.restart(0, root.start);
            root.skip_to(self.position);
        }
    }

    /// Whether the way to the position begins with what is not held of the root.
    fn lacks_root(&self) -> bool {
        let [root] = self.frames.as_slice() else { return false };
        if self.position < self.head_len {
            return self.head.is_empty();
        }
        self.position < root.start || root.cut && self.position >= root.range().end
    }

    async fn read_root(&mut self) -> Result<(), ReadError> {
        let block = self.fetch.fetch(&self.cid, self.deadline).await?;
        let node = FileNode::decode_aside(&self.fetch, block, self.deadline).await?;
        let ahead = Ahead::new(Arc::clone(&self.fetch), self.deadline);
        let mut root = Frame::new(self.head_len, node.children, ahead);
        root.skip_to(self.position);
        if self.max_window == 0 {
            root.trim();
        }
        self.frames = vec![root];
        if self.position < self.head_len || node.data.len() <= KEPT_HEAD {
            self.head = node.data;
        }
        Ok(())
    }

    /// Reads only the bytes of `range` from now on; nothing beyond it is fetched.
    pub fn set_range(&mut self, range: Range<u64>) {
        self.end = range.end.min(self.size);
        self.seek(range.start);
    }

    /// The next bytes: as many as the next block has, at least one; `None` at the end. Nothing is copied.
    ///
    /// # Errors
    /// When a block can't be had, is malformed, or is not as long as its parent said.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.next_at_most(usize::MAX).await
    }

    /// The same, but at most `max` bytes.
    ///
    /// # Errors
    /// As [`FileReader::next`].
    pub async fn next_at_most(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        loop {
            if self.position >= self.end {
                return Ok(None);
            }
            if self.rest.is_empty() && self.position < self.head.len() as u64 {
                // The position is below a length in memory: it fits.
                self.rest = self.head.slice(usize::try_from(self.position).unwrap_or(usize::MAX)..);
            }
            if !self.rest.is_empty() {
                let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
                let chunk = self.rest.split_to(self.rest.len().min(left).min(max));
                self.position += chunk.len() as u64;
                return Ok(Some(chunk));
            }
            self.advance().await?;
        }
    }

    /// Goes on to the block at the position. After an error the same block is asked for again.
    async fn advance(&mut self) -> Result<(), ReadError> {
        if self.lacks_root() {
            return self.read_root().await;
        }
        self.fill();
        let depth = self.frames.len();
        let first = self.frames.last().and_then(|top| top.asked.front().copied());
        let (Some((index, start)), Some(top)) = (first, self.frames.last_mut()) else {
            if self.frames.last().is_some_and(|top| top.cut) {
                self.climb();
                return Ok(());
            }
            if depth <= 1 {
                return Err(ReadError::malformed(&self.cid, "the file ends before its declared end"));
            }
            self.frames.pop();
            return Ok(());
        };
        let opened = match top.opened.take() {
            Some(opened) => Ok(opened),
            None => top.take_node(index, start, &self.fetch, self.deadline).await,
        };
        let entered = opened.and_then(|(data, below)| {
            self.check(index, below.as_deref())?;
            Ok((data, below))
        });
        let Some(top) = self.frames.last_mut() else { return Ok(()) };
        let (data, below) = entered.inspect_err(|_| top.restart(index, start))?;
        top.asked.pop_front();
        let skip = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        if skip < data.len() {
            self.rest = data.slice(skip..);
        }
        if let Some(mut below) = below {
            if self.position > below.start && below.asked.is_empty() {
                below.skip_to(self.position);
            }
            if self.max_window == 0 && below.asked.is_empty() {
                below.trim();
            }
            self.frames.push(*below);
        }
        Ok(())
    }

    /// Refuses to go below a part of the top frame where the bounds are passed.
    fn check(&self, index: usize, below: Option<&Frame>) -> Result<(), ReadError> {
        let (Some(below), Some(top)) = (below, self.frames.last()) else { return Ok(()) };
        let reason = if self.frames.len() >= MAX_DEPTH {
            format!("the file is more than {MAX_DEPTH} levels deep")
        } else if self.parts() + below.parts.len() > MAX_PARTS {
            format!("the nodes on the way to byte {} have more than {MAX_PARTS} parts", self.position)
        } else {
            return Ok(());
        };
        Err(ReadError::Unreasonable { cid: Box::new(top.parts[index].cid), reason })
    }

    /// Parts in all frames, those that were opened early among them.
    fn parts(&self) -> usize {
        self.frames.iter().map(|frame| frame.parts.len() + frame.early().map_or(0, |early| early.parts.len())).sum()
    }

    /// Asks for what will be wanted next.
    fn fill(&mut self) {
        let (end, depth, parts) = (self.end, self.frames.len(), self.parts());
        let waiting: usize = self.frames.iter().map(Frame::waiting).sum();
        let mut room = MAX_WAITING.saturating_sub(waiting);
        let (max_window, single) = (self.max_window.max(1), self.max_window == 0);
        let Some(top) = self.frames.last_mut() else { return };
        if single {
            if top.asked.is_empty() {
                top.ask(1, end, 1);
            }
            return;
        }
        self.window = self.window.min(max_window);
        while top.ahead.batches() < BATCHES {
            // What comes next is asked for in any case.
            let some = if top.asked.is_empty() { room.max(1) } else { room };
            let asked = top.ask(self.window, end, some);
            if asked == 0 {
                break;
            }
            room = room.saturating_sub(asked);
            self.window = (self.window * 2).min(max_window);
        }
        // Near the end of a node: look into the next one, so that its parts are under way in time.
        let spent = top.next == top.parts.len() && top.ahead.batches() < BATCHES;
        if spent && room > 0 && depth > 1 && self.frames[depth - 2].opened.is_none() {
            let window = self.window;
            let max_parts = MAX_PARTS.saturating_sub(parts);
            self.frames[depth - 2].open_early(&self.fetch, self.deadline, max_parts, |early| {
                early.ask(window, end, room);
            });
        }
    }
}

impl Frame {
    fn new(start: u64, parts: Vec<Part>, ahead: Ahead) -> Self {
        Self { start, parts, cut: false, next: 0, next_start: start, ahead, asked: VecDeque::new(), opened: None }
    }

    /// The bytes of the file that the parts hold.
    fn range(&self) -> Range<u64> {
        let len: u64 = self.parts.iter().map(|p| p.size).sum();
        self.start..self.start + len
    }

    /// What was opened early, if that has parts.
    fn early(&self) -> Option<&Self> {
        self.opened.as_ref()?.1.as_deref()
    }

    /// Blocks under way or waiting.
    fn waiting(&self) -> usize {
        self.asked.len() + self.early().map_or(0, |early| early.asked.len())
    }

    /// Gives up what was asked for, to go on with that part, which begins at `start`.
    fn restart(&mut self, index: usize, start: u64) {
        self.ahead.clear();
        self.asked.clear();
        self.opened = None;
        (self.next, self.next_start) = (index, start);
    }

    /// Lets go of all parts but the next ones, if there are many. Nothing may be asked for.
    fn trim(&mut self) {
        if self.parts.len() > KEPT_PARTS {
            let kept = &self.parts[self.next..];
            self.cut |= kept.len() > KEPT_PARTS;
            self.parts = kept[..kept.len().min(KEPT_PARTS)].to_vec();
            (self.start, self.next) = (self.next_start, 0);
        }
    }

    /// Leaves out the parts that end at or before that byte.
    fn skip_to(&mut self, position: u64) {
        while let Some(part) = self.parts.get(self.next)
            && self.next_start + part.size <= position
        {
            self.next_start += part.size;
            self.next += 1;
        }
    }

    /// Asks for the next parts before `end`, of about `window` bytes and at most `room`; says of how many.
    fn ask(&mut self, window: u64, end: u64, room: usize) -> usize {
        let mut cids = Vec::new();
        let mut bytes = 0u64;
        while let Some(part) = self.parts.get(self.next)
            && self.next_start < end
            && cids.len() < room.min(BATCH_BLOCKS)
            && bytes < window
        {
            if part.size > 0 {
                cids.push(part.cid);
                self.asked.push_back((self.next, self.next_start));
                bytes = bytes.saturating_add(part.size);
            }
            self.next_start += part.size;
            self.next += 1;
        }
        let count = cids.len();
        self.ahead.ask(cids);
        count
    }

    /// The node of a part that was asked for and begins at `start`: its bytes, and its parts if it has any.
    async fn take_node(
        &mut self,
        index: usize,
        start: u64,
        fetch: &Arc<dyn Fetch>,
        deadline: Deadline,
    ) -> Result<(Bytes, Option<Box<Self>>), ReadError> {
        let part = &self.parts[index];
        match self.ahead.next().await {
            Some(answer) => {
                let node = FileNode::decode_aside(fetch, answer?, deadline).await;
                Ok(Self::of_node(checked(part, node)?, start, fetch, deadline))
            }
            None => Err(ReadError::malformed(&part.cid, "it was not asked for")),
        }
    }

    fn of_node(node: FileNode, start: u64, fetch: &Arc<dyn Fetch>, deadline: Deadline) -> (Bytes, Option<Box<Self>>) {
        let begin = start + node.data.len() as u64;
        let below = |parts| Box::new(Self::new(begin, parts, Ahead::new(Arc::clone(fetch), deadline)));
        (node.data, (!node.children.is_empty()).then(|| below(node.children)))
    }

    /// Looks into the next node if it has come and has no more than `max_parts` parts; `ask` is given those.
    fn open_early(
        &mut self,
        fetch: &Arc<dyn Fetch>,
        deadline: Deadline,
        max_parts: usize,
        ask: impl FnOnce(&mut Self),
    ) {
        let Some(&(index, start)) = self.asked.front() else { return };
        let Some(answer) = self.ahead.try_next() else { return };
        let node = answer.map_err(ReadError::from).map(|block| {
            let small = !entity::is_large(&block);
            small.then(|| checked(&self.parts[index], FileNode::decode(&block)))
        });
        match node {
            Ok(Some(Ok(node))) if node.children.len() <= max_parts => {
                let mut opened = Self::of_node(node, start, fetch, deadline);
                opened.1.as_deref_mut().map(ask);
                self.opened = Some(opened);
            }
            // An error is met again, and reported, when the node's turn comes: by then it has to be asked for anew. What takes
            // long to decode waits for its turn, too.
            _ => self.restart(index, start),
        }
    }
}

/// A part's node, if it is as long as its parent said.
fn checked(part: &Part, node: Result<FileNode, ReadError>) -> Result<FileNode, ReadError> {
    let node = node.map_err(|error| match error {
        ReadError::IsDirectory(cid) | ReadError::IsSymlink(cid) => {
            ReadError::malformed(&cid, "a part of a file that is no file")
        }
        other => other,
    })?;
    if node.size == part.size {
        return Ok(node);
    }
    let reason = format!("it holds {} bytes where its parent declares {}", node.size, part.size);
    Err(ReadError::malformed(&part.cid, reason))
}
