//! Directories: their `index.html`, or a page that lists them.

use crate::{
    body::Body,
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
    fetch::Fetch as _,
    unixfs::{
        Dir, Entry,
        entity::{self, Entity},
        meta::FileMeta,
    },
};
use futures::{StreamExt as _, stream};
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG},
};

/// Name of the file that stands for its directory.
const INDEX: &[u8] = b"index.html";
/// Entries of a directory that is sorted. The page of a larger one begins before all of it is known, in its own order.
const MAX_SORTED: usize = 1024;
/// Blocks of entries that are looked at, if they are here, to tell directories from files.
const MAX_LOOKED_AT: usize = 64;
/// Bytes of a page that are sent at once.
const PIECE: usize = 32 << 10;

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
    block: &Block,
    meta: FileMeta,
    entity: Entity,
) -> Result<Response<Body>, Problem> {
    // Programs that look for Go's packages do not follow redirects.
    let go_get = request.head.query.get("go-get") == Some("1");
    if !request.head.raw_path.ends_with('/') && !go_get {
        return Ok(reply::redirect(StatusCode::MOVED_PERMANENTLY, &request.head.with_slash()));
    }
    let links = match &entity {
        Entity::Directory(links) => links.as_slice(),
        Entity::Shard(shard) => &shard.links,
        Entity::File(_) | Entity::Symlink(_) => &[],
    };
    let sizes = links.iter().map(|link| link.tsize.unwrap_or_default());
    let total = sizes.fold(block.data().len() as u64, u64::saturating_add);
    let dir = Dir::from_entity(request.blocks(), block, meta, entity, request.deadline)?;
    if let Some(index) = dir.lookup(INDEX).await? {
        return serve_index(request, content, block.cid(), &index).await;
    }
    listing(request, content, dir, total).await
}

async fn serve_index(
    request: &Request<'_>,
    content: &mut Content,
    dir: &Cid,
    index: &Entry,
) -> Result<Response<Body>, Problem> {
    let block = request.fetch.fetch(&index.cid, request.deadline).await?;
    let Ok((meta, Entity::File(node))) = entity::decode(&block) else {
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
    if request.head.is_head() {
        return Ok(reply.send(StatusCode::OK, Body::empty()));
    }
    let mut entries = dir.entries();
    let mut first = Vec::new();
    let mut all = false;
    while first.len() < MAX_SORTED && !all {
        match entries.next().await? {
            Some(entry) => first.push(entry),
            None => all = true,
        }
    }
    let mut rows = kinds(request, first).await;
    if all {
        sort_rows(&mut rows, sort);
    }
    let path = content.path.to_string();
    let mut page = Page::begin(&pages::Facts {
        frame: pages::Frame { path: path.trim_end_matches('/'), origin: request.page_origin() },
        cid: &cid,
        total_size: Some(total),
        sort: all.then_some(sort),
        view,
    });
    rows.iter().for_each(|(entry, kind)| page.row(entry, *kind));
    if all {
        return Ok(reply.send(StatusCode::OK, Body::full(page.end(None))));
    }
    let pieces = stream::unfold(Some((page, entries)), |state| async move {
        let (mut page, mut entries) = state?;
        loop {
            let failure = match entries.next().await {
                Ok(Some(entry)) => {
                    page.row(&entry, kind_of(&entry));
                    if page.out.len() >= PIECE {
                        return Some((Ok(page.take()), Some((page, entries))));
                    }
                    continue;
                }
                Ok(None) => None,
                Err(error) => Some(error.to_string()),
            };
            return Some((Ok(page.end(failure.as_deref())), None));
        }
    });
    Ok(reply.send(StatusCode::OK, Body::stream(pieces, None)))
}

/// A page that is being written.
struct Page {
    writer: pages::Listing,
    out: String,
    count: u64,
}

impl Page {
    fn begin(facts: &pages::Facts<'_>) -> Self {
        let mut out = String::with_capacity(PIECE);
        let writer = pages::Listing::begin(facts, &mut out);
        Self { writer, out, count: 0 }
    }

    fn row(&mut self, entry: &Entry, kind: pages::Kind) {
        self.count += 1;
        let row = pages::Row { name: &entry.name, cid: &entry.cid, size: Some(entry.tsize), kind };
        self.writer.row(&row, &mut self.out);
    }

    /// What was written so far.
    fn take(&mut self) -> Bytes {
        let full = std::mem::replace(&mut self.out, String::with_capacity(PIECE + PIECE / 8));
        full.into()
    }

    fn end(mut self, failure: Option<&str>) -> Bytes {
        self.writer.end(self.count, failure, &mut self.out);
        self.out.into()
    }
}

/// What a CID alone says of an entry.
fn kind_of(entry: &Entry) -> pages::Kind {
    if entry.cid.codec() == codec::RAW { pages::Kind::File } else { pages::Kind::Unknown }
}

/// What entries are, as far as their CIDs and names say, or their blocks if these are here and few.
async fn kinds(request: &Request<'_>, entries: Vec<Entry>) -> Vec<(Entry, pages::Kind)> {
    let mut rows: Vec<(Entry, pages::Kind)> =
        entries.into_iter().map(|entry| (entry.clone(), kind_of(&entry))).collect();
    let unknown = |(entry, kind): &(Entry, pages::Kind)| {
        *kind == pages::Kind::Unknown
            && entry.cid.codec() == codec::DAG_PB
            && pages::Type::of(&entry.name, *kind) == pages::Type::Unknown
    };
    let asked: Vec<usize> = (0..rows.len()).filter(|&at| unknown(&rows[at])).take(MAX_LOOKED_AT).collect();
    let mut blocks = request.backend.local.fetch_many(asked.iter().map(|&at| rows[at].0.cid).collect(), None);
    for at in asked {
        let Some(block) = blocks.next().await else { break };
        rows[at].1 = match block.ok().and_then(|block| entity::decode(&block).ok()) {
            Some((_, Entity::Directory(_) | Entity::Shard(_))) => pages::Kind::Directory,
            Some((_, Entity::File(_))) => pages::Kind::File,
            Some((_, Entity::Symlink(_))) => pages::Kind::Symlink,
            None => pages::Kind::Unknown,
        };
    }
    rows
}

fn sort_rows(rows: &mut [(Entry, pages::Kind)], sort: pages::Sort) {
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
}
