//! Pings on demand: `/ipfs/ping/1.0.0`, one stream for each.

use futures::{
    AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{DeniedUpgrade, ReadyUpgrade},
    },
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedOutbound},
    },
};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
/// Bytes of a ping, as the protocol has it.
const SIZE: usize = 32;
/// How long a peer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pings that wait for the swarm; the caller waits beyond.
const QUEUE: usize = 64;
/// Pings under way on one connection; more fail.
const MAX_PER_CONNECTION: usize = 16;

/// Why there is no round-trip time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// There is no connection.
    #[error("not connected to {0}")]
    NotConnected(PeerId),
    /// The peer did not answer in time.
    #[error("no answer within {TIMEOUT:?}")]
    TimedOut,
    /// The peer answered wrongly or not at all.
    #[error("ping failed: {0}")]
    Failed(String),
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Closed,
}

type Answer = oneshot::Sender<Result<Duration, PingError>>;

/// Pings peers.
#[derive(Debug, Clone)]
pub struct Pinger(mpsc::Sender<(PeerId, Answer)>);

impl Pinger {
    /// The round-trip time to a connected peer.
    ///
    /// # Errors
    /// When it is not connected or does not answer.
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, PingError> {
        let (sender, answer) = oneshot::channel();
        self.0.send((peer, sender)).await.map_err(|_| PingError::Closed)?;
        answer.await.unwrap_or_else(|_| Err(PingError::Failed("the connection was closed".into())))
    }
}

/// The pinger in the swarm.
pub struct Behaviour {
    requests: mpsc::Receiver<(PeerId, Answer)>,
    connected: HashSet<PeerId>,
}

/// Makes both.
pub fn new() -> (Behaviour, Pinger) {
    let (sender, requests) = mpsc::channel(QUEUE);
    (Behaviour { requests, connected: HashSet::new() }, Pinger(sender))
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
            FromSwarm::ConnectionEstablished(event) => drop(self.connected.insert(event.peer_id)),
            FromSwarm::ConnectionClosed(event) if event.remaining_established == 0 => {
                self.connected.remove(&event.peer_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        while let Poll::Ready(Some((peer_id, answer))) = self.requests.poll_recv(cx) {
            if self.connected.contains(&peer_id) {
                return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event: answer });
            }
            let _ = answer.send(Err(PingError::NotConnected(peer_id)));
        }
        Poll::Pending
    }
}

/// Pings on one connection.
#[derive(Default)]
pub struct Handler {
    asked: VecDeque<Answer>,
    opening: VecDeque<Answer>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

async fn exchange(stream: &mut Stream) -> std::io::Result<Duration> {
    let sent: [u8; SIZE] = rand::random();
    let mut received = [0; SIZE];
    let start = Instant::now();
    stream.write_all(&sent).await?;
    stream.flush().await?;
    stream.read_exact(&mut received).await?;
    let took = start.elapsed();
    stream.close().await?;
    match received == sent {
        true => Ok(took),
        false => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer differs from what was sent")),
    }
}

async fn run(mut stream: Stream, answer: Answer) {
    stream.ignore_for_keep_alive();
    let result = match tokio::time::timeout(TIMEOUT, exchange(&mut stream)).await {
        Ok(Ok(took)) => Ok(took),
        Ok(Err(error)) => Err(PingError::Failed(error.to_string())),
        Err(_) => Err(PingError::TimedOut),
    };
    let _ = answer.send(result);
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Answer;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn on_behaviour_event(&mut self, answer: Answer) {
        if self.asked.len() + self.opening.len() + self.running.len() < MAX_PER_CONNECTION {
            self.asked.push_back(answer);
        } else {
            let _ = answer.send(Err(PingError::Failed("too many pings at once".into())));
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Infallible>> {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        if let Some(answer) = self.asked.pop_front() {
            self.opening.push_back(answer);
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, DeniedUpgrade, ReadyUpgrade<StreamProtocol>>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                if let Some(answer) = self.opening.pop_front() {
                    self.running.push(run(protocol, answer).boxed());
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                if let Some(answer) = self.opening.pop_front() {
                    let _ = answer.send(Err(PingError::Failed(error.to_string())));
                }
            }
            _ => {}
        }
    }
}
