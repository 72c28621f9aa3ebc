//! Directories: their `index.html`, or a page that lists them.

use crate::{
    body::Body,
    condition::{self, Verdict},
    content::{Content, Request},
    file::{self, File},
    pages,
    problem::Problem,
    reply,
};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    cid::codec,
    fetch::{Deadline, Fetch},
    unixfs::{
        Dir, Entries, Entry, ReadError,
        entity::{self, Entity},
        meta::FileMeta,
    },
};
use futures::StreamExt as _;
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG},
};
use std::sync::Arc;

/// Name of the file that stands for its directory.
const INDEX: &[u8] = b"index.html";
/// Entries of a directory that is sorted. The page of a larger one begins before all of it is known, in its own order.
const MAX_SORTED: usize = 1024;
/// Blocks of entries that are looked at, if they are here, to tell directories from files.
const MAX_LOOKED_AT: usize = 64;
/// Bytes of the names of entries that are sorted.
const MAX_NAMES: usize = 512 << 10;
/// Bytes of a page that are sent at once.
const PIECE: usize = 32 << 10;
/// Shards that are read ahead.
const AHEAD: usize = 4;

/// The entity tag of a listing; `view` is what its query asks for, if it asks for anything but the usual.
pub fn etag(cid: &Cid, view: Option<&str>) -> String {
    let view = view.map(|view| format!("_{view}")).unwrap_or_default();
    format!("\"DirIndex-{}{view}_CID-{cid}\"", pages::etag_part())
}

/// Answers with a directory.
///
/// # Errors
/// When it can't be read, or its index is no file.
pub async fn answer(
    request: &Request<'_>,
    content: &mut Content,
    block: Block,
    meta: FileMeta,
    entity: Entity,
) -> Result<Response<Body>, Problem> {
    // Programs that look for Go's packages do not follow redirects.
    let go_get = request.head.query.get("go-get") == Some("1");
    if !request.head.raw_path.ends_with('/') && !go_get {
        return Ok(std::mem::take(&mut content.reply).redirect(&request.head.with_slash()));
    }
    let links = match &entity {
        Entity::Directory(links) => links.as_slice(),
        Entity::Shard(shard) => &shard.links,
        Entity::File(_) | Entity::Symlink(_) => &[],
    };
    let sizes = links.iter().map(|link| link.tsize.unwrap_or_default());
    let total = sizes.fold(block.data().len() as u64, u64::saturating_add);
    let cid = *block.cid();
    let dir = Dir::from_entity(request.blocks(), &block, meta, entity, request.deadline)?;
    drop(block);
    match dir.lookup(INDEX).await? {
        Some(index) => {
            // What is waited for from now on may take long, and the directory may be large.
            drop(dir);
            Box::pin(serve_index(request, content, &cid, &index)).await
        }
        None => Box::pin(listing(request, content, dir, total)).await,
    }
}

async fn serve_index(
    request: &Request<'_>,
    content: &mut Content,
    dir: &Cid,
    index: &Entry,
) -> Result<Response<Body>, Problem> {
    for path in [&content.path, &content.immutable] {
        crate::content::check(request.denied, &path.clone().join(["index.html".to_owned()]))?;
    }
    let block = request.fetch.fetch(&index.cid, request.deadline).await?;
    let decoded = entity::decode_aside(&request.blocks(), block, request.deadline).await;
    let Ok((_, meta, Entity::File(node))) = decoded else {
        let message = "index.html could not be read: not a file";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    };
    let name = request.head.query.given("filename").unwrap_or("index.html").to_owned();
    let file = File { cid: index.cid, tag: *dir, node, meta, name, media_type: Some("text/html") };
    file::answer(request, content, file).await
}

