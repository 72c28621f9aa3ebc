//! The signed record of an IPNS name (IPIP-351).

use crate::{body::Body, condition, content::Request, format::Format, label, problem::Problem, reply::Reply};
use cairn_store::cid;
use cairn_store::path::{Namespace, Path};
use http::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, LAST_MODIFIED},
};
use std::time::{Duration, SystemTime};

/// Answers with the record of the name that a path begins with.
///
/// # Errors
/// When the path is none of a name alone, or there is no valid record.
pub async fn answer(request: &Request<'_>, path: &Path, mut reply: Reply) -> Result<Response<Body>, Problem> {
    if path.namespace() != Namespace::Ipns {
        return Err(Problem::bad_request(format!("{path} is not an IPNS link")));
    }
    if !path.segments().is_empty() {
        return Err(Problem::bad_request("cannot find ipns key for subpath"));
    }
    let name = path.root();
    if label::key(name).is_none() {
        cid::parse(name).map_err(|e| Problem::bad_request(e.to_string()))?;
    }
    let record = request.backend.names.record(name, request.deadline).await?;
    let etag = format!("\"{}\"", &blake3::hash(&record.bytes).to_hex()[..16]);
    reply.set(ETAG, &etag);
    match record.ttl {
        // No longer than the signature is good for.
        Some(ttl) => {
            let left = record.valid_until.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
            reply.set(CACHE_CONTROL, &format!("public, max-age={}", ttl.min(left).as_secs()));
        }
        None => {
            reply.set(LAST_MODIFIED, &httpdate::fmt_http_date(SystemTime::now()));
        }
    }
    if request.head.text(IF_NONE_MATCH).is_some_and(|list| condition::none_match(&list, &etag)) {
        return Ok(reply.not_modified());
    }
    let file = request.head.query.given("filename").map_or_else(|| format!("{name}.ipns-record"), str::to_owned);
    reply
        .disposition("attachment", &file)
        .media_type(Format::IpnsRecord.media_type(), false)
        .set(CONTENT_LENGTH, &record.bytes.len().to_string());
    let body = if request.head.is_head() { Body::empty() } else { Body::full(record.bytes) };
    Ok(reply.send(StatusCode::OK, body))
}
