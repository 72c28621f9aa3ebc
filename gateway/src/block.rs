//! A block as it is.

use crate::{
    body::Body,
    condition::{self, Verdict},
    content::{Content, Request},
    format::Format,
    problem::Problem,
    reply::{self, Reply},
    stream::BlockBytes,
};
use bytes::Bytes;
use cairn_store::{Cid, fetch::Fetch as _};
use http::{
    Response, StatusCode,
    header::{CONTENT_RANGE, ETAG},
};
use std::time::SystemTime;

/// Answers with a block.
///
/// # Errors
/// When it can't be had, or the range can't be met.
pub async fn answer(request: &Request<'_>, content: &mut Content, cid: &Cid) -> Result<Response<Body>, Problem> {
    let block = request.fetch.fetch(cid, request.deadline).await?;
    let mut reply = std::mem::take(&mut content.reply);
    let name = request.head.query.given("filename").map_or_else(|| format!("{cid}.bin"), str::to_owned);
    reply
        .disposition("attachment", &name)
        .set(ETAG, &reply::etag(cid, Some(Format::Raw)))
        .cache(&content.path, content.ttl)
        .media_type(Format::Raw.media_type(), false);
    let modified = reply.modified(&content.path, None);
    send(request, reply, block.data().clone(), Some(*cid), modified)
}

/// Sends bytes that are all at hand, or the range of them that is asked for. The reply's entity tag counts for conditions.
/// `of` is the block whose bytes these are, if they are.
///
/// # Errors
/// When the range can't be met, or the request's conditions aren't.
pub fn send(
    request: &Request<'_>,
    mut reply: Reply,
    bytes: Bytes,
    of: Option<Cid>,
    modified: Option<SystemTime>,
) -> Result<Response<Body>, Problem> {
    let size = bytes.len() as u64;
    let range = match condition::weigh(&request.head.headers, reply.etag(), modified) {
        Verdict::NotModified => return Ok(reply.not_modified()),
        Verdict::Failed => return Err(reply::precondition_failed()),
        Verdict::Send { range: false } => None,
        Verdict::Send { range: true } => condition::part(&request.head.headers, size).map_err(|e| beyond(e, size))?,
    };
    reply.range(range.as_ref(), size);
    let (status, start, bytes) = match range {
        None => (StatusCode::OK, 0, bytes),
        Some(range) => {
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
            (StatusCode::PARTIAL_CONTENT, at(range.start), bytes.slice(at(range.start)..at(range.end)))
        }
    };
    if request.head.is_head() {
        return Ok(reply.send(status, Body::empty()));
    }
    let body = match of {
        Some(cid) => {
            let at = BlockBytes { cid, as_is: true, bytes, start };
            request.buffers.block(request.blocks(), at, request.deadline)
        }
        None => request.buffers.bytes(bytes)?,
    };
    Ok(reply.send(status, body))
}

/// A range that can't be met, with the size that there is.
pub fn beyond(error: condition::RangeError, size: u64) -> Problem {
    let problem = Problem::from(error);
    if problem.status == StatusCode::RANGE_NOT_SATISFIABLE {
        return problem.with(CONTENT_RANGE, reply::value(&format!("bytes */{size}")));
    }
    problem
}
