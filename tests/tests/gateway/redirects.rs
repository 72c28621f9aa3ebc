//! Web `_redirects` File Specification of 2025-03-19, with IPIP-2 of 2022-06-15.
//!
//! Not tested: schemes of targets beyond those that can harm, which the text leaves open.

use crate::{
    table::{Row, check, get, head},
    world::World,
};
use std::{fs, path::Path};

/// Most bytes of a file of rules.
const MAX: usize = 64 << 10;

const RULES: &str = "\
# Redirect to a page
/redirect-one /one.html
/301-redirect-one /one.html 301
/302-redirect-two /two.html 302
/303-redirect-two /two.html 303
/307-redirect-two /two.html 307
/308-redirect-two /two.html 308
/200-index /index.html 200
/200-missing /no-such.html 200

/posts/:year/:month/:day/:title /articles/:year/:month/:day/:title 301
/twice/:x /to/:x/:x 302
/splat/* /redirected-splat/:splat 301
/external/* https://example.net/target/:splat 302
/query/* /target?static=1&both=static 301
/code/:code/:name /target?code=:code&name=:name 301
/not-found/* /404.html 404
/gone/* /410.html 410
/unavail/* /451.html 451
/404-missing/* /no-such-404.html 404
/first /one.html 302
/first /two.html 302
/exists.html /two.html 302
/sub/* /two.html 303
  \t/spaces \t /one.html   302 \t
#/comment /one.html 302
/* /index.html 200
";

/// Sites: their names, and their rules. Each has a page, and what else is in [`sites`].
fn rules() -> Vec<(&'static str, Vec<u8>)> {
    let line = "/x /y 301\n";
    let fill = |len: usize| {
        let lines = line.repeat(len / line.len());
        let rest = len - lines.len();
        format!("{lines}{}", "#".repeat(rest)).into_bytes()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("site", text(RULES)),
        ("site-plain", text("/old /one.html 301")),
        ("site-crlf", text("/redirect-one /one.html\r\n\r\n# comment\r\n/two /two.html 302\r\n")),
        ("site-empty", text("")),
        ("site-largest", fill(MAX)),
        ("site-too-large", fill(MAX + 1)),
        ("site-bad-code", text("/x /y 999\n")),
        ("site-no-code", text("/x /y abc\n")),
        ("site-other-code", text("/x /y 418\n")),
        ("site-no-rule", text("hello\n")),
        ("site-four-fields", text("/x /y 301 more\n")),
        ("site-forced", text("/x /y 301!\n")),
        ("site-relative", text("x /y 301\n")),
        ("site-scheme", text("/x javascript:alert(1) 301\n")),
        ("site-twice", text("/a/:x/:x /b/:x 301\n")),
        ("site-splat-within", text("/a/*/b /c/:splat 301\n")),
        ("site-splats", text("/a/*/* /c/:splat 301\n")),
    ]
}

/// Writes the sites into a directory.
pub fn sites(dir: &Path) {
    for (name, rules) in rules() {
        let site = dir.join(name);
        fs::create_dir_all(site.join("sub")).expect("the directory is writable");
        fs::write(site.join("_redirects"), rules).expect("the directory is writable");
        let pages = ["index", "one", "two", "exists", "404", "410", "451"];
        for page in pages {
            fs::write(site.join(format!("{page}.html")), format!("my {page}\n")).expect("the directory is writable");
        }
        fs::write(site.join("sub/page.html"), "my page\n").expect("the directory is writable");
    }
    let odd = dir.join("site-directory");
    fs::create_dir_all(odd.join("_redirects")).expect("the directory is writable");
    fs::write(odd.join("one.html"), "my one\n").expect("the directory is writable");
    fs::write(odd.join("_redirects/file"), "/x /y\n").expect("the directory is writable");
}

/// A request to a site on its subdomain.
fn on(site: &str, name: &str, target: &str) -> Row {
    get(format!("_redirects: {name}"), target).host(format!("{}.ipfs.example.com", World::get().cid(site)))
}

