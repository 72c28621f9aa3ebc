//! What clients may keep, and which form of a thing they have.

use super::world::{Answer, World, ask, get};
use crate::Gateway;
use cairn_store::cid::codec;

const LOCAL: &str = "127.0.0.1";

/// What is sent to a client that has this.
async fn known(gateway: &Gateway, target: &str, accept: Option<&str>, tag: &str) -> Answer {
    let headers = accept.map(|accept| ("Accept", accept)).into_iter().chain([("If-None-Match", tag)]);
    ask(gateway, LOCAL, target, &Vec::from_iter(headers)).await
}

#[tokio::test]
async fn each_view_of_a_listing_is_itself_alone() {
    let world = World::new();
    let dir = world.dir(&[("a", world.file("a")), ("b", world.file("bb"))]);
    let gateway = world.gateway();
    let views = ["", "?sort=size", "?sort=size&order=desc", "?view=tiles", "?sort=type&view=tiles"]
        .map(|query| format!("/ipfs/{dir}/{query}"));
    let mut tags = Vec::new();
    for view in &views {
        tags.push(get(&gateway, LOCAL, view).await.header("etag"));
    }
    for (at, view) in views.iter().enumerate() {
        for (of, tag) in tags.iter().enumerate() {
            let status = known(&gateway, view, None, tag).await.status;
            assert_eq!(status, if at == of { 304 } else { 200 }, "{view} with the tag of {}", views[of]);
        }
        assert_eq!(known(&gateway, view, None, "*").await.status, 304);
        assert_eq!(ask(&gateway, LOCAL, view, &[("If-Match", "\"x\"")]).await.status, 412);
    }
}

#[tokio::test]
async fn what_would_be_sent_is_what_counts() {
    let world = World::new();
    let doc = world.put(World::seal(codec::DAG_CBOR, vec![0xa0]));
    let file = world.file("a");
    let dir = world.dir(&[("a", file)]);
    let gateway = world.gateway();
    let html = Some("text/html");
    let page = ask(&gateway, LOCAL, &format!("/ipfs/{doc}/"), &[("Accept", "text/html")]).await;
    let (page_tag, own_tag) = (page.header("etag"), format!("\"{doc}.dag-cbor\""));
    assert_eq!((page.status, page.header("vary").as_str()), (200, "Accept"));
    for (target, accept, tag, status) in [
        (format!("/ipfs/{doc}/"), html, &own_tag, 200),
        (format!("/ipfs/{doc}/"), html, &page_tag, 304),
        (format!("/ipfs/{doc}"), None, &own_tag, 304),
        (format!("/ipfs/{doc}"), None, &page_tag, 200),
        (format!("/ipfs/{dir}/"), None, &format!("\"{dir}\""), 200),
        (format!("/ipfs/{dir}?format=raw"), None, &format!("\"{dir}.raw\""), 304),
        (format!("/ipfs/{dir}?format=raw"), None, &format!("\"{dir}\""), 200),
        (format!("/ipfs/{dir}?format=tar"), None, &format!("W/\"{dir}.x-tar\""), 304),
        (format!("/ipfs/{dir}/a"), None, &format!("\"{file}\""), 304),
    ] {
        let answer = known(&gateway, &target, accept, tag).await;
        assert_eq!(answer.status, status, "{target} {accept:?} {tag}: {answer:?}");
    }
}

#[tokio::test]
async fn a_star_matches_only_what_there_is() {
    let world = World::new();
    let absent = *World::seal(codec::RAW, "elsewhere").cid();
    let here = world.file("here");
    let gateway = world.gateway();
    for query in ["", "?format=raw", "?format=car", "?format=tar"] {
        for (cid, status) in [(absent, 404), (here, 304)] {
            let answer = known(&gateway, &format!("/ipfs/{cid}{query}"), None, "*").await;
            assert_eq!(answer.status, status, "{cid}{query}: {answer:?}");
        }
    }
    let tag = format!("\"{absent}.raw\"");
    let answer = known(&gateway, &format!("/ipfs/{absent}?format=raw"), None, &tag).await;
    assert_eq!(answer.status, 304, "who names it has it");
}

