//! The inbound streams of one connection, read in turn.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | streams | [`MAX_INBOUND`] | the one that was silent for longest is dropped |
//! | streams with a good part of a long message in memory | one | the others are read up to 128 KiB |
//! | time that a message takes to come | [`MESSAGE_TIME`], up to twice that | its stream is dropped |

use super::{codec::MessageReader, message::Message};
use futures::AsyncRead;
use libp2p::PeerId;
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Inbound streams of one connection that are read.
pub const MAX_INBOUND: usize = 16;
/// Time that a message may take from its first byte to its last.
pub const MESSAGE_TIME: Duration = Duration::from_secs(60);

/// Streams that a peer opened.
pub struct Inbox<S> {
    peer: PeerId,
    /// Silent for longest first.
    streams: VecDeque<MessageReader<S>>,
    /// Rings when a message may have taken too long.
    timer: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<S: AsyncRead + Unpin> Inbox<S> {
    /// No streams yet, of that peer.
    pub fn new(peer: PeerId) -> Self {
        Self { peer, streams: VecDeque::new(), timer: None, patience: MESSAGE_TIME }
    }

    /// One more stream.
    pub fn add(&mut self, stream: S) {
        if self.streams.len() >= MAX_INBOUND {
            self.streams.pop_front();
        }
        self.streams.push_back(MessageReader::new(stream));
    }

    /// The next message of any of the streams, and its length in bytes.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Message, usize)> {
        let mut index = 0;
        while index < self.streams.len() {
            let large = self.streams.iter().position(MessageReader::is_large);
            let Some(stream) = self.streams.get_mut(index) else { break };
            match stream.poll_next(cx, large.is_none_or(|at| at == index)) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(Some(read))) => {
                    if let Some(stream) = self.streams.remove(index) {
                        self.streams.push_back(stream);
                    }
                    return Poll::Ready(read);
                }
                ended @ Poll::Ready(Ok(None) | Err(_)) => {
                    if let Poll::Ready(Err(error)) = ended {
                        tracing::debug!(peer = %self.peer, %error, "a bitswap stream was given up");
                    }
                    self.streams.remove(index);
                    if large == Some(index) {
                        // Another one may be read on now.
                        index = 0;
                    }
                }
            }
        }
        self.drop_late(cx);
        Poll::Pending
    }

    /// Drops streams on which a message does not come to its end.
    fn drop_late(&mut self, cx: &mut Context<'_>) {
        while self.streams.iter().any(MessageReader::is_partial) {
            let patience = self.patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.timer = None;
            let (now, before) = (Instant::now(), self.streams.len());
            self.streams.retain(|stream| stream.waits(now) < patience);
            if self.streams.len() < before {
                tracing::debug!(peer = %self.peer, "a bitswap message did not come to its end");
                // Others may be read on now.
                cx.waker().wake_by_ref();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitswap::message::{Payload, Version};
    use bytes::{Buf as _, Bytes, BytesMut};
    use cairn_store::{block::Prefix, cid::codec};
    use futures::{future::poll_fn, task::AtomicWaker};
    use parking_lot::Mutex;
    use std::{io, sync::Arc};

    /// A stream of what was pushed into it, without end.
    #[derive(Clone, Default)]
    struct Pushed(Arc<(Mutex<BytesMut>, AtomicWaker)>);

    impl Pushed {
        fn push(&self, bytes: &[u8]) {
            self.0.0.lock().extend_from_slice(bytes);
            self.0.1.wake();
        }
    }

    impl AsyncRead for Pushed {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            self.0.1.register(cx.waker());
            let mut bytes = self.0.0.lock();
            let n = buf.len().min(bytes.len());
            bytes.copy_to_slice(&mut buf[..n]);
            if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
        }
    }

    fn message() -> Vec<u8> {
        let data = Bytes::from(vec![7; 1 << 20]);
        let blocks = vec![Payload { prefix: Prefix::v1(codec::RAW), data }];
        Message { blocks, ..Message::default() }.encode(Version::V1_2).concat()
    }

    fn open(inbox: &mut Inbox<Pushed>) -> Pushed {
        let stream = Pushed::default();
        inbox.add(stream.clone());
        stream
    }

    fn large(inbox: &Inbox<Pushed>) -> usize {
        inbox.streams.iter().filter(|s| s.is_large()).count()
    }

    #[tokio::test]
    async fn of_many_long_messages_one_is_in_memory_and_all_arrive() {
        let mut inbox = Inbox::new(PeerId::random());
        let bytes = message();
        let theirs: Vec<Pushed> = (0..MAX_INBOUND).map(|_| open(&mut inbox)).collect();
        theirs.iter().for_each(|stream| stream.push(&bytes[..bytes.len() - 1]));
        assert!(futures::poll!(poll_fn(|cx| inbox.poll_next(cx))).is_pending());
        assert_eq!(large(&inbox), 1);
        theirs.iter().for_each(|stream| stream.push(&bytes[bytes.len() - 1..]));
        for _ in 0..MAX_INBOUND {
            let (read, _) = poll_fn(|cx| inbox.poll_next(cx)).await;
            assert_eq!(read.blocks.len(), 1);
            assert!(large(&inbox) <= 1);
        }
    }

    #[tokio::test]
    async fn a_message_that_does_not_end_makes_room_for_others() {
        const PATIENCE: Duration = Duration::from_secs(2);
        let mut inbox = Inbox { patience: PATIENCE, ..Inbox::new(PeerId::random()) };
        let bytes = message();
        let (slow, other) = (open(&mut inbox), open(&mut inbox));
        slow.push(&bytes[..bytes.len() / 2]);
        assert!(futures::poll!(poll_fn(|cx| inbox.poll_next(cx))).is_pending());
        assert_eq!(large(&inbox), 1);
        // The other one begins later, so that only the first is late.
        tokio::time::sleep(PATIENCE / 2).await;
        other.push(&bytes);
        let (read, _) = poll_fn(|cx| inbox.poll_next(cx)).await;
        assert_eq!((read.blocks.len(), inbox.streams.len()), (1, 1));
    }
}
