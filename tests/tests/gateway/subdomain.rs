//! Subdomain Gateway Specification of 2025-04-03: hosts that name a root (§2.1.1), redirects from paths to them (§3.1.1),
//! what proxies say (§2.1.2, §2.1.3), the URI router (§2.2.1, A.4) and isolation of origins.
//!
//! `_redirects` are in `redirects`, domains as hosts in `dnslink`. Not testable here: certificates and the Public Suffix
//! List (A.3), which are an operator's.
//!
//! Left open by the text: whether a host that names its root in another base, or in upper case, is served or redirected.

use crate::{
    path::encoded,
    table::{Row, ask, check, get, head},
    world::{HELLO, World, parse, too_long_domain},
};
use cairn_tests::records::{LIBP2P_KEY, text};
use cid::{Cid, multibase::Base, multihash::Multihash};

/// A path on a host that must lead to a URL.
fn leads(name: &str, host: &str, from: impl Into<String>, to: impl Into<String>) -> Row {
    get(format!("subdomain: {name}"), from).host(host).status(301).is("location", to)
}

#[test]
fn paths_to_subdomains() {
    let w = World::get();
    let (root, file) = (w.cid("files"), w.cid("files/hello.txt"));
    let (old, new) = &w.v0;
    let parsed = w.parsed("files/hello.txt");
    let local = format!("localhost:{}", w.port());
    let on = |name: &str, from: String, to: String| leads(name, "example.com", from, format!("http://{to}"));
    let spelled = |base, what: &str| {
        on(
            &format!("{what} becomes base32"),
            format!("/ipfs/{}", text(&parsed, base)),
            format!("{file}.ipfs.example.com/"),
        )
    };
    let odd = encoded("ünï cöde/ę/odd ?#%.txt");
    check(
        w,
        vec![
            on("a root", format!("/ipfs/{file}"), format!("{file}.ipfs.example.com/")),
            on("a root with its slash", format!("/ipfs/{root}/"), format!("{root}.ipfs.example.com/")),
            on("a path", format!("/ipfs/{root}/sub/ascii.txt"), format!("{root}.ipfs.example.com/sub/ascii.txt")),
            on("a path with its slash", format!("/ipfs/{root}/sub/"), format!("{root}.ipfs.example.com/sub/")),
            on("a query", format!("/ipfs/{root}/sub?a=b&c=%20d"), format!("{root}.ipfs.example.com/sub?a=b&c=%20d")),
            on("a query of a root", format!("/ipfs/{root}?a=b"), format!("{root}.ipfs.example.com/?a=b")),
            on("a format", format!("/ipfs/{root}?format=car"), format!("{root}.ipfs.example.com/?format=car")),
            on("a path stays encoded", format!("/ipfs/{root}/{odd}"), format!("{root}.ipfs.example.com/{odd}")),
            get("subdomain: an ampersand, encoded or not", format!("/ipfs/{root}/a%26b"))
                .host("example.com")
                .status(301)
                .any("location", &["a%26b", "a&b"].map(|to| format!("http://{root}.ipfs.example.com/{to}"))),
            on("version 0 becomes version 1", format!("/ipfs/{old}"), format!("{new}.ipfs.example.com/")),
            on("with its path", format!("/ipfs/{old}/a/b?c=d"), format!("{new}.ipfs.example.com/a/b?c=d")),
            spelled(Base::Base36Lower, "base36"),
            spelled(Base::Base16Lower, "base16"),
            spelled(Base::Base58Btc, "base58"),
            spelled(Base::Base32Upper, "upper case"),
            on("what is not there", format!("/ipfs/{}", w.absent), format!("{}.ipfs.example.com/", w.absent)),
            on("a path that is not there", format!("/ipfs/{root}/no-such"), format!("{root}.ipfs.example.com/no-such")),
            leads("localhost, with its port", &local, format!("/ipfs/{file}"), format!("http://{file}.ipfs.{local}/")),
            leads(
                "localhost, without a port",
                "localhost",
                format!("/ipfs/{root}/a"),
                format!("http://{root}.ipfs.localhost/a"),
            ),
            leads(
                "a port that the gateway does not have",
                "example.com:8080",
                format!("/ipfs/{file}"),
                format!("http://{file}.ipfs.example.com:8080/"),
            ),
            head("subdomain: HEAD", format!("/ipfs/{file}"))
                .host("example.com")
                .status(301)
                .is("location", format!("http://{file}.ipfs.example.com/")),
            ask("OPTIONS", "subdomain: OPTIONS, so that pages of other origins may follow", format!("/ipfs/{file}"))
                .host("example.com")
                .with("Origin", "https://other.example.net")
                .status(301)
                .is("access-control-allow-origin", "*")
                .lists("access-control-allow-methods", "GET"),
            leads(
                "a person without a browser reads where it went",
                "example.com",
                format!("/ipfs/{file}"),
                format!("http://{file}.ipfs.example.com/"),
            )
            .body_has(file),
            get("subdomain: an IP address stays on its path", format!("/ipfs/{file}")).body(HELLO),
            get("subdomain: an IP address with a port too", format!("/ipfs/{file}")).host("127.0.0.1:8080").body(HELLO),
            get("subdomain: as does a host that is not known", format!("/ipfs/{file}"))
                .host("unknown.test")
                .body(HELLO),
            get("subdomain: and one of paths", format!("/ipfs/{file}")).host("path.test").body(HELLO),
            get("subdomain: an invalid CID is 400", "/ipfs/QmInvalidCID").host("example.com").status(400),
            get("subdomain: no CID is 400", "/ipfs/").host("example.com").status(400),
            get("subdomain: another path is 404", "/unknown").host("example.com").status(404),
            get("subdomain: so is the root", "/").host("example.com").status(404),
            get("subdomain: a doubled namespace", format!("/ipfs/ipfs/{file}"))
                .host("example.com")
                .status(301)
                .is("location", format!("/ipfs/{file}")),
        ],
    );
}

