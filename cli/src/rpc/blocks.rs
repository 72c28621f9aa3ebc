//! Blocks for a command that runs at the client with the blocks of the daemon, as `get` does: what it writes to disk is
//! decided, placed and hashed where the disk is, by the code that does so without a daemon.
//!
//! `POST /api/v0/cairn/blocks?arg=CID&arg=CID…` is answered with a record for each CID, in order: a byte for the
//! result, the length as 4 bytes in network order, and that many bytes: the block, or a message.

use super::{
    client::Client,
    decode_percent, encode_percent,
    handle::{Answer, Shared, plain},
};
use crate::cmd::put::MAX_INPUT;
use async_trait::async_trait;
use bytes::{Buf as _, Bytes, BytesMut};
use cairn_net::bitswap::Order;
use cairn_store::{
    Block, Cid, StoreError, cid,
    fetch::{Deadline, Fetch, FetchError},
    names::{NameError, Names, SignedRecord, Target},
    path::Path,
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

/// Path of the request.
pub const PATH: &str = "cairn/blocks";
/// CIDs of one request at most.
const MAX_ASKED: usize = 512;
/// Bytes before the content of a record.
const HEAD: usize = 5;
/// Requests that are made ahead for one list of blocks.
const AHEAD: usize = 2;

/// Part of the query that says that the daemon shall not ask others.
const OFFLINE: &str = "offline=true";

const FOUND: u8 = 0;
const NOT_FOUND: u8 = 1;
const TIMED_OUT: u8 = 2;
const FAILED: u8 = 3;

/// Answers the request.
pub fn serve<B: Body>(shared: &Arc<Shared>, request: Request<B>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let asked =
        query.split('&').filter_map(|p| p.strip_prefix("arg=")).map(|text| cid::parse(&decode_percent(text, true)));
    let cids: Vec<Cid> = match asked.take(MAX_ASKED + 1).collect() {
        Ok(cids) => cids,
        Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
    };
    if cids.len() > MAX_ASKED {
        return plain(StatusCode::BAD_REQUEST, format!("more than {MAX_ASKED} blocks were asked for at once"));
    }
    let limit = query.split('&').find_map(|p| p.strip_prefix("milliseconds=")).and_then(|t| t.parse().ok());
    let deadline = limit.map(|limit| Instant::now() + Duration::from_millis(limit));
    let offline = query.split('&').any(|p| p == OFFLINE);
    let session =
        query.split('&').find_map(|p| p.strip_prefix("session=")).and_then(|s| u128::from_str_radix(s, 16).ok());
    let daemon = Arc::clone(&shared.daemon);
    // A client that runs its command itself makes many requests for blocks; together they are one in the log.
    let span = || tracing::debug_span!("request", cmd = "blocks", client = session.map(|s| format!("{s:032x}")));
    let fetch = match session {
        Some(session) if !offline => {
            shared.sessions.get(session, || span().in_scope(|| daemon.fetch(Order::Rarest, false)))
        }
        _ => span().in_scope(|| daemon.fetch(Order::Rarest, offline)),
    };
    let (sender, records) = futures::channel::mpsc::channel(1);
    let stop = daemon.stop.child_token();
    // Gone with the body, when the client has its blocks or goes away.
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move {
        // One at a time, so that nothing is fetched faster than the client takes it but what the source itself fetches
        // ahead.
        let answer = async {
            let Ok(_slot) = daemon.slots.acquire().await else { return };
            let found = fetch.fetch_many(cids, deadline).map(|r| Ok(Frame::data(record(r)))).map(Ok);
            let _ = found.forward(sender).await;
        };
        tokio::select! {
            () = answer => {}
            () = stop.cancelled() => {}
        }
    });
    let records = records.inspect(move |_| {
        let _ = &guard;
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(records)))
}

/// Sources that are kept for the next question of the same client: what one of them learned of who has blocks serves
/// the others. At the bound the one used longest ago is forgotten.
const MAX_SESSIONS: usize = 32;
/// How long one is kept that nothing is asked of. No longer: it guards what it fetched from collections.
const KEEP: Duration = Duration::from_secs(5);

/// Sources by the names that clients gave them.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<VecDeque<Kept>>>);

struct Kept {
    name: u128,
    used: Instant,
    fetch: Arc<dyn Fetch>,
}

