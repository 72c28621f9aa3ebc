//! A stream whose bytes arrive later.

use futures::{AsyncRead, AsyncWrite};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Bytes on the way: beyond them the writer waits.
const CAPACITY: usize = 16 << 20;

pub(crate) struct Delayed<T> {
    inner: T,
    delay: Duration,
    queue: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ended: bool,
    sleep: Pin<Box<Sleep>>,
}

impl<T> Delayed<T> {
    pub(crate) fn new(inner: T, delay: Duration) -> Self {
        let sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { inner, delay, queue: VecDeque::new(), bytes: 0, ended: false, sleep }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Delayed<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut chunk = vec![0; 64 << 10];
        while !this.ended && this.bytes < CAPACITY {
            match Pin::new(&mut this.inner).poll_read(cx, &mut chunk) {
                Poll::Ready(Ok(0)) => this.ended = true,
                Poll::Ready(Ok(n)) => {
                    this.bytes += n;
                    this.queue.push_back((Instant::now() + this.delay, chunk[..n].to_vec()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        let Some((at, front)) = this.queue.front_mut() else {
            return if this.ended { Poll::Ready(Ok(0)) } else { Poll::Pending };
        };
        if *at > Instant::now() {
            let at = *at;
            this.sleep.as_mut().reset(at);
            if Future::poll(this.sleep.as_mut(), cx).is_pending() {
                return Poll::Pending;
            }
        }
        let n = front.len().min(buf.len());
        buf[..n].copy_from_slice(&front[..n]);
        front.drain(..n);
        if front.is_empty() {
            this.queue.pop_front();
        }
        this.bytes -= n;
        Poll::Ready(Ok(n))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Delayed<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
