//! Where a file is cut into the chunks that become its leaves.
//!
//! A chunker decides CIDs, so each is byte-exact with the one that deployed nodes run. It looks at bytes that
//! the caller holds and keeps a few words of state: no buffer, no copy.

mod buzhash;
mod rabin;
mod spec;

pub use spec::{ChunkerError, ChunkerSpec, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE};

/// Cuts one stream of bytes.
#[derive(Debug, Clone)]
pub struct Chunker {
    spec: ChunkerSpec,
    /// Bytes of the current chunk that were looked at and hold no cut.
    scanned: usize,
    rolling: Rolling,
}

#[derive(Debug, Clone)]
enum Rolling {
    None,
    Rabin(Box<rabin::Rabin>),
    Buzhash(buzhash::Buzhash),
}

impl Chunker {
    /// A chunker at the start of a stream.
    pub fn new(spec: ChunkerSpec) -> Self {
        let rolling = match spec {
            ChunkerSpec::Size(_) => Rolling::None,
            ChunkerSpec::Rabin { min, avg, .. } => Rolling::Rabin(Box::new(rabin::Rabin::new(min, avg))),
            ChunkerSpec::Buzhash => Rolling::Buzhash(buzhash::Buzhash::default()),
        };
        Self { spec, scanned: 0, rolling }
    }

    /// Longest chunk in bytes: a window of that length always holds a cut.
    pub fn max_chunk(&self) -> usize {
        self.spec.max_chunk()
    }

    /// Length of the next chunk, or `None` when that takes more bytes (or when there are none).
    ///
    /// `window` holds the unread bytes from the start of the current chunk on; after `None` call again with a
    /// longer window of the same start, after `Some(n)` with a window that starts `n` bytes later. `eof` says
    /// that no bytes follow the window. Bytes that were scanned once are not scanned again.
    pub fn next_cut(&mut self, window: &[u8], eof: bool) -> Option<usize> {
        let limit = self.max_chunk().min(window.len());
        let reach = &window[..limit];
        let cut = match &mut self.rolling {
            Rolling::None => None,
            Rolling::Rabin(rabin) => rabin.find_cut(reach, self.scanned),
            Rolling::Buzhash(buzhash) => buzhash.find_cut(reach, self.scanned),
        };
        let cut = cut.or_else(|| (limit > 0 && (eof || limit == self.max_chunk())).then_some(limit));
        self.scanned = if cut.is_some() { 0 } else { limit };
        cut
    }
}

#[cfg(test)]
mod tests;