#[test]
fn statuses() {
    let w = World::get();
    let to = |target: &str, status: u16, location: &str| {
        on("site", &format!("{target} is {status}"), target).status(status).is("location", location)
    };
    let page = |target: &str, status: u16, name: &str| {
        on("site", &format!("{target} is {status}"), target)
            .status(status)
            .body(format!("my {name}\n"))
            .starts("content-type", "text/html")
            .is("etag", format!("\"{}\"", w.cid(&format!("site/{name}.html"))))
            .is("cache-control", "public, max-age=29030400, immutable")
            .lacks("location")
    };
    check(
        w,
        vec![
            to("/redirect-one", 301, "/one.html"),
            to("/301-redirect-one", 301, "/one.html"),
            to("/302-redirect-two", 302, "/two.html"),
            to("/303-redirect-two", 303, "/two.html"),
            to("/307-redirect-two", 307, "/two.html"),
            to("/308-redirect-two", 308, "/two.html"),
            on("site", "200 is a rewrite", "/200-index").body("my index\n").lacks("location"),
            on("site", "a rewrite to what is not there", "/200-missing").statuses(&[404, 500]),
            page("/not-found/has-no-entry", 404, "404"),
            page("/gone/has-no-entry", 410, "410"),
            page("/unavail/has-no-entry", 451, "451"),
            on("site", "a page of 404 that is not there", "/404-missing/x").statuses(&[404, 500]),
            on("site", "the last rule takes the rest", "/catch-all").body("my index\n"),
            on("site", "in any depth", "/catch/all/of/it").body("my index\n"),
            on("site", "a rewrite has the ETag of what it shows", "/catch-all")
                .is("etag", format!("\"{}\"", w.cid("site/index.html")))
                .again("2"),
            on("site", "and answers to it", "/catch-all")
                .with("If-None-Match", format!("\"{}\"", w.cid("site/index.html")))
                .status(304),
            on("site", "a part of a rewrite", "/catch-all").with("Range", "bytes=0-1").status(206).body("my"),
            head("_redirects: HEAD of a redirect", "/redirect-one")
                .host(format!("{}.ipfs.example.com", w.cid("site")))
                .status(301)
                .is("location", "/one.html"),
            head("_redirects: HEAD of a rewrite", "/200-index")
                .host(format!("{}.ipfs.example.com", w.cid("site")))
                .is("content-length", "9"),
            head("_redirects: HEAD of a page of 404", "/not-found/x")
                .host(format!("{}.ipfs.example.com", w.cid("site")))
                .status(404),
        ],
    );
}

#[test]
fn matching() {
    let w = World::get();
    let to = |name: &str, target: &str, status: u16, location: &str| {
        on("site", name, target).status(status).is("location", location)
    };
    check(
        w,
        vec![
            to("placeholders", "/posts/2022/06/15/hello-world", 301, "/articles/2022/06/15/hello-world"),
            to("a placeholder twice in the target", "/twice/a", 302, "/to/a/a"),
            to("a splat", "/splat/one.html", 301, "/redirected-splat/one.html"),
            to("a splat of many names", "/splat/a/b/c.html", 301, "/redirected-splat/a/b/c.html"),
            to("a splat of a name that is encoded", "/splat/a%20b%3F", 301, "/redirected-splat/a%20b%3F").not_kubo(),
            to("a splat to another site", "/external/a/b", 302, "https://example.net/target/a/b"),
            to("the first rule that matches", "/first", 302, "/one.html"),
            to("space around a rule", "/spaces", 302, "/one.html"),
            to("a trailing slash", "/redirect-one/", 301, "/one.html"),
            on("site", "too few names for the placeholders", "/posts/2022/06").body("my index\n"),
            on("site", "too many names", "/twice/a/b").body("my index\n"),
            on("site", "a comment is no rule", "/comment").body("my index\n"),
            on("site", "line ends in a splat make no header", "/splat/%0d%0aX-Evil:%20yes")
                .statuses(&[301, 400, 404])
                .lacks("x-evil"),
            on("site-plain", "the last line needs no end", "/old").status(301).is("location", "/one.html"),
            on("site-plain", "what no rule matches is 404", "/no-such").status(404),
            on("site-crlf", "lines that end as in DOS", "/redirect-one").status(301).is("location", "/one.html"),
            on("site-crlf", "and the ones behind", "/two").status(302).is("location", "/two.html"),
            on("site-empty", "a file without rules", "/no-such").status(404),
        ],
    );
}

