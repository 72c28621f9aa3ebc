//! Questions to chosen peers: a behaviour that only speaks, and leaves answering to libp2p-kad.
//!
//! libp2p-kad can't be told to send one message to one peer: an ADD_PROVIDER or GET_PROVIDERS always walks, reports
//! providers without their addresses, and adds fields 666 and 777 to records, which other implementations don't know.
//! The sweep needs to send many announcements to one peer over one stream. So the walks are ours ([`super::query`]),
//! and this carries their messages.
//!
//! Requests for a peer that is not connected wait for the dial. A caller that goes away cancels its request.

use super::message::{MAX_MESSAGE, Message, MessageError};
use futures::{
    AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::{DeniedUpgrade, ReadyUpgrade}},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, DialFailure,
        FromSwarm, NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        dial_opts::{DialOpts, PeerCondition},
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedOutbound},
    },
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
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
/// Requests that wait for dials, over all peers; more are refused.
const MAX_WAITING: usize = 4096;

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
    /// Too much is waiting already.
    #[error("too many requests are waiting")]
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
#[derive(Default)]
pub struct Handler {
    queue: VecDeque<Request>,
    opening: usize,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

impl Handler {
    fn busy(&self) -> bool {
        !self.queue.is_empty() || self.opening > 0 || !self.running.is_empty()
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Outgoing;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Outgoing;

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.busy()
    }

    fn on_behaviour_event(&mut self, Outgoing(request): Outgoing) {
        if self.queue.len() >= MAX_QUEUED {
            return request.fail(WireError::Busy);
        }
        self.queue.push_back(*request);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Outgoing, Infallible>> {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        while self.opening + self.running.len() < MAX_STREAMS {
            let Some(request) = self.queue.pop_front() else { break };
            if request.reply.is_closed() {
                continue;
            }
            self.opening += 1;
            let upgrade = ReadyUpgrade::new(request.protocol.clone());
            let protocol =
                SubstreamProtocol::new(upgrade, Outgoing(Box::new(request))).with_timeout(EXCHANGE_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<DeniedUpgrade, ReadyUpgrade<StreamProtocol>, (), Outgoing>,
    ) {
        match event {
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
        let message = read_message(&mut stream).await?;
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

/// A varint of at most four bytes: 256 MiB is more than any message may have.
async fn read_length(stream: &mut Stream) -> Result<usize, WireError> {
    let mut bytes = [0; 4];
    for at in 0..bytes.len() {
        stream.read_exact(&mut bytes[at..=at]).await?;
        if bytes[at] < 0x80 {
            let decoded = unsigned_varint::decode::usize(&bytes[..=at]);
            return decoded.map(|(len, _)| len).map_err(|_| MessageError("a bad varint").into());
        }
    }
    Err(MessageError("longer than 1 MiB").into())
}

async fn read_message(stream: &mut Stream) -> Result<Message, WireError> {
    let len = read_length(stream).await?;
    if len > MAX_MESSAGE {
        return Err(MessageError("longer than 1 MiB").into());
    }
    let mut bytes = Vec::new();
    // `take` and not a buffer of `len`: memory follows what arrives, not what is promised.
    stream.take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(MessageError("cut short").into());
    }
    Ok(Message::decode(&bytes)?)
}

/// The part in the swarm.
#[derive(Default)]
pub struct Behaviour {
    connected: HashSet<PeerId>,
    waiting: HashMap<PeerId, Vec<Request>>,
    waiting_count: usize,
    events: VecDeque<ToSwarm<Infallible, Outgoing>>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Sends a request to a peer, over a connection it has or a new one to `addrs` (and to what other behaviours
    /// know).
    pub(crate) fn send(&mut self, peer: PeerId, addrs: Vec<Multiaddr>, request: Request) {
        if self.connected.contains(&peer) {
            self.notify(peer, request);
        } else if self.waiting_count >= MAX_WAITING {
            request.fail(WireError::Busy);
        } else {
            self.waiting_count += 1;
            self.waiting.entry(peer).or_default().push(request);
            let opts = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addrs)
                .extend_addresses_through_behaviour()
                .build();
            self.events.push_back(ToSwarm::Dial { opts });
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn notify(&mut self, peer_id: PeerId, request: Request) {
        let event = Outgoing(Box::new(request));
        self.events.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event });
    }

    fn take_waiting(&mut self, peer: &PeerId) -> Vec<Request> {
        let requests = self.waiting.remove(peer).unwrap_or_default();
        self.waiting_count -= requests.len();
        requests
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, .. }) => {
                self.connected.insert(peer_id);
                for request in self.take_waiting(&peer_id) {
                    self.notify(peer_id, request);
                }
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, remaining_established: 0, .. }) => {
                self.connected.remove(&peer_id);
            }
            FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error, .. }) => {
                // "Not dialled, for somebody else is dialling": that dial's end decides.
                if !matches!(error, libp2p::swarm::DialError::DialPeerConditionFalse(_)) {
                    for request in self.take_waiting(&peer) {
                        request.fail(WireError::Unreachable);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
