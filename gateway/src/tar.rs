//! Files and directories as an archive (IPIP-288).

use crate::{
    body::Body,
    condition::{self, Verdict},
    content::{Content, Request},
    format::Format,
    gateway::too_many,
    problem::Problem,
    reply,
};
use cairn_store::{
    Cid,
    unixfs::archive::{Archive, ArchiveError, Options},
};
use futures::stream;
use http::{Response, StatusCode, header::ETAG};
use std::io;

/// Answers with an archive of what a path leads to, under the name of its CID.
///
/// # Errors
/// When its root can't be had, or is neither file nor directory.
pub async fn answer(request: &Request<'_>, content: &mut Content, cid: &Cid) -> Result<Response<Body>, Problem> {
    let (permit, _) = request.walks.enter(request.head.client).ok_or_else(too_many)?;
    let options = Options { deadline: request.deadline, ..Options::default() };
    let mut archive = Archive::open(request.blocks(), cid, cid.to_string().as_bytes(), options).await?;
    let mut reply = std::mem::take(&mut content.reply);
    let name = request.head.query.given("filename").map_or_else(|| format!("{cid}.tar"), str::to_owned);
    reply
        .set(ETAG, &reply::etag(cid, Some(Format::Tar)))
        .cache(&content.path, content.ttl)
        .disposition("attachment", &name)
        .media_type(Format::Tar.media_type(), false);
    let modified = reply.modified(&content.path, None);
    match condition::weigh(&request.head.headers, reply.etag(), modified) {
        Verdict::NotModified => return Ok(reply.not_modified()),
        Verdict::Failed => return Err(reply::precondition_failed()),
        Verdict::Send { .. } => {}
    }
    if request.head.is_head() {
        return Ok(reply.send(StatusCode::OK, Body::empty()));
    }
    // A first piece before the head, so that names that lead out of the archive are a status where they come early.
    let first = archive.next().await?;
    let pieces = stream::unfold(Some((archive, first)), |state| async move {
        let (mut archive, first) = state?;
        let next = match first {
            Some(first) => Ok(Some(first)),
            None => archive.next().await,
        };
        match next {
            Ok(Some(bytes)) => Some((Ok(bytes), Some((archive, None)))),
            Ok(None) => None,
            Err(ArchiveError::Io(error)) => Some((Err(error), None)),
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    });
    Ok(reply.send(StatusCode::OK, Body::stream(pieces, None).keeping(permit)))
}