#[test]
fn names_to_subdomains() {
    let w = World::get();
    let key = &w.site_key;
    let name = key.name();
    let on = |name: &str, from: String, to: String| leads(name, "example.com", from, format!("http://{to}"));
    let here = format!("{name}.ipns.example.com");
    let wrong = key.cid(0x70);
    check(
        w,
        vec![
            on("a name", format!("/ipns/{name}"), format!("{here}/")),
            on("a name with a path", format!("/ipns/{name}/a/b?c=d"), format!("{here}/a/b?c=d")),
            on("a name in base58", format!("/ipns/{}", key.peer_id()), format!("{here}/")),
            on("a name in base32", format!("/ipns/{}", key.cid(LIBP2P_KEY)), format!("{here}/")),
            on("a name as a CID of dag-pb", format!("/ipns/{wrong}/a"), format!("{here}/a")),
            on(
                "an RSA name in base58",
                "/ipns/QmY3hE8xgFCjGcz6PHgnvJz5HZi1BaKRfPkn1ghZUcYMjD".to_owned(),
                "k2k4r8n0flx3ra0y5dr8fmyvwbzy3eiztmtq6th694k5a3rznayp3e4o.ipns.example.com/".to_owned(),
            ),
            on(
                "a name as a CID of dag-pb in base32",
                "/ipns/bafybeickencdqw37dpz3ha36ewrh4undfjt2do52chtcky4rxkj447qhdm".to_owned(),
                "k2k4r8l9ja7hkzynavdqup76ou46tnvuaqegbd04a4o1mpbsey0meucb.ipns.example.com/".to_owned(),
            ),
            on("a domain", "/ipns/dnslink.test/wiki".to_owned(), "dnslink.test.ipns.example.com/wiki".to_owned()),
            on(
                "a domain with dashes",
                "/ipns/dnslink.long-name.test".to_owned(),
                "dnslink.long-name.test.ipns.example.com/".to_owned(),
            ),
            on(
                "an inlined domain becomes plain where no label is wanted",
                "/ipns/dnslink-long--name-test/a".to_owned(),
                "dnslink.long-name.test.ipns.example.com/a".to_owned(),
            ),
            leads(
                "a host that inlines domains",
                "inline.test",
                "/ipns/dnslink.long-name.test/a?b=c",
                "http://dnslink-long--name-test.ipns.inline.test/a?b=c",
            ),
            leads(
                "a host that inlines an inlined domain",
                "inline.test",
                "/ipns/dnslink-long--name-test",
                "http://dnslink-long--name-test.ipns.inline.test/",
            ),
            get("subdomain: names are not served where only /ipfs is", format!("/ipns/{name}"))
                .host("only-ipfs.test")
                .status(404),
            get("subdomain: nor on a host of paths", format!("/ipns/{name}")).host("path.test").status(404),
        ],
    );
}

