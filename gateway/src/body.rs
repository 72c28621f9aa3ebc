//! Bodies of responses.

use bytes::Bytes;
use futures::{Stream, stream::BoxStream};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::time::Sleep;

/// How long a client may take for what it was handed, a block at most. With [`STALL`](crate::serve::STALL), which asks for any
/// byte at all, this is the minimum transfer rate; and it is all that there is for HTTP/2, whose windows may stay shut.
pub const TAKEN: Duration = Duration::from_secs(120);

/// A body: bytes at hand, or a stream of them whose length may be known. An error in the stream breaks the connection off,
/// so that a client never takes a part for the whole.
pub struct Body {
    inner: Inner,
    left: Option<u64>,
    /// Given back at the end of bytes at hand.
    guards: Vec<Box<dyn Send>>,
}

enum Inner {
    Full(Option<Bytes>),
    Stream(Arc<Mutex<Held>>),
}

/// A stream, and what accompanies it to its end.
struct Held {
    /// Absent once it was given up.
    stream: Option<BoxStream<'static, io::Result<Bytes>>>,
    /// How long the next bytes may take.
    patience: Option<Duration>,
    /// When it has to be over.
    deadline: Option<Instant>,
    /// Runs while bytes are waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// When bytes were asked for last, and whether they still are.
    asked: Instant,
    waiting: bool,
    /// Whatever is to be given back at the end.
    guards: Vec<Box<dyn Send>>,
}

/// Streams under way, so that those are given up that nobody asks for any more: their place and memory are others' then.
#[derive(Default)]
pub struct Bodies(Mutex<Vec<Weak<Mutex<Held>>>>);

impl Bodies {
    /// Gives up what was not asked for within [`TAKEN`], or must be over. To be called now and then.
    pub fn sweep(&self, now: Instant) {
        let mut given_up = Vec::new();
        self.0.lock().retain(|held| {
            let Some(held) = held.upgrade() else { return false };
            let mut state = held.lock();
            // While bytes are waited for, the timer decides.
            let idle = !state.waiting && now.saturating_duration_since(state.asked) > TAKEN;
            if idle || state.deadline.is_some_and(|deadline| deadline <= now) {
                given_up.push((state.stream.take(), std::mem::take(&mut state.guards)));
            }
            state.stream.is_some()
        });
        // Outside of the lock: what they hold may do anything when it goes.
        drop(given_up);
    }
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let left = Some(bytes.len() as u64);
        Self { inner: Inner::Full(Some(bytes).filter(|bytes| !bytes.is_empty())), left, guards: Vec::new() }
    }

    /// What a stream gives; `len` is how many bytes that will be, if it is known.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static, len: Option<u64>) -> Self {
        let held = Held {
            stream: Some(Box::pin(stream)),
            patience: None,
            deadline: None,
            timer: None,
            asked: Instant::now(),
            waiting: false,
            guards: Vec::new(),
        };
        Self { inner: Inner::Stream(Arc::new(Mutex::new(held))), left: len, guards: Vec::new() }
    }

    /// Whether all of it is at hand.
    pub fn is_full(&self) -> bool {
        matches!(self.inner, Inner::Full(_))
    }

    /// Breaks it off when its next bytes take longer than `patience`, all of it takes until `deadline`, or nobody asks for
    /// more; what `guard` stands for is given back at its end.
    #[must_use]
    pub fn watched(
        self,
        patience: Option<Duration>,
        deadline: Option<Instant>,
        bodies: &Bodies,
        guard: impl Send + 'static,
    ) -> Self {
        if let Inner::Stream(held) = &self.inner {
            let mut state = held.lock();
            (state.patience, state.deadline) = (patience, deadline);
            drop(state);
            bodies.0.lock().push(Arc::downgrade(held));
        }
        self.keeping(guard)
    }

    /// Gives back at its end what `guard` stands for.
    #[must_use]
    pub fn keeping(mut self, guard: impl Send + 'static) -> Self {
        match &self.inner {
            Inner::Full(_) => self.guards.push(Box::new(guard)),
            Inner::Stream(held) => held.lock().guards.push(Box::new(guard)),
        }
        self
    }
}

impl Held {
    /// The next bytes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long"))));
        };
        self.asked = Instant::now();
        let item = stream.as_mut().poll_next(cx);
        self.waiting = item.is_pending();
        let Poll::Ready(item) = item else {
            if self.is_late(cx) {
                return Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the next bytes did not come in time",
                ))));
            }
            return Poll::Pending;
        };
        self.timer = None;
        Poll::Ready(item)
    }

    /// Whether it is too late, while bytes are waited for.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                let patience = self.patience.map(|patience| Instant::now() + patience);
                let Some(end) = patience.into_iter().chain(self.deadline).min() else { return false };
                self.timer.insert(Box::pin(tokio::time::sleep_until(end.into())))
            }
        };
        timer.as_mut().poll(cx).is_ready()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let item = match &mut this.inner {
            Inner::Full(bytes) => bytes.take().map(Ok),
            Inner::Stream(held) => ready!(held.lock().poll(cx)),
        };
        Poll::Ready(item.map(|bytes| {
            let bytes = bytes?;
            this.left = this.left.map(|left| left.saturating_sub(bytes.len() as u64));
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.inner, Inner::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::BodyExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Guard(Arc<AtomicBool>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    /// An endless body, and whether its place was given back.
    fn body(bodies: &Bodies, deadline: Option<Instant>) -> (Body, Arc<AtomicBool>) {
        let gone = Arc::new(AtomicBool::new(false));
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x")));
        (Body::stream(endless, None).watched(None, deadline, bodies, Guard(Arc::clone(&gone))), gone)
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_given_up() {
        let bodies = Bodies::default();
        let (mut body, gone) = body(&bodies, None);
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        bodies.sweep(Instant::now() + TAKEN / 2);
        assert!(!gone.load(Ordering::Acquire), "it has time");
        bodies.sweep(Instant::now() + TAKEN * 2);
        assert!(gone.load(Ordering::Acquire), "its place is free");
        assert!(
            body.frame().await.is_some_and(|frame| frame.is_err()),
            "the client does not take a part for the whole"
        );
        assert!(bodies.0.lock().is_empty());
    }

    #[tokio::test]
    async fn what_must_be_over_is_given_up_even_if_nobody_asks() {
        let bodies = Bodies::default();
        let now = Instant::now();
        let (_body, gone) = body(&bodies, Some(now + Duration::from_secs(5)));
        bodies.sweep(now + Duration::from_secs(4));
        assert!(!gone.load(Ordering::Acquire));
        bodies.sweep(now + Duration::from_secs(6));
        assert!(gone.load(Ordering::Acquire));
    }
}