impl Sessions {
    /// The source of that name, the same as last time if that is not long ago. Must be called within a runtime.
    fn get(&self, name: u128, open: impl FnOnce() -> Arc<dyn Fetch>) -> Arc<dyn Fetch> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|known| known.name == name);
        let fetch = match at.and_then(|at| kept.remove(at)) {
            Some(known) => known.fetch,
            None => {
                tokio::spawn(self.clone().forget(name));
                open()
            }
        };
        kept.push_back(Kept { name, used: Instant::now(), fetch: Arc::clone(&fetch) });
        if kept.len() > MAX_SESSIONS {
            kept.pop_front();
        }
        fetch
    }

    /// Forgets a source when it was not used for a while.
    async fn forget(self, name: u128) {
        let until = || {
            let mut kept = self.0.lock();
            let at = kept.iter().position(|known| known.name == name)?;
            let until = kept[at].used + KEEP;
            if until <= Instant::now() {
                kept.remove(at);
                return None;
            }
            Some(until)
        };
        while let Some(until) = until() {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

fn record(result: Result<Block, FetchError>) -> Bytes {
    let (kind, content) = match result {
        Ok(block) => (FOUND, block.into_data()),
        Err(FetchError::NotFound(_)) => (NOT_FOUND, Bytes::new()),
        Err(FetchError::TimedOut(_)) => (TIMED_OUT, Bytes::new()),
        Err(error) => (FAILED, error.to_string().into()),
    };
    let mut out = BytesMut::with_capacity(HEAD + content.len());
    out.extend_from_slice(&[kind]);
    out.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&content);
    out.freeze()
}

/// The blocks of a daemon. Each is hashed when it comes.
pub struct Remote {
    /// The way to it.
    pub client: Client,
    /// Whether the daemon shall not ask others.
    pub offline: bool,
    /// Names what is asked in one piece of work.
    pub session: u128,
}

impl Remote {
    /// The answer to one request.
    fn ask(
        &self,
        cids: Vec<Cid>,
        deadline: Deadline,
    ) -> impl Future<Output = Vec<Result<Block, FetchError>>> + Send + use<> {
        let mut query: Vec<String> =
            cids.iter().map(|c| format!("arg={}", encode_percent(c.to_string().as_bytes()))).collect();
        if let Some(deadline) = deadline {
            query.push(format!("milliseconds={}", deadline.saturating_duration_since(Instant::now()).as_millis()));
        }
        query.push(if self.offline { OFFLINE.to_owned() } else { format!("session={:x}", self.session) });
        let client = self.client.clone();
        async move {
            let mut out: Vec<Result<Block, FetchError>> = Vec::with_capacity(cids.len());
            if let Err(error) = receive(&client, &query.join("&"), &cids, &mut out).await {
                let error = StoreError::io("cannot get blocks from the daemon", error);
                out.resize_with(cids.len(), || Err(FetchError::Store(error.clone())));
            }
            out
        }
    }
}

async fn receive(
    client: &Client,
    query: &str,
    cids: &[Cid],
    out: &mut Vec<Result<Block, FetchError>>,
) -> io::Result<()> {
    let mut answer = client.post(PATH, query).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!(
            "it answers {}: is it another program, or an older one?",
            answer.status()
        )));
    }
    let mut buffer = BytesMut::new();
    for cid in cids {
        let need = async |buffer: &mut BytesMut, len: usize, body: &mut hyper::body::Incoming| {
            while buffer.len() < len {
                match body.frame().await {
                    Some(Ok(frame)) => buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Ok(())
        };
        need(&mut buffer, HEAD, answer.body_mut()).await?;
        let kind = buffer[0];
        let len = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
        if len > MAX_INPUT {
            return Err(io::Error::other(format!("a block of {len} bytes")));
        }
        need(&mut buffer, HEAD + len, answer.body_mut()).await?;
        buffer.advance(HEAD);
        let content = buffer.split_to(len).freeze();
        out.push(match kind {
            FOUND => Block::verify(*cid, content)
                .map_err(|error| FetchError::Store(StoreError::io("a block from the daemon", io::Error::other(error)))),
            NOT_FOUND => Err(FetchError::NotFound(Box::new(*cid))),
            TIMED_OUT => Err(FetchError::TimedOut(Box::new(*cid))),
            _ => {
                let text = String::from_utf8_lossy(&content).into_owned();
                Err(FetchError::Store(StoreError::io("the daemon", io::Error::other(text))))
            }
        });
    }
    // To its end, so that the connection can be used again.
    while answer.body_mut().frame().await.is_some() {}
    Ok(())
}

#[async_trait]
impl Fetch for Remote {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        let mut all = self.ask(vec![*cid], deadline).await;
        all.pop().unwrap_or_else(|| Err(FetchError::NotFound(Box::new(*cid))))
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        // Small groups: blocks may be large, and all of a group are held at once.
        let groups: Vec<Vec<Cid>> = cids.chunks(GROUP).map(<[Cid]>::to_vec).collect();
        stream::iter(groups).map(move |group| self.ask(group, deadline)).buffered(AHEAD).flat_map(stream::iter).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        // Whoever asks this means blocks that cost nothing, and these have a way to go.
        let _ = cid;
        Ok(false)
    }
}

/// Blocks that are asked for together.
const GROUP: usize = 16;

/// The names that a daemon knows.
pub struct RemoteNames {
    /// The way to it.
    pub client: Client,
    /// Whether the daemon shall not ask others.
    pub offline: bool,
}

#[async_trait]
impl Names for RemoteNames {
    async fn lookup(&self, name: &str, deadline: Deadline) -> Result<Target, NameError> {
        let mut query = format!("recursive=false&arg={}", encode_percent(format!("/ipns/{name}").as_bytes()));
        if let Some(deadline) = deadline {
            query.push_str(&format!("&timeout={}ms", deadline.saturating_duration_since(Instant::now()).as_millis()));
        }
        let invalid = |reason: String| NameError::Invalid { name: name.to_owned(), reason };
        if self.offline {
            query.push_str("&offline=true");
        }
        let answer = self.client.post_json("resolve", &query).await.map_err(|e| invalid(format!("{e:#}")))?;
        let path = answer["Path"].as_str().unwrap_or_default();
        let path = Path::parse(path).map_err(|e| invalid(e.to_string()))?;
        Ok(Target { path, ttl: Duration::ZERO })
    }

    async fn record(&self, name: &str, _: Deadline) -> Result<SignedRecord, NameError> {
        Err(NameError::NotFound(name.to_owned()))
    }
}
