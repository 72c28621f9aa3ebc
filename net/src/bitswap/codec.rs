//! Messages on a stream: each with its length before it.

use super::message::{MAX_MESSAGE, Message, MessageError};
use bytes::{Buf as _, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

/// Bytes asked of a stream at once. A buffer grows with what has come, never to a length that was only announced.
const READ_SIZE: usize = 64 << 10;
/// Buffered bytes from which on a reader is [large](MessageReader::is_large).
const LARGE: usize = 2 * READ_SIZE;

thread_local! {
    /// What a stream reads into. One for each thread: connections are many, and most are silent.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_SIZE].into());
}

/// Why a stream can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A message is longer than is allowed.
    #[error("a bitswap message of {0} bytes, more than {MAX_MESSAGE}")]
    TooLong(u64),
    /// It is not a message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Reads messages. Holds one message, partly read, and what came after it: at most [`MAX_MESSAGE`] + `READ_SIZE`, and
/// less than `LARGE` where it may not grow.
#[derive(Debug)]
pub struct MessageReader<S> {
    stream: S,
    buffer: BytesMut,
    /// Since when a message is there in part.
    since: Option<Instant>,
}

impl<S: AsyncRead + Unpin> MessageReader<S> {
    /// Reads from that stream.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), since: None }
    }

    /// The next message and its length in bytes; `None` at the end of the stream. Where it may not grow, it is left
    /// alone, and nobody is woken, once about as much is buffered as makes it large: it has to be asked again when it
    /// may.
    ///
    /// # Errors
    /// After an error the stream has to be given up.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        may_grow: bool,
    ) -> Poll<Result<Option<(Message, usize)>, CodecError>> {
        loop {
            if let Some((body, len)) = split_frame(&mut self.buffer)? {
                self.since = None;
                return Poll::Ready(Ok(Some((Message::decode(&body)?, len))));
            }
            if !self.buffer.is_empty() {
                self.since.get_or_insert_with(Instant::now);
            }
            if !may_grow && self.buffer.len() >= LARGE - READ_SIZE {
                // It is we who wait: its time begins when it is read on.
                self.since = None;
                return Poll::Pending;
            }
            let Self { stream, buffer, .. } = self;
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = Pin::new(stream).poll_read(cx, scratch);
                if let Poll::Ready(Ok(n)) = &read {
                    buffer.extend_from_slice(&scratch[..*n]);
                }
                read
            });
            match ready!(read)? {
                0 if self.buffer.is_empty() => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
                _ => {}
            }
        }
    }

    /// Whether a good part of a long message is buffered.
    pub fn is_large(&self) -> bool {
        self.buffer.len() >= LARGE
    }

    /// For how long the message that comes has been incomplete.
    pub fn waits(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Whether a message is there in part.
    pub fn is_partial(&self) -> bool {
        self.since.is_some()
    }
}

/// Takes a whole frame off the front: its body, and its length.
fn split_frame(buffer: &mut BytesMut) -> Result<Option<(Bytes, usize)>, CodecError> {
    let (len, prefix) = match unsigned_varint::decode::u64(buffer) {
        Ok((len, rest)) => (len, buffer.len() - rest.len()),
        Err(unsigned_varint::decode::Error::Insufficient) => return Ok(None),
        Err(_) => return Err(MessageError("a length that is no varint").into()),
    };
    let size = usize::try_from(len).ok().filter(|&n| n <= MAX_MESSAGE).ok_or(CodecError::TooLong(len))?;
    if buffer.len() < prefix + size {
        return Ok(None);
    }
    buffer.advance(prefix);
    Ok(Some((buffer.split_to(size).freeze(), size)))
}

/// Writes pieces in order, without putting them together first.
#[derive(Debug)]
pub struct MessageWriter<S> {
    stream: S,
    pieces: VecDeque<Bytes>,
}

