//! Trustless Gateway Specification of 2026-03-05, CAR responses: §2.2.2–6 and §5, with IPIP-402 of 2023-04-17 and IPIP-412
//! of 2023-05-15. What must be in a CAR is found by a walk of the test's own.
//!
//! Left open by the text: the roots in the header, which are not looked at; and what a path leads to that is not there: 404,
//! or a CAR of the blocks that show it.

use crate::{
    table::{Row, check, get, head},
    world::{LEAF, MULTI, World, entry, parse},
};
use cairn_tests::{
    car::{Car, Scope, once},
    http::Response,
};
use cid::Cid;

/// Media type of a CAR, with all that the response says of it.
const KIND: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=n";

/// A row whose CAR holds exactly these blocks in this order.
fn holds(row: Row, wanted: Result<Vec<Cid>, String>) -> Row {
    let wanted = wanted.expect("the test has these blocks");
    row.starts("content-type", "application/vnd.ipld.car; version=1").check(move |response: &Response| {
        let car = Car::read(&response.body)?;
        let found = car.cids();
        if car.version != 1 {
            return Err(format!("version 1, not {}", car.version));
        }
        let list = |cids: &[Cid]| cids.iter().map(|cid| format!("\n      {cid}")).collect::<String>();
        match found == wanted {
            true => Ok(()),
            false => Err(format!("the blocks{}\n    not{}", list(&wanted), list(&found))),
        }
    })
}

/// A request for a CAR below a path of `files`, or of another tree.
fn car(name: &str, path: &str, query: &str) -> Row {
    get(format!("CAR: {name}"), format!("{}?format=car{query}", World::get().at(path)))
}

/// What a walk meets, each block once.
fn walk(path: &str, scope: Scope) -> Result<Vec<Cid>, String> {
    let w = World::get();
    let mut names = path.split('/');
    let root = w.parsed(names.next().unwrap_or_default());
    let found = w.dag.walk(&root, &names.collect::<Vec<_>>(), scope)?;
    Ok(once(&found))
}

#[test]
fn scopes() {
    let w = World::get();
    let name = entry(42);
    let in_hamt = format!("hamt/{name}");
    let mut rows = Vec::new();
    for (what, path) in [
        ("a small file below a directory", "files/sub/ascii.txt"),
        ("a file of many blocks", "files/sub/multi.bin"),
        ("a directory", "files/sub"),
        ("a root directory", "files"),
        ("a symlink", "files/link"),
        ("an entry of a sharded directory", &in_hamt),
        ("a large file in a sharded directory", "hamt/multi.bin"),
        ("a sharded directory", "hamt"),
    ] {
        for (query, scope) in [
            ("", Scope::All),
            ("&dag-scope=all", Scope::All),
            ("&dag-scope=entity", Scope::Entity),
            ("&dag-scope=block", Scope::Block),
        ] {
            let said = query.strip_prefix('&').unwrap_or("no scope");
            rows.push(holds(car(&format!("{what}, {said}"), path, query), walk(path, scope)));
        }
    }
    let doc = parse(&w.docs["dag-cbor"]);
    for (query, scope) in [("", Scope::All), ("&dag-scope=entity", Scope::Entity), ("&dag-scope=block", Scope::Block)] {
        let wanted = w.dag.walk(&doc, &[], scope).map(|cids| once(&cids));
        rows.push(holds(get(format!("CAR: dag-cbor, {scope:?}"), format!("/ipfs/{doc}?format=car{query}")), wanted));
    }
    let leaf = parse(&w.docs["leaf"]);
    rows.push(holds(
        get("CAR: a link of dag-cbor", format!("/ipfs/{doc}/leaf?format=car&dag-scope=block")),
        Ok(vec![doc, leaf]),
    ));
    rows.push(holds(
        get("CAR: a file behind dag-cbor", format!("/ipfs/{doc}/leaf/hello?format=car")),
        Ok(vec![doc, leaf, w.parsed("files/hello.txt")]),
    ));
    rows.push(holds(
        get("CAR: by header", w.at("files/sub/ascii.txt")).accept("application/vnd.ipld.car"),
        walk("files/sub/ascii.txt", Scope::All),
    ));
    rows.push(holds(
        get("CAR: behind a name", format!("/ipns/{}/sub/ascii.txt?format=car", w.site_key.name())),
        walk("files/sub/ascii.txt", Scope::All),
    ));
    rows.push(car("an unknown scope", "files", "&dag-scope=everything").status(400));
    check(w, rows);
}

