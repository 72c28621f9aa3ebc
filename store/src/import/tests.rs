use super::*;
use crate::{
    Cid,
    blockstore::{Blockstore as _, KvBlocks, key},
    kv::{Batch, Fault, FaultyKv, Kv, MemoryKv, Table},
};
use std::{
    fs,
    io::{Cursor, Read},
    sync::atomic::{AtomicBool, Ordering},
};

const PIN: &[u8] = b"pin";

struct Outcome {
    added: Vec<(String, String)>,
    result: Result<(), ImportError>,
}

fn store(kv: Arc<dyn Kv>) -> Arc<KvBlocks> {
    Arc::new(KvBlocks::open(kv).expect("opens"))
}

fn add(blocks: &Arc<KvBlocks>, sources: Vec<Source>, options: &Options) -> Outcome {
    let mut added = Vec::new();
    let mut on_added = |a: Added| {
        added.push((String::from_utf8_lossy(&a.name).into_owned(), a.cid.to_string()));
        Ok(())
    };
    let stage = |batch: &mut Batch, cid: &Cid| {
        batch.put(Table::Pins, [PIN, &cid.to_bytes()].concat(), Vec::new());
        Ok(())
    };
    let mut on_progress = |_: &Progress<'_>| {};
    let mut committer = Committer::new(Some(Arc::clone(blocks)), Some(&stage), &mut on_added, &mut on_progress);
    let imported = import(sources, options, &AtomicBool::new(false), &mut committer);
    let result = imported.and_then(|()| committer.finish());
    Outcome { added, result }
}

fn options() -> Options {
    Options::new(Profile::unixfs_v0_2015())
}

fn bytes(content: Vec<u8>, name: &str) -> Source {
    Source::Stream { name: Some(name.into()), reader: Box::new(Cursor::new(content)) }
}

/// The tree and the lines that Kubo 0.44 printed for `add -r d`.
#[test]
fn a_folder_is_announced_in_kubos_order_with_kubos_cids() {
    let dir = tempfile::tempdir().expect("temp dir");
    let d = dir.path().join("d");
    fs::create_dir_all(d.join("sub/.hid")).expect("mkdir");
    fs::create_dir(d.join("empty")).expect("mkdir");
    fs::write(d.join("a"), "hi\n").expect("write");
    fs::write(d.join("sub/b"), "x\n").expect("write");
    fs::write(d.join(".hidden"), "h\n").expect("write");
    std::os::unix::fs::symlink("a", d.join("link")).expect("symlink");
    let blocks = store(Arc::new(MemoryKv::new()));
    let outcome = add(&blocks, vec![Source::Path(d)], &options());
    outcome.result.expect("adds");
    let want = [
        ("d/a", "QmZLRFWaz9Kypt2ACNMDzA5uzACDRiCqwdkNSP1UZsu56D"),
        ("d/link", "QmQGdvJc5i8i3wPbkBgwtn91eoNg9cDxMBqaH4RBJVGX8S"),
        ("d/sub/b", "QmUNXr47Bja3aHUMfhXX5mMWTFJKuoUGETcA48vHG7dhag"),
        ("d/empty", "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"),
        ("d/sub", "QmaXhY994oinayjLo3xaDGrT3NCmDXUE1FbpoPCPFYqNHp"),
        ("d", "QmSgrT9ytf6ePxjBQ1q5A4edTY7KWUjfBt8smXk9E9aSnj"),
    ];
    assert_eq!(outcome.added, want.map(|(n, c)| (n.to_owned(), c.to_owned())));
}

#[test]
fn a_fifo_ends_the_import_with_its_name_and_no_root() {
    let dir = tempfile::tempdir().expect("temp dir");
    fs::write(dir.path().join("a"), "x").expect("write");
    let fifo = dir.path().join("b");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("mkfifo");
    let blocks = store(Arc::new(MemoryKv::new()));
    let outcome = add(&blocks, vec![Source::Path(dir.path().to_owned())], &options());
    assert!(matches!(&outcome.result, Err(ImportError::Special { path }) if *path == fifo), "{:?}", outcome.result);
    assert_eq!(outcome.added.len(), 1, "the file before it was read");
    assert_eq!(blocks.kv().scan(Table::Pins, PIN, None).count(), 0);
}

