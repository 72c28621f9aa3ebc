//! One request, from its head to the end of its answer.

use super::{
    FRAMES, PREFIX, QUERY, TERMINAL,
    arguments::{self, Asked, Refusal},
    auth::{self, Secrets},
    blocks::Sessions,
    connection::AtRequest,
    decode_percent, frames, metrics,
    origin::{MAY_READ, Rules},
    pipe::{Pipe, Reader},
    reply::{self, Head, Terminal},
    upload::{self, Upload},
};
use crate::{
    args::Enc,
    cmd,
    ctx::{Cancel, Ctx, Request as Run},
    daemon::Daemon,
    exit::{self, Outcome},
    input::Input,
    output::Kind,
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, TRAILER},
};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// Where errors stand that come after the beginning of the body.
const STREAM_ERROR: HeaderName = HeaderName::from_static("x-stream-error");
/// Longest message in a trailer, in bytes.
const MAX_TRAILER: usize = 4 << 10;

/// What all connections of a listener share.
pub struct Shared {
    /// What there is to ask.
    pub daemon: Arc<Daemon>,
    /// Who may ask.
    pub rules: Rules,
    /// What they have to know.
    pub secrets: Secrets,
    /// Where clients that run commands themselves get their blocks.
    pub sessions: Sessions,
    /// Whether names in `Host` are looked at: not on a Unix socket, which no page can reach.
    pub check_host: bool,
}

/// The body of an answer.
pub struct Reply {
    inner: UnsyncBoxBody<Bytes, Infallible>,
    /// Told when the answer has ended and the next request may begin.
    next: Option<AtRequest>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(next) = &self.next {
            next.set(true);
        }
    }
}

/// An answer before it is sent.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Answers a request.
pub async fn handle(shared: Arc<Shared>, next: AtRequest, request: Request<Incoming>) -> Response<Reply> {
    next.set(false);
    let without_body = request.body().is_end_stream();
    let asked_with = request.headers().clone();
    let mut answer = answer(&shared, request).await;
    if answer.status() != StatusCode::FORBIDDEN {
        shared.rules.decorate(&asked_with, answer.headers_mut());
    }
    if !without_body {
        // As Kubo does: what is left of the body may be anything.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|inner| Reply { inner, next: without_body.then_some(next) })
}

/// A text.
pub fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text.into() + "\n")).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

fn error(status: StatusCode, message: &str) -> Answer {
    let code = u8::from(status == StatusCode::BAD_REQUEST);
    let mut answer = plain(status, serde_json::json!({"Message": message, "Code": code, "Type": "error"}).to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (method, headers) = (request.method(), request.headers());
    let forbidden = || plain(StatusCode::FORBIDDEN, "403 - Forbidden");
    let path = decode_percent(request.uri().path(), false);
    let authorization = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    // Whoever knows a secret is no page.
    let trusted = !shared.secrets.is_open() && shared.secrets.allow(authorization, &path);
    if shared.check_host && !trusted && !shared.rules.allow_host(headers) {
        return plain(
            StatusCode::FORBIDDEN,
            "403 - Forbidden: this name is not known for the node; add http://NAME to \
             API.HTTPHeaders.Access-Control-Allow-Origin if it is one",
        );
    }
    if method == Method::OPTIONS {
        let mut answer = plain(StatusCode::NO_CONTENT, "");
        *answer.body_mut() = Full::default().boxed_unsync();
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS, POST"));
        shared.rules.preflight(headers, answer.headers_mut());
        return answer;
    }
    if !shared.rules.allow(method, headers) {
        return forbidden();
    }
    if method == Method::GET && !path.starts_with(PREFIX) {
        return page(shared, &path).await;
    }
    if method != Method::POST {
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "405 - Method Not Allowed");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS, POST"));
        return answer;
    }
    if !shared.secrets.allow(authorization, &path) {
        return plain(StatusCode::FORBIDDEN, auth::DENIED);
    }
    let Some(command) = path.strip_prefix(PREFIX) else { return plain(StatusCode::NOT_FOUND, "404 page not found") };
    if command == super::blocks::PATH {
        return super::blocks::serve(shared, request);
    }
    let long = headers.contains_key(TERMINAL).then(|| headers.get(QUERY)?.to_str().ok()).flatten();
    match arguments::parse(command, long.or(request.uri().query()).unwrap_or_default()) {
        Ok(asked) => run(shared, asked, request).await,
        Err(Refusal::NotFound) => plain(StatusCode::NOT_FOUND, "404 page not found"),
        Err(Refusal::NotCallable) => {
            error(StatusCode::BAD_REQUEST, "this command can't be called directly; try one of its subcommands")
        }
        Err(Refusal::Bad(why)) => plain(StatusCode::BAD_REQUEST, why),
    }
}

