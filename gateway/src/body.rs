//! Bodies of responses.

use bytes::Bytes;
use futures::{
    Stream,
    stream::{self, BoxStream},
};
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

/// How long it takes until a client is known to be too slow: by then it has taken [`MIN_RATE`] bytes a second, or its body is
/// given up. The time in which blocks are waited for does not count. This holds for HTTP/1.1 and HTTP/2 alike; the first has
/// [`STALL`](crate::serve::STALL) besides, which asks for any byte at all.
pub const TAKEN: Duration = Duration::from_secs(120);
/// Bytes a second that a client has to take, on the average of [`TAKEN`].
pub const MIN_RATE: u64 = 1 << 10;
/// Bytes that are handed out at once. It is known that they were taken when more are asked for.
const SLICE: usize = 256 << 10;
/// The same of bytes that are all at hand.
const PIECE: usize = 16 << 10;

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
    /// What it gave and was not handed out yet.
    rest: Bytes,
    /// Bytes that are handed out at once.
    slice: usize,
    /// How long the next bytes may take.
    patience: Option<Duration>,
    /// When it has to be over.
    deadline: Option<Instant>,
    /// Runs while bytes are waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// From when on the client is measured, without the time in which bytes were waited for.
    since: Instant,
    /// Bytes that it took since, and those that it may not have taken yet.
    taken: u64,
    handed: u64,
    /// Since when bytes are waited for.
    waiting: Option<Instant>,
    /// Whatever is to be given back at the end.
    guards: Vec<Box<dyn Send>>,
}

/// Streams under way, so that those are given up that nobody asks for any more: their place and memory are others' then.
#[derive(Default)]
pub struct Bodies(Mutex<Vec<Weak<Mutex<Held>>>>);

impl Bodies {
    /// Gives up what clients take too slowly, or must be over. To be called now and then.
    pub fn sweep(&self, now: Instant) {
        let mut given_up = Vec::new();
        self.0.lock().retain(|held| {
            let Some(held) = held.upgrade() else { return false };
            // Somebody is asking it for bytes.
            let Some(mut state) = held.try_lock() else { return true };
            if state.is_slow(now) || state.deadline.is_some_and(|deadline| deadline <= now) {
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
        Self::held(Held::new(Box::pin(stream)), len)
    }

    /// These bytes, which a client is given one piece after the other: until it has taken them they count as a stream.
    pub fn pieces(bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::held(Held { rest: bytes, slice: PIECE, ..Held::new(Box::pin(stream::empty())) }, Some(len))
    }

    fn held(held: Held, left: Option<u64>) -> Self {
        Self { inner: Inner::Stream(Arc::new(Mutex::new(held))), left, guards: Vec::new() }
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
    fn new(stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self {
            stream: Some(stream),
            rest: Bytes::new(),
            slice: SLICE,
            patience: None,
            deadline: None,
            timer: None,
            since: Instant::now(),
            taken: 0,
            handed: 0,
            waiting: None,
            guards: Vec::new(),
        }
    }

    /// Whether the client took less than it has to; else it is measured anew now and then.
    fn is_slow(&mut self, now: Instant) -> bool {
        // While bytes are waited for, the timer decides.
        if self.waiting.is_some() || now.saturating_duration_since(self.since) <= TAKEN {
            return false;
        }
        let slow = self.taken < MIN_RATE * TAKEN.as_secs();
        (self.since, self.taken) = (now, 0);
        slow
    }

    /// The next bytes.
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Option<io::Result<Bytes>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long"))));
        };
        self.taken += std::mem::take(&mut self.handed);
        if let Some(begun) = self.waiting.take() {
            self.since += now.saturating_duration_since(begun);
        }
        if self.rest.is_empty() {
            let Poll::Ready(item) = stream.as_mut().poll_next(cx) else {
                self.waiting = Some(now);
                if self.is_late(cx) {
                    return Poll::Ready(Some(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the next bytes did not come in time",
                    ))));
                }
                return Poll::Pending;
            };
            self.timer = None;
            match item {
                Some(Ok(bytes)) => self.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let bytes = self.rest.split_to(self.rest.len().min(self.slice));
        self.handed = bytes.len() as u64;
        Poll::Ready(Some(Ok(bytes)))
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
            Inner::Stream(held) => ready!(held.lock().poll(cx, Instant::now())),
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
    use http_body::Body as _;
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

    /// A client that asks for `bytes` in each of many steps: whether it is found to be slow.
    fn is_slow(step: Duration, bytes: usize) -> bool {
        let endless = stream::repeat_with(move || Ok(Bytes::from(vec![0; bytes])));
        let mut held = Held::new(Box::pin(endless));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut now = held.since;
        (0..600).any(|_| {
            now += step;
            assert!(held.poll(&mut cx, now).is_ready());
            held.is_slow(now)
        })
    }

    #[test]
    fn a_client_has_to_take_so_many_bytes_a_second() {
        assert!(is_slow(Duration::from_secs(1), 1000), "asking now and then is not enough");
        assert!(!is_slow(Duration::from_secs(1), 1100));
        assert!(!is_slow(TAKEN, SLICE), "one slice is enough");
        assert!(is_slow(TAKEN, 100 << 10), "but not a part of one");
    }

    #[test]
    fn time_in_which_bytes_are_waited_for_is_not_the_clients() {
        let mut held = Held::new(Box::pin(stream::pending()));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let begun = held.since;
        assert!(held.poll(&mut cx, begun).is_pending());
        assert!(!held.is_slow(begun + 3 * TAKEN));
        assert!(held.poll(&mut cx, begun + 2 * TAKEN).is_pending());
        held.waiting = None;
        assert!(!held.is_slow(begun + 2 * TAKEN + TAKEN / 2));
        assert!(held.is_slow(begun + 4 * TAKEN));
    }

    #[tokio::test]
    async fn large_pieces_are_handed_out_in_slices() {
        let all: Bytes = (0..SLICE * 2 + 10).map(|i| i as u8).collect();
        let one = all.clone();
        for (mut body, slice) in
            [(Body::stream(stream::iter([Ok(one.clone())]), None), SLICE), (Body::pieces(all.clone()), PIECE)]
        {
            let mut read = Vec::new();
            while let Some(frame) = body.frame().await {
                let bytes = frame.expect("no error").into_data().expect("data");
                assert!(!bytes.is_empty() && bytes.len() <= slice);
                read.extend_from_slice(&bytes);
            }
            assert_eq!(read, all);
        }
        assert_eq!(Body::pieces(all.clone()).size_hint().exact(), Some(all.len() as u64));
    }

    #[tokio::test]
    async fn a_body_that_is_busy_holds_nobody_up() {
        let bodies = Bodies::default();
        let (body, gone) = body(&bodies, None);
        let Inner::Stream(held) = &body.inner else { panic!("it is a stream") };
        let busy = held.lock();
        bodies.sweep(Instant::now() + TAKEN * 2);
        drop(busy);
        assert!(!gone.load(Ordering::Acquire));
        bodies.sweep(Instant::now() + TAKEN * 2);
        assert!(gone.load(Ordering::Acquire), "it is not forgotten");
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
