//! Odd flags, against what Kubo 0.44 gave (`tests/vectors/unixfs-odd.json`): CIDs, and the size below each root.

use crate::support::{Importer, Tree, flags_of, test_bytes};
use cairn_store::unixfs::profile::{HamtEstimate, Profile};
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/vectors/unixfs-odd.json");

/// Runs every vector of a section that `build` has an answer for.
fn check(section: &str, least: usize, build: impl Fn(&mut Importer, &Value) -> cairn_store::unixfs::Root) {
    let all: Value = serde_json::from_str(VECTORS).expect("json");
    let vectors = all[section].as_array().expect("a list");
    assert!(vectors.len() >= least, "only {} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in vectors {
        let mut importer = importer(vector);
        let root = build(&mut importer, vector);
        let got = (root.cid.to_string(), root.tsize);
        let want = (vector["cid"].as_str().expect("cid").to_owned(), vector["tsize"].as_u64().expect("tsize"));
        if got != want {
            let Value::Object(mut given) = vector.clone() else { panic!("not an object") };
            given.remove("entries");
            wrong.push(format!("{got:?} for {}", Value::Object(given)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

fn importer(vector: &Value) -> Importer {
    let base = vector["profile"].as_str().map_or_else(Profile::default, |name| Profile::named(name).expect(name));
    let list = vector["flags"].as_array().expect("flags").iter().map(|f| f.as_str().expect("text"));
    let mut flags = flags_of(base, list);
    if let Some(threshold) = vector["config"]["Import.UnixFSHAMTDirectorySizeThreshold"].as_str() {
        flags.profile.hamt_threshold = threshold.trim_end_matches('B').parse().expect("bytes");
    }
    match vector["config"]["Import.UnixFSHAMTDirectorySizeEstimation"].as_str() {
        Some("block") => flags.profile.hamt_estimate = HamtEstimate::Block,
        Some("disabled") => flags.profile.hamt_estimate = HamtEstimate::Disabled,
        _ => {}
    }
    let mut importer = Importer::new(flags.profile);
    importer.meta = flags.meta;
    importer
}

fn content(spec: &Value) -> Vec<u8> {
    let text = |i: usize| spec[i].as_str().expect("text");
    let number = |i: usize| usize::try_from(spec[i].as_u64().expect("a number")).expect("small");
    match text(0) {
        "keystream" => test_bytes(text(1), number(2)),
        "byte" => vec![u8::try_from(number(1)).expect("a byte"); number(2)],
        "text" => text(1).into(),
        other => panic!("unknown content {other}"),
    }
}

#[test]
fn odd_files() {
    check("files", 250, |importer, vector| importer.file(&content(&vector["content"])));
}

#[test]
fn odd_trees() {
    check("trees", 40, |importer, vector| {
        let mut tree = Tree::dir();
        if let Some(count) = vector["count"].as_u64() {
            for i in 0..count {
                tree.put(&format!("{}{i}", vector["stem"].as_str().expect("stem")), Tree::text(&i.to_string()));
            }
        } else {
            for (path, spec) in vector["entries"].as_object().expect("entries") {
                let child = match spec[0].as_str() {
                    Some("dir") => Tree::dir(),
                    Some("link") => Tree::Link(spec[1].as_str().expect("target").to_owned()),
                    _ => Tree::File(content(spec)),
                };
                tree.put(path, child);
            }
        }
        importer.tree(&tree)
    });
}
