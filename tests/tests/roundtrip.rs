//! Random folders, added with random flags, come back byte for byte.

use cairn_tests::{
    harness::Node,
    tree::{self, Found, Item, Meta},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Each case runs the program about six times.
const CASES: u32 = 40;
/// A failing case is made smaller this many times at most.
const SHRINKS: u32 = 150;

#[derive(Debug, Clone)]
struct Flags {
    args: Vec<String>,
    hidden: bool,
    preserve: bool,
}

fn flags() -> impl Strategy<Value = Flags> {
    let one_of = |options: &[&'static str]| prop::sample::select(options.to_vec());
    (
        one_of(&["", "--cid-version=0", "--cid-version=1"]),
        one_of(&["", "--raw-leaves", "--raw-leaves=false"]),
        one_of(&["", "--chunker=size-1000", "--chunker=rabin-2048-4096-8192", "--chunker=buzhash"]),
        one_of(&["", "--trickle", "--max-file-links=5", "--inline", "--hash=sha2-512", "--hash=blake3"]),
        one_of(&["", "", "--max-directory-links=2"]),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(version, leaves, chunker, layout, sharding, hidden, preserve)| {
            let mut args: Vec<String> =
                [version, leaves, chunker, layout, sharding].iter().map(|s| (*s).to_owned()).collect();
            args.retain(|arg| !arg.is_empty());
            if hidden {
                args.push("--hidden".into());
            }
            if preserve {
                args.extend(["--preserve-mode".into(), "--preserve-mtime".into()]);
            }
            // Version 0 is sha2-256 with wrapped leaves: other hashes with it are refused.
            args.retain(|arg| version != "--cid-version=0" || !arg.starts_with("--hash"));
            // A raw leaf has no room for permissions and times: that is refused, too.
            args.retain(|arg| !preserve || arg != "--raw-leaves");
            Flags { args, hidden, preserve }
        })
}

/// Runs a property with a seed that is printed; `$CAIRN_TEST_SEED` repeats a run.
fn check<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed: u64 = std::env::var("CAIRN_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("CAIRN_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, max_shrink_iters: SHRINKS, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(error) = runner.run(&strategy, test) {
        panic!("CAIRN_TEST_SEED={seed}: {error}");
    }
}

fn fresh(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("the work folder is writable");
    }
}

/// Lengths instead of bytes, to be shown when two listings differ.
fn brief(listing: &tree::Listing) -> BTreeMap<&String, String> {
    let show = |found: &Found| match found {
        Found::File(bytes) => format!("{} bytes", bytes.len()),
        other => format!("{other:?}"),
    };
    listing.iter().map(|(path, found)| (path, show(found))).collect()
}

fn metas_on_disk(dir: &Path, paths: impl Iterator<Item = String>) -> BTreeMap<String, Meta> {
    paths.map(|path| (path.clone(), Meta::of(Path::new(&format!("{}{path}", dir.display()))))).collect()
}

#[test]
fn folders_come_back_as_they_were() {
    let node = Node::new();
    let (source, target) = (node.work().join("source"), node.work().join("target"));
    check((tree::folder(), flags()), |(folder, flags)| {
        fresh(&source);
        fresh(&target);
        folder.write(&source);
        let mut args: Vec<&str> = vec!["-r"];
        args.extend(flags.args.iter().map(String::as_str));
        let cid = node.add(&args, &source);
        let want = folder.listing(flags.hidden);

        node.ok(["get", "--progress=false", "-o", "target", &cid]);
        let got = tree::read(&target);
        prop_assert!(got == want, "get: want {:#?}, got {:#?}", brief(&want), brief(&got));
        if flags.preserve {
            let want = folder.metas(flags.hidden);
            prop_assert_eq!(metas_on_disk(&target, want.keys().cloned()), want);
        }

        node.ok(["get", "--progress=false", "-a", "-o", "target.tar", &cid]);
        let got = tree::untar(&node.work().join("target.tar"));
        prop_assert!(got == want, "get -a: want {:#?}, got {:#?}", brief(&want), brief(&got));

        node.ok(["pin", "rm", &cid]);
        Ok(())
    });
}

#[test]
fn any_range_of_a_file_reads_as_it_was() {
    let node = Node::new();
    let range = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let ranges = prop::collection::vec(range, 1..4);
    check((0_usize..400_000, flags(), ranges), |(len, flags, ranges)| {
        let bytes = cairn_tests::keystream::bytes("range", len);
        let path = node.file("file", &bytes);
        let args: Vec<&str> = flags.args.iter().map(String::as_str).collect();
        let cid = node.add(&args, &path);
        prop_assert!(node.bytes(["cat", &cid]) == bytes, "the whole file differs");
        for (offset, length) in ranges {
            let (offset, length) = (offset.index(len + 1), length.index(len + 10));
            let got = node.bytes(["cat", "-o", &offset.to_string(), "-l", &length.to_string(), &cid]);
            // No length is said as 0 by nobody: Kubo reads nothing then, and so do we.
            let end = (offset + length).min(len);
            prop_assert!(got == bytes[offset..end], "bytes {offset}..{end} of {len} differ, {} came", got.len());
        }
        Ok(())
    });
}

/// The random folders hold what they are said to hold.
#[test]
fn listings_agree_with_the_disk() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let root = dir.path().join("root");
    check(tree::folder(), |folder: Item| {
        fresh(&root);
        folder.write(&root);
        prop_assert_eq!(tree::read(&root), folder.listing(true));
        let metas = folder.metas(true);
        prop_assert_eq!(metas_on_disk(&root, metas.keys().cloned()), metas);
        Ok(())
    });
}
