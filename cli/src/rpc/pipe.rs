//! The way of an answer from the thread of a command to the task of its connection.
//!
//! Bounded: a command whose client reads slowly waits. Small writes are gathered while the connection is busy, so that
//! a million short lines do not become a million chunks.

use super::reply::Head;
use bytes::{Bytes, BytesMut};
use futures::task::AtomicWaker;
use hyper::{
    HeaderMap,
    body::{Body, Frame},
};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

/// Bytes that wait for the client at most; the writer waits then. A little more when one write is larger.
const WAITING: usize = 1 << 20;
/// Writes from this many bytes on are passed on without a copy.
const LARGE: usize = 16 << 10;
/// How often a writer that waits looks whether it shall stop.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    head: Option<Head>,
    pieces: VecDeque<Bytes>,
    gathered: BytesMut,
    waiting: usize,
    /// Set when the command has ended: what to send after the body.
    end: Option<Option<HeaderMap>>,
    /// The client is gone.
    closed: bool,
}

/// One answer under way.
pub struct Pipe {
    state: Mutex<State>,
    room: Condvar,
    reader: AtomicWaker,
    cancel: Arc<AtomicBool>,
}

impl Pipe {
    /// An empty one. `cancel` is set when the client goes away, and ends waits of the writer when it is set.
    pub fn new(cancel: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), room: Condvar::new(), reader: AtomicWaker::new(), cancel })
    }

    /// Says what the answer is. Only the first call counts.
    pub fn begin(&self, head: Head) {
        let mut state = self.state.lock();
        if state.head.is_none() {
            state.head = Some(head);
        }
        drop(state);
        self.reader.wake();
    }

    /// Whether somebody said what the answer is.
    pub fn has_begun(&self) -> bool {
        self.state.lock().head.is_some()
    }

    /// Writes bytes that are held somewhere else.
    ///
    /// # Errors
    /// `BrokenPipe` when the client is gone, or the command shall stop.
    pub fn write(&self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut state = self.wait()?;
        for bytes in pieces {
            state.gathered.extend_from_slice(bytes);
            state.waiting += bytes.len();
        }
        drop(state);
        self.reader.wake();
        Ok(())
    }

    /// Writes a piece, with something short before it.
    ///
    /// # Errors
    /// As [`Pipe::write`].
    pub fn write_whole(&self, before: &[u8], bytes: Bytes) -> io::Result<()> {
        if bytes.len() < LARGE {
            return self.write(&[before, &bytes]);
        }
        let mut state = self.wait()?;
        state.waiting += before.len() + bytes.len();
        state.gathered.extend_from_slice(before);
        let gathered = state.gathered.split().freeze();
        state.pieces.extend([gathered, bytes].into_iter().filter(|b| !b.is_empty()));
        drop(state);
        self.reader.wake();
        Ok(())
    }

    fn wait(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if state.waiting < WAITING {
                return Ok(state);
            }
            self.room.wait_for(&mut state, PATIENCE);
            if self.cancel.load(Ordering::Relaxed) && state.waiting >= WAITING {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    /// Ends the answer.
    pub fn end(&self, trailers: Option<HeaderMap>) {
        let mut state = self.state.lock();
        if state.end.is_none() {
            state.end = Some(trailers);
        }
        drop(state);
        self.reader.wake();
    }

    /// Waits until it is known what the answer is.
    pub async fn head(&self) -> Head {
        std::future::poll_fn(|cx| {
            self.reader.register(cx.waker());
            self.state.lock().head.clone().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// The other end. When it is dropped before the end, the command is told to stop.
pub struct Reader(pub Arc<Pipe>);

impl Body for Reader {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let pipe = &self.0;
        pipe.reader.register(cx.waker());
        let mut state = pipe.state.lock();
        let next = match state.pieces.pop_front() {
            Some(piece) => piece,
            None => state.gathered.split().freeze(),
        };
        if !next.is_empty() {
            state.waiting -= next.len();
            drop(state);
            pipe.room.notify_all();
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        match &mut state.end {
            Some(trailers) => Poll::Ready(trailers.take().map(|t| Ok(Frame::trailers(t)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        (state.pieces, state.gathered) = (VecDeque::new(), BytesMut::new());
        if state.end.is_none() {
            self.0.cancel.store(true, Ordering::Relaxed);
        }
        drop(state);
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    fn pipe() -> (Arc<Pipe>, Arc<AtomicBool>) {
        let cancel = Arc::new(AtomicBool::new(false));
        (Pipe::new(Arc::clone(&cancel)), cancel)
    }

    #[test]
    fn bytes_come_out_in_order_whatever_their_size() {
        let (pipe, cancel) = pipe();
        let writer = Arc::clone(&pipe);
        let thread = std::thread::spawn(move || {
            for i in 0..200_u32 {
                writer.write(&[b"<", i.to_string().as_bytes(), b">"]).expect("a reader");
                let large = Bytes::from(vec![b'x'; if i % 50 == 0 { 3 << 20 } else { 3 }]);
                writer.write_whole(b"[", large).expect("a reader");
            }
            writer.end(None);
        });
        let body = futures::executor::block_on(Reader(pipe).collect()).expect("infallible").to_bytes();
        thread.join().expect("no panic");
        let mut expected = Vec::new();
        for i in 0..200_u32 {
            expected.extend_from_slice(format!("<{i}>[").as_bytes());
            expected.resize(expected.len() + if i % 50 == 0 { 3 << 20 } else { 3 }, b'x');
        }
        assert!(body == expected, "{} bytes instead of {}", body.len(), expected.len());
        assert!(!cancel.load(Ordering::Relaxed), "it was read to its end");
    }

    #[test]
    fn a_writer_waits_for_room_and_ends_when_the_reader_goes() {
        let (pipe, cancel) = pipe();
        let writer = Arc::clone(&pipe);
        let thread = std::thread::spawn(move || {
            let mut written = 0;
            while writer.write(&[&[0; 1024]]).is_ok() {
                written += 1024;
            }
            written
        });
        let reader = Reader(pipe);
        while reader.0.state.lock().waiting < WAITING {
            std::thread::yield_now();
        }
        drop(reader);
        assert_eq!(thread.join().expect("no panic"), WAITING);
        assert!(cancel.load(Ordering::Relaxed), "the command is told");
    }
}