#[test]
fn entity_bytes() {
    let w = World::get();
    let path = "files/sub/multi.bin";
    let file = w.parsed(path);
    let (size, leaf) = (MULTI as u64, LEAF as u64);
    let parents = [w.parsed("files"), w.parsed("files/sub")];
    let range = |from: u64, to: u64| w.dag.range(&file, from, to).map(|cids| [&parents[..], &cids].concat());
    let ask = |query: &str, wanted| {
        let asked = format!("&dag-scope=entity&entity-bytes={query}");
        holds(car(&format!("entity-bytes={query}"), path, &asked), wanted)
    };
    // Kubo forgets that a range implies the scope.
    let implied = |query: &str, wanted| {
        let asked = format!("&entity-bytes={query}");
        holds(car(&format!("entity-bytes={query} implies its scope"), path, &asked), wanted).not_kubo()
    };
    let rows = vec![
        ask("0:*", range(0, size - 1)),
        ask("0:0", range(0, 0)),
        ask("512:1023", range(512, 1023)),
        ask(&format!("0:{leaf}"), range(0, leaf)),
        ask(&format!("0:{}", leaf - 1), range(0, leaf - 1)),
        ask(&format!("{leaf}:{}", 2 * leaf - 1), range(leaf, 2 * leaf - 1)),
        ask(&format!("{}:{}", leaf - 1, leaf), range(leaf - 1, leaf)),
        ask(&format!("{}:*", 3 * leaf), range(3 * leaf, size - 1)),
        ask("-1:*", range(size - 1, size - 1)),
        ask("-1024:*", range(size - 1024, size - 1)),
        ask(&format!("-{}:*", size - leaf), range(leaf, size - 1)),
        ask("499:-1000", range(499, size - 1001)),
        ask(&format!("-{}:-{}", size, size - 10), range(0, 9)),
        ask(&format!("-{}:{}", size, leaf - 1), range(0, leaf - 1)),
        ask(&format!("{}:{}", 3 * leaf, 10 * size), range(3 * leaf, size - 1)),
        ask(&format!("-{}:*", 10 * size), range(0, size - 1)),
        ask("512:-256", range(512, size - 257)),
        implied("0:*", range(0, size - 1)),
        implied("512:1023", range(512, 1023)),
        implied("-1024:*", range(size - 1024, size - 1)),
        holds(
            car("a range of a file in one block", "files/digits.txt", "&dag-scope=entity&entity-bytes=10:20"),
            walk("files/digits.txt", Scope::Entity),
        ),
        holds(
            car("a range of a directory is ignored", "files/sub", "&dag-scope=entity&entity-bytes=0:*"),
            walk("files/sub", Scope::Entity),
        ),
        holds(
            car("a range of a sharded directory is ignored", "hamt", "&dag-scope=entity&entity-bytes=5:10"),
            walk("hamt", Scope::Entity),
        ),
        holds(
            get(
                "CAR: a range of a document is ignored",
                format!("/ipfs/{}?format=car&dag-scope=entity&entity-bytes=0:10", w.docs["dag-cbor"]),
            ),
            Ok(vec![parse(&w.docs["dag-cbor"])]),
        ),
        // Left open: the root alone, or a refusal where the size is known beforehand.
        car("a range beyond the file", path, &format!("&dag-scope=entity&entity-bytes={}:{}", 2 * size, 3 * size))
            .statuses(&[200, 400])
            .check({
                let block = walk(path, Scope::Block).expect("the test has these blocks");
                move |response| match response.status {
                    200 if Car::read(&response.body)?.cids() != block => Err("the root block only".to_owned()),
                    _ => Ok(()),
                }
            })
            .not_kubo(),
        car("a range that ends before it begins", path, "&entity-bytes=20:10").status(400),
        car("a range that ends before it begins, from the end", path, "&entity-bytes=-10:-20").status(400),
        car("a range without its end", path, "&entity-bytes=10").status(400),
        car("a range of words", path, "&entity-bytes=a:b").status(400),
        car("a range from a star", path, "&entity-bytes=*:10").status(400),
        car("a range of three numbers", path, "&entity-bytes=1:2:3").status(400),
        car("an empty range", path, "&entity-bytes=").status(400),
    ];
    check(w, rows);
}

