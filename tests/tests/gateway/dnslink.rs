//! DNSLink Gateway Specification of 2022-11-09: domains as hosts. Their links are those of `IPFS_NS_MAP`.
//!
//! Not testable here: look-ups of TXT records, which the tests of `cairn-net` cover. `_redirects` are in `redirects`.

use crate::{
    table::{Row, check, get, head},
    world::{HELLO, INDEX, World},
};
use cairn_tests::gateway::{self, Gateway};

fn on(name: &str, host: &str, target: &str) -> Row {
    get(format!("DNSLink: {name}"), target).host(host)
}

#[test]
fn hosts() {
    let w = World::get();
    let (root, file) = (w.cid("files"), w.cid("files/hello.txt"));
    check(
        w,
        vec![
            on("a file", "dnslink.test", "/hello.txt")
                .body(HELLO)
                .is("x-ipfs-path", "/ipns/dnslink.test/hello.txt")
                .is("x-ipfs-roots", w.roots("files/hello.txt"))
                .is("etag", format!("\"{file}\""))
                .not("cache-control", "immutable"),
            on("a host with a port", "dnslink.test:8080", "/hello.txt")
                .body(HELLO)
                .is("x-ipfs-path", "/ipns/dnslink.test/hello.txt"),
            on("a host in upper case", "DNSLink.TEST", "/hello.txt").body(HELLO).not_kubo(),
            on("a listing of the root", "dnslink.test", "/")
                .starts("content-type", "text/html")
                .is("x-ipfs-path", "/ipns/dnslink.test/")
                .is("x-ipfs-roots", root)
                .body_has("hello.txt"),
            on("a listing below", "dnslink.test", "/sub/").body_has("ascii.txt"),
            on("a directory without its slash", "dnslink.test", "/sub").status(301).is("location", "/sub/"),
            on("and its query", "dnslink.test", "/sub?a=b").status(301).is("location", "/sub/?a=b"),
            on("an index", "dnslink.test", "/indexed/").body(INDEX),
            on("a path that is not there", "dnslink.test", "/no-such").status(404).body_has("no-such"),
            on("a part", "dnslink.test", "/hello.txt").with("Range", "bytes=0-4").status(206).body("Hello").again("1"),
            on("a block", "dnslink.test", "/hello.txt?format=raw").is("content-type", "application/vnd.ipld.raw"),
            on("a CAR", "dnslink.test", "/?format=car").starts("content-type", "application/vnd.ipld.car"),
            on("an archive", "dnslink.test", "/sub/?format=tar").is("content-type", "application/x-tar"),
            on("a service worker", "dnslink.test", "/sw.js").with("Service-Worker", "script"),
            head("DNSLink: HEAD", "/hello.txt").host("dnslink.test").is("content-length", "16"),
            get("DNSLink: a host named by a proxy", "/hello.txt").with("X-Forwarded-Host", "dnslink.test").body(HELLO),
            on("an IP address has no link", "127.0.0.1", "/hello.txt").status(404),
            on("a host without a link", "no-such-domain.test", "/").status(404),
        ],
    );
}

#[test]
fn links() {
    let w = World::get();
    check(
        w,
        vec![
            on("a link to a file", "file.test", "/").body(HELLO),
            on("the routing API is none of a website's", "dnslink.test", "/routing/v1/providers/x")
                .status(404)
                .is("x-ipfs-path", "/ipns/dnslink.test/routing/v1/providers/x")
                .not_kubo(),
            on("nothing lies below it", "file.test", "/more").status(404),
            on("a link to a link keeps its path", "a.chain.test", "/ascii.txt")
                .body("ascii\n")
                .is("x-ipfs-path", "/ipns/a.chain.test/ascii.txt")
                .is("etag", format!("\"{}\"", w.cid("files/sub/ascii.txt"))),
            on("and its listing", "a.chain.test", "/deep/").body_has("deeper.txt"),
            on("the link that it leads to", "b.chain.test", "/sub/ascii.txt").body("ascii\n"),
            on("a link to a name", "key.test", "/hello.txt").body(HELLO),
            on("a link to what is not there", "gone.test", "/").status(404),
            on("many links, but not too many", "c20.long.test", "/hello.txt").body(HELLO),
            on("more links than may be", "c0.long.test", "/hello.txt").status(400).not_kubo(),
            on("links in a circle", "a.loop.test", "/").status(400).not_kubo(),
            on("links in a circle are never served", "b.loop.test", "/hello.txt").statuses(&[400, 500]),
            get("DNSLink: more links than may be, on a path", "/ipns/c0.long.test/hello.txt").statuses(&[400, 500]),
            get("DNSLink: a link to a link on a path", "/ipns/a.chain.test/ascii.txt").body("ascii\n"),
        ],
    );
}

#[test]
fn isolation_and_rules() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let path = format!("/ipfs/{file}");
    let name = format!("/ipns/{}", w.site_key.name());
    check(
        w,
        vec![
            on("/ipfs is not served on a domain", "dnslink.test", &path).status(404).body_lacks(HELLO),
            on("nor /ipns", "dnslink.test", &format!("{name}/hello.txt")).status(404),
            on("nor led elsewhere", "dnslink.test", &format!("/ipns/{}", w.site_key.peer_id()))
                .status(404)
                .lacks("location"),
            on("a directory of that name is", "dnslink.test", "/ipfs/file.txt").body("below ipfs\n"),
            on("the RPC is not", "dnslink.test", "/api/v0/id").status(404),
            on("nor the version", "dnslink.test", "/version").status(404),
            on("a host with paths serves its link", "dnslink-paths.test", "/hello.txt").body(HELLO),
            on("and these paths", "dnslink-paths.test", &path).body(HELLO),
            on("and no others", "dnslink-paths.test", &name).status(404),
            on("a host without paths serves its link", "dnslink-only.test", "/hello.txt").body(HELLO),
            on("with a directory named ipfs", "dnslink-only.test", "/ipfs/file.txt").body("below ipfs\n"),
            on("and no paths", "dnslink-only.test", &path).status(404),
            on("a host whose link is off", "no-dnslink.test", "/").status(404),
            on("and a file of it", "no-dnslink.test", "/hello.txt").status(404).body_lacks(HELLO),
            on("and a path", "no-dnslink.test", &path).status(404),
        ],
    );
}

/// `Gateway.NoDNSLink`: no host's link is served, unless its own rules say so.
#[test]
fn links_can_be_off() {
    let node = gateway::node();
    node.ok(["config", "--json", "Gateway.NoDNSLink", "true"]);
    let rules =
        r#"{"on.test": {"NoDNSLink": false, "Paths": ["/ipfs"]}, "off.test": {"NoDNSLink": true, "Paths": []}}"#;
    node.ok(["config", "--json", "Gateway.PublicGateways", rules]);
    let cid = node.feed_bytes(["add", "-Q", "--cid-version=1"], HELLO);
    let path = format!("/ipfs/{cid}");
    let gateway = Gateway::start(node, &[("on.test", &path), ("off.test", &path), ("other.test", &path)]);
    check(
        &gateway,
        vec![
            on("off for all: a host whose own rules want it", "on.test", "/").body(HELLO),
            on("off for all: its paths", "on.test", &path).body(HELLO),
            on("off for all: a host whose own rules do not", "off.test", "/").status(404),
            on("off for all: any other host", "other.test", "/").status(404),
            on("off for all: on a path domains are still known", "127.0.0.1", "/ipns/other.test").body(HELLO),
        ],
    );
}
