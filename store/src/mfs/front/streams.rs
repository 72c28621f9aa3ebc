//! Reading what is sealed: readers that go on where the last read of the same file ended, so that they read ahead.

use crate::{
    Cid,
    fetch::{Fetch, FetchError},
    mfs::MfsError,
    unixfs::FileReader,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::{ops::Range, sync::Arc, time::Duration};

/// Readers that are kept.
pub(super) const MAX_STREAMS: usize = 16;
/// Bytes that each reads ahead, in each of two batches.
const READ_AHEAD: u64 = 2 << 20;

/// A reader of one file, for one read at a time.
struct Stream {
    cid: Cid,
    fetch: Arc<dyn Fetch>,
    /// `None` before the first read, and after a read that failed.
    reader: tokio::sync::Mutex<Option<FileReader>>,
}

/// A stream that is kept, and where the reads end that use it or wait for it.
struct Kept {
    stream: Arc<Stream>,
    next: u64,
}

/// The readers that are kept, those used last at the end.
#[derive(Default)]
pub(super) struct Streams(Mutex<Vec<Kept>>);

impl Streams {
    /// Reads bytes of the file with that root.
    ///
    /// # Errors
    /// When a block can't be had within `limit`, or is malformed.
    pub(super) async fn read(
        &self,
        fetch: &Arc<dyn Fetch>,
        cid: &Cid,
        of: Range<u64>,
        limit: Duration,
    ) -> Result<Bytes, MfsError> {
        let stream = self.stream(fetch, cid, &of);
        let reading = tokio::time::timeout(limit, stream.read(of));
        match reading.await {
            Ok(Ok(bytes)) => Ok(bytes),
            failed => {
                // What it has asked for may never come.
                self.0.lock().retain(|kept| !Arc::ptr_eq(&kept.stream, &stream));
                match failed {
                    Ok(Err(error)) => Err(error),
                    _ => Err(FetchError::TimedOut(Box::new(*cid)).into()),
                }
            }
        }
    }

    /// The stream that ends where a read begins; else one that nobody uses; else a new one.
    fn stream(&self, fetch: &Arc<dyn Fetch>, cid: &Cid, of: &Range<u64>) -> Arc<Stream> {
        let mut kept = self.0.lock();
        let same = |kept: &Kept| kept.stream.cid == *cid && Arc::ptr_eq(&kept.stream.fetch, fetch);
        let found = kept
            .iter()
            .rposition(|kept| same(kept) && kept.next == of.start)
            .or_else(|| kept.iter().position(|kept| same(kept) && Arc::strong_count(&kept.stream) == 1));
        let stream = match found {
            Some(at) => kept.remove(at).stream,
            None => {
                if kept.len() >= MAX_STREAMS {
                    kept.remove(0);
                }
                let (cid, fetch) = (*cid, Arc::clone(fetch));
                Arc::new(Stream { cid, fetch, reader: tokio::sync::Mutex::new(None) })
            }
        };
        kept.push(Kept { stream: Arc::clone(&stream), next: of.end });
        stream
    }
}

impl Stream {
    async fn read(&self, of: Range<u64>) -> Result<Bytes, MfsError> {
        let mut slot = self.reader.lock().await;
        let mut reader = match slot.take() {
            Some(reader) => reader,
            None => {
                let mut reader = FileReader::open(Arc::clone(&self.fetch), &self.cid, None).await?;
                reader.set_read_ahead(READ_AHEAD);
                reader
            }
        };
        if reader.position() != of.start {
            reader.seek(of.start);
        }
        let mut left = usize::try_from(of.end - of.start).unwrap_or(usize::MAX);
        let Some(first) = reader.next_at_most(left).await? else { return Ok(Bytes::new()) };
        left -= first.len();
        let mut out = None;
        while left > 0
            && let Some(more) = reader.next_at_most(left).await?
        {
            left -= more.len();
            out.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&more);
        }
        *slot = Some(reader);
        Ok(out.map_or(first, BytesMut::freeze))
    }
}