#[test]
fn labels_that_are_too_long() {
    let w = World::get();
    // 40 bytes: 65 letters in base32, 62 or 63 in base36.
    let hash = Multihash::<64>::wrap(0, &[b'x'; 36]).expect("it is short");
    let inline = Cid::new_v1(0x55, hash);
    let short = text(&inline, Base::Base36Lower);
    assert!(inline.to_string().len() > 63 && short.len() <= 63, "{inline} {short}");
    let https = |row: Row| row.with("X-Forwarded-Proto", "https");
    check(
        w,
        vec![
            leads(
                "base36 where base32 is too long",
                "example.com",
                format!("/ipfs/{inline}"),
                format!("http://{short}.ipfs.example.com/"),
            ),
            get("subdomain §A.2: and it is served", "/").host(format!("{short}.ipfs.example.com")).body("x".repeat(36)),
            get("subdomain §A.2: too long in every base is 400", format!("/ipfs/{}", w.too_long))
                .host("example.com")
                .status(400)
                .lacks("location"),
            get("subdomain §A.2: as a label too", "/").host(format!("{}.ipfs.example.com", w.too_long)).status(400),
            get("subdomain §A.2: on localhost too", format!("/ipfs/{}", w.too_long)).host("localhost").status(400),
            get("subdomain §A.2: on a path it is served", format!("/ipfs/{}", w.too_long)).body("an old CID\n"),
            https(get(
                "subdomain §A.2: a domain that is too long inlined is 400",
                format!("/ipns/{}", too_long_domain()),
            ))
            .host("example.com")
            .status(400),
            leads(
                "and is not inlined without need",
                "example.com",
                format!("/ipns/{}", too_long_domain()),
                format!("http://{}.ipns.example.com/", too_long_domain()),
            ),
        ],
    );
}

#[test]
fn proxies_in_front() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let old = &w.v0;
    let path = format!("/ipfs/{file}");
    let with =
        |row: Row, headers: &[(&str, &str)]| headers.iter().fold(row, |row, (name, value)| row.with(name, *value));
    let ask = |name: &str, host: &str, from: &str, headers: &[(&str, &str)], to: String| {
        with(leads(name, host, from, to), headers)
    };
    let https = ("X-Forwarded-Proto", "https");
    check(
        w,
        vec![
            ask("https stays https", "example.com", &path, &[https], format!("https://{file}.ipfs.example.com/")),
            ask(
                "http stays http",
                "example.com",
                &path,
                &[("X-Forwarded-Proto", "http")],
                format!("http://{file}.ipfs.example.com/"),
            ),
            ask(
                "with https domains are one label",
                "example.com",
                "/ipns/dnslink.long-name.test/a",
                &[https],
                "https://dnslink-long--name-test.ipns.example.com/a".to_owned(),
            ),
            ask(
                "with https names are as they were",
                "example.com",
                &format!("/ipns/{}", w.site_key.name()),
                &[https],
                format!("https://{}.ipns.example.com/", w.site_key.name()),
            ),
            ask(
                "another host",
                "unknown.test",
                &path,
                &[("X-Forwarded-Host", "example.com")],
                format!("http://{file}.ipfs.example.com/"),
            ),
            ask(
                "another host, and https",
                "unknown.test",
                &path,
                &[("X-Forwarded-Host", "example.com"), https],
                format!("https://{file}.ipfs.example.com/"),
            ),
            ask(
                "an address behind a proxy",
                "127.0.0.1",
                &format!("/ipfs/{}/a?b=c", old.0),
                &[("X-Forwarded-Host", "example.com"), https],
                format!("https://{}.ipfs.example.com/a?b=c", old.1),
            ),
            get("subdomain §2.1.3: a subdomain named by a proxy", "/")
                .with("X-Forwarded-Host", format!("{file}.ipfs.example.com"))
                .statuses(&[200, 301]),
            get("subdomain §2.1.3: a host that is not known leads nowhere", &path)
                .host("unknown.test")
                .with("X-Forwarded-Host", "other-unknown.test")
                .body(HELLO),
        ],
    );
}

