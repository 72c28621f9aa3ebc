//! Listings of the read-only trees.
//!
//! A listing goes through the directory as the kernel asks for lines, and holds no more than the way to the present one.
//! The cursor is the number of the line: a directory that never changes has the same lines in the same order for ever. Of
//! children it says what the directory says, what the index says of files of one block, and what other blocks say that are
//! here; none is fetched.
//!
//! While a program looks at one page, the next ones are made ready.

use super::{
    attr::{Dirent, Kind, Ttl, UNKNOWN_INO, is_name},
    errno::Errno,
    inodes::Node,
    place::Place,
    readonly::{ReadOnly, parent_of},
    seen::{Lines, Seen},
};
use bytes::Bytes;
use cairn_store::{cid::codec, task, unixfs};
use futures::{FutureExt as _, StreamExt as _};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, mpsc},
};

/// Bytes of children's blocks that are read for one page of a listing, as their parent declares them.
const LOOK_BYTES: u64 = 8 << 20;
/// Larger children are not looked at.
const MAX_LOOK: u64 = 512 << 10;
/// How long the local store may take for a page; what it did not say by then stays unknown.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// Bytes of listings that are made ready at a time, as far as they are more than a page.
const AHEAD_BYTES: usize = 256 << 10;
/// Pages that are made ready at a time.
const MAX_RUN: usize = 8;
/// Lines before the first entry: `.` and `..`.
const DOTS: u64 = 2;

/// How much of a listing is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes for all lines.
    pub bytes: usize,
    /// Bytes for each line besides its name, which is filled up to a multiple of 8.
    pub line: usize,
    /// Whether what a look-up would find is wanted too.
    pub plus: bool,
}

impl Room {
    /// Bytes that a line takes.
    pub fn cost(&self, name: &[u8]) -> usize {
        (self.line + name.len()).next_multiple_of(8)
    }
}

/// A directory, open for listing.
pub(super) struct OpenFolder {
    pub(super) number: u64,
    pub(super) node: Arc<Node>,
    cursor: Mutex<Cursor>,
    ahead: parking_lot::Mutex<Option<Ahead>>,
    /// Whether parts of it are not here.
    far: AtomicBool,
}

/// Some lines.
#[derive(Default)]
struct Page {
    /// Entries, what is known of them, and the number of the line behind each.
    lines: Vec<(u64, unixfs::Entry, Option<Seen>)>,
    /// Where the next page begins, if there is one.
    next: Option<u64>,
}

/// Pages that will probably be asked for.
struct Ahead {
    room: Room,
    /// Where each begins, and what it is, of each run of them. A run is under way as long as its channel is open.
    runs: VecDeque<mpsc::Receiver<Ready>>,
    /// Where the run after the last one begins; [`DONE`] if there is none.
    next: Arc<AtomicU64>,
}

type Ready = (u64, Result<Page, Errno>);

const DONE: u64 = u64::MAX;

impl Ahead {
    fn new(offset: u64, room: Room) -> Self {
        Self { room, runs: VecDeque::new(), next: Arc::new(AtomicU64::new(offset)) }
    }

    /// Whether another run is to begin.
    fn is_short(&self) -> bool {
        let ready: usize = self.runs.iter().map(mpsc::Receiver::len).sum();
        ready <= run_of(self.room) / 2
            && self.runs.back().is_none_or(mpsc::Receiver::is_closed)
            && self.next.load(Ordering::Acquire) != DONE
    }

    async fn next(&mut self) -> Option<Ready> {
        loop {
            match self.runs.front_mut()?.recv().await {
                Some(ready) => return Some(ready),
                None => self.runs.pop_front(),
            };
        }
    }
}

/// Pages that are made ready in one go.
fn run_of(room: Room) -> usize {
    (AHEAD_BYTES / room.bytes.max(1)).clamp(1, MAX_RUN)
}

#[derive(Default)]
struct Cursor {
    /// Number of the next line of `lines`, or of the one that is held.
    next: u64,
    lines: Option<Lines>,
    held: Option<unixfs::Entry>,
}

/// Does something; also says whether it had to be waited for.
async fn at_once<T>(work: impl Future<Output = T>) -> (T, bool) {
    let mut work = pin!(work);
    match futures::poll!(work.as_mut()) {
        Poll::Ready(done) => (done, false),
        Poll::Pending => (work.await, true),
    }
}