/// A page of the entries.
async fn listing(
    request: &Request<'_>,
    content: &mut Content,
    dir: Dir,
    total: u64,
) -> Result<Response<Body>, Problem> {
    let cid = *dir.cid();
    let query = &request.head.query;
    let sort = pages::Sort::parse(query.get("sort"), query.get("order"));
    let view = pages::View::parse(query.get("view"));
    let usual = sort == pages::Sort::default() && view == pages::View::default();
    let tag = format!("{:?}-{}-{view:?}", sort.by, sort.descending);
    let mut reply = std::mem::take(&mut content.reply);
    reply
        .set(ETAG, &etag(&cid, (!usual).then_some(tag.as_str())))
        .set(CONTENT_SECURITY_POLICY, pages::csp())
        .media_type("text/html", false);
    if let Some(cache) = reply::page_cache(&content.path, content.ttl) {
        reply.set(CACHE_CONTROL, &cache);
    }
    match condition::weigh(&request.head.headers, reply.etag(), None) {
        Verdict::NotModified => return Ok(reply.not_modified()),
        Verdict::Failed => return Err(reply::precondition_failed()),
        Verdict::Send { .. } => {}
    }
    if request.head.is_head() {
        return Ok(reply.send(StatusCode::OK, Body::empty()));
    }
    let path = content.path.to_string();
    let facts = pages::Facts {
        frame: pages::Frame { path: path.trim_end_matches('/'), origin: request.page_origin() },
        cid: &cid,
        total_size: Some(total),
        sort: Some(sort),
        view,
    };
    let mut share = request.buffers.share();
    // Who has to wait until others have read theirs does not hold it meanwhile.
    share.lean = share.bytes == 0 || !share.cover(dir.bytes_held());
    let dir = Some(dir).filter(|_| !share.lean);
    let mut lister = request.buffers.read(&share, Lister::begin(request, dir, facts)).await?;
    let first = request.buffers.read(&share, lister.next()).await?.unwrap_or_default();
    let body = if lister.writer.is_none() { Body::full(first) } else { request.buffers.listing(lister, share, first) };
    Ok(reply.send(StatusCode::OK, body))
}

/// The page of a directory while it is written. Between two pieces it may let go of everything but its place.
pub struct Lister {
    fetch: Arc<dyn Fetch>,
    deadline: Deadline,
    cid: Cid,
    /// Absent once the page has ended.
    writer: Option<pages::Listing>,
    out: String,
    /// Rows that were written.
    count: u64,
    /// What the first entries are, in the order of the directory.
    kinds: Vec<pages::Kind>,
    rows: Rows,
}

enum Rows {
    /// All of a small directory; absent when they are to be read again.
    Sorted(pages::Sort, Option<Vec<(Entry, pages::Kind)>>),
    /// Those of a large one, in its own order, from a position on.
    Own(Option<Box<Entries>>, Vec<usize>),
}

impl Lister {
    async fn begin(request: &Request<'_>, dir: Option<Dir>, mut facts: pages::Facts<'_>) -> Result<Self, ReadError> {
        let (fetch, deadline, cid) = (request.blocks(), request.deadline, *facts.cid);
        let dir = match dir {
            Some(dir) => dir,
            None => Dir::open(Arc::clone(&fetch), &cid, deadline).await?,
        };
        let (first, all) = first_entries(dir).await?;
        let kinds = kinds(request, &first).await;
        let rows = match facts.sort.filter(|_| all) {
            Some(sort) => Rows::Sorted(sort, Some(sorted(first, &kinds, sort))),
            None => Rows::Own(None, Vec::new()),
        };
        facts.sort = facts.sort.filter(|_| all);
        let mut out = String::with_capacity(PIECE);
        let writer = Some(pages::Listing::begin(&facts, &mut out));
        Ok(Self { fetch, deadline, cid, writer, out, count: 0, kinds, rows })
    }

    /// The next piece; `None` at the end. What goes wrong is said in the page.
    ///
    /// # Errors
    /// When the directory can't be read, before anything of it was written.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let Some(mut writer) = self.writer.take() else { return Ok(None) };
        while self.out.len() < PIECE {
            let failure = match self.row().await {
                Ok(Some((entry, kind))) => {
                    self.count += 1;
                    let row = pages::Row { name: &entry.name, cid: &entry.cid, size: Some(entry.tsize), kind };
                    writer.row(&row, &mut self.out);
                    continue;
                }
                Ok(None) => None,
                Err(error) if self.count == 0 => return Err(error),
                Err(error) => Some(error.to_string()),
            };
            writer.end(self.count, failure.as_deref(), &mut self.out);
            return Ok(Some(std::mem::take(&mut self.out).into()));
        }
        self.writer = Some(writer);
        let full = std::mem::replace(&mut self.out, String::with_capacity(PIECE + PIECE / 8));
        Ok(Some(full.into()))
    }

    /// The entry of the next row.
    async fn row(&mut self) -> Result<Option<(Entry, pages::Kind)>, ReadError> {
        // More rows than memory holds there are not.
        let at = usize::try_from(self.count).unwrap_or(usize::MAX);
        match &mut self.rows {
            Rows::Sorted(_, Some(rows)) => Ok(rows.get(at).cloned()),
            Rows::Sorted(sort, rows) => {
                let dir = Dir::open(Arc::clone(&self.fetch), &self.cid, self.deadline).await?;
                let (first, _) = first_entries(dir).await?;
                let rows = rows.insert(sorted(first, &self.kinds, *sort));
                Ok(rows.get(at).cloned())
            }
            Rows::Own(entries, position) => {
                let entries = match entries {
                    Some(entries) => entries,
                    None => {
                        let dir = Dir::open(Arc::clone(&self.fetch), &self.cid, self.deadline).await?;
                        entries.insert(Box::new(resumed(dir, position).await?))
                    }
                };
                let Some(entry) = entries.next().await? else { return Ok(None) };
                let kind = self.kinds.get(at).copied().unwrap_or_else(|| kind_of(&entry));
                Ok(Some((entry, kind)))
            }
        }
    }

    /// Lets go of what can be read again.
    pub fn release(&mut self) {
        match &mut self.rows {
            Rows::Sorted(_, rows) => *rows = None,
            Rows::Own(entries, position) => {
                if let Some(entries) = entries.take() {
                    *position = entries.position();
                }
            }
        }
    }

    /// Bytes of entries and tables that it holds.
    pub fn held(&self) -> usize {
        match &self.rows {
            Rows::Sorted(_, rows) => {
                rows.iter().flatten().map(|(entry, _)| size_of::<Entry>() + entry.name.len()).sum()
            }
            Rows::Own(entries, _) => entries.as_ref().map_or(0, |entries| entries.bytes_held()),
        }
    }
}

