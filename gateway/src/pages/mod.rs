//! Pages for people: directories, data in dag-cbor and dag-json, errors, and the gateway's own front page.
//!
//! Everything is in the page: one style sheet, one small script, icons as symbols. No page needs the script; it only adds
//! buttons that copy CIDs. [`csp`] allows the style and the script by their hashes and nothing else, so that even markup
//! that got into a page could do nothing. What strangers wrote goes through `escape`.
//!
//! Nothing here reads anything or waits: a handler gives what it knows and sends the text.

mod dag;
mod error;
mod escape;
mod home;
mod icon;
mod listing;
#[cfg(test)]
mod tests;
mod write;

pub use dag::{DagPage, dag};
pub use error::{ErrorPage, error};
pub use home::home;
pub use icon::{Kind, Type};
pub use listing::{Facts, Listing, Row, Sort, SortBy, View};

use cairn_store::{cid::Cid, hash};
use multibase::Base;
use std::sync::LazyLock;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Three stones: the favicon.
const FAVICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20' fill='%234a8468'%3E\
%3Cellipse cx='10' cy='15.8' rx='8' ry='3.2'/%3E%3Cellipse cx='10.6' cy='9.6' rx='5.4' ry='2.6'/%3E\
%3Cellipse cx='9.6' cy='4.2' rx='3' ry='2.1'/%3E%3C/svg%3E";

/// The same in a page.
const MARK: &str = "<svg class=mark viewBox=\"0 0 20 20\" aria-hidden=true><ellipse cx=10 cy=15.8 rx=8 ry=3.2 />\
<ellipse cx=10.6 cy=9.6 rx=5.4 ry=2.6 /><ellipse cx=9.6 cy=4.2 rx=3 ry=2.1 /></svg>";

/// Steps of a path that are links, and bytes of such a link: each repeats those before it.
const MAX_CRUMBS: usize = 64;
const MAX_CRUMB: usize = 4 << 10;

/// Where a page stands, which decides where its links lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Below `/ipfs/` and `/ipns/` of the gateway's host.
    Path,
    /// On a host of its own, whose `/` is the path's root.
    Subdomain {
        /// Where other content is, without a slash at its end: `//dweb.link`.
        gateway: &'a str,
    },
    /// On the host that the path's root names, whose `/` is that root; other content may not be there at all.
    DnsLink {
        /// This host, without a slash at its end: `//en.wikipedia-on-ipfs.org`.
        gateway: &'a str,
    },
}

/// What every page of content knows.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The content path, not percent-encoded, without a slash at its end: `/ipfs/<cid>/a/b`.
    pub path: &'a str,
    /// Where the page stands.
    pub origin: Origin<'a>,
}

impl<'a> Frame<'a> {
    /// Namespace, root, and the segments after it.
    fn parts(&self) -> (&'a str, &'a str, impl Iterator<Item = &'a str> + Clone + use<'a>) {
        let mut parts = self.path.split('/').filter(|part| !part.is_empty());
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts)
    }

    /// The last segment, and whether that is the root.
    fn last(&self) -> (&'a str, bool) {
        let (_, root, segments) = self.parts();
        segments.last().map_or((root, true), |last| (last, false))
    }

    /// Where links to other content begin; `None` where it may not be served.
    fn elsewhere(&self) -> Option<&'a str> {
        match self.origin {
            Origin::Path => Some(""),
            Origin::Subdomain { gateway } => Some(gateway),
            Origin::DnsLink { .. } => None,
        }
    }

    /// The URL of the page's own content, which begins with a slash and does not end with one.
    fn here(&self) -> String {
        let (namespace, root, segments) = self.parts();
        let mut url = String::with_capacity(self.path.len() + 32);
        let root = [namespace, root].into_iter().filter(|_| self.origin == Origin::Path);
        for segment in root.chain(segments) {
            url.push('/');
            escape::segment(segment.as_bytes(), &mut url);
        }
        url
    }

    /// Writes `/ipfs/<a>root</a>/<a>segment</a>`, as Kubo does: its clients compare this as text. Hence no attributes;
    /// the style isolates right-to-left names from each other.
    fn crumbs(&self, out: &mut String) {
        let (namespace, root, segments) = self.parts();
        let mut url = match self.origin {
            Origin::Path => String::new(),
            Origin::Subdomain { gateway } | Origin::DnsLink { gateway } => gateway.to_owned(),
        };
        out.push('/');
        escape::text(namespace.as_bytes(), out);
        let dnslink = matches!(self.origin, Origin::DnsLink { .. });
        if !dnslink {
            url.push('/');
            escape::segment(namespace.as_bytes(), &mut url);
        }
        for (at, segment) in std::iter::once(root).chain(segments).enumerate() {
            if at > 0 || !dnslink {
                url.push('/');
                escape::segment(segment.as_bytes(), &mut url);
            }
            if at >= MAX_CRUMBS || url.len() > MAX_CRUMB {
                out.push('/');
                escape::text(segment.as_bytes(), out);
                continue;
            }
            out.push_str("/<a href=\"");
            escape::attr(url.as_bytes(), out);
            out.push_str(if at == 0 && dnslink { "/\">" } else { "\">" });
            escape::text(segment.as_bytes(), out);
            out.push_str("</a>");
        }
    }
}

