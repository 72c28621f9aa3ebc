//! Bodies of responses.

use bytes::Bytes;
use futures::{Stream, stream::BoxStream};
use http_body::{Frame, SizeHint};
use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::Sleep;

/// A body: bytes at hand, or a stream of them whose length may be known. An error in the stream breaks the connection off,
/// so that a client never takes a part for the whole.
pub struct Body {
    inner: Inner,
    watch: Watch,
}

enum Inner {
    Full(Option<Bytes>),
    Stream { stream: BoxStream<'static, io::Result<Bytes>>, left: Option<u64> },
}

/// What accompanies a body to its end.
#[derive(Default)]
struct Watch {
    /// How long the next bytes may take.
    patience: Option<Duration>,
    /// When it has to be over.
    deadline: Option<Instant>,
    /// Runs while bytes are waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whatever is to be given back at the end.
    guards: Vec<Box<dyn Send>>,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Inner::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty())))
    }

    /// What a stream gives; `len` is how many bytes that will be, if it is known.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static, len: Option<u64>) -> Self {
        Self::new(Inner::Stream { stream: Box::pin(stream), left: len })
    }

    fn new(inner: Inner) -> Self {
        Self { inner, watch: Watch::default() }
    }

    /// Whether all of it is at hand.
    pub fn is_full(&self) -> bool {
        matches!(self.inner, Inner::Full(_))
    }

    /// Breaks it off when its next bytes take longer than `patience`, or all of it takes until `deadline`; what `guard`
    /// stands for is given back at its end.
    #[must_use]
    pub fn watched(
        mut self,
        patience: Option<Duration>,
        deadline: Option<Instant>,
        guard: impl Send + 'static,
    ) -> Self {
        self.watch.patience = patience;
        self.watch.deadline = deadline;
        self.keeping(guard)
    }

    /// Gives back at its end what `guard` stands for.
    #[must_use]
    pub fn keeping(mut self, guard: impl Send + 'static) -> Self {
        self.watch.guards.push(Box::new(guard));
        self
    }
}

impl Watch {
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
        let (stream, left) = match &mut this.inner {
            Inner::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Stream { stream, left } => (stream, left),
        };
        let Poll::Ready(item) = stream.as_mut().poll_next(cx) else {
            if this.watch.is_late(cx) {
                return Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the next bytes did not come in time",
                ))));
            }
            return Poll::Pending;
        };
        this.watch.timer = None;
        Poll::Ready(item.map(|bytes| {
            let bytes = bytes?;
            if let Some(left) = left {
                *left = left.saturating_sub(bytes.len() as u64);
            }
            Ok(Frame::data(bytes))
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.inner, Inner::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Stream { left: Some(left), .. } => SizeHint::with_exact(*left),
            Inner::Stream { left: None, .. } => SizeHint::default(),
        }
    }
}
