//! The golden vectors of `tests/vectors/kubo-cids.json`, and the known answers of IPIP-499.

use crate::support::{Importer, Tree, flags, test_bytes};
use cairn_store::unixfs::profile::Profile;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/vectors/kubo-cids.json");

fn vectors(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).expect("json");
    all[section].as_array().expect("a list").clone()
}

fn flag_list(vector: &Value) -> Vec<&str> {
    vector["flags"].as_array().expect("flags").iter().map(|f| f.as_str().expect("text")).collect()
}

/// Compares CID, number of blocks and bytes with the vector.
fn check(importer: &Importer, cid: &str, vector: &Value) -> Result<(), String> {
    let got = (cid, importer.blocks.len() as u64, importer.dag_bytes());
    let want = (
        vector["cid"].as_str().expect("cid"),
        vector["blocks"].as_u64().expect("blocks"),
        vector["dag_bytes"].as_u64().expect("dag_bytes"),
    );
    if got == want { Ok(()) } else { Err(format!("{:?}: got {got:?}, not {want:?}", vector["flags"])) }
}

#[test]
fn files_have_kubos_cids() {
    let vectors = vectors("files");
    assert!(vectors.len() > 60, "only {} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let flags = flags(flag_list(vector));
        let seed = vector["seed"].as_str().expect("seed");
        let size = vector["size"].as_u64().expect("size") as usize;
        let mut importer = Importer::new(flags.profile);
        importer.meta = flags.meta;
        let mut root = importer.file(&test_bytes(seed, size));
        if flags.wrap {
            root = importer.directory([(vector["name"].as_str().expect("name"), root)]);
        }
        if let Err(error) = check(&importer, &root.cid.to_string(), vector) {
            wrong.push(format!("{seed} {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tree with awkward names that the vectors describe in words.
fn awkward_tree(hidden: bool) -> Tree {
    let mut tree = Tree::dir();
    tree.put("a/one", Tree::text("one\n"));
    tree.put("a/b/two", Tree::text("two\n"));
    tree.put("a/b/c/empty", Tree::text(""));
    tree.put("a/b/link", Tree::Link("../one".into()));
    tree.put("abs", Tree::Link("/dangling".into()));
    tree.put("empty", Tree::dir());
    tree.put("z", Tree::File(test_bytes("z", 786_432)));
    if hidden {
        tree.put(".hidden", Tree::text("hidden\n"));
    }
    for name in ["ünïcode", "日本語", "with space", "quote\"s", "100%", "a+b", "emoji-🦀", "B", "aa", "_", "-dash"]
    {
        tree.put(name, Tree::text(name));
    }
    tree
}

/// Files that hold their own names: `N files named PREFIX-%0Wd`.
fn numbered_tree(description: &str) -> Tree {
    let count: usize = description.split(' ').next().and_then(|n| n.parse().ok()).expect("a count");
    let mut tree = Tree::dir();
    for i in 0..count {
        let name = if description.contains("n-%03d") { format!("n-{i:03}") } else { format!("f-{i:05}") };
        tree.put(&name, Tree::text(&name));
    }
    tree
}

#[test]
fn trees_have_kubos_cids() {
    let vectors = vectors("trees");
    assert!(vectors.len() > 20, "only {} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let flags = flags(flag_list(vector));
        let description = vector["tree"].as_str().expect("tree");
        let tree =
            if description.starts_with("dirs") { awkward_tree(flags.hidden) } else { numbered_tree(description) };
        let mut importer = Importer::new(flags.profile);
        let root = importer.tree(&tree);
        if let Err(error) = check(&importer, &root.cid.to_string(), vector) {
            wrong.push(format!("{:.40} {error}", description));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn known_answers_of_the_profiles() {
    let v0 = Profile::unixfs_v0_2015();
    for (profile, bytes, cid) in [
        (v0, b"hello world".to_vec(), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
        (v0, test_bytes("chunk-v0-seed", 262_145), "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ"),
        (v0, test_bytes("v0-seed", 174 * 262_144 + 1), "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW"),
        (
            Profile::unixfs_v1_2025(),
            test_bytes("chunk-v1-seed", (1 << 20) + 1),
            "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64",
        ),
        (Profile::cid_v1(), b"hello\n".to_vec(), "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),
        (
            Profile::cid_v1(),
            test_bytes("chunk-v0-seed", 262_145),
            "bafybeibyui7o3sbw3yifnewshhrbnuntcehluzvbkwgi5vmtsdobnc2c6y",
        ),
    ] {
        assert_eq!(Importer::new(profile).file(&bytes).cid.to_string(), cid);
    }
}