#[test]
fn queries() {
    let w = World::get();
    let both = |wanted: &'static [&'static str], not: &'static [&'static str]| {
        move |response: &cairn_tests::http::Response| {
            let location = response.header("location").unwrap_or_default();
            let (path, query) = location.split_once('?').unwrap_or((location, ""));
            let given: Vec<&str> = query.split('&').collect();
            let right = path == "/target"
                && wanted.iter().all(|pair| given.contains(pair))
                && !not.iter().any(|pair| given.contains(pair));
            if right { Ok(()) } else { Err(format!("a location /target with {wanted:?} and without {not:?}")) }
        }
    };
    check(
        w,
        vec![
            on("site", "a query stays", "/redirect-one?a=b").status(301).is("location", "/one.html?a=b"),
            on("site", "a query stays on the way to another site", "/external/x?a=b")
                .status(302)
                .is("location", "https://example.net/target/x?a=b"),
            on("site", "a query is added to the target's", "/query/x?a=b")
                .status(301)
                .check(both(&["static=1", "both=static", "a=b"], &[])),
            on("site", "a value of the user goes before the target's", "/query/x?both=dynamic")
                .status(301)
                .check(both(&["static=1", "both=dynamic"], &["both=static"]))
                .not_kubo(),
            on("site", "without a query the target has its own", "/query/x")
                .status(301)
                .is("location", "/target?static=1&both=static"),
            on("site", "placeholders in a query", "/code/codeA/nameA?dynamic=1")
                .status(301)
                .check(both(&["code=codeA", "name=nameA", "dynamic=1"], &[])),
            on("site", "a rewrite does not mind a query", "/200-index?a=b").body("my index\n"),
        ],
    );
}

#[test]
fn only_where_nothing_is() {
    let w = World::get();
    let mut rows = vec![
        on("site", "a file that is there is not redirected", "/exists.html").body("my exists\n"),
        on("site", "nor one in a directory", "/sub/page.html").body("my page\n"),
        on("site", "what lies beside it is", "/sub/no-such").status(303).is("location", "/two.html"),
        on("site", "a directory that is there is not", "/sub").status(301).is("location", "/sub/"),
        on("site", "nor its listing", "/sub/").body_has("page.html"),
        on("site", "nor the root", "/").body("my index\n"),
        on("site", "the rules can be read", "/_redirects").body(RULES),
        on("site", "blocks are not redirected", "/redirect-one?format=raw").status(404),
        on("site", "nor archives", "/redirect-one?format=tar").status(404),
        get("_redirects: not without an origin for the root", format!("{}/301-redirect-one", w.at("site")))
            .status(404)
            .lacks("location")
            .body_lacks("my "),
        get("_redirects: nor the page of 404", format!("{}/not-found/x", w.at("site")))
            .status(404)
            .body_lacks("my 404"),
        get("_redirects: nor a rewrite", format!("{}/catch-all", w.at("site"))).status(404).body_lacks("my index"),
        get("_redirects: nor on a host of paths", format!("{}/redirect-one", w.at("site")))
            .host("path.test")
            .status(404)
            .lacks("location"),
        get("_redirects: a redirect to the subdomain goes before the rules", format!("{}/redirect-one", w.at("site")))
            .host("example.com")
            .status(301)
            .is("location", format!("http://{}.ipfs.example.com/redirect-one", w.cid("site"))),
    ];
    let domain = |name: &str, target: &str| get(format!("_redirects: on a domain {name}"), target).host("site.test");
    rows.extend([
        domain("rules hold", "/redirect-one").status(301).is("location", "/one.html"),
        domain("placeholders too", "/posts/1/2/3/x").status(301).is("location", "/articles/1/2/3/x"),
        domain("rewrites too", "/200-index").body("my index\n").not("cache-control", "immutable"),
        domain("pages of 404 too", "/not-found/x")
            .status(404)
            .body("my 404\n")
            .is("etag", format!("\"{}\"", w.cid("site/404.html")))
            .not("cache-control", "immutable"),
        get("_redirects: on localhost", "/redirect-one")
            .host(format!("{}.ipfs.localhost:{}", w.cid("site"), w.port()))
            .status(301)
            .is("location", "/one.html"),
        get("_redirects: on a path of a domain there are none", "/ipns/site.test/redirect-one")
            .status(404)
            .lacks("location"),
    ]);
    check(w, rows);
}

#[test]
fn errors() {
    let w = World::get();
    let mut rows = Vec::new();
    for (site, _) in rules().into_iter().filter(|(site, _)| !["site", "site-plain", "site-crlf"].contains(site)) {
        if ["site-empty", "site-largest"].contains(&site) {
            rows.push(on(site, &format!("{site} is in order"), "/no-such").status(404));
            continue;
        }
        let row = on(site, &format!("{site} is an error"), "/no-such").status(500).lacks("location");
        // Kubo takes what the text forbids: a placeholder twice.
        rows.push(if site == "site-twice" { row.not_kubo() } else { row.body_has("_redirects") });
        rows.push(on(site, &format!("{site} does not hide what is there"), "/one.html").body("my one\n"));
    }
    rows.extend([
        on("site-largest", "the largest file of rules is read", "/x").status(301).is("location", "/y"),
        on("site-directory", "a directory of that name is an error", "/no-such").status(500),
        on("site-directory", "and does not hide what is there", "/one.html").body("my one\n"),
    ]);
    check(w, rows);
}
