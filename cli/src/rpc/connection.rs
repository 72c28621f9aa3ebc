//! Makes errors in trailers reach clients that do not ask for trailers.
//!
//! Kubo's clients written in Go read `X-Stream-Error` behind the body, but send no `TE: trailers`, and hyper sends
//! trailers only to those who do. So that header is put behind the first line of each request as it is read. A
//! request begins where the connection does, or where the answer to one without a body has ended; after a request with
//! a body the connection is closed.

use bytes::{Buf as _, Bytes};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The header.
const HEADER: &[u8] = b"TE: trailers\r\n";
/// Bytes that are read at once where a request begins.
const CHUNK: usize = 8 << 10;

/// Says whether the next bytes are the beginning of a request.
#[derive(Debug, Clone)]
pub struct AtRequest(Arc<AtomicBool>);

impl AtRequest {
    /// Says so.
    pub fn set(&self, at: bool) {
        self.0.store(at, Ordering::Release);
    }
}

/// A connection in which every request accepts trailers.
pub struct Connection<S> {
    stream: S,
    at_request: AtRequest,
    pending: Bytes,
}

impl<S> Connection<S> {
    /// Wraps a connection that was just accepted.
    pub fn new(stream: S) -> (Self, AtRequest) {
        let at_request = AtRequest(Arc::new(AtomicBool::new(true)));
        (Self { stream, at_request: at_request.clone(), pending: Bytes::new() }, at_request)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.pending.is_empty() {
            if !this.at_request.0.load(Ordering::Acquire) {
                return Pin::new(&mut this.stream).poll_read(cx, out);
            }
            let mut chunk = [0; CHUNK];
            let mut buffer = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            this.pending = match read.iter().position(|&b| b == b'\n') {
                Some(end) => {
                    this.at_request.set(false);
                    [&read[..=end], HEADER, &read[end + 1..]].concat().into()
                }
                None => Bytes::copy_from_slice(read),
            };
        }
        let now = this.pending.len().min(out.remaining());
        out.put_slice(&this.pending[..now]);
        this.pending.advance(now);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