#[test]
fn order_and_duplicates() {
    let w = World::get();
    let twice = w.parsed("files/twice");
    let all = w.dag.walk(&twice, &[], Scope::All).expect("the test has these blocks");
    let root = format!("/ipfs/{twice}");
    let ask = |name: &str, query: &str| get(format!("CAR: {name}"), format!("{root}?format=car{query}"));
    let by = |name: &str, accept: &str| get(format!("CAR: {name}"), &root).accept(accept);
    let no = |row: Row| holds(row, Ok(once(&all)));
    let yes = |row: Row| holds(row, Ok(all.clone()));
    assert!(once(&all).len() < all.len(), "the fixture has duplicates");
    let with_y = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
    check(
        w,
        vec![
            no(ask("duplicates are left out unless asked for", "")).is("content-type", KIND),
            no(ask("car-dups=n", "&car-dups=n")).is("content-type", KIND),
            yes(ask("car-dups=y", "&car-dups=y")).is("content-type", with_y),
            no(by("dups=n by header", "application/vnd.ipld.car;dups=n")).is("content-type", KIND),
            yes(by("dups=y by header", "application/vnd.ipld.car; version=1; order=dfs; dups=y"))
                .is("content-type", with_y),
            no(by("the plain header", "application/vnd.ipld.car")).is("content-type", KIND),
            no(by("order=dfs by header", "application/vnd.ipld.car; order=dfs")).is("content-type", KIND),
            no(ask("car-order=dfs", "&car-order=dfs")).is("content-type", KIND),
            by("order=unk by header", "application/vnd.ipld.car; order=unk")
                .starts("content-type", "application/vnd.ipld.car; version=1; order="),
            ask("car-order=unk", "&car-order=unk")
                .starts("content-type", "application/vnd.ipld.car; version=1; order="),
            no(ask("car-version=1", "&car-version=1")).is("content-type", KIND),
            yes(ask("all parameters together", "&car-version=1&car-order=dfs&car-dups=y")).is("content-type", with_y),
            yes(get("CAR: the URL goes before the header", format!("{root}?format=car&car-dups=y"))
                .accept("application/vnd.ipld.car;dups=n"))
            .is("content-type", with_y),
            get("CAR: and says so", format!("{root}?car-dups=y"))
                .accept("application/vnd.ipld.car;dups=n")
                .is("content-type", with_y)
                .has("content-location", "car-dups=y"),
            ask("an unknown version", "&car-version=2").statuses(&[400, 406]),
            by("an unknown version by header", "application/vnd.ipld.car; version=2").statuses(&[400, 406]),
            ask("an unknown order", "&car-order=bfs").statuses(&[400, 406]),
            by("an unknown order by header", "application/vnd.ipld.car; order=bfs").statuses(&[400, 406]),
            ask("unknown duplicates", "&car-dups=maybe").statuses(&[400, 406]),
            by("unknown duplicates by header", "application/vnd.ipld.car; dups=maybe").statuses(&[400, 406]),
            holds(
                get("CAR: no block stands for an identity CID", format!("{}?format=car", w.at("inline"))),
                walk("inline", Scope::All),
            ),
            holds(
                get("CAR: nor with duplicates", format!("{}?format=car&car-dups=y", w.at("inline"))),
                w.dag.walk(&w.parsed("inline"), &[], Scope::All),
            ),
            holds(
                get("CAR: nor where the path ends", format!("{}?format=car", w.at("inline/tiny.txt"))),
                Ok(vec![w.parsed("inline")]),
            ),
            yes_hamt(w),
        ],
    );
}

/// With duplicates the order is that of the walk through shards too.
fn yes_hamt(w: &World) -> Row {
    let hamt = w.parsed("hamt");
    let row = get("CAR: a sharded directory depth first", format!("/ipfs/{hamt}?format=car&car-order=dfs&car-dups=y"));
    holds(row, w.dag.walk(&hamt, &[], Scope::All))
}

#[test]
fn headers() {
    let w = World::get();
    let root = w.cid("files");
    let ask = |name: &str, target: String| get(format!("CAR headers: {name}"), target);
    let path = format!("/ipfs/{root}/sub/ascii.txt");
    check(
        w,
        vec![
            ask("type, version, order and duplicates are always said", format!("/ipfs/{root}?format=car"))
                .is("content-type", KIND)
                .is("x-content-type-options", "nosniff")
                .is("accept-ranges", "none")
                .given("etag")
                .is("cache-control", "public, max-age=29030400, immutable")
                .is("x-ipfs-path", format!("/ipfs/{root}"))
                .is("x-ipfs-roots", root)
                .starts("content-disposition", "attachment"),
            ask("of a path", format!("{path}?format=car"))
                .is("x-ipfs-path", &path)
                .is("x-ipfs-roots", w.roots("files/sub/ascii.txt"))
                .given("etag"),
            ask("behind a name", format!("/ipns/{}?format=car", w.site_key.name()))
                .starts("cache-control", "public, max-age=")
                .not("cache-control", "immutable"),
            ask("parts of a CAR are not served", format!("/ipfs/{root}?format=car"))
                .with("Range", "bytes=0-9")
                .is("accept-ranges", "none")
                .check(|response| Car::read(&response.body).map(drop)),
            head("CAR headers: HEAD", format!("/ipfs/{root}?format=car"))
                .is("content-type", KIND)
                .given("etag")
                .starts("content-disposition", "attachment"),
        ],
    );
}

