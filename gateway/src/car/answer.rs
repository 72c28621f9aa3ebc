//! The response.

use super::{CarAsk, open};
use crate::{
    body::Body,
    condition,
    content::{Content, Request, X_IPFS_ROOTS},
    gateway::too_many,
    problem::Problem,
};
use http::{
    Response, StatusCode,
    header::{ACCEPT_RANGES, ETAG, IF_NONE_MATCH},
};

/// Answers with a CAR of what an immutable path leads to.
///
/// # Errors
/// When the client asks for something that there is not, or the blocks on the path can't be had.
pub async fn answer(request: &Request<'_>, content: &mut Content) -> Result<Response<Body>, Problem> {
    let query = &request.head.query;
    let accept = |name: &str| content.asked.parameters.get(name).map(String::as_str);
    let ask = CarAsk::parse(|name| query.get(name), accept).map_err(|e| Problem::bad_request(e.to_string()))?;
    let path = &content.immutable;
    let Some(&root) = path.cid() else {
        return Err(Problem::internal(format!("{path} has no CID at its root")));
    };
    let mut reply = std::mem::take(&mut content.reply);
    let name = query.given("filename").map_or_else(
        || path.segments().last().map_or_else(|| format!("{root}.car"), |last| format!("{root}_{last}.car")),
        str::to_owned,
    );
    let below = path.to_string();
    let etag = ask.etag(below.trim_start_matches("/ipfs/").trim_end_matches('/'), &root);
    reply.disposition("attachment", &name).cache(&content.path, content.ttl).set(ETAG, &etag);
    let known = request.head.text(IF_NONE_MATCH);
    if known.as_ref().is_some_and(|list| condition::names(list, &etag)) {
        return Ok(reply.not_modified());
    }
    let (permit, near) = request.walks.enter(request.head.client).ok_or_else(too_many)?;
    let stream = open(request.blocks(), root, path.segments(), ask, request.deadline, near).await?;
    if known.is_some_and(|list| condition::none_match(&list, &etag)) {
        return Ok(reply.not_modified());
    }
    let roots: Vec<String> = stream.roots().iter().map(ToString::to_string).collect();
    reply.set(X_IPFS_ROOTS, &roots.join(",")).set(ACCEPT_RANGES, "none").media_type(ask.content_type(), false);
    let body = if request.head.is_head() { Body::empty() } else { Body::stream(stream, None).keeping(permit) };
    Ok(reply.send(StatusCode::OK, body))
}
