//! The first stage: walks, reads and cuts, and hands over windows of whole chunks.

use super::{
    ImportError, Options,
    walk::{Source, Step, Walk},
};
use crate::{
    chunker::{Chunker, ChunkerSpec},
    unixfs::{leaf, meta::FileMeta, profile::Profile},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io::{self, Read},
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Bytes of file content in a window. Large enough that a batch of chunks fills every lane of the hash
/// kernels; small enough that the windows in flight stay far below the memory bar.
pub const WINDOW: usize = 4 << 20;
/// The same while other imports have taken [`MAX_BUFFERS`] buffers of a whole window.
const SMALL_WINDOW: usize = WINDOW / 16;
/// Buffers of a whole window that all imports of the process have together, in use or kept to be used again. Further
/// imports go on in [`SMALL_WINDOW`]s, or in single chunks if those are longer: slower, and none waits for another.
pub const MAX_BUFFERS: usize = 96;
/// Items of a window at the most: for many tiny files.
const WINDOW_ITEMS: usize = 2048;

/// What a window says, in order.
pub enum Item {
    /// A folder begins.
    Enter(Vec<u8>, FileMeta),
    /// The innermost folder ends.
    Leave,
    /// A symlink: name, target, meta.
    Symlink(Vec<u8>, Vec<u8>, FileMeta),
    /// A file begins.
    File(Option<Vec<u8>>, FileMeta),
    /// The next chunk of the open file.
    Chunk(Chunk),
    /// The open file ends.
    EndFile,
}

/// A chunk of a file.
pub struct Chunk {
    /// Its bytes, or those of its leaf.
    pub bytes: Bytes,
    /// Its length in bytes.
    pub file_size: u64,
    /// Whether these are already the bytes of the leaf.
    pub encoded: bool,
}

/// A piece of work for the hashing threads.
#[derive(Default)]
pub struct Window {
    /// What it says.
    pub items: Vec<Item>,
    bytes: usize,
}

/// Takes windows; `false` when nobody wants more.
pub type Deliver<'a> = &'a mut dyn FnMut(Window) -> bool;

/// Reads sources into windows.
pub struct Reader<'a> {
    options: &'a Options,
    cancel: &'a AtomicBool,
    deliver: Deliver<'a>,
    window: Window,
    /// Bytes from which on a window is handed over.
    limit: usize,
    pool: Pool,
}

impl<'a> Reader<'a> {
    /// Prepares the stage.
    pub fn new(options: &'a Options, cancel: &'a AtomicBool, deliver: Deliver<'a>) -> Self {
        Self { options, cancel, deliver, window: Window::default(), limit: WINDOW, pool: Pool::new() }
    }

    /// Reads all of the sources.
    ///
    /// # Errors
    /// What could not be read, or that the import was cancelled.
    pub fn run(mut self, sources: Vec<Source>) -> Result<(), ImportError> {
        let read = self.read_all(sources);
        // What was read before an error is announced before it.
        let handed_over = self.hand_over();
        read.and(handed_over)
    }