#[test]
fn a_symlink_to_its_own_folder_is_a_loop_only_when_it_is_followed() {
    let dir = tempfile::tempdir().expect("temp dir");
    std::os::unix::fs::symlink(".", dir.path().join("me")).expect("symlink");
    let blocks = store(Arc::new(MemoryKv::new()));
    let source = || vec![Source::Path(dir.path().to_owned())];
    add(&blocks, source(), &options()).result.expect("kept as a symlink");
    let follow = Options { dereference_symlinks: true, ..options() };
    assert!(matches!(add(&blocks, source(), &follow).result, Err(ImportError::Loop { .. })));
}

#[test]
fn progress_is_told_by_file() {
    let dir = tempfile::tempdir().expect("temp dir");
    fs::write(dir.path().join("a"), "12345").expect("write");
    fs::create_dir(dir.path().join("d")).expect("mkdir");
    fs::write(dir.path().join("d/big"), vec![7; 9 << 20]).expect("write");
    let blocks = store(Arc::new(MemoryKv::new()));
    let mut told: Vec<(String, u64, u64)> = Vec::new();
    let mut on_progress = |p: &Progress<'_>| told.push((String::from_utf8_lossy(p.path).into_owned(), p.file, p.all));
    let mut on_added = |_| Ok(());
    let mut committer = Committer::new(Some(blocks), None, &mut on_added, &mut on_progress);
    let sources = vec![Source::Path(dir.path().to_owned()), bytes(vec![1; 3], "x")];
    import(sources, &options(), &AtomicBool::new(false), &mut committer).expect("adds");
    let root = dir.path().file_name().expect("a name").to_string_lossy().into_owned();
    let (a, big) = (format!("{root}/a"), format!("{root}/d/big"));
    assert_eq!(told.first(), Some(&(a, 5, 5)));
    assert_eq!(told.last(), Some(&("x".to_owned(), 3, (9 << 20) + 8)));
    let of_big: Vec<_> = told.iter().filter(|(path, ..)| *path == big).collect();
    assert!(of_big.len() > 1, "also while it is read: {told:?}");
    assert_eq!(of_big.last().map(|(_, file, all)| (*file, *all)), Some((9 << 20, (9 << 20) + 5)));
}

#[test]
fn two_arguments_of_one_name_are_not_wrapped() {
    let blocks = store(Arc::new(MemoryKv::new()));
    let wrap = Options { wrap: true, ..options() };
    let sources = vec![bytes(vec![1], "x"), bytes(vec![2], "x")];
    assert!(matches!(add(&blocks, sources, &wrap).result, Err(ImportError::SameName { .. })));
}

/// Files of a sender, by path: folders are entered and left as paths need it.
struct Sent(Vec<Step>);

impl Steps for Sent {
    fn next(&mut self) -> Result<Option<Step>, ImportError> {
        Ok((!self.0.is_empty()).then(|| self.0.remove(0)))
    }
}

fn sent(paths: &[&str]) -> Source {
    let mut steps = Vec::new();
    for path in paths {
        let mut parts: Vec<Vec<u8>> = path.split('/').map(|p| p.as_bytes().to_vec()).collect();
        let (name, content) = (parts.pop(), path.as_bytes().to_vec());
        let depth = parts.len();
        steps.extend(parts.into_iter().map(|name| Step::Enter { name, meta: FileMeta::default() }));
        let reader = Box::new(Cursor::new(content));
        steps.push(Step::File { name, meta: FileMeta::default(), path: path.into(), reader, size: None });
        steps.extend((0..depth).map(|_| Step::Leave));
    }
    Source::Steps(Box::new(Sent(steps)))
}

