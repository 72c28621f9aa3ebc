//! The page of an error.

use super::{Frame, Top, close, escape, fact, full_cid, open};
use cairn_store::cid::Cid;
use http::StatusCode;
use std::borrow::Cow;

/// What went wrong.
#[derive(Debug, Clone, Copy)]
pub struct ErrorPage<'a> {
    /// Where the page stands, if the request got as far as a content path.
    pub frame: Option<Frame<'a>>,
    /// The status of the response.
    pub status: StatusCode,
    /// What happened, to what: one sentence, or several lines.
    pub reason: &'a str,
    /// The block that is not here, if it is known.
    pub missing: Option<&'a Cid>,
    /// What to try: sentences.
    pub hints: &'a [Cow<'a, str>],
    /// A service that finds out why a CID can't be had, asked with `?cid=`: `https://check.ipfs.network`.
    pub diagnostics: Option<&'a str>,
}

/// The page of an error.
pub fn error(page: &ErrorPage<'_>) -> String {
    let mut out = String::with_capacity(12 << 10);
    let name = page.status.canonical_reason().unwrap_or("Error");
    let title = format!("{} {name}", page.status.as_u16());
    let frame = page.frame.as_ref();
    let label = if frame.is_some() { "" } else { "IPFS gateway" };
    open(&Top { title: &title, skip: "Skip to the error", label, frame }, &mut out);
    out.push_str("<h1><span class=status>");
    out.push_str(page.status.as_str());
    out.push_str("</span> ");
    escape::text(name.as_bytes(), &mut out);
    out.push_str("</h1>\n<p class=reason>");
    escape::lines(page.reason, &mut out);
    out.push_str("</p>\n");
    if let Some(cid) = page.missing {
        out.push_str("<dl>\n");
        fact("Missing block", &mut out, |out| full_cid(cid, out));
        out.push_str("</dl>\n");
    }
    let service = page.diagnostics.zip(page.missing).filter(|(url, _)| web_url(url));
    if !page.hints.is_empty() || service.is_some() {
        out.push_str("<h2>What to try</h2>\n<ul>\n");
        for hint in page.hints {
            out.push_str("<li>");
            escape::text(hint.as_bytes(), &mut out);
            out.push_str("</li>\n");
        }
        if let Some((url, cid)) = service {
            out.push_str("<li><a rel=\"noreferrer noopener\" href=\"");
            escape::attr(url.as_bytes(), &mut out);
            out.push_str("?cid=");
            super::write::cid(cid, &mut out);
            out.push_str("\">Ask who has this block</a>: a check by another service, which learns the CID.</li>\n");
        }
        out.push_str("</ul>\n");
    }
    close("Cairn, a gateway to IPFS.", true, &mut out);
    out
}

/// Whether a link may lead to a URL: a configuration is no reason to run a script.
fn web_url(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
