//! Files and symlinks: media types, conditions, ranges, and their bytes.

use crate::{
    block::{self, beyond},
    body::Body,
    condition::{self, Verdict},
    content::{Content, Request},
    media,
    problem::Problem,
    reply::{self, Reply},
    stream::BlockBytes,
};
use bytes::Bytes;
use cairn_store::{
    Cid,
    fetch::Fetch,
    unixfs::{FileReader, entity::FileNode, meta::FileMeta, node::Mtime},
};
use http::{
    Response, StatusCode,
    header::{ETAG, RANGE},
};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A file to be served.
pub struct File {
    /// The file.
    pub cid: Cid,
    /// The entity tag's CID: the file's, or that of the directory whose index it is.
    pub tag: Cid,
    /// Its root.
    pub node: FileNode,
    /// Modification time, where it has one.
    pub meta: FileMeta,
    /// A name that says of what type it is.
    pub name: String,
    /// Its type, if the name does not say.
    pub media_type: Option<&'static str>,
}

/// When content was changed, as its author says.
pub fn time(mtime: Option<Mtime>) -> Option<SystemTime> {
    let mtime = mtime?;
    let seconds = u64::try_from(mtime.seconds).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, mtime.nanos.min(999_999_999)))
}

/// Answers with a file, or a range of it.
///
/// # Errors
/// When its first bytes can't be had, or the range can't be met.
pub async fn answer(request: &Request<'_>, content: &mut Content, file: File) -> Result<Response<Body>, Problem> {
    let size = file.node.size;
    let head = request.head;
    if let Some(limit) = request.config.max_range_file
        && size > limit
        && head.headers.contains_key(RANGE)
    {
        let message = format!(
            "range requests not supported for files larger than {limit} bytes: switch to verifiable block requests (application/vnd.ipld.raw)"
        );
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    let mut reply = std::mem::take(&mut content.reply);
    reply.set(ETAG, &reply::etag(&file.tag, None)).cache(&content.path, content.ttl);
    let modified = reply.modified(&content.path, time(file.meta.mtime));
    named(request, &mut reply, &usual_name(content, &file.tag));
    let range = match condition::weigh(&head.headers, reply.etag(), modified) {
        Verdict::NotModified => return Ok(reply.not_modified()),
        Verdict::Failed => return Err(reply::precondition_failed()),
        Verdict::Send { range: false } => None,
        Verdict::Send { range: true } => condition::part(&head.headers, size).map_err(|e| beyond(e, size))?,
    };
    send(request, reply, file, range).await
}

/// The head and the bytes of a file.
async fn send(
    request: &Request<'_>,
    mut reply: Reply,
    file: File,
    range: Option<Range<u64>>,
) -> Result<Response<Body>, Problem> {
    let (size, leaf) = (file.node.size, file.node.children.is_empty());
    let by_name = media::of_name(&file.name).or_else(|| file.media_type.map(Into::into));
    let from_start = range.as_ref().is_none_or(|range| range.start == 0);
    let (mut reader, share) = request.buffers.open(request.blocks(), &file.cid, file.node, request.deadline);
    if let Some(range) = &range {
        reader.set_range(range.clone());
    }
    // The first bytes are read before anything is sent: so a block that can't be had is a status and no broken answer.
    let wants_first = !request.head.is_head() || by_name.is_none() && from_start;
    let first = match wants_first {
        true => request.buffers.read(&share, reader.next()).await?.unwrap_or_default(),
        false => Bytes::new(),
    };
    let media_type = match by_name {
        Some(media_type) => Some(media_type),
        None if from_start => Some(media::of_bytes(&first, first.len() as u64 == size)),
        // The first bytes were not asked for, and may be missing: they count if they are here.
        None => {
            let first = beginning(Arc::clone(&request.backend.local), &file.cid).await;
            first.map(|first| media::of_bytes(&first, false))
        }
    };
    if let Some(media_type) = media_type {
        reply.media_type(&media_type, true);
    }
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    reply.range(range.as_ref(), size);
    if request.head.is_head() {
        return Ok(reply.send(status, Body::empty()));
    }
    let start = range.as_ref().map_or(0, |range| range.start);
    let length = range.map_or(size, |range| range.end - range.start);
    let body = if leaf {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let at = BlockBytes { cid: file.cid, as_is: false, bytes: first, start };
        request.buffers.block(request.blocks(), at, request.deadline)
    } else {
        request.buffers.file(reader, share, first, length)
    };
    Ok(reply.send(status, body))
}

/// The first bytes of a file, if they can be had.
async fn beginning(fetch: Arc<dyn Fetch>, cid: &Cid) -> Option<Bytes> {
    let mut reader = FileReader::open(fetch, cid, None).await.ok()?;
    reader.set_read_ahead(0);
    reader.next().await.ok().flatten()
}

/// Says how to save the content, if the URL names a file or asks for a download; `usual` is its name otherwise.
pub fn named(request: &Request<'_>, reply: &mut Reply, usual: &str) {
    let download = request.head.query.get("download") == Some("true");
    match request.head.query.given("filename") {
        Some(name) => reply.disposition(if download { "attachment" } else { "inline" }, name),
        None if download => reply.disposition("attachment", usual),
        None => reply,
    };
}

/// The name under which content is saved if nobody says another one.
fn usual_name(content: &Content, cid: &Cid) -> String {
    match content.path.segments().last() {
        Some(name) => name.clone(),
        None => cid.to_string(),
    }
}

/// Answers with the target of a symlink: whoever asks may follow it.
///
/// # Errors
/// When the request's conditions aren't met.
pub fn symlink(
    request: &Request<'_>,
    content: &mut Content,
    cid: &Cid,
    meta: FileMeta,
    target: Bytes,
) -> Result<Response<Body>, Problem> {
    let mut reply = std::mem::take(&mut content.reply);
    reply.set(ETAG, &reply::etag(cid, None)).cache(&content.path, content.ttl).media_type("inode/symlink", true);
    let modified = reply.modified(&content.path, time(meta.mtime));
    named(request, &mut reply, &usual_name(content, cid));
    block::send(request, reply, target, None, modified)
}