#[test]
fn a_folder_that_a_sender_returns_to_is_the_same_folder() {
    let blocks = store(Arc::new(MemoryKv::new()));
    let wrap = Options { wrap: true, ..options() };
    let paths = ["a/x", "a/s/x", "b", "a/s/y", "c/a/x", "a/y"];
    let dir = tempfile::tempdir().expect("temp dir");
    for path in paths {
        let file = dir.path().join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("mkdir");
        fs::write(file, path).expect("write");
    }
    let on_disk = add(&blocks, vec![Source::Path(dir.path().to_owned())], &options());
    on_disk.result.expect("adds");
    let got = add(&blocks, vec![sent(&paths)], &wrap);
    got.result.expect("adds");
    let names: Vec<&str> = got.added.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a/x", "a/s/x", "b", "a/s/y", "c/a/x", "a/y", "a/s", "a", "c/a", "c", ""]);
    assert_eq!(got.added.last().map(|(_, cid)| cid), on_disk.added.last().map(|(_, cid)| cid));
    // Without a folder round it the parts of one argument are merged all the same.
    let Source::Steps(mut inner) = sent(&paths) else { panic!("steps") };
    let mut steps = vec![Step::Enter { name: b"top".to_vec(), meta: FileMeta::default() }];
    steps.extend(std::iter::from_fn(|| inner.next().expect("never fails")));
    steps.push(Step::Leave);
    let got = add(&blocks, vec![Source::Steps(Box::new(Sent(steps)))], &options());
    assert_eq!(got.added.last().map(|(_, cid)| cid), on_disk.added.last().map(|(_, cid)| cid));
}

#[test]
fn two_entries_of_one_name_are_refused_and_two_folders_merged() {
    let blocks = store(Arc::new(MemoryKv::new()));
    let wrap = Options { wrap: true, ..options() };
    for (paths, twice) in [
        (["a/x", "b", "a/x"], "a/x"),
        (["a/x", "b", "b"], "b"),
        (["a/x", "b", "a"], "a"),
        (["a/x", "b", "b/x"], "b"),
        (["a/x", "b", "a/x/y"], "a/x"),
    ] {
        let outcome = add(&blocks, vec![sent(&paths)], &wrap);
        assert!(matches!(outcome.result, Err(ImportError::SameName { name }) if name == twice), "{paths:?}");
    }
    // Arguments too.
    let dir = tempfile::tempdir().expect("temp dir");
    let argument = |path: &str, file: &str| {
        let argument = dir.path().join(path);
        fs::create_dir_all(&argument).expect("mkdir");
        fs::write(argument.join(file), file).expect("write");
        Source::Path(argument)
    };
    let merged = add(&blocks, vec![argument("1/d", "x"), argument("2/d", "y")], &wrap);
    merged.result.expect("adds");
    let one = add(&blocks, vec![argument("3/d", "x"), argument("3/d", "y")], &options());
    let folder = |outcome: &[(String, String)]| outcome.iter().rev().find(|(name, _)| name == "d").cloned();
    assert_eq!(folder(&merged.added), folder(&one.added));
}

/// A reader that fails after some bytes, like a file on a disk that goes bad.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(self.0).min(100_000);
        if n == 0 {
            return Err(io::Error::other("the disk is gone"));
        }
        self.0 -= n;
        buffer[..n].fill(7);
        Ok(n)
    }
}

#[test]
fn a_read_error_in_the_middle_pins_nothing_of_that_argument() {
    let blocks = store(Arc::new(MemoryKv::new()));
    let bad = Source::Stream { name: Some("bad".into()), reader: Box::new(Failing(9 << 20)) };
    let outcome = add(&blocks, vec![bytes(vec![1; 10], "good"), bad], &options());
    assert!(matches!(outcome.result, Err(ImportError::Read { .. })));
    assert!(outcome.added.is_empty(), "nothing is announced before it is durable");
}

