//! The client's side of HTTP.

use super::{PREFIX, address::Address, auth};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// How long a daemon may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections that are kept for the next request.
const MAX_IDLE: usize = 8;
/// Bytes of an error that are read at most.
const MAX_ERROR: usize = 64 << 10;
/// Bytes of a JSON answer that are read at most.
const MAX_JSON: usize = 16 << 20;

/// The body of a request.
pub type Upload = UnsyncBoxBody<Bytes, io::Error>;

/// Asks one daemon.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    address: Address,
    authorization: Option<String>,
    idle: Mutex<Vec<SendRequest<Upload>>>,
}

impl Client {
    /// For the daemon at an address. Nothing is connected yet.
    ///
    /// # Errors
    /// When the secret is of an unknown kind.
    pub fn new(address: Address, secret: Option<&str>) -> anyhow::Result<Self> {
        let authorization = match secret {
            None => None,
            Some(secret) => Some(
                auth::header(secret).context("--api-auth must be bearer:TOKEN, basic:USER:PASSWORD or a bare token")?,
            ),
        };
        Ok(Self(Arc::new(Inner { address, authorization, idle: Mutex::default() })))
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Upload>> {
        let address = &self.0.address;
        let refuse = || format!("cannot connect to the daemon at {address}: does it run?");
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        match address {
            Address::Unix(path) => {
                let stream = tokio::time::timeout(CONNECT, UnixStream::connect(path)).await;
                open(stream.map_err(|_| late()).flatten().with_context(refuse)?).await
            }
            Address::Ip(_) | Address::Name(..) => {
                let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address.host())).await;
                let stream = stream.map_err(|_| late()).flatten().with_context(refuse)?;
                stream.set_nodelay(true)?;
                open(stream).await
            }
        }
    }

    fn request(&self, path: &str, query: &str) -> hyper::http::request::Builder {
        let uri = format!("{PREFIX}{path}?{query}");
        let agent = concat!("cairn/", env!("CARGO_PKG_VERSION"));
        let request = Request::post(uri).header(HOST, self.0.address.host()).header(USER_AGENT, agent);
        match &self.0.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// Asks with a body, on a connection of its own.
    ///
    /// # Errors
    /// When the daemon can't be reached or goes away.
    pub async fn upload(
        &self,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Upload,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = self.request(path, query);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.connect().await?;
        Ok(sender.send_request(request.body(body)?).await?)
    }

    /// Asks without a body.
    ///
    /// # Errors
    /// When the daemon can't be reached or goes away.
    pub async fn post(&self, path: &str, query: &str) -> anyhow::Result<Response<Incoming>> {
        let request = || self.request(path, query).body(Empty::new().map_err(|never| match never {}).boxed_unsync());
        let idle = {
            let mut idle = self.0.idle.lock();
            idle.retain(|sender| !sender.is_closed());
            idle.iter().position(SendRequest::is_ready).map(|at| idle.swap_remove(at))
        };
        if let Some(mut sender) = idle
            && let Ok(answer) = sender.send_request(request()?).await
        {
            self.keep(sender);
            return Ok(answer);
        }
        // Also when the daemon has closed the connection meanwhile: nothing of these requests changes anything.
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request()?).await?;
        self.keep(sender);
        Ok(answer)
    }

    fn keep(&self, sender: SendRequest<Upload>) {
        let mut idle = self.0.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
    }

    /// Asks for one JSON value.
    ///
    /// # Errors
    /// When the daemon refuses or can't be reached.
    pub async fn post_json(&self, path: &str, query: &str) -> anyhow::Result<serde_json::Value> {
        let mut answer = self.post(path, query).await?;
        if answer.status() != StatusCode::OK {
            bail!(refusal(self.address(), answer).await);
        }
        let text = read(answer.body_mut(), MAX_JSON).await;
        serde_json::from_slice(&text).context("the daemon's answer makes no sense")
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> anyhow::Result<SendRequest<Upload>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // It ends with its sender or the daemon; what goes wrong is told to whoever waits for the answer.
    tokio::spawn(connection);
    Ok(sender)
}

/// What a daemon says that refuses a request.
pub async fn refusal(address: &Address, mut answer: Response<Incoming>) -> String {
    let json = answer.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    let status = answer.status();
    let text = read(answer.body_mut(), MAX_ERROR).await;
    let message = serde_json::from_slice::<serde_json::Value>(&text).ok().filter(|_| json);
    if let Some(message) = message.as_ref().and_then(|m| m["Message"].as_str()) {
        return message.to_owned();
    }
    match status {
        StatusCode::NOT_FOUND => format!("the daemon at {address} does not know this command: is it an older one?"),
        StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "too many arguments for one request: give fewer at a time, for example with `xargs -n 1000`".to_owned()
        }
        StatusCode::OK => format!("what answers at {address} is not a daemon of Cairn"),
        _ => String::from_utf8_lossy(&text).trim().to_owned(),
    }
}

/// The body, as far as it is not too long.
async fn read(body: &mut Incoming, most: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
        if text.len() > most {
            break;
        }
    }
    text
}
