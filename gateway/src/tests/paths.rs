//! Paths and hosts as clients write them, and what answers say of them.

use super::world::{World, ask, get};
use crate::{Config, config::HostConfig};
use cairn_store::cid::codec;
use http::{HeaderValue, header::CACHE_CONTROL};

#[tokio::test]
async fn what_is_missing_here_is_no_reason_for_a_redirect() {
    let world = World::new();
    let absent = *World::seal(codec::RAW, "elsewhere").cid();
    let rules = world.file("/* /instead.txt 301\n");
    let site = world.dir(&[("_redirects", rules), ("elsewhere.txt", absent)]);
    world.name("site.test", format!("/ipfs/{site}"));
    let gateway = world.gateway();
    let answer = get(&gateway, "site.test", "/elsewhere.txt").await;
    assert_eq!((answer.status, answer.location().as_str()), (404, ""), "{answer:?}");
    let answer = get(&gateway, "site.test", "/nothing.txt").await;
    assert_eq!((answer.status, answer.location().as_str()), (301, "/instead.txt"));
}

#[tokio::test]
async fn rules_that_can_not_be_read_are_an_error() {
    let world = World::new();
    let absent = *World::seal(codec::RAW, "elsewhere").cid();
    let json = world.put(World::seal(codec::DAG_JSON, "{}"));
    for (name, rules) in [("absent.test", absent), ("folder.test", world.dir(&[])), ("json.test", json)] {
        world.name(name, format!("/ipfs/{}", world.dir(&[("_redirects", rules)])));
    }
    world.name("none.test", format!("/ipfs/{}", world.dir(&[])));
    world.name("out.test", format!("/ipfs/{}", world.dir(&[("_redirects", world.file("/* /../x 200\n"))])));
    let gateway = world.gateway();
    for host in ["absent.test", "folder.test", "json.test", "out.test"] {
        let answer = get(&gateway, host, "/x").await;
        assert_eq!(answer.status, 500, "{host}: {answer:?}");
    }
    assert_eq!(get(&gateway, "none.test", "/x").await.status, 404);
}

#[tokio::test]
async fn namespaces_alone() {
    let world = World::new();
    let dir = world.dir(&[("a", world.file("a"))]);
    world.name("site.test", format!("/ipfs/{dir}"));
    let gateway = world.gateway();
    for host in ["127.0.0.1", "localhost", "unknown.test"] {
        let bare = get(&gateway, host, "/ipfs?x=1").await;
        assert_eq!((bare.status, bare.location().as_str()), (307, "/ipfs/?x=1"), "{host}");
        assert_eq!(get(&gateway, host, "/ipns").await.location(), "/ipns/", "{host}");
        assert_eq!(get(&gateway, host, "/ipns/").await.status, 400, "{host}");
        for path in ["/ipfs", "/ipfs/", "/ipns", "/ipns/"] {
            let to = get(&gateway, host, &format!("{path}?uri=ipfs://{dir}/a")).await;
            assert_eq!((to.status, to.location()), (301, format!("/ipfs/{dir}/a")), "{host}{path}");
        }
        assert_eq!(get(&gateway, host, &format!("/?uri=ipfs://{dir}")).await.status, 404, "{host}");
    }
    let query = "/a?uri=ipfs://x";
    for host in [&format!("{dir}.ipfs.localhost"), "site.test"] {
        assert_eq!(get(&gateway, host, query).await.body, "a", "{host}: the query is the content's");
        assert_eq!(get(&gateway, host, "/ipfs").await.status, 404, "{host}: a name like others");
    }
    assert_eq!(get(&gateway, "127.0.0.1", &format!("/ipfs/{dir}{query}")).await.body, "a");
}

#[tokio::test]
async fn a_path_that_is_no_text_is_not_found() {
    let world = World::new();
    let dir = world.dir(&[]);
    let gateway = world.gateway();
    assert_eq!(get(&gateway, "127.0.0.1", &format!("/ipfs/{dir}/%ff")).await.status, 404);
    assert_eq!(get(&gateway, "127.0.0.1", "/%ff").await.status, 404);
    let sub = get(&gateway, &format!("{dir}.ipfs.localhost"), "/%ff/..%2fx").await;
    assert_eq!((sub.status, sub.location().as_str()), (307, "/x"));
}

#[tokio::test]
async fn hosts_are_read_before_anything_else() {
    let world = World::new();
    let site = world.dir(&[("a", world.file("a"))]);
    world.name("site.test", format!("/ipfs/{site}"));
    let mut config = Config::default();
    config.hosts.insert("known.test".into(), HostConfig::localhost());
    let gateway = world.with(config);
    for (host, more) in
        [("a b", None), ("site.test", Some(("Host", "other.test"))), ("x", Some(("X-Forwarded-Host", "a, b")))]
    {
        let answer = ask(&gateway, host, "/a", &Vec::from_iter(more)).await;
        assert_eq!(answer.status, 400, "{host} {more:?}: {answer:?}");
    }
    for host in ["site.test.", "SITE.test.:8080"] {
        assert_eq!(get(&gateway, host, "/a").await.body, "a", "{host}");
    }
    let location = get(&gateway, "known.test.:8080", &format!("/ipfs/{site}/a")).await.location();
    assert_eq!(location, format!("http://{site}.ipfs.known.test:8080/a"));
}

#[tokio::test]
async fn answers_of_all_kinds_name_their_path() {
    let world = World::new();
    let file = world.file("a");
    let dir = world.dir(&[("a", file), ("b", world.dir(&[]))]);
    let gateway = world.gateway();
    let headers = [("Accept", "text/html")];
    for (path, status, roots) in [
        (format!("/ipfs/{dir}/a"), 200, true),
        (format!("/ipfs/{dir}/b"), 301, true),
        (format!("/ipfs/{dir}/a?format=dag-cbor"), 406, true),
        (format!("/ipfs/{dir}/nope"), 404, false),
        (format!("/ipns/{file}x"), 500, false),
    ] {
        for headers in [&headers[..], &[]] {
            let answer = ask(&gateway, "127.0.0.1", &path, headers).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert_eq!(answer.header("x-ipfs-path"), path.split('?').next().expect("a path"), "{answer:?}");
            assert_eq!(answer.headers.contains_key("x-ipfs-roots"), roots, "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn configured_headers_are_defaults() {
    let world = World::new();
    let file = world.file("a");
    let own = (http::HeaderName::from_static("x-own"), HeaderValue::from_static("yes"));
    let cache = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let gateway = world.with(Config { headers: vec![own, cache], ..Config::default() });
    let answer = get(&gateway, "127.0.0.1", &format!("/ipfs/{file}")).await;
    assert_eq!(answer.header("x-own"), "yes");
    assert_eq!(answer.header("cache-control"), crate::reply::IMMUTABLE);
    let answer = get(&gateway, "127.0.0.1", "/version").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}