/// What is not a command.
async fn page(shared: &Shared, path: &str) -> Answer {
    match path {
        "/debug/metrics/prometheus" if shared.secrets.is_open() => {
            let daemon = Arc::clone(&shared.daemon);
            // It looks at files.
            let text = tokio::task::spawn_blocking(move || metrics::text(&daemon)).await.unwrap_or_default();
            let mut answer = plain(StatusCode::OK, text);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::MEDIA));
            answer
        }
        "/version" => {
            let (commit, version) = (env!("CAIRN_COMMIT"), env!("CARGO_PKG_VERSION"));
            plain(StatusCode::OK, format!("Commit: {commit}\nClient Version: cairn/{version}"))
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// Runs a command on a thread of its own.
async fn run(shared: &Arc<Shared>, asked: Asked, request: Request<Incoming>) -> Answer {
    let daemon = Arc::clone(&shared.daemon);
    let Ok(slot) = Arc::clone(&daemon.slots).try_acquire_owned() else {
        let mut answer = error(StatusCode::TOO_MANY_REQUESTS, "too many requests run: try again later");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return answer;
    };
    let text = |name| request.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    let terminal = text(HeaderName::from_static(TERMINAL)).map(|t| Terminal::parse(&t));
    let content_type = text(CONTENT_TYPE).unwrap_or_default();
    let cancel = Cancel::default();
    let pipe = Pipe::new(cancel.flag());
    let multipart = match upload::multipart(&content_type, request.into_body(), cancel.flag()) {
        Ok(multipart) => multipart,
        Err(why) => return plain(StatusCode::BAD_REQUEST, format!("{why:#}")),
    };
    let input = match terminal {
        None => Upload::of_program(multipart),
        Some(terminal) => Some(Upload::of_command_line(multipart, terminal, Arc::clone(&pipe))),
    };
    if terminal.is_some() {
        pipe.begin(Head::Frames);
    }
    let timed_out = Arc::new(AtomicBool::new(false));
    let alarm = asked.cli.global.timeout.map(|limit| {
        let (timed_out, cancel) = (Arc::clone(&timed_out), cancel.clone());
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            timed_out.store(true, Ordering::Relaxed);
            cancel.request();
        })
    });
    let running = daemon.requests.begin(&asked.name, asked.options, asked.arguments, cancel.clone());
    let enc = asked.cli.global.enc;
    let place = reply::place(&pipe, terminal);
    let request = Run { global: asked.cli.global, place, input: Input::Request(input), cancel, timed_out };
    let reader = Reader(Arc::clone(&pipe));
    tokio::task::spawn_blocking(move || {
        let outcome = running.span().in_scope(|| perform(daemon, request, asked.cli.command));
        finish(&pipe, terminal.is_some(), outcome);
        if let Some(alarm) = alarm {
            alarm.abort();
        }
        drop((running, slot));
    });
    let head = reader.0.head().await;
    compose(head, enc, reader)
}

fn perform(daemon: Arc<Daemon>, request: Run, command: cmd::Command) -> Outcome {
    let ctx = match Ctx::for_request(daemon, request) {
        Ok(ctx) => ctx,
        Err(error) => return Outcome { usage: true, ..Outcome::failed(format!("{error:#}")) },
    };
    let result = catch_unwind(AssertUnwindSafe(|| cmd::run(&ctx, command)));
    let result = result
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the command failed in a way it should not: see the daemon's log")));
    exit::outcome(&ctx, result)
}

fn finish(pipe: &Pipe, framed: bool, outcome: Outcome) {
    if framed {
        // Whoever is gone needs no end.
        let _ = pipe.write(&[&frames::end(&outcome)]);
        return pipe.end(None);
    }
    let message = match (outcome.message, outcome.code) {
        (None, 130) => Some("the command was cancelled".to_owned()),
        (message, _) => message,
    };
    match message {
        Some(message) if pipe.has_begun() => {
            let mut trailers = HeaderMap::new();
            trailers.insert(STREAM_ERROR, one_line(&message));
            pipe.end(Some(trailers));
        }
        Some(message) => {
            pipe.begin(Head::Failed { message, usage: outcome.usage });
            pipe.end(None);
        }
        None => {
            pipe.begin(Head::Empty);
            pipe.end(None);
        }
    }
}

/// A message as the value of a header.
fn one_line(message: &str) -> HeaderValue {
    let clean: Vec<u8> =
        message.bytes().map(|b| if b < b' ' || b == 0x7f { b' ' } else { b }).take(MAX_TRAILER).collect();
    HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static("failed"))
}

fn compose(head: Head, enc: Enc, reader: Reader) -> Answer {
    let (kind, length) = match head {
        Head::Failed { message, usage } => {
            let status = if usage { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR };
            return match enc {
                Enc::Json => error(status, &message),
                Enc::Text => plain(status, message),
            };
        }
        Head::Frames => {
            let mut answer = Response::new(reader.boxed_unsync());
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FRAMES));
            return answer;
        }
        Head::Empty => (Kind::Events, None),
        Head::Output(kind, length) => (kind, length),
    };
    let mut answer = Response::new(reader.boxed_unsync());
    let headers = answer.headers_mut();
    let media = match (kind, enc) {
        (Kind::Bytes(media), _) => media,
        (Kind::Events | Kind::Single, Enc::Json) => "application/json",
        (Kind::Events | Kind::Single, Enc::Text) => "text/plain",
    };
    let one = HeaderValue::from_static("1");
    match kind {
        Kind::Bytes(_) => drop(headers.insert("x-stream-output", one)),
        Kind::Events => drop(headers.insert("x-chunked-output", one)),
        Kind::Single => {}
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert("access-control-allow-headers", HeaderValue::from_static(MAY_READ));
    headers.insert("access-control-expose-headers", HeaderValue::from_static(MAY_READ));
    headers.insert(TRAILER, HeaderValue::from_static("X-Stream-Error"));
    if let Some(length) = length {
        headers.insert("x-content-length", HeaderValue::from(length));
    }
    answer
}
