//! What carries connections: TCP, WebSocket, QUIC, memory, and relays.
//!
//! ```text
//! relay ─┐
//! QUIC ──┤ gate ─ DNS ─┐
//! TCP ───┘             ├─ [swarm key] ─ TLS or Noise ─ yamux ─ counted streams
//! TCP ─ gate ─ DNS ─ WebSocket
//! ```
//!
//! The gate stands below DNS, so that a name can't lead to an address that is filtered.

use super::{
    bandwidth::{Counted, Meters},
    config::Config,
    limits::{Filters, Gated},
    security::{Secure, SecurityError},
};
use futures::{
    AsyncRead, AsyncWrite,
    future::{BoxFuture, Either},
};
use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, MemoryTransport, OptionalTransport, OrTransport, upgrade::Version},
    },
    dns,
    identity::Keypair,
    pnet::{PnetConfig, PnetError, PnetOutput, PreSharedKey},
    quic, relay, tcp, websocket, yamux,
};
use std::{io, time::Duration};

/// How long a connection may take from the first packet to the last handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Streams that one connection may have open at once; a peer that opens more is disconnected.
const MAX_STREAMS: usize = 1024;
/// Streams that one QUIC connection's peer may have open at once; it waits for more.
const MAX_QUIC_STREAMS: u32 = 1024;
/// Largest WebSocket frame, in bytes.
const MAX_FRAME: usize = 4 << 20;

/// Why transports can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The key can't be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The system's DNS configuration can't be read.
    #[error("cannot set DNS up: {0}")]
    Dns(#[source] io::Error),
    /// Certificate or key for secure WebSocket can't be used.
    #[error("the certificate for secure WebSocket can't be used: {0}")]
    WebSocket(String),
}

/// A connection with a peer.
pub type Connection = (PeerId, StreamMuxerBox);

/// Makes the transports of a configuration, and the relay client's behaviour when it has one.
///
/// # Errors
/// When a key or the DNS can't be used.
pub fn build(
    config: &Config,
    keys: &Keypair,
    filters: &Filters,
    meters: &Meters,
) -> Result<(Boxed<Connection>, Option<relay::client::Behaviour>), TransportError> {
    let upgrade = Upgrade { secure: Secure::new(keys, &config.transports.security)?, meters: meters.clone() };
    let psk = config.swarm_key;
    let tcp_config = || tcp::Config::new().nodelay(true);

    let tcp = Gated::new(tcp::tokio::Transport::new(tcp_config()), filters);
    let tcp = config.transports.tcp.then(|| upgrade.apply(tcp.and_then(move |socket, _| private(psk, socket))));
    // IMPORTANT: QUIC encrypts by itself and would leave a private swarm; `Config::read` refuses such a configuration,
    // and one made by hand must not slip through either.
    let quic = (config.transports.quic && psk.is_none()).then(|| {
        let mut settings = quic::Config::new(keys);
        settings.max_concurrent_stream_limit = MAX_QUIC_STREAMS;
        let meters = meters.clone();
        Gated::new(quic::tokio::Transport::new(settings), filters)
            .map(move |(peer, muxer), _| (peer, StreamMuxerBox::new(Counted::new(muxer, peer, &meters))))
            .boxed()
    });
    let plain = either(optional(quic), optional(tcp));
    let plain = dns::tokio::Transport::system(plain).map_err(TransportError::Dns)?.boxed();

    let websocket = match config.transports.websocket {
        true => Some(
            upgrade.apply(websocket(config, tcp_config(), filters)?.and_then(move |socket, _| private(psk, socket))),
        ),
        false => None,
    };
    let memory = config
        .has_memory()
        .then(|| upgrade.apply(MemoryTransport::new().and_then(move |socket, _| private(psk, socket))));
    let all = either(optional(memory), either(optional(websocket), plain).boxed());

    if !config.transports.relay || (config.nat.relay_client.is_none() && !config.nat.hole_punching) {
        return Ok((all.boxed(), None));
    }
    let (relays, behaviour) = relay::client::new(keys.public().to_peer_id());
    let relays = upgrade.apply(relays);
    Ok((either(relays, all.boxed()).boxed(), Some(behaviour)))
}

fn optional(transport: Option<Boxed<Connection>>) -> OptionalTransport<Boxed<Connection>> {
    transport.map_or_else(OptionalTransport::none, OptionalTransport::some)
}

/// The first of two transports that takes an address.
fn either<A, B>(a: A, b: B) -> Boxed<Connection>
where
    A: libp2p::Transport<Output = Connection> + Send + Unpin + 'static,
    B: libp2p::Transport<Output = Connection> + Send + Unpin + 'static,
    A::Error: Send + Sync,
    B::Error: Send + Sync,
    A::Dial: Send,
    B::Dial: Send,
    A::ListenerUpgrade: Send,
    B::ListenerUpgrade: Send,
{
    OrTransport::new(a, b).map(|out, _| out.into_inner()).boxed()
}

type WebSocket = websocket::Config<dns::tokio::Transport<Gated<tcp::tokio::Transport>>>;

fn websocket(config: &Config, tcp: tcp::Config, filters: &Filters) -> Result<WebSocket, TransportError> {
    let tcp = Gated::new(tcp::tokio::Transport::new(tcp), filters);
    let mut transport = websocket::Config::new(dns::tokio::Transport::system(tcp).map_err(TransportError::Dns)?);
    transport.set_max_data_size(MAX_FRAME);
    if let Some(tls) = &config.websocket_tls {
        let key = websocket::tls::PrivateKey::new(tls.key.clone());
        let chain = tls.chain.iter().cloned().map(websocket::tls::Certificate::new);
        let tls = websocket::tls::Config::new(key, chain).map_err(|e| TransportError::WebSocket(e.to_string()))?;
        transport.set_tls_config(tls);
    }
    Ok(transport)
}

/// Everything that a private swarm's peers say goes through the swarm's key.
fn private<S>(psk: Option<PreSharedKey>, socket: S) -> BoxFuture<'static, Result<Either<S, PnetOutput<S>>, PnetError>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Box::pin(async move {
        match psk {
            None => Ok(Either::Left(socket)),
            Some(key) => PnetConfig::new(key).handshake(socket).await.map(Either::Right),
        }
    })
}

/// From a socket to a connection with a peer.
struct Upgrade {
    secure: Secure,
    meters: Meters,
}

impl Upgrade {
    fn apply<T>(&self, transport: T) -> Boxed<Connection>
    where
        T: libp2p::Transport + Send + Unpin + 'static,
        T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        T::Error: Send + Sync + 'static,
        T::Dial: Send + 'static,
        T::ListenerUpgrade: Send + 'static,
    {
        let meters = self.meters.clone();
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(MAX_STREAMS);
        transport
            .upgrade(Version::V1Lazy)
            .authenticate(self.secure.clone())
            .multiplex(muxer)
            .timeout(HANDSHAKE)
            .map(move |(peer, muxer), _| (peer, StreamMuxerBox::new(Counted::new(muxer, peer, &meters))))
            .boxed()
    }
}
