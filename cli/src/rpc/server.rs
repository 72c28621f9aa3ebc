//! Listeners and connections.
//!
//! Limits: [`MAX_CONNECTIONS`] at once, the next waits to be accepted; a head of [`MAX_HEAD`] bytes and [`MAX_HEADERS`]
//! lines, else 431, and 64 KiB of it in the first line, else 414 (see [`super::QUERY`]); [`HEAD_TIMEOUT`] to send it, also between two requests; [`crate::daemon::MAX_REQUESTS`] commands
//! at once, else 429.

use super::{
    address::Address,
    auth::Secrets,
    blocks::Sessions,
    connection::Connection,
    handle::{Shared, handle},
    origin::Rules,
};
use crate::daemon::Daemon;
use anyhow::Context as _;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1::Builder,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::Future,
    io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Connections at once.
const MAX_CONNECTIONS: usize = 512;
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 1 << 20;
/// Lines of a head.
const MAX_HEADERS: usize = 100;
/// How long a client may take to send a head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait when a connection can't be accepted, for example for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long requests have to end by themselves when the daemon stops, before they are told to.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long they have then.
const GRACE: Duration = Duration::from_secs(5);

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A place that is listened on.
pub struct Listener {
    /// Its address; of `/tcp/0`, with the port that it got.
    pub address: Address,
    socket: Socket,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the address is taken or can't be listened on.
    pub async fn bind(address: &Address) -> anyhow::Result<Self> {
        let refuse = || format!("cannot listen on {address}");
        match address {
            Address::Ip(ip) => Self::tcp(TcpListener::bind(ip).await.with_context(refuse)?),
            Address::Name(name, port) => {
                Self::tcp(TcpListener::bind((name.as_str(), *port)).await.with_context(refuse)?)
            }
            Address::Unix(path) => {
                let stale = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
                    && std::os::unix::net::UnixStream::connect(path).is_err();
                if stale {
                    std::fs::remove_file(path).with_context(refuse)?;
                }
                let socket = UnixListener::bind(path).with_context(refuse)?;
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).with_context(refuse)?;
                Ok(Self { address: address.clone(), socket: Socket::Unix(socket) })
            }
        }
    }

    fn tcp(socket: TcpListener) -> anyhow::Result<Self> {
        Ok(Self { address: Address::Ip(socket.local_addr()?), socket: Socket::Tcp(socket) })
    }

    /// Answers requests until the daemon stops, then waits for those that run, for a while.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn serve(
        self,
        daemon: &Arc<Daemon>,
        names: &[String],
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let config = daemon.repo.config();
        let port = match &self.address {
            Address::Ip(ip) => Some(ip.port()),
            Address::Name(_, port) => Some(*port),
            Address::Unix(_) => None,
        };
        let shared = Arc::new(Shared {
            daemon: Arc::clone(daemon),
            rules: Rules::new(&config, port, names)?,
            secrets: Secrets::new(&config)?,
            sessions: Sessions::default(),
            check_host: port.is_some(),
        });
        Ok(async move {
            let stop = shared.daemon.stop.clone();
            let requests = Arc::clone(&shared.daemon.requests);
            let serve = |stream| connection(Arc::clone(&shared), stream, stop.clone());
            accept_all(&stop, &self.socket, serve, || requests.cancel_all()).await;
            if let Address::Unix(path) = &self.address {
                let _ = std::fs::remove_file(path);
            }
        })
    }
}

/// A connection of either kind.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

impl Socket {
    async fn accept(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Accepts connections until it is told to stop, then waits for them; `cancel` ends the requests of those that take long.
async fn accept_all<F: Future<Output = ()> + Send + 'static>(
    stop: &CancellationToken,
    socket: &Socket,
    serve: impl Fn(Box<dyn Duplex>) -> F,
    cancel: impl FnOnce(),
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // They are counted; those that have ended make room here.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                socket.accept().await.map(|stream| (stream, permit))
            } => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let connection = serve(stream);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    let all_end = async { while connections.join_next().await.is_some() {} };
    let mut all_end = pin!(all_end);
    if tokio::time::timeout(PATIENCE, &mut all_end).await.is_err() {
        cancel();
        let _ = tokio::time::timeout(GRACE, all_end).await;
    }
}

async fn connection(shared: Arc<Shared>, stream: Box<dyn Duplex>, stop: CancellationToken) {
    let (stream, at_request) = Connection::new(stream);
    let service = service_fn(move |request| {
        let (shared, at_request) = (Arc::clone(&shared), at_request.clone());
        async move { Ok::<_, Infallible>(handle(shared, at_request, request).await) }
    });
    answer(stream, service, stop).await;
}

/// Answers the requests of a connection.
async fn answer<S, B>(stream: impl AsyncRead + AsyncWrite + Unpin, service: S, stop: CancellationToken)
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        _ = &mut served => return,
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    // What clients do wrong is theirs.
    let _ = served.await;
}