#[test]
fn hosts() {
    let w = World::get();
    let (root, file, old) = (w.cid("files"), w.cid("files/hello.txt"), &w.v0.1);
    let name = w.site_key.name();
    let on = |name: &str, host: String, target: &str| get(format!("subdomain §2.1.1: {name}"), target).host(host);
    let hello = |name: &str, host: String| on(name, host, "/hello.txt").body(HELLO);
    let at = |host: &str| format!("{root}.ipfs.{host}");
    let based = |base| text(&parse(file), base);
    check(
        w,
        vec![
            hello("a file", at("example.com"))
                .is("x-ipfs-path", format!("/ipfs/{root}/hello.txt"))
                .is("x-ipfs-roots", w.roots("files/hello.txt"))
                .is("etag", format!("\"{file}\""))
                .is("cache-control", "public, max-age=29030400, immutable"),
            hello("localhost, with its port", at(&format!("localhost:{}", w.port()))),
            // Kubo takes the setting of all hosts for localhost only where there is a port.
            hello("localhost, without one", at("localhost")).not_kubo(),
            hello("another port", at("example.com:8080")),
            on("a file as the root", format!("{file}.ipfs.example.com"), "/").body(HELLO),
            on("a root of dag-pb", format!("{old}.ipfs.example.com"), "/").body("an old CID\n"),
            on("a root with a query", format!("{file}.ipfs.example.com"), "/?a=b").body(HELLO),
            on("a root in upper case", format!("{}.ipfs.example.com", based(Base::Base32Upper)), "/")
                .statuses(&[200, 301]),
            on("a root in base36", format!("{}.ipfs.example.com", based(Base::Base36Lower)), "/").statuses(&[200, 301]),
            hello("a host in upper case", format!("{root}.IPFS.EXAMPLE.COM")).not_kubo(),
            on("a listing", at("example.com"), "/")
                .starts("content-type", "text/html")
                .has("etag", format!("_CID-{root}\""))
                .is("x-ipfs-path", format!("/ipfs/{root}/"))
                .body_has("hello.txt"),
            on("an index", at("example.com"), "/indexed/").body(crate::world::INDEX),
            on("a directory without its slash", at("example.com"), "/sub?a=b").status(301).is("location", "/sub/?a=b"),
            on("a part", at("example.com"), "/hello.txt").with("Range", "bytes=0-4").status(206).body("Hello"),
            on("a block", at("example.com"), "/?format=raw").is("content-type", "application/vnd.ipld.raw"),
            on("a CAR", at("example.com"), "/sub?format=car").starts("content-type", "application/vnd.ipld.car"),
            on("a service worker, whose scope is the origin", at("example.com"), "/sw.js")
                .with("Service-Worker", "script")
                .body_has("addEventListener"),
            on("a path that is not there", at("example.com"), "/no-such").status(404).body_has("no-such"),
            on("a root that is not there", format!("{}.ipfs.example.com", w.absent), "/").status(404),
            on("an invalid CID is 400", "not-a-cid.ipfs.example.com".to_owned(), "/").status(400),
            hello("a name", format!("{name}.ipns.example.com"))
                .is("x-ipfs-path", format!("/ipns/{name}/hello.txt"))
                .starts("cache-control", "public, max-age="),
            on("a name that points at a path", format!("{}.ipns.example.com", w.file_key.name()), "/").body(HELLO),
            on(
                "a name as a CID of dag-pb leads to the right one",
                format!("{}.ipns.example.com", text(&w.site_key.cid(0x70), Base::Base36Lower)),
                "/a?b=c",
            )
            .status(301)
            .is("location", format!("http://{name}.ipns.example.com/a?b=c")),
            on(
                "a name without a record",
                format!("{}.ipns.example.com", cairn_tests::records::Key::new("?").name()),
                "/",
            )
            .statuses(&[404, 500, 502, 503, 504]),
            hello("a domain", "dnslink.test.ipns.example.com".to_owned())
                .is("x-ipfs-path", "/ipns/dnslink.test/hello.txt"),
            hello("a domain as one label", "dnslink-test.ipns.example.com".to_owned())
                .is("x-ipfs-path", "/ipns/dnslink.test/hello.txt"),
            hello("a domain with dashes as one label", "dnslink-long--name-test.ipns.example.com".to_owned())
                .is("x-ipfs-path", "/ipns/dnslink.long-name.test/hello.txt"),
            hello(
                "a domain as one label where labels are inlined",
                "dnslink-long--name-test.ipns.inline.test".to_owned(),
            ),
            on("a domain without a link", "no-such-domain-test.ipns.example.com".to_owned(), "/")
                .statuses(&[404, 500, 502, 503, 504]),
        ],
    );
}

