//! Connections: HTTP/1.1, HTTP/2 without TLS, and tunnels to this gateway itself (CONNECT).
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | connections | [`MAX_CONNECTIONS`] | the next one waits to be accepted |
//! | connections of one address (an IPv6 /64), but for loopback | [`MAX_OF_CLIENT`] | closed |
//! | time to send the first bytes, and a request's head | [`HEAD_TIMEOUT`] | closed |
//! | head of a request | [`MAX_HEAD`], 100 lines | 431 |
//! | time in which a client takes nothing that waits for it | [`STALL`] | closed |
//! | time in which a client takes what it was handed | [`TAKEN`](crate::body::TAKEN) | broken off |
//! | streams of an HTTP/2 connection | [`MAX_STREAMS`] | the client waits |

use crate::{body::Body, gateway::Gateway, limits, stream::SWEEP};
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future as _,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;

/// Connections at once.
pub const MAX_CONNECTIONS: usize = 8192;
/// Connections of one address.
pub const MAX_OF_CLIENT: usize = 1024;
/// How long a client may take to send a request's head, also between two requests.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes; also what HTTP/1.1 holds of a response that a client has not taken.
pub const MAX_HEAD: usize = 16 << 10;
/// How long a client may take nothing of what waits for it.
pub const STALL: Duration = Duration::from_secs(60);
/// Requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 128;
/// How long to wait when a connection can't be accepted.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long responses have to end when the gateway stops.
const PATIENCE: Duration = Duration::from_secs(3);
/// Tunnels in tunnels.
const MAX_TUNNELS: usize = 2;
/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answers requests for what is not content: the routing API.
pub type Other = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A gateway, and what is served beside it.
#[derive(Clone)]
pub struct Service {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Paths below which others answer, where [`Gateway::is_own`] says that the host is not content's own.
    pub others: Arc<Vec<(String, Other)>>,
}

/// Where connections come from.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

impl Service {
    async fn answer(&self, request: Request<Incoming>, client: IpAddr) -> Response<Body> {
        let path = request.uri().path();
        let below =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let other = self.others.iter().find(|(prefix, _)| below(prefix)).map(|(_, other)| other);
        let (parts, body) = request.into_parts();
        match other {
            Some(other) if self.gateway.is_own(&parts, client).await => other(Request::from_parts(parts, body)).await,
            _ => self.gateway.respond(&parts, client).await,
        }
    }

    /// Answers the requests of a connection.
    fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        place: Arc<Place>,
        stop: CancellationToken,
        tunnels: usize,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD);
            builder
                .http2()
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEAD as u32)
                .max_send_buf_size(MAX_HEAD)
                .keep_alive_interval(HEAD_TIMEOUT)
                .keep_alive_timeout(HEAD_TIMEOUT);
            let inner = stop.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (service, stop, place) = (self.clone(), inner.clone(), Arc::clone(&place));
                async move {
                    if request.method() == Method::CONNECT {
                        return Ok::<_, Infallible>(service.tunnel(request, place, stop, tunnels));
                    }
                    Ok(service.answer(request, place.client()).await)
                }
            });
            let stream = TokioIo::new(Impatient::new(stream));
            let mut served = pin!(builder.serve_connection_with_upgrades(stream, service));
            tokio::select! {
                // What clients do wrong is theirs.
                _ = &mut served => return,
                () = stop.cancelled() => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        })
    }

    /// A tunnel, whose other end is this gateway whatever host the client names: it is a proxy to nowhere else. It keeps the
    /// place of its connection. One connection of HTTP/2 could have many, and each of these many again: there are none.
    fn tunnel(
        self,
        request: Request<Incoming>,
        place: Arc<Place>,
        stop: CancellationToken,
        tunnels: usize,
    ) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        if tunnels >= MAX_TUNNELS || request.version() == Version::HTTP_2 {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(request).await {
                self.connection(TokioIo::new(upgraded), place, stop, tunnels + 1).await;
            }
        });
        response
    }
}

