//! The streams of both DHTs: questions to chosen peers, and those of others, which [`super::serve`] reads.
//!
//! libp2p-kad can't be told to send one message to one peer: an ADD_PROVIDER or GET_PROVIDERS always walks, reports
//! providers without their addresses, and adds fields 666 and 777 to records, which other implementations don't know.
//! The sweep needs to send many announcements to one peer over one stream. So the walks are ours ([`super::query`]),
//! and this carries their messages.
//!
//! Requests for a peer that is not connected wait for the dial. A caller that goes away cancels its request.

mod behaviour;

pub use behaviour::Behaviour;

use super::{
    message::{MAX_MESSAGE, Message, MessageError},
    serve::{Inbound, Listen, Served},
};
use futures::{
    AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::oneshot;

/// From the opening of a stream to the answer. Kubo waits as long.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to close its side after announcements, which have no answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that one connection has open at a time; more wait.
const MAX_STREAMS: usize = 16;
/// Requests that wait for a stream of one connection; more are refused.
const MAX_QUEUED: usize = 256;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer can't be reached.
    #[error("the peer can't be reached")]
    Unreachable,
    /// The peer does not answer this protocol: it is no server of the DHT.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// Too slow.
    #[error("no answer in time")]
    TimedOut,
    /// The stream broke.
    #[error("the stream failed: {0}")]
    Io(String),
    /// The answer is not one.
    #[error(transparent)]
    Malformed(#[from] MessageError),
    /// Too much is waiting already, or this node's limits forbid the dial.
    #[error("too many requests are waiting, or the dial is not allowed")]
    Busy,
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// Messages for one peer.
#[derive(Debug)]
pub(crate) struct Request {
    /// What the stream speaks.
    pub(crate) protocol: StreamProtocol,
    /// Encoded messages with their lengths.
    pub(crate) bytes: Vec<u8>,
    /// Whether an answer is due. Announcements have none.
    pub(crate) answered: bool,
    /// Where the answer goes. `None` in it: all was said and the peer closed without an objection.
    pub(crate) reply: oneshot::Sender<Result<Option<Message>, WireError>>,
}

impl Request {
    fn fail(self, error: WireError) {
        // The caller may have gone.
        let _ = self.reply.send(Err(error));
    }
}

/// One connection's part.
pub struct Handler {
    inbound: Inbound,
    queue: VecDeque<Request>,
    opening: usize,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

impl Handler {
    fn new(inbound: Inbound) -> Self {
        Self { inbound, queue: VecDeque::new(), opening: 0, running: FuturesUnordered::new(), waker: None }
    }

    fn busy(&self) -> bool {
        !self.queue.is_empty() || self.opening > 0 || !self.running.is_empty()
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Infallible;
    type InboundProtocol = Listen;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Outgoing;

    fn listen_protocol(&self) -> SubstreamProtocol<Listen> {
        SubstreamProtocol::new(self.inbound.listen(), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.busy()
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Serve(served) => self.inbound.serve(served),
            Order::Ask(Outgoing(request)) if self.queue.len() >= MAX_QUEUED => request.fail(WireError::Busy),
            Order::Ask(Outgoing(request)) => self.queue.push_back(*request),
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Outgoing, Infallible>> {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        self.inbound.poll(cx);
        while self.opening + self.running.len() < MAX_STREAMS {
            let Some(request) = self.queue.pop_front() else { break };
            if request.reply.is_closed() {
                continue;
            }
            self.opening += 1;
            let upgrade = ReadyUpgrade::new(request.protocol.clone());
            let protocol = SubstreamProtocol::new(upgrade, Outgoing(Box::new(request))).with_timeout(EXCHANGE_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Listen, ReadyUpgrade<StreamProtocol>, (), Outgoing>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.inbound.accept(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, info }) => {
                self.opening = self.opening.saturating_sub(1);
                self.running.push(serve(stream, *info.0).boxed());
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening = self.opening.saturating_sub(1);
                info.0.fail(match error {
                    StreamUpgradeError::Timeout => WireError::TimedOut,
                    StreamUpgradeError::NegotiationFailed => WireError::Unsupported,
                    StreamUpgradeError::Io(e) => e.into(),
                    StreamUpgradeError::Apply(never) => match never {},
                });
            }
            _ => {}
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request on its way to a connection.
#[derive(Debug)]
pub struct Outgoing(Box<Request>);

/// What a connection is told.
#[derive(Debug)]
pub enum Order {
    /// Asks the peer.
    Ask(Outgoing),
    /// Lets the peer ask on these networks.
    Serve(Served),
}

async fn serve(stream: Stream, request: Request) {
    let Request { bytes, answered, mut reply, .. } = request;
    let exchange = tokio::time::timeout(EXCHANGE_TIMEOUT, exchange(stream, bytes, answered));
    let result = tokio::select! {
        result = exchange => result.unwrap_or(Err(WireError::TimedOut)),
        () = reply.closed() => return,
    };
    let _ = reply.send(result);
}

async fn exchange(mut stream: Stream, bytes: Vec<u8>, answered: bool) -> Result<Option<Message>, WireError> {
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    if answered {
        let message = read_message(&mut stream, MAX_MESSAGE, || ()).await?;
        let message = message.ok_or_else(|| WireError::Io("no answer before its end".into()))?;
        // The answer is here; how the stream ends changes nothing.
        let _ = stream.close().await;
        return Ok(Some(message));
    }
    stream.close().await?;
    // A server reads announcements until our side ends and then ends its own, or resets the stream at one that it
    // can't read: the nearest thing to an answer that there is. One that keeps its side open has still read them.
    let mut rest = [0; 1];
    match tokio::time::timeout(CLOSE_TIMEOUT, stream.read(&mut rest)).await {
        Ok(Err(e)) => Err(e.into()),
        Ok(Ok(_)) | Err(_) => Ok(None),
    }
}

/// A varint of at most four bytes: 256 MiB is more than any message may have. `None` at the end of the stream.
async fn read_length(stream: &mut Stream, begun: impl FnOnce()) -> Result<Option<usize>, WireError> {
    let mut bytes = [0; 4];
    if stream.read(&mut bytes[..1]).await? == 0 {
        return Ok(None);
    }
    begun();
    let mut at = 0;
    while bytes[at] >= 0x80 {
        at += 1;
        let Some(byte) = bytes.get_mut(at..=at) else { return Err(MessageError("too long").into()) };
        stream.read_exact(byte).await?;
    }
    let decoded = unsigned_varint::decode::usize(&bytes[..=at]);
    decoded.map(|(len, _)| Some(len)).map_err(|_| MessageError("a bad varint").into())
}

/// The next message, of at most `max` bytes; `None` at the end of the stream. `begun` is called when it begins.
pub(super) async fn read_message(
    stream: &mut Stream,
    max: usize,
    begun: impl FnOnce(),
) -> Result<Option<Message>, WireError> {
    let Some(len) = read_length(stream, begun).await? else { return Ok(None) };
    if len > max {
        return Err(MessageError("too long").into());
    }
    let mut bytes = Vec::new();
    // `take` and not a buffer of `len`: memory follows what arrives, not what is promised.
    stream.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(MessageError("cut short").into());
    }
    Ok(Some(Message::decode(&bytes)?))
}
