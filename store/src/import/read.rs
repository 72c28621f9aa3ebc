//! The first stage: walks, reads and cuts, and hands over windows of whole chunks.

use super::{
    ImportError, Options,
    walk::{Source, Step, Walk},
};
use crate::{chunker::Chunker, unixfs::meta::FileMeta};
use bytes::Bytes;
use std::{
    io::{self, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Bytes of file content in a window. Large enough that a batch of chunks fills every lane of the hash
/// kernels; small enough that the windows in flight stay far below the memory bar.
pub const WINDOW: usize = 4 << 20;
/// Items of a window at the most: for many tiny files.
const WINDOW_ITEMS: usize = 2048;

/// What a window says, in order.
pub enum Item {
    /// An argument begins.
    Source,
    /// A folder begins.
    Enter(Vec<u8>, FileMeta),
    /// The innermost folder ends.
    Leave,
    /// A symlink: name, target, meta.
    Symlink(Vec<u8>, Vec<u8>, FileMeta),
    /// A file begins.
    File(Option<Vec<u8>>, FileMeta),
    /// The next chunk of the open file.
    Chunk(Bytes),
    /// The open file ends.
    EndFile,
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
}

impl<'a> Reader<'a> {
    /// Prepares the stage.
    pub fn new(options: &'a Options, cancel: &'a AtomicBool, deliver: Deliver<'a>) -> Self {
        Self { options, cancel, deliver, window: Window::default() }
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
            self.push(Item::Source)?;
            let mut walk = Walk::new(source, self.options);
            while let Some(step) = walk.next()? {
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
        if let Item::Chunk(bytes) = &item {
            self.window.bytes += bytes.len();
        }
        self.window.items.push(item);
        if self.window.bytes >= WINDOW || self.window.items.len() >= WINDOW_ITEMS {
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

    /// Cuts one file into chunks. The chunks of a read share its memory.
    fn file(&mut self, mut reader: Box<dyn Read + Send>, size: Option<u64>, path: &Path) -> Result<(), ImportError> {
        let mut chunker = Chunker::new(self.options.profile.chunker);
        let read_error = |e| ImportError::read("read", path, e);
        // What is left of the last read: the beginning of a chunk that is not complete.
        let mut rest = Bytes::new();
        let mut expected = size;
        loop {
            // One byte more than expected tells the end of a file in the same read that fills the buffer.
            let want = expected.map_or(WINDOW, |n| usize::try_from(n).unwrap_or(WINDOW).min(WINDOW - 1) + 1);
            let mut buffer = Vec::with_capacity(rest.len() + want);
            buffer.extend_from_slice(&rest);
            let (read, eof) = fill(reader.as_mut(), &mut buffer, want).map_err(read_error)?;
            // More than was expected: a file that grows, or whose length the system does not know, as in /proc.
            expected = expected.and_then(|n| n.checked_sub(read as u64));
            let bytes = Bytes::from(buffer);
            let mut start = 0;
            while let Some(len) = chunker.next_cut(&bytes[start..], eof) {
                self.push(Item::Chunk(bytes.slice(start..start + len)))?;
                start += len;
            }
            rest = bytes.slice(start..);
            if eof {
                return Ok(());
            }
        }
    }
}

/// Reads up to `want` bytes; says how many came, and whether the end was met.
fn fill(reader: &mut dyn Read, buffer: &mut Vec<u8>, want: usize) -> io::Result<(usize, bool)> {
    let before = buffer.len();
    // `take` stops short of the end only when `want` bytes came.
    let mut limited = reader.take(want as u64);
    loop {
        match limited.read_to_end(buffer) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let read = buffer.len() - before;
    Ok((read, read < want))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unixfs::profile::Profile;

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
