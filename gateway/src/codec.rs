//! Blocks of JSON, CBOR, DAG-JSON and DAG-CBOR: as they are, converted, or as a page (IPIP-328 and 524).

use crate::{
    block,
    body::Body,
    condition::{self, Verdict},
    content::{Content, Request},
    format::Format,
    pages,
    problem::Problem,
    reply,
};
use cairn_store::{Block, Cid, cid::codec, dag, multicodec, resolve::Resolved};
use http::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_SECURITY_POLICY, ETAG, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};

/// What to do when a block is of another codec than asked for.
const HINT: &str = "codec conversion is not supported, fetch raw block with ?format=raw and convert client-side";

/// The entity tag of a block's page.
pub fn page_etag(cid: &Cid) -> String {
    format!("\"DagIndex-{}_CID-{cid}\"", pages::etag_part())
}

/// Answers with a block, in the form that is asked for.
///
/// # Errors
/// When the path goes on inside the block, or it does not have that form.
pub fn answer(
    request: &Request<'_>,
    content: &mut Content,
    resolved: &Resolved,
    block: &Block,
) -> Result<Response<Body>, Problem> {
    let cid = block.cid();
    if !resolved.remainder.is_empty() {
        let rest = resolved.remainder.join("/");
        let message = format!(
            "{rest:?} of \"/ipfs/{cid}/{rest}\" could not be returned: reading IPLD Kinds other than Links (CBOR Tag 42) is not implemented: try reading \"/ipfs/{cid}\" instead",
        );
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    let own = Format::of_codec(cid.codec());
    let suits = |format: &Format| own == Some(*format) || is_made_of(*format, own);
    let asked = content.asked.format.filter(|format| suits(format) || !content.asked.or_any);
    if asked != content.asked.format {
        // It is not what has that URL.
        content.reply.headers.remove(CONTENT_LOCATION);
    }
    let download = request.head.query.get("download") == Some("true");
    if asked.is_none() && !download && matches!(own, Some(Format::DagJson | Format::DagCbor)) {
        content.reply.set(VARY, "Accept");
        if request.head.accepts_html() {
            return page(request, content, block);
        }
    }
    let format = asked.or(own).ok_or_else(|| Problem::internal(format!("{cid} has no form of its own")))?;
    let as_is = suits(&format);
    let bytes = match format {
        _ if as_is => block.data().clone(),
        Format::DagJson | Format::DagCbor if request.config.convert_codecs => convert(block, format)?,
        Format::DagJson | Format::DagCbor => {
            let codec = multicodec::codec_name(cid.codec()).unwrap_or("unknown");
            let message = format!("format {:?} requested but block has codec {codec:?}: {HINT}", format.media_type());
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, message));
        }
        _ => {
            let message = format!("{cid} is not {}: {HINT}", format.media_type());
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, message));
        }
    };
    let mut reply = std::mem::take(&mut content.reply);
    let (extension, kind) = match format {
        Format::Json | Format::DagJson => ("json", "inline"),
        _ => ("cbor", "attachment"),
    };
    let name = request.head.query.given("filename").map_or_else(|| format!("{cid}.{extension}"), str::to_owned);
    reply
        .disposition(if download { "attachment" } else { kind }, &name)
        .set(ETAG, &reply::etag(cid, Some(format)))
        .cache(&content.path, content.ttl)
        .media_type(format.media_type(), false);
    let modified = reply.modified(&content.path, None);
    block::send(request, reply, bytes, as_is.then_some(*cid), modified)
}

/// Plain JSON and CBOR are what the other two are made of.
fn is_made_of(format: Format, own: Option<Format>) -> bool {
    matches!((format, own), (Format::Json, Some(Format::DagJson)) | (Format::Cbor, Some(Format::DagCbor)))
}

fn convert(block: &Block, format: Format) -> Result<bytes::Bytes, Problem> {
    let code = if format == Format::DagJson { codec::DAG_JSON } else { codec::DAG_CBOR };
    let value = dag::decode(block.cid(), block.data()).map_err(|e| Problem::internal(e.to_string()))?;
    dag::encode(&value, code).map_err(|e| Problem::internal(format!("{} as {}: {e}", block.cid(), format.media_type())))
}

/// A page that shows the block to people.
fn page(request: &Request<'_>, content: &mut Content, block: &Block) -> Result<Response<Body>, Problem> {
    if !request.head.raw_path.ends_with('/') {
        return Ok(std::mem::take(&mut content.reply).redirect(&request.head.with_slash()));
    }
    let mut reply = std::mem::take(&mut content.reply);
    reply.set(ETAG, &page_etag(block.cid()));
    match condition::weigh(&request.head.headers, reply.etag(), None) {
        Verdict::NotModified => return Ok(reply.not_modified()),
        Verdict::Failed => return Err(reply::precondition_failed()),
        Verdict::Send { .. } => {}
    }
    for name in [CONTENT_DISPOSITION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS] {
        reply.headers.remove(name);
    }
    let path = content.path.to_string();
    let decoded = dag::decode(block.cid(), block.data()).map_err(|e| e.to_string());
    let html = pages::dag(&pages::DagPage {
        frame: pages::Frame { path: path.trim_end_matches('/'), origin: request.page_origin() },
        cid: block.cid(),
        codec: multicodec::codec_name(block.cid().codec()).unwrap_or("unknown"),
        size: block.data().len() as u64,
        value: decoded.as_ref().map_err(String::as_str),
        convert: request.config.convert_codecs,
    });
    reply
        .set(CONTENT_SECURITY_POLICY, pages::csp())
        .set(CONTENT_LENGTH, &html.len().to_string())
        .media_type("text/html", false);
    let body = if request.head.is_head() { Body::empty() } else { request.buffers.bytes(html.into())? };
    Ok(reply.send(StatusCode::OK, body))
}
