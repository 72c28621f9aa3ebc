//! What a website wants done with paths that it does not have: `_redirects` (web redirects file specification).

use crate::{
    body::Body,
    content::{Content, Request},
    file, media,
    problem::Problem,
    query::Query,
    redirects::{self, Rule},
    reply::{self, Reply},
};
use cairn_store::{
    Cid,
    names::NoNames,
    path::Path,
    resolve::{self, ResolveError},
    unixfs::{
        FileReader,
        entity::{self, Entity},
    },
};
use http::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, ETAG},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// Name of the file with the rules, at the root of the website.
const RULES: &str = "_redirects";

/// Answers a request for a path that a website does not have; `problem` says so, and is the answer where no rule fits.
///
/// # Errors
/// `problem`, or what is wrong with the rules.
pub async fn answer(request: &Request<'_>, content: &mut Content, problem: Problem) -> Result<Response<Body>, Problem> {
    let site = format!("/{}/{}", content.immutable.namespace().name(), content.immutable.root());
    let segments = content.immutable.segments();
    if segments.is_empty() {
        return Err(problem);
    }
    let Some(rules) = rules(request, &site)
        .await
        .map_err(|p| p.context(&format!("trouble processing _redirects file at {site}/{RULES}")))?
    else {
        return Err(problem);
    };
    let path = format!("/{}", segments.join("/"));
    let found = redirects::match_path(&rules, &path).map_err(|e| Problem::internal(e.to_string()))?;
    let Some(found) = found else { return Err(problem) };
    match found.status {
        200 => {
            content.immutable = within(request, &site, &found.to)?;
            content.reply = Reply::default();
            request.serve(content).await
        }
        404 | 410 | 451 => {
            let status = StatusCode::from_u16(found.status).unwrap_or(StatusCode::NOT_FOUND);
            page(request, content, within(request, &site, &found.to)?, status).await
        }
        status => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
            Ok(reply::redirect(status, &with_query(&location(&found.to), request.head.raw_query.as_deref())))
        }
    }
}

/// The path of a target: below the root of the website, and on no denylist.
fn within(request: &Request<'_>, site: &str, to: &str) -> Result<Path, Problem> {
    let path = Path::parse_strict(&format!("{site}{to}")).ok();
    let path = path.filter(|path| format!("/{}/{}", path.namespace().name(), path.root()) == site);
    let path =
        path.ok_or_else(|| Problem::internal(format!("trouble processing _redirects: {to} leads out of {site}")))?;
    crate::content::check(request.denied, &path)?;
    Ok(path)
}

/// What may not stand in a URL; escapes that are there stay.
const UNSAFE: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// A target as a URL. One that begins with two slashes would name another host.
fn location(to: &str) -> String {
    let to = if to.starts_with("//") { format!("/{}", to.trim_start_matches('/')) } else { to.to_owned() };
    utf8_percent_encode(&to, UNSAFE).to_string()
}

/// The target of a redirect with the parameters that the request has; of the target's own, those that the request does not
/// name.
fn with_query(to: &str, query: Option<&str>) -> String {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return to.to_owned() };
    let (to, fragment) = to.split_once('#').map_or((to, String::new()), |(to, fragment)| (to, format!("#{fragment}")));
    let (to, own) = to.split_once('?').unwrap_or((to, ""));
    let mut all = Query::parse(query);
    all.complete(Query::parse(own));
    format!("{to}?{}{fragment}", all.encode())
}

/// The rules of a website, if it has any.
async fn rules(request: &Request<'_>, site: &str) -> Result<Option<Vec<Rule>>, Problem> {
    let path = Path::parse_strict(&format!("{site}/{RULES}"))?;
    let resolved = match resolve::resolve(&request.blocks(), &NoNames, &path, request.deadline).await {
        Ok(resolved) => resolved,
        Err(ResolveError::NoLink { .. } | ResolveError::Select(_)) => return Ok(None),
        Err(error) => return Err(unreadable(error.into())),
    };
    let text = read(request, &resolved.cid).await.map_err(unreadable)?;
    redirects::parse(&text).map(Some).map_err(|e| Problem::internal(format!("could not parse _redirects: {e}")))
}

/// There are rules, so it is not for the client to say that nothing has that path.
fn unreadable(problem: Problem) -> Problem {
    let status = match problem.status {
        StatusCode::NOT_FOUND | StatusCode::NOT_ACCEPTABLE => StatusCode::INTERNAL_SERVER_ERROR,
        status => status,
    };
    Problem { status, ..problem }
}

async fn read(request: &Request<'_>, cid: &Cid) -> Result<Vec<u8>, Problem> {
    let mut reader = FileReader::open(request.blocks(), cid, request.deadline).await?;
    if reader.size() > redirects::MAX_FILE as u64 {
        return Err(Problem::internal(format!("it has {} bytes, and may have {}", reader.size(), redirects::MAX_FILE)));
    }
    let mut text = Vec::new();
    while let Some(bytes) = reader.next().await? {
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

/// A page of the website in place of what is missing.
async fn page(
    request: &Request<'_>,
    content: &mut Content,
    path: Path,
    status: StatusCode,
) -> Result<Response<Body>, Problem> {
    let resolved = resolve::resolve(&request.blocks(), &NoNames, &path, request.deadline).await;
    // What the rules name and the website lacks is its author's mistake.
    let resolved = resolved.map_err(|e| Problem::internal(format!("trouble processing _redirects: {e}")))?;
    let block = cairn_store::fetch::Fetch::fetch(request.fetch.as_ref(), &resolved.cid, request.deadline).await?;
    let decoded = entity::decode_aside(&request.blocks(), block, request.deadline).await;
    let Ok((_, meta, Entity::File(node))) = decoded else {
        return Err(Problem::internal(format!("could not convert node for {} page to file", status.as_u16())));
    };
    let size = node.size;
    let (mut reader, share) = request.buffers.open(request.blocks(), &resolved.cid, node, request.deadline);
    let first = request.buffers.read(&share, reader.next()).await?.unwrap_or_default();
    let mut reply = std::mem::take(&mut content.reply);
    reply.set(ETAG, &reply::etag(&resolved.cid, None)).cache(&content.path, None);
    reply.modified(&content.path, file::time(meta.mtime));
    let media_type = media::of_name(path.name()).unwrap_or("text/html".into());
    reply.media_type(&media_type, true).set(CONTENT_LENGTH, &size.to_string());
    let body = if request.head.is_head() { Body::empty() } else { request.buffers.file(reader, share, first, size) };
    Ok(reply.send(status, body))
}
