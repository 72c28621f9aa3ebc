//! A bare hyper server in a process of its own: this program again. It sends as many bytes as the path says, out of
//! memory, and does nothing else: what no gateway on hyper can be faster than.

use anyhow::Context as _;
use bytes::Bytes;
use futures::stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use tokio::net::TcpListener;

/// The word that asks for it.
const WORD: &str = "bare-hyper";
/// Bytes up to which a body is sent in one piece.
const WHOLE: u64 = 1 << 20;
/// Bytes of a piece of a longer one: a leaf of a file.
const PIECE: usize = 256 << 10;

/// The server, ended when dropped.
#[derive(Debug)]
pub struct Bare {
    child: Child,
    /// Where it answers; `/N` has N bytes.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not say where it listens.
    pub fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(WORD).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse().context("the bare server's address")? })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends, if the first word asks for it.
///
/// # Errors
/// When it can't listen.
pub fn run_if_asked(words: &[String]) -> anyhow::Result<bool> {
    if words.first().is_none_or(|word| word != WORD) {
        return Ok(false);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    println!("{}", listener.local_addr()?);
    runtime.spawn(accept(listener));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(true)
}

async fn accept(listener: TcpListener) {
    let piece = Bytes::from(crate::keystream::bytes("bare", WHOLE as usize));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let piece = piece.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(&request, &piece);
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Pieces = stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

fn answer(request: &Request<Incoming>, piece: &Bytes) -> Response<Either<Full<Bytes>, StreamBody<Pieces>>> {
    let len: u64 = request.uri().path().trim_start_matches('/').parse().unwrap_or_default();
    if let Some(whole) = usize::try_from(len).ok().filter(|_| len <= WHOLE) {
        return Response::new(Either::Left(Full::new(piece.slice(..whole))));
    }
    let piece = piece.slice(..PIECE);
    let pieces = stream::unfold((piece, len), |(piece, left)| async move {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        (n > 0).then(|| (Ok(Frame::data(piece.slice(..n))), (piece, left - n as u64)))
    });
    let mut response = Response::new(Either::Right(StreamBody::new(Box::pin(pieces) as Pieces)));
    response.headers_mut().insert(hyper::header::CONTENT_LENGTH, len.into());
    response
}
