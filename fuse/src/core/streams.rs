//! Reads of an open file: many at once, each at its place.
//!
//! A handle has some readers. A read goes to the one that is about to be there, so that a file read from front to end has
//! one reader with its read-ahead, and several places that are read at once have one each. Reads that the kernel sends
//! ahead of each other queue at their reader. A jump fetches the blocks that it reads and none ahead, until somebody reads
//! on behind it.
//!
//! That is for what is not here. As long as all is, [`super::direct`] reads it.
//!
//! A read fails when the mount's patience is over since it came in, and since the last block came in for its reader: slow
//! is not dead, and what queues behind a dead read dies with it. What others read elsewhere says nothing of it.

use super::{
    Kernel,
    attr::Ino,
    direct::{self, Direct, Piece},
    errno::Errno,
};
use bytes::Bytes;
use cairn_store::{
    Cid,
    fetch::Fetch,
    unixfs::{FileReader, entity::FileNode},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Readers of a handle. One more place than these, and the reader that was used least recently goes there.
const MAX_STREAMS: usize = 8;
/// A read that begins at most so far behind the end of another one goes on with it: the kernel leaves out what it has.
const MAX_GAP: u64 = 1 << 20;
/// What all readers of a mount may read ahead together, in bytes; each has two windows.
const AHEAD_BYTES: usize = 64 << 20;
/// The least that a reader reads ahead in a window.
const MIN_AHEAD: u64 = 256 << 10;
/// A jump that reads more is not followed by more reads of the same block.
const MAX_JUMP: usize = 64 << 10;
/// For so long a place that could not be read is not tried again: the kernel asks a second time for pages that it could
/// not get ahead of time, and nobody shall wait twice. Whoever opens the file anew tries at once.
const SECOND_TRY: Duration = Duration::from_secs(2);
/// Such places that are remembered.
const MAX_DEAD: usize = 16;

/// What open files have in common.
pub(super) struct Reading {
    direct: Direct,
    patience: Duration,
    kernel: Arc<OnceLock<Arc<dyn Kernel>>>,
    /// How many readers there are.
    readers: AtomicUsize,
}

impl Reading {
    pub(super) fn new(direct: Direct, patience: Duration, kernel: Arc<OnceLock<Arc<dyn Kernel>>>) -> Self {
        Self { direct, patience, kernel, readers: AtomicUsize::new(0) }
    }

    /// Bytes for one window of one reader.
    fn window(&self) -> u64 {
        let readers = self.readers.load(Ordering::Relaxed).max(1);
        (AHEAD_BYTES / 2 / readers) as u64
    }
}

/// An open file.
pub(super) struct OpenFile {
    ino: Ino,
    cid: Cid,
    node: Arc<FileNode>,
    source: Arc<dyn Fetch>,
    reading: Arc<Reading>,
    streams: Mutex<Streams>,
    /// Whether something of it was not here: its readers read ahead then, and are given all reads that come in order.
    remote: AtomicBool,
}

#[derive(Default)]
struct Streams {
    all: Vec<Stream>,
    clock: u64,
    /// The bytes that could not be had in time, and when that was found out: the last ones of `MAX_DEAD` places.
    dead: VecDeque<(Range<u64>, Instant)>,
}

struct Stream {
    /// Where the reads that were given to it end.
    end: u64,
    used: u64,
    reader: Arc<Turns>,
}

/// A reader, for one read at a time.
struct Turns {
    reader: tokio::sync::Mutex<Reader>,
    /// When the last block came in.
    progress: Mutex<Option<Instant>>,
}

struct Reader {
    reader: FileReader,
    reading: Arc<Reading>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A read that has its reader.
pub(super) struct Ticket {
    reader: Arc<Turns>,
    offset: u64,
    len: usize,
    ahead: bool,
    came: Instant,
}

impl OpenFile {
    pub(super) fn new(ino: Ino, cid: Cid, node: FileNode, source: Arc<dyn Fetch>, reading: &Arc<Reading>) -> Arc<Self> {
        let (node, reading) = (Arc::new(node), Arc::clone(reading));
        Arc::new(Self { ino, cid, node, source, reading, streams: Mutex::default(), remote: AtomicBool::new(false) })
    }

    /// Its root.
    pub(super) fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.node.size
    }

    /// Gives a read its reader. To be called in the order in which the kernel sends reads.
    pub(super) fn admit(&self, offset: u64, len: usize) -> Ticket {
        let mut streams = self.streams.lock();
        streams.clock += 1;
        let clock = streams.clock;
        let end = offset.saturating_add(len as u64);
        let behind = |stream: &Stream| offset.checked_sub(stream.end).filter(|&gap| gap <= MAX_GAP);
        let near = (0..streams.all.len()).filter_map(|at| Some((behind(&streams.all[at])?, at))).min();
        let (at, ahead) = match near {
            Some((_, at)) => (at, true),
            None if streams.all.len() < MAX_STREAMS => {
                streams.all.push(Stream { end: 0, used: 0, reader: self.reader() });
                (streams.all.len() - 1, offset == 0)
            }
            None => {
                let idle = |stream: &Stream| Arc::strong_count(&stream.reader) == 1;
                let oldest = |at: &usize| (!idle(&streams.all[*at]), streams.all[*at].used);
                let at = (0..streams.all.len()).min_by_key(oldest).unwrap_or_default();
                // A reader that is waited for ends with those who wait: nobody else joins them.
                if !idle(&streams.all[at]) {
                    streams.all[at].reader = self.reader();
                }
                (at, offset == 0)
            }
        };
        let stream = &mut streams.all[at];
        (stream.end, stream.used) = (end, clock);
        Ticket { reader: Arc::clone(&stream.reader), offset, len, ahead, came: Instant::now() }
    }

    fn reader(&self) -> Arc<Turns> {
        self.reading.readers.fetch_add(1, Ordering::Relaxed);
        let reader = FileReader::from_node(Arc::clone(&self.source), &self.cid, FileNode::clone(&self.node), None);
        let reader = tokio::sync::Mutex::new(Reader { reader, reading: Arc::clone(&self.reading) });
        Arc::new(Turns { reader, progress: Mutex::default() })
    }

    /// Reads: as many bytes as were asked for, less only at the end of the file. Pieces are those of the blocks.
    ///
    /// # Errors
    /// When a block can't be had: after the mount's patience without another one coming.
    pub(super) async fn read(&self, ticket: Ticket) -> Result<Vec<Bytes>, Errno> {
        let range = ticket.offset..ticket.offset.saturating_add(ticket.len as u64);
        if !(ticket.ahead && self.remote.load(Ordering::Relaxed)) {
            let here = range.start..range.end.min(self.node.size);
            if let Some(pieces) = self.reading.direct.read(&self.node, here.clone()).await {
                if !ticket.ahead && ticket.len <= MAX_JUMP {
                    self.hand_on(&pieces);
                }
                return Ok(pieces.iter().map(|piece| direct::within(piece, &here)).collect());
            }
            self.remote.store(true, Ordering::Relaxed);
        }
        if self.is_dead(&range) {
            return Err(Errno::ETIMEDOUT);
        }
        let reading = self.read_in_turn(&ticket);
        tokio::pin!(reading);
        loop {
            let progress = || *ticket.reader.progress.lock();
            let end = progress().map_or(ticket.came, |at| at.max(ticket.came)) + self.reading.patience;
            match tokio::time::timeout_at(end.into(), &mut reading).await {
                Ok(pieces) => return pieces,
                Err(_) if progress().is_some_and(|at| at + self.reading.patience > end) => {}
                Err(_) => {
                    tracing::debug!(cid = %self.cid, ?range, "no block came in time");
                    let dead = &mut self.streams.lock().dead;
                    dead.truncate(MAX_DEAD - 1);
                    dead.push_front((range, Instant::now()));
                    return Err(Errno::ETIMEDOUT);
                }
            }
        }
    }

    /// Gives the kernel the rest of the blocks that a jump led to: it would ask for a page at a time, and each time the whole
    /// block would be read.
    fn hand_on(&self, pieces: &[Piece]) {
        if let Some(kernel) = self.reading.kernel.get() {
            for (from, bytes) in pieces.iter().filter_map(|piece| direct::pages(piece, self.node.size)) {
                kernel.content(self.ino, from, bytes);
            }
        }
    }

    fn is_dead(&self, range: &Range<u64>) -> bool {
        let dead = &mut self.streams.lock().dead;
        dead.retain(|(_, at)| at.elapsed() < SECOND_TRY);
        dead.iter().any(|(dead, _)| range.start < dead.end && dead.start < range.end)
    }

    async fn read_in_turn(&self, ticket: &Ticket) -> Result<Vec<Bytes>, Errno> {
        let mut turn = ticket.reader.reader.lock().await;
        let jump = if ticket.len as u64 > MIN_AHEAD { ticket.len as u64 / 2 } else { 0 };
        let window = if ticket.ahead { turn.reading.window().max(MIN_AHEAD) } else { jump };
        let reader = &mut turn.reader;
        reader.set_read_ahead(window);
        let gap = ticket.offset.checked_sub(reader.position());
        if gap.is_none_or(|gap| gap > 2 * MAX_GAP) {
            reader.seek(ticket.offset);
        }
        while reader.position() < ticket.offset {
            // The gap is small: what was read ahead is kept.
            let gap = usize::try_from(ticket.offset - reader.position()).unwrap_or(usize::MAX);
            if ticket.next(reader, gap).await?.is_none() {
                return Ok(Vec::new());
            }
        }
        let mut pieces = Vec::new();
        let mut left = ticket.len;
        while left > 0 {
            let Some(piece) = ticket.next(reader, left).await? else { break };
            left -= piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

impl Ticket {
    async fn next(&self, reader: &mut FileReader, max: usize) -> Result<Option<Bytes>, Errno> {
        let piece = reader.next_at_most(max).await?;
        *self.reader.progress.lock() = Some(Instant::now());
        Ok(piece)
    }
}
