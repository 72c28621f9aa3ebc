//! The CIDs, block counts, sizes and CAR files that Kubo gives.
//!
//! `vectors/kubo-cids.json` was made with Kubo; nothing in it comes from this project.

use cairn_tests::{harness::Node, keystream};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{fs, os::unix::fs::symlink, path::Path};

const VECTORS: &str = include_str!("../vectors/kubo-cids.json");
/// Flags of the profile `unixfs-v1-2025` that concern one file.
const V1_2025: [&str; 4] = ["--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024"];

#[derive(Deserialize)]
struct Vectors {
    files: Vec<FileVector>,
    trees: Vec<TreeVector>,
    dag: Vec<DagVector>,
}

#[derive(Deserialize)]
struct FileVector {
    seed: String,
    size: usize,
    flags: Vec<String>,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
struct TreeVector {
    tree: String,
    flags: Vec<String>,
    #[serde(flatten)]
    expected: Expected,
}

#[derive(Deserialize)]
struct DagVector {
    dag_json: String,
    store: String,
    cid: String,
    block_hex: String,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Expected {
    cid: String,
    blocks: u64,
    dag_bytes: u64,
    car_v1_bytes: usize,
    car_v1_sha256: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).expect("the vectors are JSON of this shape")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Adds a path and asks for everything that a vector says of it.
fn measure(node: &Node, flags: &[String], path: &Path) -> Expected {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cid = node.add(&flags, path);
    let (blocks, dag_bytes) = node.dag_stat(&cid);
    let car = node.bytes(["dag", "export", "--progress=false", &cid]);
    Expected { cid, blocks, dag_bytes, car_v1_bytes: car.len(), car_v1_sha256: hex(&Sha256::digest(&car)) }
}

/// All that differ are shown, not only the first.
fn assert_none(differ: &[String]) {
    assert!(differ.is_empty(), "{} vectors differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn files_have_the_cids_of_kubo() {
    let node = Node::new();
    let vectors = vectors().files;
    assert_eq!(vectors.len(), 65);
    let mut differ = Vec::new();
    for vector in vectors {
        // The name counts when the file is wrapped: the vectors were made with this one.
        let path = node.work().join(&vector.seed).join("in.bin");
        if !path.exists() {
            fs::create_dir(node.work().join(&vector.seed)).expect("the work folder is writable");
            fs::write(&path, keystream::bytes(&vector.seed, vector.size)).expect("the work folder is writable");
        }
        let got = measure(&node, &vector.flags, &path);
        if got != vector.expected {
            differ.push(format!("{} {:?}:\n  want {:?}\n  got  {got:?}", vector.seed, vector.flags, vector.expected));
        }
    }
    assert_none(&differ);
}

#[test]
fn folders_have_the_cids_of_kubo() {
    let node = Node::new();
    let vectors = vectors().trees;
    assert_eq!(vectors.len(), 24);
    let mut differ = Vec::new();
    for vector in vectors {
        let path = node.work().join(hex(&Sha256::digest(&vector.tree)));
        if !path.exists() {
            build(&vector.tree, &path);
        }
        let mut flags = vec!["-r".to_owned()];
        flags.extend(vector.flags);
        let got = measure(&node, &flags, &path);
        if got != vector.expected {
            differ.push(format!("{} {flags:?}:\n  want {:?}\n  got  {got:?}", vector.tree, vector.expected));
        }
    }
    assert_none(&differ);
}

/// Makes the folder that a vector describes.
fn build(tree: &str, at: &Path) {
    fs::create_dir(at).expect("the work folder is writable");
    if let Some(rest) = tree.strip_prefix("40 files named n-%03d") {
        assert!(rest.is_empty(), "unknown tree: {tree}");
        return named(at, (0..40).map(|i| format!("n-{i:03}")));
    }
    let (count, rest) = tree.split_once(' ').expect("a tree is described in words");
    if let Ok(count) = count.parse::<u32>() {
        assert_eq!(rest, "files named f-%05d (i from 0), each holding its own name");
        return named(at, (0..count).map(|i| format!("f-{i:05}")));
    }
    assert!(tree.starts_with("dirs a/b/c and empty; a/one="), "unknown tree: {tree}");
    mixed(at);
}

fn named(at: &Path, names: impl IntoIterator<Item = String>) {
    for name in names {
        fs::write(at.join(&name), &name).expect("the work folder is writable");
    }
}

fn mixed(at: &Path) {
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).expect("the work folder is writable");
    fs::create_dir_all(at.join("a/b/c")).expect("the work folder is writable");
    fs::create_dir(at.join("empty")).expect("the work folder is writable");
    write("a/one", b"one\n");
    write("a/b/two", b"two\n");
    write("a/b/c/empty", b"");
    write(".hidden", b"hidden\n");
    write("z", &keystream::bytes("z", 786_432));
    symlink("../one", at.join("a/b/link")).expect("the file system has symlinks");
    symlink("/dangling", at.join("abs")).expect("the file system has symlinks");
    let names = ["ünïcode", "日本語", "with space", "quote\"s", "100%", "a+b", "emoji-🦀", "B", "aa", "_", "-dash"];
    named(at, names.map(str::to_owned));
}

#[test]
fn dag_nodes_have_the_cids_and_bytes_of_kubo() {
    let node = Node::new();
    let vectors = vectors().dag;
    assert_eq!(vectors.len(), 28);
    let mut differ = Vec::new();
    for vector in vectors {
        let codec = format!("--store-codec={}", vector.store);
        let cid = node.feed_bytes(["dag", "put", "--input-codec=dag-json", &codec], vector.dag_json.as_str());
        let block = hex(&node.bytes(["block", "get", &cid]));
        if (cid.as_str(), block.as_str()) != (vector.cid.as_str(), vector.block_hex.as_str()) {
            differ.push(format!(
                "{} as {}: want {} {}, got {cid} {block}",
                vector.dag_json, vector.store, vector.cid, vector.block_hex
            ));
        }
    }
    assert_none(&differ);
}

/// (seed, bytes, flags, CID) from the specifications and their conformance tests.
const KNOWN: [(&str, u64, &[&str], &str); 4] = [
    ("chunk-v0-seed", 262_145, &["--cid-version=0"], "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
    ("v0-seed", 174 * 262_144 + 1, &["--cid-version=0"], "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
    ("chunk-v1-seed", 1_048_577, &V1_2025, "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"),
    (
        "chunk-v0-seed",
        262_145,
        &["--cid-version=1", "--raw-leaves"],
        "bafybeibyui7o3sbw3yifnewshhrbnuntcehluzvbkwgi5vmtsdobnc2c6y",
    ),
];

#[test]
fn known_answers_of_the_specifications() {
    let node = Node::new();
    for (seed, len, flags, cid) in KNOWN {
        let got = node.feed(["add", "-Q"].iter().chain(flags), keystream::reader(seed, len));
        assert_eq!(got, cid, "{len} bytes of {seed} with {flags:?}");
    }
    let hello = node.feed_bytes(["add", "-Q"], "hello world");
    assert_eq!(hello, "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
    let line = node.feed_bytes(["add", "-Q", "--cid-version=1"], "hello\n");
    assert_eq!(line, "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am");
}

/// Nothing is stored, so that the time is the pipeline's: the bytes arrive through a pipe, at no seekable offset.
#[test]
fn a_gigabyte_from_a_pipe_has_its_known_cid() {
    let node = Node::new();
    let args = ["add", "-Q", "-n"].iter().chain(&V1_2025);
    let got = node.feed(args, keystream::reader("v1-2025-seed", (1 << 30) + 1));
    assert_eq!(got, "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe");
}
