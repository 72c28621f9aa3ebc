//! The bytes of files, blocks and listings as bodies, in memory that many slow clients can't exhaust.
//!
//! Bodies share [`BUDGET`](crate::share::BUDGET) bytes for what is read ahead, for what clients have not taken yet, and for the tables by which
//! files and directories are found their way through. A body that has a share of it hands out blocks as they are, without a
//! copy, and reads ahead. One that has none copies a small piece out of a block and lets go of the block, which it reads
//! again for the next piece: slower, but it holds little. A body that its client keeps waiting loses its share to others
//! ([`Buffers::sweep`]). CARs and archives are bounded by their number.
//!
//! | What | Bytes |
//! |---|---|
//! | share with far read-ahead, after [`FAR_AFTER`] bytes | [`FAR`] |
//! | share with some read-ahead | [`NEAR`] |
//! | share for one block | [`ONE`] |
//! | tables beyond that, besides | as many as they have; without room for them they are read again for each piece |
//! | an answer that is made at once, beyond a piece | its length; without room for it 429 |
//! | a piece without a share | [`PIECE`] |
//!
//! Of blocks that are read for such pieces, [`MAX_PIECES`] are held at once.

use crate::{
    body::Body,
    directory::Lister,
    gateway::too_many,
    problem::Problem,
    share::{Budget, FAR, NEAR, ONE, SMALL, Share},
};
use bytes::Bytes;
use cairn_store::{
    Cid,
    fetch::{Deadline, Fetch},
    unixfs::{FileReader, ReadError, entity::FileNode},
};
use futures::stream;
use parking_lot::Mutex;
use std::{
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Bytes after which a client is known to be quick.
const FAR_AFTER: u64 = 4 << 20;
/// Bytes that are copied at once without a share; no body up to this length needs one.
pub const PIECE: usize = 16 << 10;
/// Blocks that are read at once for bodies without a share.
const MAX_PIECES: usize = 16;
/// How long one of them counts: what takes longer comes from the network, and must not keep others from what is here.
const LOCAL: Duration = Duration::from_secs(1);
/// How long a client may keep a body waiting before its share goes to others.
const SLOW: Duration = Duration::from_millis(500);
/// How often that is looked at.
pub const SWEEP: Duration = Duration::from_millis(250);

/// What bodies share.
#[derive(Debug)]
pub struct Buffers {
    budget: Arc<Budget>,
    pieces: Semaphore,
    bodies: Mutex<Vec<Weak<Shared>>>,
}

/// A body, as its stream and the sweep see it.
#[derive(Debug)]
struct Shared {
    buffers: Arc<Buffers>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Absent while it is being read from.
    source: Option<Source>,
    /// Its share of the budget.
    share: Share,
    /// Bytes that the client may not have taken yet.
    handed: usize,
    delivered: u64,
    asked: Instant,
}

/// Where the bytes of a body come from.
enum Source {
    File(Box<FileReader>),
    Block(Box<BlockReader>),
    Listing(Box<Lister>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Block(_) => "Block",
            Self::Listing(_) => "Listing",
        })
    }
}

/// Bytes of one block.
struct BlockReader {
    fetch: Arc<dyn Fetch>,
    cid: Cid,
    deadline: Deadline,
    /// Whether the bytes of the block are meant, and not those of the file that it is.
    as_is: bool,
    position: usize,
    end: usize,
}

