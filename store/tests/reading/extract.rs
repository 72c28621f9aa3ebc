//! Extraction: what is written, and what never is.

use super::world::World;
use cairn_store::{
    Cid,
    unixfs::{
        extract::{ExtractError, Options, extract},
        meta::FileMeta,
        node::Mtime,
        profile::Profile,
    },
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;

async fn get(world: &Arc<World>, root: &Cid, output: &Path) -> Result<(), ExtractError> {
    let options = Options { output: output.to_owned(), root_name: "root".into(), jobs: 3, progress: None };
    extract(world.clone(), root, options, None).await
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Paths below a directory and what is there.
fn contents(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).expect("lists") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below").to_str().expect("text").to_owned();
            let meta = fs::symlink_metadata(&path).expect("is there");
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("a link").display())
            } else if meta.is_dir() {
                todo.push(path);
                "dir".into()
            } else {
                format!("{:?}", fs::read(&path).expect("reads"))
            };
            found.insert(name, what);
        }
    }
    found
}

#[derive(Debug, Clone)]
enum Plan {
    File(Vec<u8>),
    Link(String),
    Dir(BTreeMap<String, Plan>),
}

fn plans() -> impl Strategy<Value = Plan> {
    let leaf = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Plan::File),
        "[a-z/.]{1,20}".prop_map(Plan::Link),
    ];
    let dir = leaf.prop_recursive(4, 60, 12, |inner| {
        proptest::collection::btree_map("[a-zA-Z0-9 _é-]{1,8}", inner, 0..12).prop_map(Plan::Dir)
    });
    proptest::collection::btree_map("[a-z]{1,8}", dir, 0..12).prop_map(Plan::Dir)
}

