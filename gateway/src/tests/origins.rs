//! What one origin serves is its own content, however a path is written.

use super::world::{World, ask, get};
use crate::{Config, config::HostConfig};
use http::Request;

#[tokio::test]
async fn no_path_leads_out_of_an_origin() {
    let world = World::new();
    let evil = world.file("hostile bytes");
    let attacker = world.dir(&[("index.html", evil), ("x", evil)]);
    let own = world.file("own");
    let victim = world.dir(&[("index.html", own), ("a", world.dir(&[("b", own)]))]);
    world.name("site.test", format!("/ipfs/{victim}"));
    world.name("evil.test", format!("/ipfs/{attacker}"));
    let gateway = world.gateway();
    let hosts = [format!("{victim}.ipfs.localhost"), "site.test".to_owned(), "site.test.ipns.localhost".to_owned()];
    for host in &hosts {
        assert_eq!(get(&gateway, host, "/a%2fb").await.body, "own", "an escaped slash alone is one");
        for up in [
            "..%2f",
            "%2e%2e%2f",
            "..%2F",
            "%2e%2e/",
            "../",
            ".%2e%2f",
            "a%2f..%2f..%2f",
            "a/..%2f..%2f",
            "a/b/..%2f..%2f..%2f",
        ] {
            for to in [
                format!("{attacker}/x"),
                format!("{attacker}%2fx"),
                format!("{attacker}/"),
                "..%2f..%2fipns%2fevil.test%2fx".into(),
            ] {
                let answer = get(&gateway, host, &format!("/{up}{to}")).await;
                assert!(!answer.body.contains("hostile"), "{host} /{up}{to}: {answer:?}");
                assert_eq!(answer.status, 307, "{host} /{up}{to}: {answer:?}");
                let location = answer.location();
                assert!(
                    location.starts_with('/') && !location.contains("..") && !location.starts_with("//"),
                    "{location}"
                );
            }
        }
        for kept in ["/..%5ca%5cb", "/%252e%252e%252fx", "/%5c..%5cx"] {
            assert_eq!(get(&gateway, host, kept).await.status, 404, "{kept} is a name like others");
        }
    }
    // A root that has no name of its own must not let the path name one.
    let answer = get(&gateway, ".ipfs.localhost", &format!("/{attacker}/x")).await;
    assert!(answer.status >= 400 && !answer.body.contains("hostile"), "{answer:?}");
}

#[tokio::test]
async fn no_path_leads_around_the_rules_of_a_host() {
    let world = World::new();
    let file = world.file("secret");
    world.name("name.test", format!("/ipfs/{file}"));
    let mut config = Config::default();
    let rules = HostConfig { paths: vec!["/ipfs".into()], subdomains: false, ..HostConfig::localhost() };
    config.hosts.insert("only.test".into(), rules);
    let gateway = world.with(config);
    for path in ["/ipfs/x/..%2f..%2fipns%2fname.test", "/ipfs/..%2fipns/name.test", "/ipfs%2f..%2fipns%2fname.test"] {
        let answer = get(&gateway, "only.test", path).await;
        assert_eq!((answer.status, answer.location().as_str()), (307, "/ipns/name.test"), "{path}");
    }
    assert_eq!(get(&gateway, "only.test", "/ipns/name.test").await.status, 404);
    let around = get(&gateway, "localhost", &format!("/ipfs/..%2fipfs%2f{file}")).await;
    assert_eq!((around.status, around.location()), (307, format!("/ipfs/{file}")));
    let to = get(&gateway, "localhost", &format!("/ipfs/{file}")).await;
    assert_eq!(to.location(), format!("http://{file}.ipfs.localhost/"), "it has an origin of its own");
}

#[tokio::test]
async fn pages_link_to_the_gateways_host() {
    let world = World::new();
    let file = world.file("x");
    let dir = world.dir(&[("x", file)]);
    world.name("site.test", format!("/ipfs/{dir}"));
    let gateway = world.gateway();
    let page = get(&gateway, &format!("{dir}.ipfs.localhost:8080"), "/").await.body;
    assert!(page.contains(&format!("href=\"//localhost:8080/ipfs/{file}?filename=x\"")), "{page}");
    assert!(page.contains(&format!("/ipfs/<a href=\"//localhost:8080/ipfs/{dir}\">")), "{page}");
    let page = get(&gateway, "site.test:8080", "/").await.body;
    assert!(page.contains("/ipns/<a href=\"//site.test:8080/\">site.test</a>"), "{page}");
    let error = ask(&gateway, &format!("{dir}.ipfs.localhost:8080"), "/nope", &[("Accept", "text/html")]).await;
    assert_eq!(error.status, 404);
    assert!(error.body.contains(&format!("href=\"//localhost:8080/ipfs/{dir}\"")), "{}", error.body);
}

#[tokio::test]
async fn only_the_gateways_own_hosts_serve_what_is_no_content() {
    let world = World::new();
    let dir = world.dir(&[]);
    world.name("site.test", format!("/ipfs/{dir}"));
    let gateway = world.gateway();
    for (host, own) in [
        ("127.0.0.1:8080", true),
        ("localhost:8080", true),
        ("unknown.test", true),
        ("site.test", false),
        ("site.test:8080", false),
        (&format!("{dir}.ipfs.localhost"), false),
        ("site.test.ipns.localhost", false),
    ] {
        let request = Request::get("/routing/v1/providers/x").header("Host", host).body(()).expect("a request");
        let is_own = gateway.is_own(&request.into_parts().0, super::world::CLIENT).await;
        assert_eq!(is_own, own, "{host}");
    }
}

#[tokio::test]
async fn hosts_without_a_dnslink_are_not_asked_for_again_at_once() {
    let world = World::new();
    let gateway = world.gateway();
    for _ in 0..5 {
        assert_eq!(get(&gateway, "none.test", "/version").await.status, 200);
    }
    assert_eq!(world.asked(), ["none.test"]);
}

#[tokio::test]
async fn clients_without_a_place_cost_no_look_up() {
    let world = World::new();
    let large = world.parts(&[world.file(vec![1; 1 << 20])], 1 << 20);
    let gateway = world.with(Config { max_requests: Some(1), ..Config::default() });
    let held = get_held(&gateway, &format!("/ipfs/{large}")).await;
    assert_eq!(get(&gateway, "any.test", "/ipfs/x").await.status, 429);
    assert!(world.asked().is_empty(), "names were looked up");
    drop(held);
    assert_eq!(get(&gateway, "any.test", "/version").await.status, 200);
}

async fn get_held(gateway: &crate::Gateway, target: &str) -> http::Response<crate::Body> {
    super::world::head_of(gateway, super::world::CLIENT, "127.0.0.1", target, &[]).await
}
