//! What the tests ask about: content that they write themselves, names that lead where they say, and a gateway.

use crate::{Backend, Body, Config, Gateway};
use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{Deadline, Offline},
    kv::{Durability, MemoryKv},
    names::{NameError, Names, SignedRecord, Target},
    path::Path,
    unixfs::node::{Data, Kind},
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

/// Who asks, unless it matters.
pub const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

/// Names by a table, and which were asked for.
#[derive(Default)]
pub struct Table {
    known: Mutex<HashMap<String, Path>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Names for Table {
    async fn lookup(&self, name: &str, _: Deadline) -> Result<Target, NameError> {
        self.asked.lock().push(name.to_owned());
        let path = self.known.lock().get(name).cloned();
        let path = path.ok_or_else(|| NameError::NotFound(name.to_owned()))?;
        Ok(Target { path, ttl: Duration::from_millis(599_500) })
    }

    async fn record(&self, name: &str, _: Deadline) -> Result<SignedRecord, NameError> {
        Err(NameError::NotFound(name.to_owned()))
    }
}

/// Content and names.
pub struct World {
    store: Arc<KvBlocks>,
    names: Arc<Table>,
}

impl World {
    pub fn new() -> Self {
        let store = KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens");
        Self { store: Arc::new(store), names: Arc::default() }
    }

    /// A block that is made, and not put.
    pub fn seal(code: u64, data: impl Into<Bytes>) -> Block {
        Block::seal(Prefix::v1(code), data.into()).expect("seals")
    }

    pub fn put(&self, block: Block) -> Cid {
        let cid = *block.cid();
        self.store.put_many(&[block], Durability::Buffered).expect("puts");
        cid
    }

    pub fn file(&self, data: impl Into<Bytes>) -> Cid {
        self.put(Self::seal(codec::RAW, data))
    }

    pub fn dir(&self, entries: &[(&str, Cid)]) -> Cid {
        let links = entries.iter().map(|(name, cid)| PbLink::new(*cid, name.as_bytes().to_vec(), 1)).collect();
        self.node(links, &Data::new(Kind::Directory))
    }

    /// A file of parts, each of that size.
    pub fn parts(&self, parts: &[Cid], size: u64) -> Cid {
        let links = parts.iter().map(|cid| PbLink { name: None, ..PbLink::new(*cid, "", size) }).collect();
        let mut data = Data::new(Kind::File);
        data.blocksizes = vec![size; parts.len()];
        data.filesize = Some(size * parts.len() as u64);
        self.node(links, &data)
    }

    pub fn node(&self, links: Vec<PbLink>, data: &Data) -> Cid {
        self.put(Self::seal(codec::DAG_PB, PbNode { links, data: Some(data.encode().into()) }.encode()))
    }

    /// A name that leads to a path.
    pub fn name(&self, name: &str, path: impl ToString) {
        self.names.known.lock().insert(name.to_owned(), Path::parse(&path.to_string()).expect("a path"));
    }

    /// The names that were asked for since.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.names.asked.lock())
    }

    pub fn gateway(&self) -> Gateway {
        self.with(Config::default())
    }

    pub fn with(&self, config: Config) -> Gateway {
        let local = Arc::new(Offline::new(Arc::clone(&self.store) as _));
        Gateway::new(config, Backend::local(local, Arc::clone(&self.names) as _), "test".to_owned())
    }
}

/// A GET of a URL with these headers, without its body.
pub async fn head_of(
    gateway: &Gateway,
    client: IpAddr,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Response<Body> {
    let mut request = Request::get(target).header("Host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    gateway.respond(&parts, client).await
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Answer {
    /// The values of a header, joined.
    pub fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        values.join(" | ")
    }

    pub fn location(&self) -> String {
        self.header("location")
    }
}

/// The answer to a GET with these headers.
pub async fn ask(gateway: &Gateway, host: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let (parts, body) = head_of(gateway, CLIENT, host, target, headers).await.into_parts();
    let read = body.collect().await.expect("it does not break off").to_bytes();
    let body = String::from_utf8_lossy(&read).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// The same without headers.
pub async fn get(gateway: &Gateway, host: &str, target: &str) -> Answer {
    ask(gateway, host, target, &[]).await
}