/// Writes the start of a link to a CID, up to its text. Where other content may not be served, it leads to a page that
/// explains the CID. The attributes and their order are Kubo's, whose clients compare them as text.
fn open_cid(gateway: Option<&str>, cid: &str, filename: Option<&[u8]>, out: &mut String) {
    out.push_str("<a class=\"ipfs-hash\" translate=\"no\" href=\"");
    let Some(gateway) = gateway else {
        out.push_str("https://cid.ipfs.tech/#");
        out.push_str(cid);
        out.push_str("\" target=\"_blank\" rel=\"noreferrer noopener\">");
        return;
    };
    escape::attr(gateway.as_bytes(), out);
    out.push_str("/ipfs/");
    out.push_str(cid);
    if let Some(name) = filename {
        out.push_str("?filename=");
        escape::filename(name, out);
    }
    out.push_str("\">");
}

/// The parts of a page before its own.
struct Top<'a> {
    /// Bytes of a stranger in part: will be escaped.
    title: &'a str,
    /// What the link that jumps over the head of the page says.
    skip: &'a str,
    /// What stands before the path.
    label: &'a str,
    frame: Option<&'a Frame<'a>>,
}

/// Writes a page up to the beginning of its main part.
fn open(top: &Top<'_>, out: &mut String) {
    out.push_str(
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=color-scheme content=\"light dark\">\n<title>",
    );
    escape::attr(top.title.as_bytes(), out);
    out.push_str("</title>\n<link rel=icon href=\"");
    out.push_str(FAVICON);
    out.push_str("\">\n<style>");
    out.push_str(STYLE);
    out.push_str("</style>\n</head>\n<body>\n<a class=skip href=\"#main\">");
    out.push_str(top.skip);
    out.push_str("</a>\n<header>");
    out.push_str(MARK);
    if let Some(frame) = top.frame {
        out.push_str("<nav aria-label=Path translate=no><p>");
        out.push_str(top.label);
        out.push('\n');
        frame.crumbs(out);
        out.push_str("</p></nav>");
    } else {
        out.push_str("<p>");
        out.push_str(top.label);
        out.push_str("</p>");
    }
    out.push_str("</header>\n<main id=main tabindex=-1>\n");
}

/// Writes the rest of a page: its main part ends, and the script is there if nothing else has written it.
fn close(note: &str, script: bool, out: &mut String) {
    out.push_str("</main>\n<footer><p>");
    out.push_str(note);
    out.push_str("</p></footer>\n");
    if script {
        self::script(out);
    }
    out.push_str("</body>\n</html>\n");
}

fn script(out: &mut String) {
    out.push_str("<script>");
    out.push_str(SCRIPT);
    out.push_str("</script>\n");
}

/// Writes one fact of a `<dl>`: its name and its value, which `write` writes.
fn fact(name: &str, out: &mut String, write: impl FnOnce(&mut String)) {
    out.push_str("<div><dt>");
    out.push_str(name);
    out.push_str("</dt><dd>");
    write(out);
    out.push_str("</dd></div>\n");
}

/// Writes a CID in full: one click selects it, and the script puts a button beside it.
fn full_cid(cid: &Cid, out: &mut String) {
    out.push_str("<code class=cid translate=no>");
    write::cid(cid, out);
    out.push_str("</code>");
}

/// The value of `Content-Security-Policy` for all of these pages but [`home`]'s.
pub fn csp() -> &'static str {
    static CSP: LazyLock<String> = LazyLock::new(|| policy("'none'"));
    &CSP
}

/// The value of `Content-Security-Policy` for [`home`]: its form leads to hosts of content, and browsers hold redirects of
/// a form to `form-action`.
pub fn home_csp() -> &'static str {
    static CSP: LazyLock<String> = LazyLock::new(|| policy("http: https:"));
    &CSP
}

fn policy(forms: &str) -> String {
    let [style, script] = [STYLE, SCRIPT].map(|text| Base::Base64Pad.encode(hash::sha256(text.as_bytes())));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src 'self' data:; \
         base-uri 'none'; form-action {forms}; frame-ancestors 'self'"
    )
}

/// A short hash of everything that pages are made of but their content: `DirIndex-<hash>_CID-…`. Another version of the
/// pages has another one, so that no browser keeps an old page.
pub fn etag_part() -> &'static str {
    static PART: LazyLock<String> = LazyLock::new(|| {
        let sources = concat!(
            include_str!("mod.rs"),
            include_str!("style.css"),
            include_str!("script.js"),
            include_str!("dag.rs"),
            include_str!("error.rs"),
            include_str!("escape.rs"),
            include_str!("home.rs"),
            include_str!("icon.rs"),
            include_str!("listing.rs"),
            include_str!("write.rs"),
        );
        blake3::hash(sources.as_bytes()).to_hex()[..12].to_owned()
    });
    &PART
}
