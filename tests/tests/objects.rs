//! `block`, `dag`, `cid` and `multibase`: output and exit codes. The expected values are those of Kubo 0.44.

use cairn_tests::harness::Node;

const DIR: &str = "QmcsUcztw41QtQJeCLZ7TxykSYhjGY6NREsJAu5TCp8Wtn";
const OBJECT: &str = "bafyreiaxniifszlapro4oihtqflwzyemz3owesi3ycvcppc36ov6yb6vku";
const A: &str = "bafkreiehikh4kiuahuyqmxt3zy6pap7eouewmmpf4b5326qp3zqmjtzfy4";

/// A node with a folder, a raw block, and an object that links to both.
fn node() -> Node {
    let node = Node::new();
    std::fs::create_dir_all(node.work().join("d/s")).expect("makes a folder");
    node.file("d/a", "a\n");
    node.file("d/s/b", "b\n");
    assert_eq!(node.ok(["add", "-rQ", "d"]), DIR);
    let raw = node.feed_bytes(["add", "-Q", "--cid-version=1"], "hello\n");
    let object = format!(r#"{{"a":{{"l":[10,{{"x":"y"}},{{"/":"{DIR}"}}],"k":{{"/":"{raw}"}}}}}}"#);
    assert_eq!(node.feed_bytes(["dag", "put"], object), OBJECT);
    node.file("f", "a\n");
    node
}

/// The message of a command that must fail.
#[track_caller]
fn refused(node: &Node, args: &[&str]) -> String {
    let outcome = node.run(args);
    assert_eq!(outcome.status.code(), Some(1), "{args:?}: {}", outcome.text());
    outcome.errors()
}

#[test]
fn objects_are_read_through_paths() {
    let node = node();
    let at = |path: &str| format!("{OBJECT}{path}");
    for (path, json, resolved) in [
        ("/a/l/0", "10", at("/a/l/0")),
        ("//a/l/1/x", "\"y\"", at("/a/l/1/x")),
        ("/a/l/01", r#"{"x":"y"}"#, at("/a/l/01")),
        ("/a/k", r#"{"/":{"bytes":"aGVsbG8K"}}"#, "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am".into()),
        (
            "/a/l/2/s/b",
            r#"{"Data":{"/":{"bytes":"CAISAmIKGAI"}},"Links":[]}"#,
            "bafybeibjzrsmm2jhxqubxcl7ht336qhjny32rx5ey73xqehnosjihxin7q".into(),
        ),
    ] {
        assert_eq!(node.ok(["dag", "get", &at(path)]), json, "{path}");
        assert_eq!(node.ok(["dag", "resolve", &at(path)]), resolved, "{path}");
    }
    assert_eq!(
        node.ok(["--enc=json", "dag", "resolve", &at("/a/l")]),
        format!(r#"{{"Cid":{{"/":"{OBJECT}"}},"RemPath":"/a/l"}}"#)
    );
    assert_eq!(node.bytes(["dag", "get", "--output-codec=dag-cbor", &at("/a/l/1")]), b"\xa1\x61x\x61y");
    assert!(refused(&node, &["dag", "get", &at("/a/l/9")]).contains("key not found: \"9\""));
    assert!(refused(&node, &["dag", "get", &at("/a/l/2/zz")]).contains("no link named \"zz\" under"));
    assert!(refused(&node, &["dag", "get", "nonsense"]).contains("invalid path \"nonsense\""));
    refused(&node, &["dag", "get", "--output-codec=json", OBJECT]);
}

#[test]
fn dag_stat_counts_what_roots_share_once() {
    let node = node();
    let text = node.ok(["dag", "stat", "--progress=false", DIR, DIR]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], "CID                                           \tBlocks         \tSize");
    assert_eq!(lines[2], format!("{DIR}\t4              \t157"));
    assert_eq!(
        lines[5..],
        ["Summary", "Total Size: 157 (157 B)", "Unique Blocks: 4", "Shared Size: 157 (157 B)", "Ratio: 2.000000"]
    );
    assert_eq!(
        node.ok(["--enc=json", "dag", "stat", DIR]),
        format!(
            r#"{{"UniqueBlocks":4,"TotalSize":157,"Ratio":1,"DagStats":[{{"Cid":"{DIR}","Size":157,"NumBlocks":4}}]}}"#
        )
    );
    assert!(refused(&node, &["dag", "stat", &format!("{OBJECT}/a")]).contains("a DAG with a root CID"));
}

#[test]
fn blocks_are_put_under_the_name_that_is_asked_for() {
    let node = node();
    for (flags, cid) in [
        (&[][..], A),
        (&["--cid-codec=dag-cbor"], "bafyreiehikh4kiuahuyqmxt3zy6pap7eouewmmpf4b5326qp3zqmjtzfy4"),
        (&["--format=v0"], "QmXSecgzcmQwxphsqUFQaqmU6wCgELQNtv8jc9WDRbvCUv"),
        (&["-f", "protobuf"], "bafybeiehikh4kiuahuyqmxt3zy6pap7eouewmmpf4b5326qp3zqmjtzfy4"),
        (&["--mhtype=sha2-512", "--mhlen=20"], "bafkrgfawfmftf4beqlk2zifhze65aphkyownpza"),
        (&["--mhtype=identity"], "bafkqaatbbi"),
        (&["--mhtype=blake3"], "bafkr4iebys37pycut4krj2ok5f6pidhrgojaiggt3ry35w7wb3e32ykizm"),
    ] {
        let args = [&["block", "put"], flags, &["f"]].concat();
        assert_eq!(node.ok(&args), cid, "{flags:?}");
        assert_eq!(node.bytes(["block", "get", cid]), b"a\n", "{flags:?}");
    }
    for flags in
        [&["--mhlen=10"], &["--mhlen=40"], &["--mhtype=foo"], &["--cid-codec=foo"], &["--mhtype=murmur3-x64-64"]]
    {
        refused(&node, &[&["block", "put"], &flags[..], &["f"]].concat());
    }
    assert_eq!(node.ok(["--enc=json", "block", "stat", A]), format!(r#"{{"Key":"{A}","Size":2}}"#));
}

#[test]
fn big_blocks_and_long_identities_are_refused_unless_asked_for() {
    let node = node();
    // One byte more than other nodes take; one more than an identity digest may have.
    node.file("big", vec![0; (2 << 20) + 1]);
    node.file("limit", vec![0; 2 << 20]);
    node.file("z129", [0; 129]);
    assert!(refused(&node, &["block", "put", "big"]).contains("over 2MiB"));
    node.ok(["block", "put", "limit"]);
    let big = node.ok(["block", "put", "--allow-big-block", "big"]);
    assert_eq!(big, "bafkreihjucm4oxxyg7bixsiwqo7ocj7emp5a5yimch6yc34nfvbiydlbby");
    assert!(refused(&node, &["block", "put", "--mhtype=identity", "z129"]).contains("maximum 128"));
    refused(&node, &["dag", "put", "--input-codec=raw", "--store-codec=raw", "big"]);
}

#[test]
fn pinned_blocks_are_not_removed() {
    let node = node();
    node.ok(["block", "put", "--pin", "f"]);
    let inner = "QmYK7dA9iTDSmYvSbEWFBkKLAtxNWkveYfEPptHimToKVJ";
    let message = refused(&node, &["block", "rm", A, DIR, inner]);
    assert!(message.contains(&format!("cannot remove {A}: pinned: recursive")), "{message}");
    assert!(message.contains(&format!("cannot remove {inner}: pinned: via {DIR}")), "{message}");
    assert!(message.contains("some blocks not removed"), "{message}");
    assert_eq!(node.bytes(["block", "get", A]), b"a\n");
    node.ok(["pin", "rm", A]);
    assert_eq!(node.ok(["block", "rm", A]), format!("removed {A}"));
    assert!(refused(&node, &["block", "get", A]).contains("could not find"));
    assert!(refused(&node, &["block", "rm", A]).contains("could not find"));
    assert_eq!(node.ok(["block", "rm", "-f", A]), format!("removed {A}"));
    assert_eq!(node.ok(["block", "rm", "-fq", A]), "");
}

#[test]
fn an_object_is_pinned_only_when_all_of_it_is_here() {
    let node = node();
    let missing = r#"{"/":"bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yea"}"#;
    node.file("dangling", missing);
    assert!(refused(&node, &["dag", "put", "--pin", "dangling"]).contains("could not find"));
    let cid = node.ok(["dag", "put", "dangling"]);
    assert!(!node.ok(["pin", "ls", "-q"]).contains(&cid));
    let whole = node.feed_bytes(["dag", "put", "--pin"], "{\"x\":1}");
    assert!(node.ok(["pin", "ls", "-q", "--type=recursive"]).contains(&whole));
}

#[test]
fn what_was_put_before_a_bad_input_is_stored() {
    let node = node();
    node.file("good", "[1]");
    node.file("bad", "[1");
    let outcome = node.run(["dag", "put", "good", "bad", "good"]);
    assert_eq!(outcome.status.code(), Some(1));
    let text = outcome.text();
    assert_eq!(node.ok(["dag", "get", text.trim()]), "[1]");
}

#[test]
fn lists_of_cids_are_converted_line_by_line() {
    let node = Node::new();
    let lines = format!("{DIR}\nbad\n{A}\n");
    let outcome = cairn_tests::process::run(
        &mut node.command(["cid", "base32"]),
        Some(Box::new(std::io::Cursor::new(lines.into_bytes()))),
    )
    .expect("runs");
    assert_eq!(outcome.status.code(), Some(1));
    assert_eq!(outcome.text(), format!("bafybeigx5e3solom7zvxhbdohscabntkqrxcxqrojwzghgin7xifm3ccg4\n{A}\n"));
    assert!(outcome.errors().starts_with("bad: invalid cid"), "{}", outcome.errors());
    assert!(outcome.errors().contains("errors while displaying some entries"));
}

#[test]
fn cids_are_taken_apart() {
    let node = Node::new();
    let text = node.ok(["cid", "inspect", DIR]);
    assert_eq!(
        text,
        format!(
            "CID:        {DIR}\nVersion:    0\nMultibase:  base58btc (implicit)\n\
             Multicodec: dag-pb (0x70, implicit)\nMultihash:  sha2-256 (0x12, implicit)\n  Length:   32 bytes\n  \
             Digest:   d7e937272dccfe6b73846e3c8400b66a846e2bc22e4db263990dfdd0566c4237\nCIDv0:      {DIR}\n\
             CIDv1:      bafybeigx5e3solom7zvxhbdohscabntkqrxcxqrojwzghgin7xifm3ccg4"
        )
    );
    let peer = refused(&node, &["cid", "inspect", "12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE"]);
    assert!(peer.contains("k51qzi5uqu5dlvgw9btb08nshceixrsyqqfm6u8r2190r19wezo3j2k4c9pstl"), "{peer}");
    assert!(node.ok(["cid", "hashes", "-n"]).contains("   18  sha2-256\n"));
    assert!(node.ok(["cid", "codecs", "-n"]).contains("  297  dag-json\n"));
    assert!(node.ok(["multibase", "list", "--prefix"]).contains("b  base32\n"));
}