impl OpenFolder {
    pub(super) fn new(number: u64, node: Arc<Node>) -> Arc<Self> {
        let (cursor, ahead) = (Mutex::default(), parking_lot::Mutex::default());
        Arc::new(Self { number, node, cursor, ahead, far: AtomicBool::new(false) })
    }

    /// Lines from that one on.
    ///
    /// # Errors
    /// When a part of the directory itself can't be had and there is nothing before it.
    pub(super) async fn list(
        self: &Arc<Self>,
        trees: &Arc<ReadOnly>,
        offset: u64,
        room: Room,
    ) -> Result<Vec<Dirent>, Errno> {
        let mut dirents = Vec::new();
        let mut left = room.bytes;
        for (line, name) in [(0, &b"."[..]), (1, b"..")] {
            if offset <= line && room.cost(name) <= left {
                left -= room.cost(name);
                let own = trees.layout.ino(Place::Node(self.number));
                let ino = if line == 0 { own } else { parent_of(&self.node) };
                let name = Bytes::from_static(name);
                dirents.push(Dirent { ino, next: line + 1, kind: Some(Kind::Directory), name, entry: None });
            }
        }
        let page = match self.taken(offset, room).await {
            Some(page) => page,
            None => match self.look(trees, offset.max(DOTS), Room { bytes: left, ..room }).await {
                Err(error) if dirents.is_empty() => return Err(error),
                page => page.unwrap_or_default(),
            },
        };
        if let Some(next) = page.next {
            self.make_ready(trees, next, room);
        }
        for (next, entry, seen) in page.lines {
            dirents.push(self.line(trees, next, entry, seen, room.plus));
        }
        Ok(dirents)
    }

    /// The page that was made ready, if it is this one.
    async fn taken(&self, offset: u64, room: Room) -> Option<Page> {
        let mut ahead = self.ahead.lock().take().filter(|ahead| ahead.room == room)?;
        let (_, page) = ahead.next().await.filter(|(begin, _)| *begin == offset)?;
        // What went wrong then is tried again.
        let page = page.ok()?;
        *self.ahead.lock() = Some(ahead);
        Some(page)
    }

    /// Has the next pages made ready by a thread that may wait for the disk: each page of a sharded directory is a hundred
    /// blocks. Not so if some have to come from elsewhere: no thread waits for the network.
    fn make_ready(self: &Arc<Self>, trees: &Arc<ReadOnly>, offset: u64, room: Room) {
        if self.far.load(Ordering::Relaxed) {
            return;
        }
        let (more, next) = {
            let mut slot = self.ahead.lock();
            let ahead = slot.get_or_insert_with(|| Ahead::new(offset, room));
            if !ahead.is_short() {
                return;
            }
            let (more, run) = mpsc::channel(run_of(room));
            ahead.runs.push_back(run);
            (more, Arc::clone(&ahead.next))
        };
        let (folder, trees, runtime) = (Arc::clone(self), Arc::clone(trees), Handle::current());
        tokio::task::spawn_blocking(move || {
            let _runtime = runtime.enter();
            for _ in 0..run_of(room) {
                let offset = next.load(Ordering::Acquire);
                let looked = task::reading_here(|| folder.look(&trees, offset, room).now_or_never());
                folder.far.fetch_or(looked.is_none(), Ordering::Relaxed);
                let page = looked.unwrap_or(Err(Errno::EIO));
                let behind = page.as_ref().ok().and_then(|page| page.next).unwrap_or(DONE);
                next.store(behind, Ordering::Release);
                // There is room, unless whoever asked has gone.
                if more.try_send((offset, page)).is_err() || behind == DONE {
                    return;
                }
            }
        });
    }

    /// Entries from that line on, and what is known of them.
    async fn look(&self, trees: &ReadOnly, offset: u64, room: Room) -> Result<Page, Errno> {
        let (page, ended) = {
            let mut cursor = self.cursor.lock().await;
            let page = self.page(&mut cursor, trees, offset, room).await?;
            (page, cursor.held.is_none())
        };
        let next = page.last().map(|(next, _)| *next).filter(|_| !ended);
        let seen = self.seen(trees, &page, room.plus).await;
        let lines = page.into_iter().zip(seen).map(|((next, entry), seen)| (next, entry, seen)).collect();
        Ok(Page { lines, next })
    }