#[test]
fn isolation() {
    let w = World::get();
    let (root, file) = (w.cid("files"), w.cid("files/hello.txt"));
    let host = format!("{root}.ipfs.example.com");
    let name = w.site_key.name();
    let on = |name: &str, host: &str, target: &str| get(format!("subdomain isolation: {name}"), target).host(host);
    check(
        w,
        vec![
            on("/ipfs of another root is not there", &host, &format!("/ipfs/{file}")).status(404).body_lacks(HELLO),
            on("nor of the same root", &host, &format!("/ipfs/{root}/hello.txt")).status(404),
            on("nor /ipns", &host, &format!("/ipns/{name}/hello.txt")).status(404),
            on("nor a domain", &host, "/ipns/dnslink.test/hello.txt").status(404),
            on("a directory of that name is", &host, "/ipfs/file.txt").body("below ipfs\n"),
            on("and the other", &host, "/ipns/file.txt").body("below ipns\n"),
            on("nor on a name's subdomain", &format!("{name}.ipns.example.com"), &format!("/ipfs/{file}")).status(404),
            on("nor on a domain's", "dnslink.test.ipns.example.com", &format!("/ipfs/{file}")).status(404),
            on("a path does not climb out", &host, &format!("/../{}/tiny.txt", w.cid("inline")))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .body_lacks("tiny\n"),
            on("nor one whose dots are encoded", &host, &format!("/%2e%2e/{}/tiny.txt", w.cid("inline")))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .body_lacks("tiny\n"),
            on("nor one whose slash is encoded", &host, &format!("/..%2f{}/tiny.txt", w.cid("inline")))
                .status(307)
                .is("location", format!("/{}/tiny.txt", w.cid("inline")))
                .body_lacks("tiny\n"),
            on("nor one that is all encoded", &host, &format!("/%2e%2e%2F{}%2ftiny.txt", w.cid("inline")))
                .status(307)
                .body_lacks("tiny\n"),
            on("nor one that goes in first, encoded", &host, &format!("/sub%2f..%2f..%2f{}/tiny.txt", w.cid("inline")))
                .status(307)
                .body_lacks("tiny\n"),
            on("nor to a name, encoded", &host, &format!("/..%2f..%2fipns%2f{name}/hello.txt")).status(307),
            on("nor on a domain's, encoded", "dnslink.test", &format!("/..%2f..%2fipfs%2f{file}")).status(307),
            on("nor one that goes in first", &host, &format!("/sub/../../{}/tiny.txt", w.cid("inline")))
                .statuses(&[301, 302, 307, 308, 400, 404])
                .body_lacks("tiny\n"),
            on("nor into another namespace", &host, &format!("/../../ipns/{name}/hello.txt"))
                .statuses(&[301, 302, 307, 308, 400, 404]),
            on("nor with a CAR", &host, &format!("/../{}/tiny.txt?format=car", w.cid("inline")))
                .statuses(&[200, 301, 302, 307, 308, 400, 404])
                .check({
                    let other = w.parsed("inline");
                    move |response| match cairn_tests::car::Car::read(&response.body) {
                        Ok(car) if response.status == 200 && car.cids().contains(&other) => {
                            Err("no block of another root".to_owned())
                        }
                        _ => Ok(()),
                    }
                }),
            on("a subdomain of a host of paths is none", &format!("{file}.ipfs.path.test"), "/").status(404),
            on("nor is its path", &format!("{file}.ipfs.path.test"), &format!("/ipfs/{file}")).status(404),
            on("a namespace that a host does not serve", &format!("{name}.ipns.only-ipfs.test"), "/").status(404),
            on("and the one that it does", &format!("{root}.ipfs.only-ipfs.test"), "/hello.txt").body(HELLO),
        ],
    );
}

