//! The directions of import between the crates, as `docs/ARCHITECTURE.md` states them, read from the manifests
//! and from the sources; and the length of files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Crate, and which of ours it may import. `tests` may import all of them.
const ALLOWED: [(&str, &[&str]); 6] = [
    ("store", &[]),
    ("net", &["store"]),
    ("fuse", &["store"]),
    ("gateway", &["store"]),
    ("cli", &["gateway", "fuse", "net", "store"]),
    ("tests", &["gateway", "fuse", "net", "store"]),
];
/// A longer source file holds more than one thing.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

/// Crates that are there, with what they may import.
fn crates() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    ALLOWED.into_iter().filter(|(name, _)| root().join(name).join("Cargo.toml").exists())
}

/// All Rust files of a crate by path.
fn sources(name: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root().join(name)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                files.insert(path, text);
            }
        }
    }
    files
}

/// Crates of ours that a text names: `cairn_store` in code, `cairn-store` in a manifest.
fn named(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let prefix = format!("cairn{separator}");
    let starts: Vec<usize> = text.match_indices(&prefix).map(|(at, _)| at).collect();
    starts.into_iter().filter_map(move |at| {
        // `my_cairn_store` is another word.
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return None;
        }
        let rest = &text[at + "cairn_".len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        ALLOWED.iter().any(|(name, _)| *name == &rest[..end]).then_some(&rest[..end])
    })
}

/// Code without comments: prose may name what it likes.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Tables of a manifest that name dependencies of the library or program itself, build scripts included.
fn dependencies(manifest: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if inside {
            kept.push_str(line.split('#').next().unwrap_or_default());
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn crates_import_only_what_they_may() {
    let mut looked_at = 0;
    for (name, allowed) in crates() {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).expect("manifest");
        for found in named(&dependencies(&manifest), '-') {
            assert!(allowed.contains(&found), "{name}/Cargo.toml depends on cairn-{found}");
        }
        for (path, text) in sources(name) {
            looked_at += 1;
            for found in named(&code(&text), '_') {
                let own = found == name;
                assert!(own || allowed.contains(&found), "{} imports cairn_{found}", path.display());
            }
        }
    }
    assert!(looked_at > 100, "only {looked_at} files were looked at");
}

#[test]
fn every_crate_of_the_workspace_is_in_the_table() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("manifest");
    let members = manifest.lines().find_map(|l| l.strip_prefix("members = ")).expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        assert!(ALLOWED.iter().any(|(name, _)| *name == member), "{member} has no row in the table");
    }
}

#[test]
fn no_source_file_is_longer_than_it_should_be() {
    for (name, _) in crates() {
        for (path, text) in sources(name) {
            let lines = text.lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn the_reader_of_this_test_finds_what_it_looks_for() {
    assert_eq!(named("use cairn_store::Cid; cairn_net::x", '_').collect::<Vec<_>>(), ["store", "net"]);
    assert_eq!(named("my_cairn_store cairn_bunny cairn_storage", '_').count(), 0);
    assert_eq!(code("a\n  // cairn_net\nb"), "a\nb");
    let manifest =
        "[package]\nname = \"cairn-net\"\n[dev-dependencies]\ncairn-fuse = 1 # cairn-cli\n[lints]\ncairn-x = 1";
    assert_eq!(named(&dependencies(manifest), '-').collect::<Vec<_>>(), ["fuse"]);
}