    /// Entries from that line on, and the number of the line behind each.
    async fn page(
        &self,
        cursor: &mut Cursor,
        trees: &ReadOnly,
        offset: u64,
        room: Room,
    ) -> Result<Vec<(u64, unixfs::Entry)>, Errno> {
        let mut page = Vec::new();
        let mut left = room.bytes;
        // What is given up half-way, by a signal for example, can't be gone on with: it is taken out until it is done.
        let (mut lines, mut held, mut at) = match (cursor.lines.take(), cursor.held.take()) {
            (Some(lines), held) if cursor.next <= offset => (lines, held, cursor.next),
            _ => (trees.open_folder(&self.node).await?.lines(), None, DOTS),
        };
        loop {
            let next = match held.take() {
                Some(entry) => Ok(Some(entry)),
                None => {
                    let (next, waited) = at_once(tokio::time::timeout(trees.patience, lines.next())).await;
                    if waited {
                        lines.read_ahead();
                    }
                    next.map_or(Err(Errno::ETIMEDOUT), |next| next.map_err(Errno::from))
                }
            };
            let entry = match next {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                // The next call meets it again, and begins from the front for that.
                Err(_) if !page.is_empty() => return Ok(page),
                Err(error) => return Err(error),
            };
            let (skipped, cost) = (at < offset || !is_name(&entry.name), room.cost(&entry.name));
            if !skipped && cost > left {
                held = Some(entry);
                break;
            }
            at += 1;
            if !skipped {
                left -= cost;
                page.push((at, entry));
            }
        }
        *cursor = Cursor { next: at, lines: Some(lines), held };
        Ok(page)
    }

    /// What is known of the entries of a page without asking anybody.
    async fn seen(&self, trees: &ReadOnly, page: &[(u64, unixfs::Entry)], plus: bool) -> Vec<Option<Seen>> {
        let of_parent = |entry: &unixfs::Entry| {
            (entry.cid.codec() == codec::RAW && entry.tsize > 0).then(|| Seen::raw(entry.tsize))
        };
        let mut seen: Vec<Option<Seen>> = page.iter().map(|(_, entry)| of_parent(entry)).collect();
        if !plus {
            return seen;
        }
        let local = &trees.sources.local;
        let look = async {
            let unknown: Vec<usize> = (0..page.len()).filter(|&at| seen[at].is_none()).collect();
            let cids: Vec<_> = unknown.iter().map(|&at| page[at].1.cid).collect();
            for (at, file) in unknown.into_iter().zip(local.files_here(&cids).await.unwrap_or_default()) {
                seen[at] = file.map(Seen::from);
            }
            let wanted = worth_reading(page, &seen);
            let mut blocks = local.fetch_many(wanted.iter().map(|&at| page[at].1.cid).collect(), None);
            for at in wanted {
                // One that is missing, or malformed, is not known: the others are.
                let Some(answer) = blocks.next().await else { break };
                seen[at] = answer.ok().and_then(|block| ReadOnly::see_block(&self.node.source, &block));
            }
        };
        let _ = tokio::time::timeout(LOOK_TIME, look).await;
        seen
    }

    fn line(&self, trees: &ReadOnly, next: u64, entry: unixfs::Entry, seen: Option<Seen>, plus: bool) -> Dirent {
        let name = entry.name;
        let kind = seen.map(|seen| seen.kind);
        let Some(seen) = seen.filter(|_| plus) else {
            return Dirent { ino: UNKNOWN_INO, next, kind, name, entry: None };
        };
        let place = (trees.layout.ino(Place::Node(self.number)), name.clone());
        let entry = trees.refer(Node::new(entry.cid, Arc::clone(&self.node.source), place, seen), Ttl::FOREVER);
        Dirent { ino: entry.attr.ino, next, kind, name, entry: Some(entry) }
    }
}

/// The entries of a page that nothing is known of, and whose blocks a listing may read.
fn worth_reading(page: &[(u64, unixfs::Entry)], seen: &[Option<Seen>]) -> Vec<usize> {
    let mut budget = LOOK_BYTES;
    let fits = |at: &usize| {
        let bytes = page[*at].1.tsize.max(1);
        // A large one is a tree: its root is small.
        let bytes = if bytes > MAX_LOOK { MAX_LOOK / 32 } else { bytes };
        let fits = bytes <= budget;
        budget = budget.saturating_sub(bytes);
        fits
    };
    (0..page.len()).filter(|&at| seen[at].is_none()).filter(fits).collect()
}