/// The same import with a full disk, or a device error, at every operation in turn.
#[test]
fn a_fault_at_any_operation_announces_no_root_and_leaves_a_store_that_works() {
    // Larger than one window, so that the import spills; two arguments, so that one can be whole.
    let content = |seed: u8| (0..6u32 << 20).map(|i| (i >> 8) as u8 ^ seed).collect::<Vec<u8>>();
    for fault in [Fault::NoSpace, Fault::Io] {
        let mut at = 0;
        loop {
            let kv = Arc::new(FaultyKv::once(MemoryKv::new(), fault, at));
            // Opening reads the epoch: operation 0.
            let Ok(blocks) = KvBlocks::open(kv.clone()) else {
                at += 1;
                continue;
            };
            let blocks = Arc::new(blocks);
            let sources = || vec![bytes(content(1), "a"), bytes(content(2), "b")];
            let outcome = add(&blocks, sources(), &options());
            if !kv.fired() {
                outcome.result.expect("nothing failed");
                assert!(at > 10, "the fault was never reached");
                break;
            }
            assert!(outcome.result.is_err(), "operation {at}");
            assert!(outcome.added.is_empty(), "operation {at}");
            assert_eq!(kv.inner().scan(Table::Pins, PIN, None).count(), 0, "operation {at}");
            let again = add(&blocks, sources(), &options());
            again.result.expect("the store works once the fault is gone");
            assert_eq!(again.added.len(), 2);
            for (_, cid) in again.added {
                assert!(blocks.has(crate::cid::parse(&cid).expect("a cid").hash()).expect("reads"));
            }
            at += 1;
        }
    }
}

/// The caller commits what is whole after an error, as `cairn add` does. A block that the store refused may belong
/// to a root that came before the one that failed.
#[test]
fn what_is_committed_after_an_error_is_whole() {
    let content = (0..9u32 << 20).map(|i| (i >> 8) as u8).collect::<Vec<u8>>();
    let mut at = 0;
    loop {
        let kv = Arc::new(FaultyKv::once(MemoryKv::new(), Fault::NoSpace, at));
        at += 1;
        let Ok(blocks) = KvBlocks::open(kv.clone()).map(Arc::new) else { continue };
        let mut added = Vec::new();
        let mut on_added = |a: Added| {
            added.push(a.cid);
            Ok(())
        };
        let stage = |batch: &mut Batch, cid: &Cid| {
            batch.put(Table::Pins, [PIN, &cid.to_bytes()].concat(), Vec::new());
            Ok(())
        };
        let mut on_progress = |_: &Progress<'_>| {};
        let mut committer = Committer::new(Some(Arc::clone(&blocks)), Some(&stage), &mut on_added, &mut on_progress);
        let sources = vec![bytes(vec![1; 10], "small"), bytes(content.clone(), "large")];
        let failed = import(sources, &options(), &AtomicBool::new(false), &mut committer).is_err();
        let _ = if failed { committer.abandon() } else { committer.finish() };
        let here = |cid: &Cid| kv.inner().get(Table::Blocks, &key(cid.hash())).expect("reads").is_some();
        for row in kv.inner().scan(Table::Pins, PIN, None) {
            let (row, _) = row.expect("reads");
            let cid = crate::cid::from_bytes(&row[PIN.len()..]).expect("a cid");
            assert!(here(&cid), "operation {at}: {cid} is pinned and not here");
        }
        assert!(added.iter().all(here), "operation {at}: what was announced is not here");
        if !kv.fired() {
            break;
        }
    }
}

#[test]
fn a_cancelled_import_ends_soon_and_announces_nothing() {
    struct Endless(Arc<AtomicBool>, usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1 == 100 {
                self.0.store(true, Ordering::Relaxed);
            }
            assert!(self.1 < 100_000, "the import did not stop");
            buffer.fill(1);
            Ok(buffer.len())
        }
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let blocks = store(Arc::new(MemoryKv::new()));
    let source = Source::Stream { name: None, reader: Box::new(Endless(Arc::clone(&cancel), 0)) };
    let mut on_added = |_: Added| panic!("nothing was whole");
    let mut on_progress = |_: &Progress<'_>| {};
    let mut committer = Committer::new(Some(blocks), None, &mut on_added, &mut on_progress);
    let result = import(vec![source], &options(), &cancel, &mut committer);
    assert!(matches!(result, Err(ImportError::Cancelled)), "{result:?}");
}