#[tokio::test]
async fn only_if_cached_among_other_directives() {
    let world = World::new();
    let absent = *World::seal(codec::RAW, "elsewhere").cid();
    let gateway = world.gateway();
    for value in ["only-if-cached", "no-transform, Only-If-Cached", "max-stale=3,only-if-cached"] {
        let answer = ask(&gateway, LOCAL, &format!("/ipfs/{absent}"), &[("Cache-Control", value)]).await;
        assert_eq!(answer.status, 412, "{value}");
    }
}

#[tokio::test]
async fn a_range_in_another_unit_is_none() {
    let world = World::new();
    let file = world.file("0123456789");
    let big = world.parts(&[file, file], 10);
    let gateway = world.gateway();
    for (target, range, if_range, expected) in [
        (format!("/ipfs/{file}"), "lines=1-2", None, (200, "0123456789")),
        (format!("/ipfs/{big}"), "lines=1-2", None, (200, "01234567890123456789")),
        (format!("/ipfs/{file}?format=raw"), "lines=1-2", None, (200, "0123456789")),
        (format!("/ipfs/{big}"), "bytes=9-10", None, (206, "90")),
        (format!("/ipfs/{big}"), "bytes=x", Some("\"other\""), (200, "01234567890123456789")),
        (format!("/ipfs/{file}?format=raw"), "bytes=x", Some("\"other\""), (200, "0123456789")),
    ] {
        let headers = if_range.map(|tag| ("If-Range", tag)).into_iter().chain([("Range", range)]);
        let answer = ask(&gateway, LOCAL, &target, &Vec::from_iter(headers)).await;
        assert_eq!((answer.status, answer.body.as_str()), expected, "{target} {range}");
    }
    let answer = ask(&gateway, LOCAL, &format!("/ipfs/{big}"), &[("Range", "bytes=x")]).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn forms_by_accept() {
    let world = World::new();
    let doc = world.put(World::seal(codec::DAG_CBOR, vec![0xa0]));
    let gateway = world.gateway();
    let target = format!("/ipfs/{doc}");
    let cbor = "application/vnd.ipld.dag-cbor";
    for (query, accept, status, kind, location) in [
        ("", "application/json, text/plain, */*", 200, cbor, String::new()),
        ("", "application/json", 406, "text/plain; charset=utf-8", String::new()),
        ("", "application/cbor;q=0.5", 200, "application/cbor", format!("{target}?format=cbor")),
        ("?format=raw", cbor, 200, "application/vnd.ipld.raw", format!("{target}?format=raw")),
        ("?format=raw", "application/vnd.ipld.raw", 200, "application/vnd.ipld.raw", String::new()),
        (
            "",
            "application/vnd.ipld.car;order=foo, application/vnd.ipld.car;order=dfs;q=0.5",
            200,
            "application/vnd.ipld.car; version=1; order=dfs; dups=n",
            format!("{target}?car-order=dfs&format=car"),
        ),
    ] {
        let answer = ask(&gateway, LOCAL, &format!("{target}{query}"), &[("Accept", accept)]).await;
        assert_eq!((answer.status, answer.header("content-type").as_str()), (status, kind), "{query} {accept}");
        if status == 200 {
            assert_eq!(answer.header("content-location"), location, "{query} {accept}");
            assert_eq!(answer.header("vary"), if query.is_empty() { "Accept" } else { "" }, "{query} {accept}");
        }
    }
}

#[tokio::test]
async fn the_first_answer_of_a_name_has_its_whole_ttl() {
    let world = World::new();
    let dir = world.dir(&[("a", world.file("a"))]);
    world.name("site.test", format!("/ipfs/{dir}"));
    let gateway = world.gateway();
    let file = get(&gateway, "site.test", "/a").await;
    assert_eq!(file.header("cache-control"), "public, max-age=600");
    let page = get(&gateway, "site.test", "/").await;
    assert_eq!(page.header("cache-control"), "public, max-age=600, stale-while-revalidate=2678400");
}
