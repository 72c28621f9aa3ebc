//! Reading a CAR of either version as a stream.

use super::{CarError, Header, MAX_HEADER, MAX_SECTION, cbor};
use crate::{Cid, cid};
use bytes::Bytes;
use std::{collections::VecDeque, io::Read};

/// Bytes that are read at once. Sections are slices of such a window, without a copy of their own.
const WINDOW: usize = 4 << 20;
/// Room in a window for what was left of the one before: a block of the usual sizes.
const SPARE: usize = 1 << 20;
/// Windows that are remembered, to be used again: as many as are under way in an import. Larger ones than usual, for a
/// long header or section, are not.
const MAX_WINDOWS: usize = 8;
/// Bytes of a CARv2 before its data: the pragma, and the fixed header.
const V2_HEADER: usize = 40;
/// Longest varint that the format allows.
const MAX_VARINT: usize = 9;

/// A CID and bytes that claim to be its block: not hashed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Where the section begins, in bytes from the beginning of the stream.
    pub at: u64,
    /// The claimed name.
    pub cid: Cid,
    /// The bytes. They share the memory of a window of at most 12 MiB.
    pub data: Bytes,
}

/// Reads sections one after the other. Memory is bounded by a window and one section or header, whatever
/// lengths are declared.
pub struct CarReader<R> {
    source: R,
    header: Header,
    /// Read, and not parsed yet.
    rest: Bytes,
    /// Position of `rest` in the stream.
    at: u64,
    /// Where the data of a CARv2 ends.
    end: Option<u64>,
    ended: bool,
    windows: Windows,
}