/// Accepts connections until told to stop, then waits a while for the responses that are under way.
pub async fn serve(listener: Listener, service: Service, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let clients = Clients::default();
    let gateway = Arc::clone(&service.gateway);
    let sweep = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            let now = ticks.tick().await;
            gateway.sweep(now.into());
        }
    });
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                accept(&listener).await.map(|accepted| (accepted, permit))
            } => accepted,
        };
        let ((stream, client), permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("cannot accept a connection to the gateway: {error}");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let Some(counted) = clients.enter(client) else { continue };
        let (service, stop) = (service.clone(), stop.clone());
        let gauge = service.gateway.metrics().connections.clone();
        connections.spawn(async move {
            gauge.inc();
            service.connection(stream, Arc::new(Place { counted, _permit: permit.ok() }), stop, 0).await;
            gauge.dec();
        });
    }
    let all_end = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(PATIENCE, all_end).await;
    sweep.abort();
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

async fn accept(listener: &Listener) -> io::Result<(Box<dyn Duplex>, IpAddr)> {
    Ok(match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            if let Err(error) = stream.set_nodelay(true) {
                // The client has gone already, which reading will tell.
                tracing::debug!("no TCP_NODELAY: {error}");
            }
            (Box::new(stream), address.ip())
        }
        Listener::Unix(listener) => (Box::new(listener.accept().await?.0), Ipv4Addr::LOCALHOST.into()),
    })
}

/// Connections of each address, or of each IPv6 /64.
#[derive(Debug, Default, Clone)]
struct Clients(Arc<Mutex<HashMap<IpAddr, usize>>>);

struct Counted {
    clients: Clients,
    client: IpAddr,
    /// What it is counted by.
    network: IpAddr,
}

/// The place of a connection and of the tunnel in it, given back when both are over.
struct Place {
    counted: Counted,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    fn client(&self) -> IpAddr {
        self.counted.client
    }
}

impl Clients {
    /// `None` when an address has too many. Proxies on this machine speak for many.
    fn enter(&self, client: IpAddr) -> Option<Counted> {
        let network = limits::network(client);
        let mut clients = self.0.lock();
        let count = clients.entry(network).or_default();
        if *count >= MAX_OF_CLIENT && !limits::is_here(client) {
            return None;
        }
        *count += 1;
        drop(clients);
        Some(Counted { clients: self.clone(), client, network })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut clients = self.clients.0.lock();
        if let Some(count) = clients.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.network);
            }
        }
    }
}

/// A stream that fails when the other side takes nothing for [`STALL`], or does not show within [`HEAD_TIMEOUT`] which version
/// of HTTP it speaks: until then nothing else watches it.
struct Impatient<S> {
    stream: S,
    /// Runs while writing waits.
    timer: Option<Pin<Box<Sleep>>>,
    /// Runs while what came is a beginning of [`PREFACE`]: what is missing of it.
    opening: Option<(&'static [u8], Pin<Box<Sleep>>)>,
}

impl<S> Impatient<S> {
    fn new(stream: S) -> Self {
        Self { stream, timer: None, opening: Some((PREFACE, Box::pin(tokio::time::sleep(HEAD_TIMEOUT)))) }
    }

    /// Notes what came.
    fn opened(&mut self, came: &[u8]) {
        let Some((missing, _)) = &mut self.opening else { return };
        match missing.strip_prefix(came) {
            Some(rest) if !came.is_empty() && !rest.is_empty() => *missing = rest,
            _ => self.opening = None,
        }
    }

    fn after<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + STALL)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.opened(&buf.filled()[before..]);
        } else if let Some((_, timer)) = &mut self.opening
            && timer.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.after(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.after(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.after(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.after(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_network() {
        let clients = Clients::default();
        let address = |number: usize| format!("2001:db8::{number:x}").parse::<IpAddr>().expect("an address");
        let taken: Vec<_> = (0..MAX_OF_CLIENT).map(|number| clients.enter(address(number)).expect("room")).collect();
        assert!(clients.enter(address(MAX_OF_CLIENT)).is_none(), "a client with many addresses is one");
        assert!(clients.enter("2001:db8:0:1::".parse().expect("an address")).is_some());
        let here: IpAddr = "::1".parse().expect("an address");
        let local: Vec<_> = (0..=MAX_OF_CLIENT).map(|_| clients.enter(here)).collect();
        assert!(local.iter().all(Option::is_some), "a proxy here speaks for many");
        drop((taken, local));
        assert!(clients.0.lock().is_empty());
    }
}
