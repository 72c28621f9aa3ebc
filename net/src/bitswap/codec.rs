//! Messages on a stream: each with its length before it.

use super::message::{MAX_MESSAGE, Message, MessageError};
use bytes::{Buf as _, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes asked of a stream at once. A buffer grows by this much when it has been filled, never to a length that was
/// only announced.
const READ_SIZE: usize = 64 << 10;

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

/// Reads messages. Holds one message, partly read, and what came after it: at most [`MAX_MESSAGE`] + `READ_SIZE`.
#[derive(Debug)]
pub struct MessageReader<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> MessageReader<S> {
    /// Reads from that stream.
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The next message and its length in bytes; `None` at the end of the stream.
    ///
    /// # Errors
    /// After an error the stream has to be given up.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(Message, usize)>, CodecError>> {
        loop {
            if let Some((body, len)) = split_frame(&mut self.buffer)? {
                return Poll::Ready(Ok(Some((Message::decode(&body)?, len))));
            }
            let filled = self.buffer.len();
            self.buffer.resize(filled + READ_SIZE, 0);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut self.buffer[filled..]);
            self.buffer.truncate(filled + if let Poll::Ready(Ok(n)) = &read { *n } else { 0 });
            match ready!(read)? {
                0 if self.buffer.is_empty() => return Poll::Ready(Ok(None)),
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())),
                _ => {}
            }
        }
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