impl<R: Read> CarReader<R> {
    /// Reads the header of either version.
    ///
    /// # Errors
    /// When the stream is not a CAR, or can't be read.
    pub fn open(source: R) -> Result<Self, CarError> {
        let header = Header { version: 1, roots: Vec::new() };
        let mut reader =
            Self { source, header, rest: Bytes::new(), at: 0, end: None, ended: false, windows: Windows::default() };
        let outer = reader.read_header()?;
        let (version, inner) = match (outer.version, outer.roots) {
            (1, roots) => (1, roots),
            (2, None) => {
                reader.enter_v2()?;
                let inner = reader.read_header()?;
                if inner.version != 1 {
                    return Err(CarError::Header(format!("CARv2 around a CAR of version {}", inner.version)));
                }
                (2, inner.roots)
            }
            (2, Some(_)) => return Err(CarError::Header("the first header of a CARv2 has roots".into())),
            (other, _) => return Err(CarError::Header(format!("unknown version {other}"))),
        };
        let roots = inner.ok_or_else(|| CarError::Header("no roots".into()))?;
        reader.header = Header { version, roots };
        Ok(reader)
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes that were parsed.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next section; `None` at the end.
    ///
    /// # Errors
    /// When the stream is malformed, ends too early, or can't be read.
    pub fn next_section(&mut self) -> Result<Option<Section>, CarError> {
        if self.end == Some(self.at) || (!self.have(1)? && self.end.is_none()) {
            return Ok(None);
        }
        let at = self.at;
        let malformed = |reason: String| CarError::Section { at, reason };
        let body = self.frame("a section", MAX_SECTION)?;
        let mut data: &[u8] = &body;
        if data.is_empty() {
            return Err(malformed("a section of length zero".into()));
        }
        let cid = cid::read(&mut data).map_err(|e| malformed(format!("the section has no valid CID: {e}")))?;
        let data = body.slice_ref(data);
        Ok(Some(Section { at, cid, data }))
    }

    fn read_header(&mut self) -> Result<cbor::Raw, CarError> {
        if self.at == 0 && !self.have(1)? {
            return Err(CarError::Empty);
        }
        let bytes = self.frame("a header", MAX_HEADER)?;
        cbor::decode(&bytes).map_err(CarError::Header)
    }

    /// Reads the fixed header of a CARv2 and goes to its data.
    fn enter_v2(&mut self) -> Result<(), CarError> {
        let start = self.at;
        if !self.have(V2_HEADER)? {
            return Err(self.truncated(start, "the header of a CARv2"));
        }
        let fixed = self.advance(V2_HEADER);
        // Sixteen bytes of characteristics say nothing that a reader needs; the index is not read.
        let number = |from: usize| {
            fixed.get(from..).and_then(|tail| tail.first_chunk::<8>()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let (offset, size) = (number(16), number(24));
        let skip = offset.checked_sub(self.at).filter(|_| offset <= i64::MAX as u64);
        let Some(skip) = skip else {
            return Err(CarError::Header(format!("data of the CARv2 at byte {offset}, where it can't be")));
        };
        let end = offset.checked_add(size).filter(|end| size > 0 && *end <= i64::MAX as u64);
        let Some(end) = end else {
            return Err(CarError::Header(format!("data of the CARv2 with a size of {size} bytes")));
        };
        self.skip(skip)?;
        self.end = Some(end);
        Ok(())
    }

    /// Passes over padding, without keeping it.
    fn skip(&mut self, mut len: u64) -> Result<(), CarError> {
        let start = self.at;
        while len > 0 {
            if !self.have(1)? {
                return Err(self.truncated(start, "the padding of a CARv2"));
            }
            let step = usize::try_from(len).unwrap_or(usize::MAX).min(self.rest.len());
            self.advance(step);
            len -= step as u64;
        }
        Ok(())
    }

    /// A length, and as many bytes.
    fn frame(&mut self, part: &'static str, max: u64) -> Result<Bytes, CarError> {
        let start = self.at;
        self.have(MAX_VARINT)?;
        let head = &self.rest[..self.rest.len().min(MAX_VARINT)];
        let (len, prefix) = match unsigned_varint::decode::u64(head) {
            Ok((len, after)) => (len, head.len() - after.len()),
            Err(unsigned_varint::decode::Error::Insufficient) if head.len() < MAX_VARINT => {
                return Err(self.truncated(start, part));
            }
            Err(error) => return Err(CarError::Section { at: start, reason: format!("length of {part}: {error}") }),
        };
        if len > max {
            return Err(CarError::TooLong { at: start, part, len, max });
        }
        if self.end.is_some_and(|end| start + prefix as u64 + len > end) {
            let reason = format!("{part} of {len} bytes runs past the end of the data of the CARv2");
            return Err(CarError::Section { at: start, reason });
        }
        // At most 32 MiB, which fits.
        let size = prefix + len as usize;
        if !self.have(size)? {
            return Err(self.truncated(start, part));
        }
        Ok(self.advance(size).slice(prefix..))
    }

    fn advance(&mut self, len: usize) -> Bytes {
        self.at += len as u64;
        self.rest.split_to(len)
    }

    /// Reads until at least `len` bytes are there; `false` when the stream ends before.
    fn have(&mut self, len: usize) -> Result<bool, CarError> {
        while self.rest.len() < len && !self.ended {
            // One window at a time, however much was declared.
            let mut window = self.windows.take(self.rest.len() + WINDOW);
            window.extend_from_slice(&self.rest);
            let read = (&mut self.source).take(WINDOW as u64).read_to_end(&mut window);
            let read = read.map_err(|error| CarError::Io { at: self.at + self.rest.len() as u64, error })?;
            self.ended = read < WINDOW;
            self.rest = self.windows.lend(window);
        }
        Ok(self.rest.len() >= len)
    }

    fn truncated(&self, start: u64, part: &'static str) -> CarError {
        CarError::Truncated { at: self.at + self.rest.len() as u64, start, part }
    }
}

/// Windows to read into, used again once no section needs them: fresh memory costs a page fault for every 4 KiB,
/// which is as much as hashing them.
#[derive(Default)]
struct Windows(VecDeque<Bytes>);

impl Windows {
    /// An empty buffer of at least that capacity.
    fn take(&mut self, capacity: usize) -> Vec<u8> {
        if self.0.front().is_some_and(Bytes::is_unique)
            && let Some(Ok(window)) = self.0.pop_front().map(Bytes::try_into_mut)
        {
            let mut window = Vec::from(window);
            window.clear();
            window.reserve(capacity);
            return window;
        }
        // Room for what is left of the window before, mostly a part of one block.
        Vec::with_capacity(capacity.max(WINDOW + SPARE))
    }

    /// Shares a buffer that was filled, and remembers it if it has the usual size.
    fn lend(&mut self, window: Vec<u8>) -> Bytes {
        let usual = window.capacity() <= WINDOW + SPARE;
        let window = Bytes::from(window);
        if !usual {
            return window;
        }
        if self.0.len() == MAX_WINDOWS {
            self.0.pop_front();
        }
        self.0.push_back(window.clone());
        window
    }
}
