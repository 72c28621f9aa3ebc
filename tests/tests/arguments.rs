//! What `add` makes of its arguments. The expected values are those of Kubo 0.44.

use cairn_tests::harness::Node;

#[test]
fn an_argument_is_added_once_and_under_the_name_of_what_it_leads_to() {
    let node = Node::new();
    std::fs::create_dir(node.work().join("d")).expect("makes a folder");
    node.file("d/a", "hello\n");
    std::os::unix::fs::symlink("a", node.work().join("d/ln")).expect("links");
    let added = "added QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN a\n\
                 added QmNgxr9E1dbP1AfDHuhzv98Cja4UFh6Dtcf7uBEVqJoFG8";
    for args in [&["d/a", "d/a"][..], &["--dereference-args", "d/ln"], &["--dereference-symlinks", "d/ln", "d/a"]] {
        let args = ["add", "-w"].iter().chain(args);
        assert_eq!(node.ok(args).trim_end(), added);
    }
}