impl BlockReader {
    async fn next(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let block = self.fetch.fetch(&self.cid, self.deadline).await?;
        let data = if self.as_is { block.data().clone() } else { FileNode::decode(&block)?.data };
        let to = self.end.min(self.position.saturating_add(max)).min(data.len());
        let piece = data.slice(self.position.min(to)..to);
        self.position = to;
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

impl Source {
    /// The next bytes, zero-copy with a share, else a copy of a small piece.
    async fn next(&mut self, share: usize, ahead: u64) -> Result<Option<Bytes>, ReadError> {
        let max = if share == 0 { PIECE } else { usize::MAX };
        if let Self::File(reader) = self {
            reader.set_read_ahead(ahead);
        }
        let bytes = match self {
            Self::File(reader) => reader.next_at_most(max).await?,
            Self::Block(reader) => reader.next(max).await?,
            Self::Listing(lister) => lister.next().await?,
        };
        if share > 0 {
            return Ok(bytes);
        }
        let copy = match self {
            // It was written for this piece.
            Self::Listing(_) => bytes,
            Self::File(_) | Self::Block(_) => bytes.map(|bytes| Bytes::copy_from_slice(&bytes)),
        };
        self.release();
        Ok(copy)
    }

    fn release(&mut self) {
        match self {
            Self::File(reader) => reader.release(),
            Self::Listing(lister) => lister.release(),
            Self::Block(_) => {}
        }
    }

    /// Bytes of the tables that it holds.
    fn held(&self) -> usize {
        match self {
            Self::File(reader) => reader.held(),
            Self::Listing(lister) => lister.held(),
            Self::Block(_) => 0,
        }
    }
}

impl Buffers {
    /// A budget that nobody has a share of.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { budget: Arc::default(), pieces: Semaphore::new(MAX_PIECES), bodies: Mutex::default() })
    }

    /// A share for a body that is about to begin: as much as there is room for.
    pub fn share(self: &Arc<Self>) -> Share {
        let mut share = Share::none(&self.budget);
        let _ = share.grow(NEAR) || share.grow(ONE);
        share
    }

    /// A reader of a file whose root is at hand, and a share for its body. It holds no more of the root than there is room
    /// for.
    pub fn open(
        self: &Arc<Self>,
        fetch: Arc<dyn Fetch>,
        cid: &Cid,
        node: FileNode,
        deadline: Deadline,
    ) -> (FileReader, Share) {
        let mut share = self.share();
        let mut reader = FileReader::from_node(fetch, cid, node, deadline);
        if share.bytes == 0 || !share.cover(reader.held()) {
            share.lean = true;
            reader.release();
        }
        reader.set_read_ahead(share.read_ahead());
        (reader, share)
    }

    /// An answer that is all at hand.
    ///
    /// # Errors
    /// When it is large, and there is no room for it: 429.
    pub fn bytes(self: &Arc<Self>, bytes: Bytes) -> Result<Body, Problem> {
        if bytes.len() <= PIECE {
            return Ok(Body::full(bytes));
        }
        let mut share = Share::none(&self.budget);
        if share.cover(bytes.len() + SMALL) { Ok(Body::pieces(bytes).keeping(share)) } else { Err(too_many()) }
    }

    /// Reads a block; without a share, or without room for its tables, only when few others do.
    pub async fn read<T>(&self, share: &Share, read: impl Future<Output = T>) -> T {
        if share.bytes > 0 && !share.lean { read.await } else { self.read_piece(read).await }
    }

    async fn read_piece<T>(&self, read: impl Future<Output = T>) -> T {
        let permit = self.pieces.acquire().await;
        let mut read = pin!(read);
        match tokio::time::timeout(LOCAL, &mut read).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(permit);
                read.await
            }
        }
    }

    /// Takes the shares of bodies whose clients are slow. To be called every [`SWEEP`].
    pub fn sweep(&self, now: Instant) {
        let mut bodies = self.bodies.lock();
        bodies.retain(|body| {
            let Some(body) = body.upgrade() else { return false };
            let mut state = body.state.lock();
            let spare = state.share.bytes > state.handed || state.share.tables > 0;
            if now.saturating_duration_since(state.asked) > SLOW && spare {
                let handed = state.handed;
                if let Some(source) = &mut state.source {
                    source.release();
                    let held = source.held();
                    state.share.shrink(handed);
                    state.share.cover(held);
                }
            }
            true
        });
    }

    /// Bytes of tables that each body holds.
    #[cfg(test)]
    pub fn held(&self) -> Vec<usize> {
        let bodies = self.bodies.lock();
        let alive = bodies.iter().filter_map(Weak::upgrade);
        alive.map(|body| body.state.lock().source.as_ref().map_or(0, Source::held)).collect()
    }

    /// The bytes of a file from the reader's position on; `first` were read already. `length` of them altogether.
    pub fn file(self: &Arc<Self>, reader: FileReader, share: Share, first: Bytes, length: u64) -> Body {
        if first.len() as u64 >= length && first.len() <= PIECE {
            return Body::full(first);
        }
        self.body(Source::File(Box::new(reader)), share, first, Some(length))
    }

    /// The page of a directory, whose first piece was written already.
    pub fn listing(self: &Arc<Self>, lister: Lister, share: Share, first: Bytes) -> Body {
        self.body(Source::Listing(Box::new(lister)), share, first, None)
    }

    /// Bytes of one block, which are at hand.
    pub fn block(self: &Arc<Self>, fetch: Arc<dyn Fetch>, at: BlockBytes, deadline: Deadline) -> Body {
        let BlockBytes { cid, as_is, bytes, start } = at;
        if bytes.len() <= PIECE {
            return Body::full(bytes);
        }
        let end = start + bytes.len();
        let length = bytes.len() as u64;
        let reader = BlockReader { fetch, cid, deadline, as_is, position: end, end };
        let mut share = Share::none(&self.budget);
        share.grow(ONE);
        self.body(Source::Block(Box::new(reader)), share, bytes, Some(length))
    }

    fn body(self: &Arc<Self>, mut source: Source, mut share: Share, first: Bytes, length: Option<u64>) -> Body {
        // Without a share, what was read is let go and read again, but for what was written for this piece.
        let keeps = share.bytes > 0 || length.is_none();
        let first = Some(first).filter(|first| keeps && !first.is_empty());
        if let Some(length) = length.filter(|_| first.is_none()) {
            source.rewind(length);
        }
        if share.bytes == 0 {
            source.release();
        }
        settle(&mut share, &mut source);
        let state = State { source: Some(source), share, handed: 0, delivered: 0, asked: Instant::now() };
        let shared = Arc::new(Shared { buffers: Arc::clone(self), state: Mutex::new(state) });
        self.bodies.lock().push(Arc::downgrade(&shared));
        let bytes = stream::unfold((shared, first), |(shared, first)| async move {
            let answer = shared.next(first).await.transpose()?;
            Some((answer.map_err(io::Error::other), (shared, None)))
        });
        Body::stream(bytes, length)
    }
}

