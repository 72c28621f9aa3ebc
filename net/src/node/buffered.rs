//! Fewer system calls for the same bytes: what lies between socket, encryption and multiplexer.
//!
//! rustls reads 4 KiB at a time, Noise 8 KiB; yamux writes the head of each frame by itself, its body of 16 KiB after
//! it, and flushes behind each. So the socket is read through [`Ahead`], and what yamux writes goes through
//! [`Gathered`] before it is encrypted.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | bytes that [`Ahead`] holds | [`MOST`] | the socket is not read |
//! | bytes that [`Gathered`] holds | [`MOST`] | they are written first |
//!
//! Both hold little, or nothing, while a connection says little: there may be a thousand of them.

use futures::{AsyncRead, AsyncWrite, ready};
use std::{
    io::{self, IoSlice, IoSliceMut},
    pin::Pin,
    task::{Context, Poll},
};

/// Bytes that are held at most.
const MOST: usize = 64 << 10;
/// Bytes that are read at once of a connection that says little, and kept of its buffers.
const LEAST: usize = 2 << 10;

/// Reads more than it is asked for, where there is more.
#[derive(Debug)]
pub struct Ahead<S> {
    inner: S,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet asked for.
    start: usize,
    end: usize,
}

impl<S> Ahead<S> {
    /// Nothing is read yet.
    pub fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), start: 0, end: 0 }
    }
}

impl<S: AsyncRead + Unpin> Ahead<S> {
    /// Reads on: the buffer is empty. It follows the amounts that come.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; LEAST];
        }
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut self.buffer))?;
        (self.start, self.end) = (0, read);
        Poll::Ready(Ok(()))
    }

    /// Sets the size of the buffer for the next time.
    fn adapt(&mut self) {
        let (read, size) = (self.end, self.buffer.len());
        (self.start, self.end) = (0, 0);
        if read == size && size < MOST {
            self.buffer = vec![0; 2 * size];
        } else if read < size / 16 {
            self.buffer.truncate(size / 2);
            self.buffer.shrink_to_fit();
        }
    }

    fn take(&mut self, into: &mut [u8]) -> usize {
        let len = into.len().min(self.end - self.start);
        into[..len].copy_from_slice(&self.buffer[self.start..self.start + len]);
        self.start += len;
        if self.start == self.end && self.end > 0 {
            self.adapt();
        }
        len
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.start == self.end {
            if buf.len() >= MOST {
                return Pin::new(&mut self.inner).poll_read(cx, buf);
            }
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(Ok(self.take(buf)))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.poll_read(cx, buf),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

/// Gathers small writes. A flush waits once for what else its task has to write, and then flushes.
#[derive(Debug)]
pub struct Gathered<S> {
    inner: S,
    buffer: Vec<u8>,
    /// What of the buffer was written already.
    start: usize,
    /// Whether something was written since the last flush was asked for.
    fresh: bool,
}

impl<S> Gathered<S> {
    /// Nothing is gathered yet.
    pub fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), start: 0, fresh: false }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Writes what was gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.start < self.buffer.len() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.buffer[self.start..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += written;
        }
        if self.buffer.len() <= LEAST {
            self.buffer.shrink_to(LEAST);
        }
        self.buffer.clear();
        self.start = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.start > 0 || this.buffer.len() + buf.len() > MOST {
            ready!(this.poll_drain(cx))?;
        }
        this.fresh = true;
        if buf.len() >= MOST {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        this.buffer.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if std::mem::take(&mut this.fresh) {
            // The same task often has the next frame ready: it asks again once it has nothing more.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{AsyncReadExt as _, AsyncWriteExt as _, io::Cursor};

    /// Notes the sizes of reads and writes, and how often it was flushed.
    #[derive(Default)]
    struct Noted {
        source: Cursor<Vec<u8>>,
        sink: Vec<u8>,
        reads: Vec<usize>,
        writes: usize,
        flushes: usize,
        /// Bytes that it takes until it is asked the next time.
        room: usize,
    }

    impl AsyncRead for Noted {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            let read = ready!(Pin::new(&mut self.source).poll_read(cx, buf))?;
            self.reads.push(read);
            Poll::Ready(Ok(read))
        }
    }

    impl AsyncWrite for Noted {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            if self.room == 0 {
                self.room = 40_000;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let len = buf.len().min(self.room);
            self.room -= len;
            self.sink.extend_from_slice(&buf[..len]);
            self.writes += 1;
            Poll::Ready(Ok(len))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[tokio::test]
    async fn small_reads_become_few_large_ones_and_buffers_shrink_again() {
        // Each read but the first few fills the buffer.
        let all = bytes((62 + 64 * 15) << 10);
        let mut ahead = Ahead::new(Noted { source: Cursor::new(all.clone()), ..Noted::default() });
        let mut got = vec![0; all.len()];
        for piece in got.chunks_mut(4096) {
            ahead.read_exact(piece).await.expect("reads");
        }
        assert!(got == all);
        assert!(ahead.inner.reads.len() < 24, "{:?}", ahead.inner.reads);
        assert_eq!(ahead.buffer.len(), MOST);
        for _ in 0..20 {
            ahead.inner.source = Cursor::new(vec![7; 5]);
            let mut few = [0; 100];
            assert_eq!(ahead.read(&mut few).await.expect("reads"), 5);
        }
        assert!(ahead.buffer.capacity() <= LEAST, "{}", ahead.buffer.capacity());
        assert_eq!(ahead.read(&mut [0; 10]).await.expect("the end"), 0);
        assert_eq!(ahead.read(&mut [0; 2 * MOST]).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn frames_are_gathered_and_nothing_stays_behind_after_a_flush() {
        let all = bytes(1 << 20);
        let mut gathered = Gathered::new(Noted { room: usize::MAX, ..Noted::default() });
        for frame in all.chunks(16 << 10) {
            gathered.write_all(&frame[..12]).await.expect("writes");
            gathered.write_all(&frame[12..]).await.expect("writes");
        }
        gathered.flush().await.expect("flushes");
        assert!(gathered.inner.sink == all);
        assert_eq!((gathered.inner.writes, gathered.inner.flushes), (all.len().div_ceil(MOST), 1));
        gathered.write_all(b"short").await.expect("writes");
        gathered.flush().await.expect("flushes");
        assert_eq!(gathered.inner.sink[all.len()..], *b"short");
        assert!(gathered.buffer.capacity() <= LEAST);
        // Something larger than all that may be gathered, into a sink that takes it bit by bit.
        gathered.inner.room = 0;
        gathered.write_all(b"!").await.expect("writes");
        gathered.write_all(&all).await.expect("writes");
        gathered.close().await.expect("closes");
        assert!(gathered.inner.sink[all.len() + 6..] == all);
    }

    #[tokio::test]
    async fn a_flush_waits_once_for_more() {
        let mut gathered = Gathered::new(Noted { room: usize::MAX, ..Noted::default() });
        gathered.write_all(b"a").await.expect("writes");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut gathered).poll_flush(&mut cx).is_pending());
        gathered.write_all(b"b").await.expect("writes");
        assert!(Pin::new(&mut gathered).poll_flush(&mut cx).is_pending());
        assert_eq!(gathered.inner.writes, 0);
        assert!(Pin::new(&mut gathered).poll_flush(&mut cx).is_ready());
        assert_eq!((gathered.inner.writes, gathered.inner.sink.as_slice()), (1, &b"ab"[..]));
        gathered.write_all(b"c").await.expect("writes");
        gathered.close().await.expect("closes");
        assert_eq!(gathered.inner.sink, b"abc");
    }
}