#[test]
fn etags_differ_by_what_is_asked() {
    let w = World::get();
    let root = w.cid("files/sub");
    let asked = [
        "",
        "&dag-scope=block",
        "&dag-scope=entity",
        "&entity-bytes=0:9",
        "&entity-bytes=0:10",
        "&entity-bytes=5:9",
        "&entity-bytes=-9:*",
        "&car-dups=y",
    ];
    let etag = |path: &str, query: &str| {
        let request = cairn_tests::http::Request::new("GET", format!("/ipfs/{root}{path}?format=car{query}"));
        let response = cairn_tests::http::send(w.address(), &request).expect("an answer");
        response.header("etag").unwrap_or_else(|| panic!("no etag: {}", response.describe())).to_owned()
    };
    let mut etags: Vec<String> = asked.iter().map(|query| etag("/multi.bin", query)).collect();
    etags.push(etag("", ""));
    etags.push(etag("/ascii.txt", ""));
    let different: std::collections::HashSet<_> = etags.iter().collect();
    assert_eq!(different.len(), etags.len(), "{etags:#?}");
    assert_eq!(etag("/multi.bin", ""), etag("/multi.bin", "&dag-scope=all"), "the default scope");
    let rows = asked.iter().map(|query| {
        get(
            format!("trustless §3.2.4: the ETag of {query:?} gives 304"),
            format!("/ipfs/{root}/multi.bin?format=car{query}"),
        )
        .with("If-None-Match", etag("/multi.bin", query))
        .status(304)
    });
    check(w, rows.collect());
}

#[test]
fn holes() {
    let w = World::get();
    let cid = &w.holed.cid;
    let (size, leaf) = (MULTI, LEAF);
    let part = |name: &str, query: String, leaves: usize| {
        get(format!("IPIP-402: {name}"), format!("/ipfs/{cid}?format=car&dag-scope=entity&entity-bytes={query}"))
            .starts("content-type", "application/vnd.ipld.car; version=1")
            .check(move |response| {
                let car = Car::read(&response.body)?;
                match car.blocks.len() {
                    len if len == 1 + leaves => Ok(()),
                    len => Err(format!("the root and {leaves} leaves, not {len} blocks")),
                }
            })
    };
    check(
        w,
        vec![
            part("a range before the hole", "0:1000".to_owned(), 1),
            part("a range up to the hole", format!("0:{}", 2 * leaf - 1), 2),
            part("a range behind the hole", format!("{}:*", 3 * leaf), 1),
            part("a range behind the hole, from the end", "-1000:*".to_owned(), 1),
            part("a range behind the hole, within the file", format!("{}:{}", 3 * leaf + 5, size - 5), 1),
            get("IPIP-402: the root of a file with a hole", format!("/ipfs/{cid}?format=car&dag-scope=block"))
                .check(|response| Car::read(&response.body).and_then(|car| one(&car))),
            get("trustless §3.1.2: a CAR ends early where a block is missing", format!("/ipfs/{cid}?format=car"))
                .breaks()
                .not_kubo(),
            get(
                "IPIP-402: a directory whose file is missing",
                format!("/ipfs/{}?format=car&dag-scope=entity", w.holed_dir),
            )
            .check(|response| Car::read(&response.body).and_then(|car| one(&car))),
            get(
                "IPIP-402: a sharded directory of which little is there",
                format!("/ipfs/{}/{}?format=car", w.holed_hamt.0, w.holed_hamt.1),
            )
            .check(|response| Car::read(&response.body).map(drop)),
            get(
                "trustless §2.2.3: a path that leads nowhere is left open",
                format!("{}/no-such.txt?format=car", w.at("files")),
            )
            .statuses(&[200, 404])
            .check(|response| match response.status {
                200 => Car::read(&response.body).map(drop),
                _ => Ok(()),
            }),
        ],
    );
}

fn one(car: &Car) -> Result<(), String> {
    if car.blocks.len() == 1 { Ok(()) } else { Err(format!("one block, not {}", car.blocks.len())) }
}