async fn resumed(dir: Dir, position: &[usize]) -> Result<Entries, ReadError> {
    let mut entries = dir.entries_from(position).await?;
    entries.limit(AHEAD);
    Ok(entries)
}

/// The first entries of a directory, as many as are sorted, and whether that is all.
async fn first_entries(dir: Dir) -> Result<(Vec<Entry>, bool), ReadError> {
    let mut entries = resumed(dir, &[]).await?;
    let (mut first, mut bytes) = (Vec::new(), 0);
    while let Some(entry) = entries.next().await? {
        bytes += entry.name.len();
        if first.len() == MAX_SORTED || bytes > MAX_NAMES {
            return Ok((first, false));
        }
        first.push(entry);
    }
    Ok((first, true))
}

/// What a CID alone says of an entry.
fn kind_of(entry: &Entry) -> pages::Kind {
    if entry.cid.codec() == codec::RAW { pages::Kind::File } else { pages::Kind::Unknown }
}

/// What entries are, as far as their CIDs and names say, or their blocks if these are here and few.
async fn kinds(request: &Request<'_>, entries: &[Entry]) -> Vec<pages::Kind> {
    let mut kinds: Vec<pages::Kind> = entries.iter().map(kind_of).collect();
    let unknown = |at: &usize| {
        let (entry, kind) = (&entries[*at], kinds[*at]);
        kind == pages::Kind::Unknown
            && entry.cid.codec() == codec::DAG_PB
            && pages::Type::of(&entry.name, kind) == pages::Type::Unknown
    };
    let asked: Vec<usize> = (0..entries.len()).filter(unknown).take(MAX_LOOKED_AT).collect();
    let mut blocks = request.backend.local.fetch_many(asked.iter().map(|&at| entries[at].cid).collect(), None);
    for at in asked {
        let Some(block) = blocks.next().await else { break };
        let Ok(block) = block else { continue };
        kinds[at] = match entity::decode_aside(&request.backend.local, block, None).await {
            Ok((.., Entity::Directory(_) | Entity::Shard(_))) => pages::Kind::Directory,
            Ok((.., Entity::File(_))) => pages::Kind::File,
            Ok((.., Entity::Symlink(_))) => pages::Kind::Symlink,
            Err(_) => pages::Kind::Unknown,
        };
    }
    kinds
}

fn sorted(entries: Vec<Entry>, kinds: &[pages::Kind], sort: pages::Sort) -> Vec<(Entry, pages::Kind)> {
    let mut rows: Vec<(Entry, pages::Kind)> = entries.into_iter().zip(kinds.iter().copied()).collect();
    match sort.by {
        pages::SortBy::Name => rows.sort_by(|a, b| a.0.name.cmp(&b.0.name)),
        pages::SortBy::Size => rows.sort_by(|a, b| (a.0.tsize, &a.0.name).cmp(&(b.0.tsize, &b.0.name))),
        pages::SortBy::Type => {
            rows.sort_by_cached_key(|(entry, kind)| (pages::Type::of(&entry.name, *kind), entry.name.clone()));
        }
    }
    if sort.descending {
        rows.reverse();
    }
    rows
}