fn build(world: &World, plan: &Plan, at: &str, expected: &mut BTreeMap<String, String>) -> Cid {
    match plan {
        Plan::File(bytes) => {
            expected.insert(at.to_owned(), format!("{bytes:?}"));
            world.file(&Profile::cid_v1(), 1000, bytes, FileMeta::NONE).cid
        }
        Plan::Link(target) => {
            expected.insert(at.to_owned(), format!("-> {target}"));
            world.symlink(target.as_bytes())
        }
        Plan::Dir(children) => {
            if !at.is_empty() {
                expected.insert(at.to_owned(), "dir".into());
            }
            let path = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            let entries: Vec<(String, Cid)> = children
                .iter()
                .map(|(name, child)| (name.clone(), build(world, child, &path(name), expected)))
                .collect();
            let profile = if children.len() > 6 { super::world::sharded(8) } else { Profile::cid_v1() };
            world.directory(&profile, &entries, FileMeta::NONE)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_went_in_comes_out(plan in plans()) {
        let (world, scratch) = (World::new(), scratch());
        let mut expected = BTreeMap::new();
        let root = build(&world, &plan, "", &mut expected);
        let output = scratch.path().join("deep/output");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        // Twice: the second time everything is there already.
        for _ in 0..2 {
            runtime.block_on(get(&world, &root, &output)).expect("extracts");
            prop_assert_eq!(&contents(&output), &expected);
        }
    }
}

#[tokio::test]
async fn names_that_lead_out_write_nothing_outside() {
    for name in [&b".."[..], b".", b"", b"a/b", b"/etc/x", b"../x", b"n\0l", b"..\0"] {
        let (world, scratch) = (World::new(), scratch());
        let evil = world.dir(&[(b"x", world.raw(b"evil"))]);
        for entry in [world.raw(b"evil"), evil, world.symlink(b"/")] {
            let root = world.dir(&[(b"good", world.raw(b"good")), (name, entry)]);
            let error = get(&world, &root, &scratch.path().join("out")).await.expect_err("refused");
            assert!(matches!(error, ExtractError::BadName { .. }), "{name:?}: {error}");
            let outside = fs::read_dir(scratch.path()).expect("lists").count();
            assert_eq!(outside, 1, "{name:?}: only the output itself");
        }
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_symlink_of_the_dag() {
    let (world, scratch) = (World::new(), scratch());
    let outside = scratch.path().join("outside");
    fs::create_dir(&outside).expect("makes");
    let link = world.symlink(outside.to_str().expect("text").as_bytes());
    let dir = world.dir(&[(b"evil", world.raw(b"evil"))]);
    for entries in [[(&b"a"[..], link), (b"a", dir)], [(b"a", dir), (b"a", link)]] {
        let root = world.dir(&entries);
        for attempt in 0..20 {
            // Whichever is written first: a job and the walk may overtake one another.
            let _ = get(&world, &root, &scratch.path().join(format!("out{attempt}"))).await;
        }
        assert_eq!(contents(&outside), BTreeMap::new());
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_symlink_that_was_there() {
    let (world, scratch) = (World::new(), scratch());
    let (outside, out) = (scratch.path().join("outside"), scratch.path().join("out"));
    fs::create_dir(&outside).expect("makes");
    fs::create_dir(&out).expect("makes");
    fs::write(outside.join("file"), "old").expect("writes");
    symlink(&outside, out.join("dir")).expect("links");
    symlink(outside.join("file"), out.join("file")).expect("links");
    let dir = world.dir(&[(b"evil", world.raw(b"evil"))]);
    let error = get(&world, &world.dir(&[(b"dir", dir)]), &out).await.expect_err("a symlink in the way");
    assert!(matches!(error, ExtractError::InTheWay(_)), "{error}");
    // A file replaces a symlink, and does not follow it.
    get(&world, &world.dir(&[(b"file", world.raw(b"new"))]), &out).await.expect("extracts");
    assert_eq!(fs::read(out.join("file")).expect("reads"), b"new");
    assert_eq!(contents(&outside), BTreeMap::from([("file".into(), format!("{:?}", b"old"))]));
    let onto_link = get(&world, &dir, &out.join("dir")).await.expect_err("the output is a symlink");
    assert!(matches!(onto_link, ExtractError::InTheWay(_)), "{onto_link}");
}

#[tokio::test]
async fn a_pipe_is_not_replaced_by_a_file() {
    let (world, scratch) = (World::new(), scratch());
    let (pipe, link) = (scratch.path().join("pipe"), scratch.path().join("link"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("makes");
    // As /dev/stdout is.
    symlink(&pipe, &link).expect("links");
    for output in [&pipe, &link] {
        let error = get(&world, &world.raw(b"new"), output).await.expect_err("a pipe in the way");
        assert!(matches!(error, ExtractError::Special(_)), "{error}");
    }
    assert_eq!(fs::read_link(&link).expect("still a link"), pipe);
    assert!(!fs::symlink_metadata(&pipe).expect("is there").is_file());
}

#[tokio::test]
async fn permissions_and_times_are_restored_but_not_set_user_id() {
    let (world, scratch) = (World::new(), scratch());
    let mtime = Some(Mtime { seconds: 1_582_971_072, nanos: 345_678_901 });
    let meta = |mode| FileMeta { mode: Some(mode), mtime };
    let file = world.file(&Profile::cid_v1(), 1000, b"x", meta(0o6740)).cid;
    let large = world.file(&Profile::cid_v1(), 1000, &[7; 5000], meta(0o400)).cid;
    let sub = world.directory(&Profile::cid_v1(), &[("f".into(), file), ("l".into(), large)], meta(0o555));
    let root = world.directory(&Profile::cid_v1(), &[("sub".into(), sub)], meta(0o700));
    let out = scratch.path().join("out");
    get(&world, &root, &out).await.expect("extracts");
    for (path, mode) in [("", 0o700), ("sub", 0o555), ("sub/f", 0o740), ("sub/l", 0o400)] {
        let found = fs::metadata(out.join(path)).expect("is there");
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_582_971_072, 345_678_901), "{path}");
    }
    fs::set_permissions(out.join("sub"), fs::Permissions::from_mode(0o755)).expect("sets");
}

#[tokio::test]
async fn a_lone_file_takes_the_outputs_name_or_goes_into_it() {
    let (world, scratch) = (World::new(), scratch());
    let file = world.raw(b"x");
    let at = |name: &str| scratch.path().join(name);
    get(&world, &file, &at("name")).await.expect("extracts");
    fs::create_dir(at("dir")).expect("makes");
    get(&world, &file, &at("dir")).await.expect("extracts");
    get(&world, &world.symlink(b"t"), &at("link")).await.expect("extracts");
    // An empty directory in the way of a file is replaced, one with something in it is not.
    fs::create_dir_all(at("tree/f")).expect("makes");
    get(&world, &world.dir(&[(b"f", file)]), &at("tree")).await.expect("extracts");
    fs::create_dir_all(at("full/f/x")).expect("makes");
    get(&world, &world.dir(&[(b"f", file)]), &at("full")).await.expect_err("in the way");
    let x = format!("{:?}", b"x");
    let expected = [
        ("dir", "dir"),
        ("dir/root", &x),
        ("full", "dir"),
        ("full/f", "dir"),
        ("full/f/x", "dir"),
        ("link", "-> t"),
        ("name", &x),
        ("tree", "dir"),
        ("tree/f", &x),
    ];
    let expected: BTreeMap<String, String> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(contents(scratch.path()), expected);
}

/// A file of three leaves, and the last of them.
fn three_leaves(world: &World) -> (Cid, Cid) {
    let leaves: Vec<Cid> = (0..3u8).map(|i| world.raw(&vec![i; 1000])).collect();
    (world.parts(&leaves.iter().map(|&cid| (cid, 1000)).collect::<Vec<_>>()), leaves[2])
}

#[tokio::test]
async fn a_missing_block_leaves_no_half_file() {
    let (world, scratch) = (World::new(), scratch());
    let (file, last) = three_leaves(&world);
    world.forget(&last);
    let root = world.dir(&[(b"good", world.raw(b"good")), (b"half", file)]);
    let error = get(&world, &root, &scratch.path().join("out")).await.expect_err("a leaf is missing");
    assert!(error.to_string().ends_with(&last.to_string()), "{error}");
    let left = contents(&scratch.path().join("out"));
    assert!(left.keys().all(|name| name == "good"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_leaves_no_half_file() {
    let (world, scratch) = (World::new(), scratch());
    let (file, last) = three_leaves(&world);
    let (large, _) = three_leaves(&world);
    world.stalled.lock().expect("lock").insert(last);
    let root = world.dir(&[(b"half", file), (b"other", large)]);
    let out = scratch.path().join("out");
    tokio::select! {
        result = get(&world, &root, &out) => panic!("it can't end: {result:?}"),
        () = world.reached.notified() => {}
    }
    assert!(!out.join("half").exists(), "not under its own name");
}
