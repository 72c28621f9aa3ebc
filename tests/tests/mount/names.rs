//! Names of the node as folders.

use cairn_tests::{
    harness::Node,
    mount::{Mounted, can_mount},
};
use std::fs;

#[test]
fn what_is_written_below_an_own_name_is_published() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let blog = node.ok(["key", "gen", "blog"]);
    let mounted = Mounted::new(&node);
    let mut listed: Vec<String> = fs::read_dir(mounted.path("ipns"))
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    listed.sort();
    assert!(listed.contains(&"blog".to_owned()) && listed.contains(&"self".to_owned()), "{listed:?}");
    assert!(listed.contains(&blog), "{listed:?}");
    assert_eq!(fs::read_link(mounted.path("ipns/blog")).expect("a link").to_str(), Some(blog.as_str()));
    fs::create_dir(mounted.path("ipns/blog/posts")).expect("writes");
    fs::write(mounted.path(&format!("ipns/{blog}/posts/first")), "hello").expect("writes");
    mounted.end();
    let published = node.ok(["--offline", "name", "resolve", &blog]);
    assert_eq!(node.ok(["--offline", "cat", &format!("{published}/posts/first")]), "hello");
    node.ok(["repo", "gc"]);
    assert_eq!(node.ok(["--offline", "cat", &format!("/ipns/{blog}/posts/first")]), "hello", "it is kept");

    // What somebody publishes by hand is what the folder holds.
    let cid = node.add(&["-r"], &{
        fs::create_dir(node.work().join("other")).expect("is writable");
        fs::write(node.work().join("other/file"), "other").expect("is writable");
        node.work().join("other")
    });
    let again = Mounted::new(&node);
    assert_eq!(fs::read_to_string(again.path("ipns/blog/posts/first")).expect("reads"), "hello");
    again.end();
    node.ok(["name", "publish", "--allow-offline", "--key=blog", &format!("/ipfs/{cid}")]);
    let third = Mounted::new(&node);
    assert_eq!(fs::read_to_string(third.path("ipns/blog/file")).expect("reads"), "other");
    assert!(fs::metadata(third.path("ipns/blog/posts")).is_err());
}
