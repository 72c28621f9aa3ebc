//! Counting wrappers round a connection and its streams.
//!
//! Which protocol a stream speaks is negotiated inside of it (multistream-select): the side that opens it writes the
//! name that it wants, the other writes it back. So what we write first names it, whoever opened it.

use super::{Counter, Meters, Peer};
use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerEvent},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Longest name of a protocol that is recognized; multistream-select allows no longer line in one byte of length.
const MAX_NAME: usize = 127;

/// A connection whose streams are counted.
pub struct Counted<M> {
    inner: M,
    peer: PeerId,
    meters: Meters,
    counters: Option<Arc<Peer>>,
}

impl<M> Counted<M> {
    pub fn new(inner: M, peer: PeerId, meters: &Meters) -> Self {
        let counters = meters.detailed.then(|| meters.joined(peer));
        Self { inner, peer, meters: meters.clone(), counters }
    }

    fn stream<S>(&self, inner: S) -> CountedStream<S> {
        let sniffer = if self.counters.is_some() { Sniffer::Line(Vec::new()) } else { Sniffer::Done };
        CountedStream {
            inner,
            count: Count {
                meters: self.meters.clone(),
                peer: self.counters.clone(),
                protocol: None,
                sniffer,
                early: (0, 0),
            },
        }
    }
}

impl<M> Drop for Counted<M> {
    fn drop(&mut self) {
        if let Some(counters) = &self.counters {
            self.meters.left(self.peer, counters);
        }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Counted<M>
where
    M::Substream: Unpin,
{
    type Substream = CountedStream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(cx)?);
        Poll::Ready(Ok(self.stream(stream)))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(cx)?);
        Poll::Ready(Ok(self.stream(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// Looks for the name of a protocol in what is written first.
enum Sniffer {
    /// The line that is being read: a byte of length, then the text.
    Line(Vec<u8>),
    /// There is nothing more to be found.
    Done,
}

impl Sniffer {
    /// Takes what was written; calls back with each name.
    fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(&str)) {
        for byte in bytes {
            let Self::Line(line) = self else { return };
            line.push(*byte);
            let want = usize::from(line[0]) + 1;
            if !(3..=MAX_NAME + 1).contains(&want) {
                *self = Self::Done;
            } else if line.len() == want {
                match std::str::from_utf8(&line[1..]).ok().and_then(|text| text.strip_suffix('\n')) {
                    Some("na" | "/multistream/1.0.0") => {}
                    Some(name) if name.starts_with('/') && !name.contains(char::is_control) => found(name),
                    // What the protocol itself has to say.
                    _ => return *self = Self::Done,
                }
                line.clear();
            }
        }
    }
}

/// Counters of a stream.
struct Count {
    meters: Meters,
    peer: Option<Arc<Peer>>,
    protocol: Option<(Arc<str>, Arc<Counter>)>,
    sniffer: Sniffer,
    /// Bytes received and sent before the protocol was known.
    early: (usize, usize),
}

impl Count {
    fn received(&mut self, bytes: usize) {
        self.meters.total.received(bytes);
        let Some(peer) = &self.peer else { return };
        peer.counter.received(bytes);
        match &self.protocol {
            Some((_, counter)) => counter.received(bytes),
            None => self.early.0 += bytes,
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.meters.total.sent(bytes.len());
        let Some(peer) = &self.peer else { return };
        peer.counter.sent(bytes.len());
        if let Sniffer::Line(_) = self.sniffer {
            let mut name = None;
            self.sniffer.feed(bytes, |found| name = Some(found.to_owned()));
            if let Some(name) = name {
                self.speaks(&name);
            }
        }
        match &self.protocol {
            Some((_, counter)) => counter.sent(bytes.len()),
            None => self.early.1 += bytes.len(),
        }
    }

    fn speaks(&mut self, name: &str) {
        self.forget();
        let (name, counter) = self.meters.protocol(name);
        counter.received(std::mem::take(&mut self.early.0));
        counter.sent(std::mem::take(&mut self.early.1));
        if let Some(peer) = &self.peer {
            *peer.streams.lock().entry(Arc::clone(&name)).or_default() += 1;
        }
        self.protocol = Some((name, counter));
    }

    fn forget(&mut self) {
        let (Some(peer), Some((name, _))) = (&self.peer, self.protocol.take()) else { return };
        let mut streams = peer.streams.lock();
        match streams.get_mut(&name) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(streams.remove(&name)),
        }
    }
}

/// A stream whose bytes are counted.
pub struct CountedStream<S> {
    inner: S,
    count: Count,
}

impl<S> Drop for CountedStream<S> {
    fn drop(&mut self) {
        self.count.forget();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.count.received(read);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.count.sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chunks: &[&[u8]]) -> Vec<String> {
        let mut sniffer = Sniffer::Line(Vec::new());
        let mut names = Vec::new();
        for chunk in chunks {
            sniffer.feed(chunk, |name| names.push(name.to_owned()));
        }
        names
    }

    #[test]
    fn the_last_line_before_the_data_names_the_protocol() {
        let header = b"\x13/multistream/1.0.0\n";
        assert_eq!(names(&[header, b"\x0f/ipfs/id/1.0.0\n", b"\x05abcde"]), ["/ipfs/id/1.0.0"]);
        // In pieces, and at the second try.
        let all = [header.as_slice(), b"\x03/a\n", b"\x03na\n", b"\x03/b\n", b"\x02\x0a\x00/zzz"].concat();
        let pieces: Vec<&[u8]> = all.chunks(3).collect();
        assert_eq!(names(&pieces), ["/a", "/b"]);
    }

    #[test]
    fn data_is_not_taken_for_names() {
        for data in [b"\x00\x03/a\n".as_slice(), b"\xff\xff/a\n", b"\x03abc\x03/a\n", b"\x04/\x01a\n"] {
            assert!(names(&[data]).is_empty(), "{data:?}");
        }
        assert!(names(&[&[b'a'; 100_000]]).is_empty());
    }
}