impl<S: AsyncWrite + Unpin> MessageWriter<S> {
    /// Writes to that stream.
    pub fn new(stream: S) -> Self {
        Self { stream, pieces: VecDeque::new() }
    }

    /// Takes the pieces of a message. Write them with [`MessageWriter::poll_flush`] before the next one is taken.
    pub fn start(&mut self, pieces: Vec<Bytes>) {
        self.pieces.extend(pieces);
    }

    /// Writes what is left of the message.
    ///
    /// # Errors
    /// When the stream fails; it has to be given up then.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(front) = self.pieces.front_mut() {
            if front.is_empty() {
                self.pieces.pop_front();
                continue;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, front))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            front.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitswap::message::{Entry, Version, WantType};
    use futures::{future::poll_fn, io::Cursor};

    fn cid() -> cairn_store::Cid {
        cairn_store::cid::parse("bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am").expect("a cid")
    }

    #[tokio::test]
    async fn messages_follow_each_other_on_a_stream() {
        let messages: Vec<Message> = (0..1000)
            .map(|n| Message { wants: vec![Entry::want(cid(), WantType::Block, n)], ..Message::default() })
            .collect();
        let mut writer = MessageWriter::new(Cursor::new(Vec::new()));
        for message in &messages {
            writer.start(message.encode(Version::V1_2));
            poll_fn(|cx| writer.poll_flush(cx)).await.expect("writes");
        }
        let bytes = writer.stream.into_inner();
        let mut reader = MessageReader::new(Cursor::new(bytes.clone()));
        for message in &messages {
            let (read, _) = poll_fn(|cx| reader.poll_next(cx, true)).await.expect("reads").expect("one more");
            assert_eq!(&read, message);
        }
        assert!(poll_fn(|cx| reader.poll_next(cx, true)).await.expect("ends").is_none());
        let mut cut = MessageReader::new(Cursor::new(bytes[..bytes.len() - 1].to_vec()));
        let error = loop {
            match poll_fn(|cx| cut.poll_next(cx, true)).await {
                Ok(read) => assert!(read.is_some(), "an end inside a message is an error"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CodecError::Io(_)));
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_anything_is_kept() {
        for len in [MAX_MESSAGE as u64 + 1, 5 << 20, u64::MAX >> 1] {
            let mut bytes = Vec::new();
            crate::protobuf::push_varint(&mut bytes, len);
            let mut reader = MessageReader::new(Cursor::new(bytes));
            let error = poll_fn(|cx| reader.poll_next(cx, true)).await.expect_err("too long");
            assert!(matches!(error, CodecError::TooLong(n) if n == len));
            assert!(reader.buffer.capacity() <= 2 * READ_SIZE);
        }
        let mut reader = MessageReader::new(Cursor::new(vec![0xff; 20]));
        assert!(matches!(poll_fn(|cx| reader.poll_next(cx, true)).await, Err(CodecError::Message(_))));
    }

    #[tokio::test]
    async fn a_long_message_waits_where_it_may_not_grow() {
        let mut bytes = unsigned_varint::encode::u64(3 << 20, &mut unsigned_varint::encode::u64_buffer()).to_vec();
        bytes.resize(1 << 20, 0);
        let mut reader = MessageReader::new(futures::AsyncReadExt::chain(Cursor::new(bytes), Silent));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(reader.poll_next(&mut cx, false).is_pending());
        assert!(!reader.is_large() && !reader.is_partial() && reader.buffer.len() >= READ_SIZE);
        assert!(reader.poll_next(&mut cx, false).is_pending());
        assert!(!reader.is_large(), "{}", reader.buffer.len());
        assert!(reader.poll_next(&mut cx, true).is_pending());
        assert_eq!(reader.buffer.len(), 1 << 20);
        assert!(reader.is_large() && reader.waits(Instant::now() + Duration::from_secs(60)) >= Duration::from_secs(60));
    }

    struct Silent;

    impl AsyncRead for Silent {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }
}