/// Bytes of a block that are at hand.
pub struct BlockBytes {
    /// The block.
    pub cid: Cid,
    /// Whether they are bytes of the block, and not of the file that it is.
    pub as_is: bool,
    /// The bytes.
    pub bytes: Bytes,
    /// Where they begin in the block or file.
    pub start: usize,
}

impl Source {
    /// Goes back by what was read of `length` bytes so far.
    fn rewind(&mut self, length: u64) {
        match self {
            Self::File(reader) => {
                let start = reader.end().saturating_sub(length);
                reader.seek(start);
                reader.release();
            }
            Self::Block(reader) => {
                reader.position = reader.end.saturating_sub(usize::try_from(length).unwrap_or(usize::MAX));
            }
            // It goes on only.
            Self::Listing(_) => {}
        }
    }
}

impl Shared {
    async fn next(&self, first: Option<Bytes>) -> Result<Option<Bytes>, ReadError> {
        let (source, share, ahead) = {
            let mut state = self.state.lock();
            state.asked = Instant::now();
            // What was handed out before has been taken.
            state.handed = 0;
            let block = matches!(state.source, Some(Source::Block(_)));
            let listing = matches!(state.source, Some(Source::Listing(_)));
            let near = !block && !state.share.lean;
            let far = near && !listing && state.delivered >= FAR_AFTER;
            let share = &mut state.share;
            let _ = far && share.grow(FAR) || near && share.grow(NEAR) || share.grow(ONE);
            // A listing that may not hold its tables holds nothing.
            let bytes = if listing && share.lean { 0 } else { share.bytes };
            let ahead = share.read_ahead();
            (state.source.take(), bytes, ahead)
        };
        let Some(mut source) = source else { return Ok(None) };
        let answer = match first {
            Some(first) => Ok(Some(first)),
            None if share > 0 => source.next(share, ahead).await,
            None => self.buffers.read_piece(source.next(share, ahead)).await,
        };
        let mut state = self.state.lock();
        settle(&mut state.share, &mut source);
        state.source = Some(source);
        if let Ok(Some(bytes)) = &answer {
            state.handed = if share > 0 { bytes.len().clamp(1, share.max(1)) } else { 0 };
            state.delivered += bytes.len() as u64;
        }
        state.asked = Instant::now();
        answer
    }
}

/// Counts what a body holds; what there is no room for it lets go of, for good.
fn settle(share: &mut Share, source: &mut Source) {
    if !share.cover(source.held()) {
        share.lean = true;
        source.release();
        share.cover(source.held());
    }
}
