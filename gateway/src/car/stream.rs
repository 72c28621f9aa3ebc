//! Blocks as the bytes of a CAR.

use bytes::{BufMut as _, Bytes, BytesMut};
use cairn_store::{
    Block, Cid, Multihash,
    car::{section_head, write_header},
    dag::walk::{Seen, Sight, WalkError},
};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Small blocks are gathered until that many bytes are together.
pub(super) const PIECE: usize = 64 << 10;
/// Blocks from that length on are sent without being copied.
const LARGE: usize = 16 << 10;
/// How long small blocks wait for others.
const LINGER: Duration = Duration::from_millis(3);

/// The bytes of a CAR. An error means that they are not all: the connection has to be broken off, so that the client
/// notices.
pub struct CarStream {
    root: Option<Cid>,
    roots: Vec<Cid>,
    blocks: BoxStream<'static, Result<Block, WalkError>>,
    /// What was sent, unless it may be sent again.
    sent: Option<Seen>,
    /// What is gathered.
    small: BytesMut,
    /// A large block that follows.
    large: Option<Bytes>,
    /// How long what is gathered still waits.
    linger: Option<Pin<Box<Sleep>>>,
    end: End,
}

enum End {
    Open,
    Failed(io::Error),
    Ended,
}

impl CarStream {
    /// A CAR of these blocks; without a root it proves that there is none.
    pub(super) fn new(root: Option<Cid>, blocks: BoxStream<'static, Result<Block, WalkError>>, dups: bool) -> Self {
        let header_root = root.unwrap_or_else(|| Cid::new_v1(cairn_store::cid::codec::RAW, Multihash::default()));
        let mut small = BytesMut::new().writer();
        // Writing to memory does not fail.
        let _ = write_header(&mut small, &[header_root]);
        Self {
            root,
            roots: Vec::new(),
            blocks,
            sent: (!dups).then(Seen::new),
            small: small.into_inner(),
            large: None,
            linger: None,
            end: End::Open,
        }
    }

    /// The block at the end of the path; `None` if the path leads nowhere.
    pub fn root(&self) -> Option<&Cid> {
        self.root.as_ref()
    }

    /// Whether the path leads nowhere, and the blocks prove that.
    pub fn is_absent(&self) -> bool {
        self.root.is_none()
    }

    /// What the root and the segments of the path lead to; of a path that leads nowhere, the root alone.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The same stream, which says so.
    #[must_use]
    pub(super) fn along(self, roots: Vec<Cid>) -> Self {
        Self { roots, ..self }
    }

    fn put(&mut self, block: &Block) -> Result<(), WalkError> {
        let hash = block.cid().hash();
        let new = match &mut self.sent {
            _ if hash.code() == 0 => false,
            None => true,
            Some(sent) => sent.visit(hash, 0)? == Sight::New,
        };
        if new {
            self.small.extend_from_slice(&section_head(block));
            if block.data().len() < LARGE {
                self.small.extend_from_slice(block.data());
            } else {
                self.large = Some(block.data().clone());
            }
        }
        Ok(())
    }

    /// What is gathered, or else the large block.
    fn take(&mut self) -> Option<Bytes> {
        self.linger = None;
        if self.small.is_empty() { self.large.take() } else { Some(self.small.split().freeze()) }
    }
}

impl Stream for CarStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.large.is_some() || this.small.len() >= PIECE || !matches!(this.end, End::Open) {
                if let Some(bytes) = this.take() {
                    return Poll::Ready(Some(Ok(bytes)));
                }
                match std::mem::replace(&mut this.end, End::Ended) {
                    End::Failed(error) => return Poll::Ready(Some(Err(error))),
                    End::Ended => return Poll::Ready(None),
                    End::Open => this.end = End::Open,
                }
            }
            let next = match this.blocks.poll_next_unpin(cx) {
                Poll::Ready(next) => next,
                Poll::Pending if this.small.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    ready!(linger.as_mut().poll(cx));
                    return Poll::Ready(this.take().map(Ok));
                }
            };
            let put = next.map(|block| block.and_then(|block| this.put(&block)));
            match put {
                Some(Ok(())) => {}
                Some(Err(error)) => this.end = End::Failed(io::Error::other(error)),
                None => this.end = End::Ended,
            }
        }
    }
}
