//! What is on a denylist is not served, whatever way leads there.

use super::world::{World, ask, get};
use crate::Config;

#[tokio::test]
async fn rules_hold_behind_names_and_redirects() {
    let world = World::new();
    let (secret, open) = (world.file("secret"), world.file("open"));
    let rules = world.file("/old/* /sub/a 200\n/gone /sub/a 404\n");
    let sub = world.dir(&[("a", secret), ("b", open)]);
    let index = world.dir(&[("index.html", secret)]);
    let site = world.dir(&[("sub", sub), ("_redirects", rules), ("shown", index), ("public", open)]);
    for (name, to) in [
        ("site.test", format!("/ipfs/{site}")),
        ("alias.test", "/ipns/site.test".into()),
        ("name.test", format!("/ipfs/{site}")),
    ] {
        world.name(name, to);
    }
    world.name("over.test", "/ipns/name.test");
    let folder = tempfile::tempdir().expect("a directory");
    let list = format!("/ipfs/{site}/sub/a\n/ipfs/{site}/shown/index.html\n/ipns/name.test\n");
    std::fs::write(folder.path().join("test.deny"), list).expect("it is ours");
    let gateway = world.with(Config { denylists: vec![folder.path().to_owned()], ..Config::default() });
    let subdomain = format!("{site}.ipfs.localhost");
    for (host, path) in [
        ("127.0.0.1", format!("/ipfs/{site}/sub/a")),
        ("127.0.0.1", "/ipns/site.test/sub/a".into()),
        ("127.0.0.1", "/ipns/alias.test/sub/a".into()),
        ("127.0.0.1", "/ipns/site.test/sub/a?format=car".into()),
        ("127.0.0.1", "/ipns/site.test/sub/a?format=raw".into()),
        (&subdomain, "/sub/a".into()),
        ("site.test", "/sub/a".into()),
        ("site.test.ipns.localhost", "/sub/a".into()),
        ("site.test", "/old/x".into()),
        (&subdomain, "/old/x".into()),
        ("site.test", "/gone".into()),
        ("site.test", "/shown/".into()),
        ("127.0.0.1", format!("/ipfs/{site}/shown/")),
        ("127.0.0.1", "/ipns/name.test".into()),
        ("127.0.0.1", "/ipns/name.test/public".into()),
        ("name.test", "/public".into()),
        ("name.test.ipns.localhost", "/public".into()),
        ("127.0.0.1", "/ipns/over.test/public".into()),
    ] {
        let answer = get(&gateway, host, &path).await;
        assert_eq!(answer.status, 410, "{host}{path}: {answer:?}");
        assert!(!answer.body.contains("secret"), "{host}{path}: {answer:?}");
    }
    let cached = ask(&gateway, "site.test", "/sub/a", &[("Cache-Control", "only-if-cached")]).await;
    assert!(matches!(cached.status, 410 | 412), "{cached:?}");
    for (host, path) in [("site.test", "/sub/b"), ("site.test", "/public"), (&subdomain, "/sub/b")] {
        assert_eq!(get(&gateway, host, path).await.body, "open", "{host}{path}");
    }
}