    fn read_all(&mut self, sources: Vec<Source>) -> Result<(), ImportError> {
        for source in sources {
            let mut walk = Walk::new(source, self.options);
            while let Some(step) = walk.step()? {
                match step {
                    Step::Enter { name, meta } => self.push(Item::Enter(name, meta))?,
                    Step::Leave => self.push(Item::Leave)?,
                    Step::Symlink { name, target, meta } => {
                        self.push(Item::Symlink(name, target, meta))?;
                    }
                    Step::File { name, meta, path, reader, size } => {
                        self.push(Item::File(name, meta))?;
                        self.file(reader, size, &path)?;
                        self.push(Item::EndFile)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, item: Item) -> Result<(), ImportError> {
        if let Item::Chunk(chunk) = &item {
            self.window.bytes += usize::try_from(chunk.file_size).unwrap_or(WINDOW);
        }
        self.window.items.push(item);
        if self.window.bytes >= self.limit || self.window.items.len() >= WINDOW_ITEMS {
            self.hand_over()?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), ImportError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(ImportError::Cancelled);
        }
        if !self.window.items.is_empty() && !(self.deliver)(std::mem::take(&mut self.window)) {
            return Err(ImportError::Broken("building"));
        }
        Ok(())
    }

    /// Cuts one file into chunks.
    fn file(
        &mut self,
        mut reader: Box<dyn Read + Send>,
        mut size: Option<u64>,
        path: &Path,
    ) -> Result<(), ImportError> {
        if size.is_none() {
            let mut begin = vec![0; PROBE];
            let read = fill(reader.as_mut(), &mut begin).map_err(|e| ImportError::read("read", path, e))?;
            begin.truncate(read);
            if read < PROBE {
                begin.shrink_to_fit();
                size = Some(read as u64);
                reader = Box::new(io::Cursor::new(begin));
            } else {
                reader = Box::new(io::Cursor::new(begin).chain(reader));
            }
        }
        match self.options.profile.chunker {
            ChunkerSpec::Size(length) if size.is_none_or(|n| n >= length as u64) => {
                self.fixed(reader, length, size, path)
            }
            _ => self.variable(reader, size, path),
        }
    }

    /// Chunks of one length: each is read to where its leaf's other bytes fit around it, so that it is not copied
    /// before it is handed to the database.
    fn fixed(
        &mut self,
        mut reader: Box<dyn Read + Send>,
        length: usize,
        size: Option<u64>,
        path: &Path,
    ) -> Result<(), ImportError> {
        let slot = leaf::HEAD_ROOM + length + leaf::TAIL_ROOM;
        let mut left = size;
        loop {
            // A window of whole chunks fills every lane of the hash kernels; tiny chunks are mostly room.
            self.limit = self.pool.window();
            let most = (self.limit / length).min(2 * self.limit / slot).max(1);
            // One byte more than expected tells the end of a file in the same turn. A file that has grown since is
            // read like a stream.
            let expected = left.and_then(|n| usize::try_from(n).ok());
            let slots = expected.map_or(most, |n| (n / length + 1).min(most));
            let mut buffer = self.pool.take(slots * slot);
            let mut leaves = Vec::with_capacity(slots);
            let mut ended = false;
            for start in (0..slots).map(|i| i * slot + leaf::HEAD_ROOM) {
                let chunk = &mut buffer.bytes[start..start + length];
                let read = fill(reader.as_mut(), chunk).map_err(|e| ImportError::read("read", path, e))?;
                if read > 0 {
                    leaves.push((frame(&mut buffer.bytes, start, read, &self.options.profile), read as u64));
                    left = left.and_then(|n| n.checked_sub(read as u64));
                }
                ended = read < length;
                if ended {
                    break;
                }
            }
            let bytes = self.pool.freeze(buffer);
            for (range, file_size) in leaves {
                self.push(Item::Chunk(Chunk { bytes: bytes.slice(range), file_size, encoded: true }))?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Chunks of any length. The chunks of a read share its memory.
    fn variable(
        &mut self,
        mut reader: Box<dyn Read + Send>,
        size: Option<u64>,
        path: &Path,
    ) -> Result<(), ImportError> {
        let mut chunker = Chunker::new(self.options.profile.chunker);
        let read_error = |e| ImportError::read("read", path, e);
        // What is left of the last read: the beginning of a chunk that is not complete.
        let mut rest = Bytes::new();
        let mut expected = size;
        loop {
            // One byte more than expected tells the end of a file in the same read that fills the buffer.
            self.limit = self.pool.window();
            let most = self.limit;
            let want = expected.map_or(most, |n| usize::try_from(n).unwrap_or(most).min(most - 1) + 1);
            let mut buffer = self.pool.take(rest.len() + want);
            buffer.bytes[..rest.len()].copy_from_slice(&rest);
            let read = fill(reader.as_mut(), &mut buffer.bytes[rest.len()..rest.len() + want]).map_err(read_error)?;
            let (eof, len) = (read < want, rest.len() + read);
            // More than was expected: a file that grows, or whose length the system does not know, as in /proc.
            expected = expected.and_then(|n| n.checked_sub(read as u64));
            let bytes = self.pool.freeze(buffer).slice(..len);
            let mut start = 0;
            while let Some(len) = chunker.next_cut(&bytes[start..], eof) {
                let bytes = bytes.slice(start..start + len);
                self.push(Item::Chunk(Chunk { bytes, file_size: len as u64, encoded: false }))?;
                start += len;
            }
            rest = bytes.slice(start..);
            if eof {
                return Ok(());
            }
        }
    }
}

/// Reads until the buffer is full or the end is met; says how many bytes came.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Puts the rest of a leaf around the chunk at `start`; answers where the leaf stands.
fn frame(buffer: &mut [u8], start: usize, len: usize, profile: &Profile) -> Range<usize> {
    let (head, tail) = leaf::frame_of(profile, len);
    let (from, to) = (start - head.len(), start + len + tail.len());
    buffer[from..start].copy_from_slice(&head);
    buffer[start + len..to].copy_from_slice(&tail);
    from..to
}

/// What is read of a file of unknown length before it is given a window's buffer, in bytes: 10,000 small files that a
/// client sends would otherwise take 10,000 of those.
const PROBE: usize = 64 << 10;
/// Buffers that wait to be used again, at the most: as many as there are windows in the pipeline.
const MAX_FREE: usize = 12;
/// Smaller buffers are not worth keeping.
const POOLED_FROM: usize = WINDOW / 2;

/// Large buffers of all imports.
static BUFFERS: Budget = Budget(AtomicUsize::new(0));

/// How many large buffers there are.
struct Budget(AtomicUsize);

impl Budget {
    fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MAX_BUFFERS
    }
}

/// A buffer; if it is a large one, it counts.
struct Buffer {
    bytes: Vec<u8>,
    of: Option<&'static Budget>,
}

impl Buffer {
    fn large(of: &'static Budget) -> Self {
        of.0.fetch_add(1, Ordering::Relaxed);
        Self { bytes: Vec::new(), of: Some(of) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(of) = self.of {
            of.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Buffers of one window that are used again: fresh pages for every window cost a third of hashing it.
struct Pool {
    free: Arc<Mutex<Vec<Buffer>>>,
    budget: &'static Budget,
}

impl Pool {
    fn new() -> Self {
        Self { free: Arc::default(), budget: &BUFFERS }
    }

    /// Bytes of the next window. What other imports take meanwhile is more than they should, by a buffer each at most.
    fn window(&self) -> usize {
        if self.budget.is_spent() && self.free.lock().is_empty() { SMALL_WINDOW } else { WINDOW }
    }

    /// A buffer of that length; what is in it is arbitrary.
    fn take(&self, len: usize) -> Buffer {
        if len < POOLED_FROM {
            return Buffer { bytes: vec![0; len], of: None };
        }
        let mut buffer = self.free.lock().pop().unwrap_or_else(|| Buffer::large(self.budget));
        buffer.bytes.resize(len, 0);
        buffer
    }

    /// Makes a buffer shareable; a large one comes back when nobody uses it any more.
    fn freeze(&self, mut buffer: Buffer) -> Bytes {
        if buffer.of.is_none() {
            return std::mem::take(&mut buffer.bytes).into();
        }
        Bytes::from_owner(Lent { buffer: Some(buffer), free: Arc::clone(&self.free) })
    }
}

struct Lent {
    buffer: Option<Buffer>,
    free: Arc<Mutex<Vec<Buffer>>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.bytes)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut free = self.free.lock();
        if free.len() < MAX_FREE {
            free.extend(self.buffer.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::profile::Profile;

    #[test]
    fn imports_go_on_in_small_windows_while_others_have_the_buffers() {
        static FEW: Budget = Budget(AtomicUsize::new(0));
        let others: Vec<Buffer> = (0..MAX_BUFFERS).map(|_| Buffer::large(&FEW)).collect();
        for chunker in [ChunkerSpec::Size(64 << 10), ChunkerSpec::Buzhash] {
            let options = Options::new(Profile { chunker, ..Profile::cid_v1() });
            let (cancel, mut windows) = (AtomicBool::new(false), Vec::new());
            let mut deliver = |window: Window| {
                windows.push(window);
                true
            };
            let mut reader = Reader::new(&options, &cancel, &mut deliver);
            reader.pool.budget = &FEW;
            let content = Box::new(io::Cursor::new(vec![7; WINDOW]));
            reader.file(content, None, Path::new("x")).expect("read");
            reader.hand_over().expect("taken");
            let sizes: Vec<usize> = windows.iter().map(|window| window.bytes).collect();
            assert_eq!(sizes.iter().sum::<usize>(), WINDOW);
            // A chunk of Buzhash may be longer than a small window.
            assert!(sizes.len() >= 8 && sizes.iter().all(|size| *size < POOLED_FROM), "{sizes:?}");
            assert_eq!(FEW.0.load(Ordering::Relaxed), MAX_BUFFERS);
        }
        drop(others);
        assert_eq!(FEW.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_buffers_are_used_again_and_counted() {
        static ALL: Budget = Budget(AtomicUsize::new(0));
        let pool = Pool { free: Arc::default(), budget: &ALL };
        let lent = pool.freeze(pool.take(WINDOW));
        assert_eq!((ALL.0.load(Ordering::Relaxed), lent.len()), (1, WINDOW));
        drop(lent);
        let again = pool.take(POOLED_FROM);
        assert_eq!((ALL.0.load(Ordering::Relaxed), again.bytes.len()), (1, POOLED_FROM));
        drop((again, pool));
        assert_eq!(ALL.0.load(Ordering::Relaxed), 0);
    }

    /// A file of which the system does not know the length, as those in `/proc`, counting how often it is read.
    struct Unsized<'a>(io::Take<io::Repeat>, &'a std::sync::atomic::AtomicUsize);

    impl Read for Unsized<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read(buffer)
        }
    }

    #[test]
    fn a_file_longer_than_expected_is_read_in_large_pieces() {
        static READS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        const LEN: u64 = 1 << 20;
        let options = Options::new(Profile::unixfs_v0_2015());
        let cancel = AtomicBool::new(false);
        for expected in [0, 1, LEN - 1, LEN, LEN + 1] {
            let mut bytes = 0;
            let mut deliver = |window: Window| {
                bytes += window.bytes as u64;
                true
            };
            let mut reader = Reader::new(&options, &cancel, &mut deliver);
            READS.store(0, Ordering::Relaxed);
            let file = Box::new(Unsized(io::repeat(7).take(LEN), &READS));
            reader.file(file, Some(expected), Path::new("x")).expect("reads");
            reader.hand_over().expect("delivers");
            assert_eq!(bytes, LEN);
            let reads = READS.load(Ordering::Relaxed);
            assert!(reads < 1000, "{reads} reads for {LEN} bytes where {expected} were expected");
        }
    }
}