#[test]
fn wildcards() {
    let w = World::get();
    let file = w.cid("files/hello.txt");
    let mut rows = Vec::new();
    for host in ["foo.wild.test", "foo.bar.deep.test", "foo.bar-dev-boo.mid.test"] {
        rows.push(leads(
            &format!("wildcard: {host}"),
            host,
            format!("/ipfs/{file}"),
            format!("http://{file}.ipfs.{host}/"),
        ));
        rows.push(
            get(format!("subdomain: wildcard: a root at {host}"), "/").host(format!("{file}.ipfs.{host}")).body(HELLO),
        );
    }
    let stays = |host: &str| {
        get(format!("subdomain: wildcard: {host} does not match"), format!("/ipfs/{file}")).host(host).body(HELLO)
    };
    rows.extend([
        stays("wild.test"),
        stays("foo.bar.wild.test"),
        stays("foo.deep.test"),
        stays("foo.bar-dev.mid.test"),
        leads(
            "wildcard: with a port",
            "foo.wild.test:8080",
            format!("/ipfs/{file}"),
            format!("http://{file}.ipfs.foo.wild.test:8080/"),
        ),
    ]);
    check(w, rows);
}

#[test]
fn uri_router() {
    let w = World::get();
    let old = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
    let to = |from: &str, to: &str| get(format!("subdomain A.4: {from}"), from).status(301).is("location", to);
    let no = |from: &str| get(format!("subdomain A.4: {from}"), from).status(400).lacks("location");
    let page = "wiki%2FFoo_%C4%85%C4%99.html%3Ffilename%3Dtest-%C4%99.html";
    let shown = "wiki/Foo_%C4%85%C4%99.html?filename=test-%C4%99.html";
    check(
        w,
        vec![
            to(&format!("/ipfs/?uri=ipfs%3A%2F%2F{old}"), &format!("/ipfs/{old}")),
            to(&format!("/ipfs/?uri=ipfs://{old}"), &format!("/ipfs/{old}")),
            to(&format!("/ipfs?uri=ipfs://{old}"), &format!("/ipfs/{old}")),
            to(&format!("/ipns/?uri=ipns://{old}"), &format!("/ipns/{old}")),
            to(&format!("/ipfs/?uri=ipns://{old}"), &format!("/ipns/{old}")),
            to(&format!("/ipns/?uri=ipfs://{old}"), &format!("/ipfs/{old}")),
            to(&format!("/ipns?uri=ipns://{old}"), &format!("/ipns/{old}")),
            to(&format!("/ipfs/?uri=ipfs%3A%2F%2F{old}%2F{page}"), &format!("/ipfs/{old}/{shown}")),
            to(&format!("/ipfs/?uri=ipfs%3A%2F%2F{old}%2F{page}%23part"), &format!("/ipfs/{old}/{shown}")),
            to(&format!("/ipfs/?uri=ipns%3A%2F%2Fexample.com%2F{page}"), &format!("/ipns/example.com/{shown}")),
            to("/ipns/?uri=ipns%3A%2F%2Fdnslink.test", "/ipns/dnslink.test"),
            to(&format!("/ipfs/?uri=ipfs%3A%2F%2F{old}"), &format!("/ipfs/{old}")).host("example.com").again("a host"),
            no("/ipfs/?uri=invaliduri"),
            no(&format!("/ipfs/?uri={old}")),
            no(&format!("/ipfs/?uri=unsupported://{old}")),
            no("/ipfs/?uri=https%3A%2F%2Fevil.test%2F"),
            no("/ipfs/?uri=javascript%3Aalert(1)"),
            get("subdomain A.4: a location stays on the host", "/ipfs/?uri=ipfs%3A%2F%2F%2Fevil.test%2Fx")
                .check(|r| match r.header("location") {
                    Some(to) if to.starts_with("//") || !to.starts_with('/') => Err("a path".to_owned()),
                    _ => Ok(()),
                })
                .statuses(&[301, 400, 404]),
        ],
    );
}
