//! Records of names, asked of one peer: `/libp2p/fetch/0.0.1` (libp2p/specs, fetch), which IPNS over PubSub uses when
//! somebody joins a topic. Requests to peers that are not connected have no answer.

use crate::ipns::{
    MAX_RECORD,
    pubsub::{FETCH_PROTOCOL, MAX_FETCH, decode_request, decode_response, encode_request, encode_response},
};
use bytes::Bytes;
use futures::{
    AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered,
};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse, upgrade::ReadyUpgrade},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    io,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

const PROTOCOL: StreamProtocol = StreamProtocol::new(FETCH_PROTOCOL);
/// How long an exchange may take: go-libp2p-pubsub-router's.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that wait for the swarm; the caller waits beyond.
const QUEUE: usize = 64;
/// Exchanges on one connection, and those that the peer began; more are closed or have no answer.
const MAX_PER_CONNECTION: usize = 16;
/// Largest request: a routing key has less than 100 bytes.
const MAX_REQUEST: usize = 1024;

/// What is known under a key. It must be quick and must not block.
type Source = Box<dyn Fn(&[u8]) -> Option<Bytes> + Send + Sync>;

/// A request on its way to a connection: the key, and where its record goes.
#[derive(Debug)]
pub struct Request {
    key: Vec<u8>,
    answer: oneshot::Sender<Bytes>,
}

/// Asks peers for records, and says what is answered to them.
#[derive(Clone)]
pub struct Fetcher {
    requests: mpsc::Sender<(PeerId, Request)>,
    source: Arc<OnceLock<Source>>,
}

impl Fetcher {
    /// What a connected peer has under a key; it may be anything. `None`: nothing, or no answer.
    pub async fn ask(&self, peer: PeerId, key: Vec<u8>) -> Option<Bytes> {
        let (sender, answer) = oneshot::channel();
        self.requests.send((peer, Request { key, answer: sender })).await.ok()?;
        answer.await.ok()
    }

    /// Answers others out of that from now on. Only the first counts.
    pub fn serve(&self, source: impl Fn(&[u8]) -> Option<Bytes> + Send + Sync + 'static) {
        let _ = self.source.set(Box::new(source));
    }
}

/// The protocol in the swarm.
pub struct Behaviour {
    requests: mpsc::Receiver<(PeerId, Request)>,
    source: Arc<OnceLock<Source>>,
    connected: HashSet<PeerId>,
}

/// Makes both.
pub fn new() -> (Behaviour, Fetcher) {
    let (sender, requests) = mpsc::channel(QUEUE);
    let source = Arc::new(OnceLock::new());
    let fetcher = Fetcher { requests: sender, source: Arc::clone(&source) };
    (Behaviour { requests, source, connected: HashSet::new() }, fetcher)
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
        Ok(Handler::new(&self.source))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(&self.source))
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
        while let Poll::Ready(Some((peer_id, event))) = self.requests.poll_recv(cx) {
            if self.connected.contains(&peer_id) {
                return Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event });
            }
        }
        Poll::Pending
    }
}

/// Exchanges on one connection.
pub struct Handler {
    source: Arc<OnceLock<Source>>,
    asked: VecDeque<Request>,
    opening: usize,
    answering: FuturesUnordered<BoxFuture<'static, ()>>,
    asking: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Handler {
    fn new(source: &Arc<OnceLock<Source>>) -> Self {
        let (answering, asking) = (FuturesUnordered::new(), FuturesUnordered::new());
        Self { source: Arc::clone(source), asked: VecDeque::new(), opening: 0, answering, asking }
    }
}

/// Reads a message with its length before it.
async fn receive(stream: &mut Stream, max: usize) -> io::Result<Vec<u8>> {
    let refuse = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut buffer = unsigned_varint::encode::usize_buffer();
    let mut read = 0;
    let len = loop {
        let byte = buffer.get_mut(read..=read).ok_or_else(|| refuse("no length"))?;
        stream.read_exact(byte).await?;
        read += 1;
        if unsigned_varint::decode::is_last(buffer[read - 1]) {
            break unsigned_varint::decode::usize(&buffer[..read]).map_err(|_| refuse("no length"))?.0;
        }
    };
    if len > max {
        return Err(refuse("too long"));
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(stream: &mut Stream, message: &[u8]) -> io::Result<()> {
    let mut buffer = unsigned_varint::encode::usize_buffer();
    stream.write_all(unsigned_varint::encode::usize(message.len(), &mut buffer)).await?;
    stream.write_all(message).await?;
    stream.close().await
}

async fn answer(mut stream: Stream, source: Arc<OnceLock<Source>>) -> io::Result<()> {
    stream.ignore_for_keep_alive();
    let request = receive(&mut stream, MAX_REQUEST).await?;
    let known = decode_request(&request).and_then(|key| source.get().and_then(|source| source(key)));
    send(&mut stream, &encode_response(known.as_deref())).await
}

async fn ask(mut stream: Stream, request: Request) -> io::Result<()> {
    stream.ignore_for_keep_alive();
    send(&mut stream, &encode_request(&request.key)).await?;
    let response = receive(&mut stream, MAX_FETCH).await?;
    if let Some(data) = decode_response(&response).filter(|data| data.len() <= MAX_RECORD) {
        let _ = request.answer.send(Bytes::copy_from_slice(data));
    }
    Ok(())
}

/// An exchange in its time; how it failed is nobody's concern.
fn bounded(exchange: impl Future<Output = io::Result<()>> + Send + 'static) -> BoxFuture<'static, ()> {
    tokio::time::timeout(TIMEOUT, exchange).map(drop).boxed()
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Request;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Request;

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, request: Request) {
        if self.asked.len() + self.opening + self.asking.len() < MAX_PER_CONNECTION {
            self.asked.push_back(request);
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Request, Infallible>> {
        while let Poll::Ready(Some(())) = self.answering.poll_next_unpin(cx) {}
        while let Poll::Ready(Some(())) = self.asking.poll_next_unpin(cx) {}
        if let Some(request) = self.asked.pop_front() {
            self.opening += 1;
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), request);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>, (), Request>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
                if self.answering.len() < MAX_PER_CONNECTION =>
            {
                self.answering.push(bounded(answer(protocol, Arc::clone(&self.source))));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opening -= 1;
                self.asking.push(bounded(ask(protocol, info)));
            }
            // The request is dropped: it has no answer.
            ConnectionEvent::DialUpgradeError(_) => self.opening -= 1,
            _ => {}
        }
    }
}
