//! Mounts whose content other nodes hold.

use cairn_tests::{
    keystream,
    mount::{Point, can_mount},
    network::Online,
};
use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long the mounts here wait for a block.
const DEADLINE: Duration = Duration::from_secs(4);
/// What a machine with much to do may add to it.
const GRACE: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;
const BIG: usize = 24 * MIB;

/// A holder that gives little at a time: what it holds is not there at once.
fn slow() -> Online {
    Online::with(&[("Bitswap.UploadLimit", "\"4MiB\"")])
}

/// A node that has mounted everything, and the directory.
fn reader(holders: &[&Online]) -> (Online, Point, PathBuf) {
    let node = Online::new();
    for holder in holders {
        node.connect(holder);
    }
    let point = Point::new(&node, "mount");
    node.ok(["mount", "--deadline", &format!("{}s", DEADLINE.as_secs()), "mount"]);
    let ipfs = point.path().join("ipfs");
    (node, point, ipfs)
}

/// Whether that is what the system says when nothing came in time. Kernels before 6.16 make `EIO` of all errors in the
/// page cache.
fn is_late(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIMEDOUT | libc::EIO))
}

/// Reads at a place, all that is asked for.
fn at(file: &File, offset: usize, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset as u64)?;
    Ok(bytes)
}

#[test]
fn a_file_is_read_while_its_blocks_arrive() {
    if !can_mount() {
        return;
    }
    let holder = slow();
    let bytes = keystream::bytes("1", BIG);
    let cid = holder.add(&[], &holder.file("big", &bytes));
    let (node, _point, ipfs) = reader(&[&holder]);
    let file = File::open(ipfs.join(&cid)).expect("opens");
    assert_eq!(file.metadata().expect("its root says how long it is").len(), BIG as u64);
    assert_eq!(at(&file, 0, 1000).expect("reads"), bytes[..1000]);
    assert_eq!(at(&file, BIG - 1000, 1000).expect("reads"), bytes[BIG - 1000..]);
    let missing = node.run(["--offline", "dag", "stat", &cid]);
    assert!(!missing.status.success(), "all was there before the end was read: this shows nothing");
    let mut whole = Vec::new();
    (&file).read_to_end(&mut whole).expect("reads");
    assert!(whole == bytes);
}

#[test]
fn a_holder_that_dies_is_an_error_in_time_and_another_one_goes_on() {
    if !can_mount() {
        return;
    }
    let (mut first, second) = (slow(), Online::new());
    let bytes = keystream::bytes("2", BIG);
    let cid = first.add(&[], &first.file("big", &bytes));
    let (node, _point, ipfs) = reader(&[&first]);
    let file = File::open(ipfs.join(&cid)).expect("opens");
    assert_eq!(at(&file, 0, MIB).expect("reads"), bytes[..MIB]);
    first.kill();

    let begin = Instant::now();
    let error = at(&file, BIG - MIB, MIB).expect_err("nobody has it");
    let waited = begin.elapsed();
    assert!(is_late(&error), "{error}");
    assert!(waited < DEADLINE + GRACE, "{waited:?}");
    assert_eq!(at(&file, 0, MIB).expect("what is here can still be read"), bytes[..MIB]);

    let same = second.add(&[], &second.file("big", &bytes));
    assert_eq!(same, cid);
    node.connect(&second);
    let file = File::open(ipfs.join(&cid)).expect("opens");
    assert!(at(&file, 0, BIG).expect("the second one has it") == bytes);
}

#[test]
fn one_of_two_holders_dies_and_nobody_notices() {
    if !can_mount() {
        return;
    }
    let (mut first, second) = (slow(), slow());
    let bytes = keystream::bytes("3", BIG);
    let cid = first.add(&[], &first.file("big", &bytes));
    assert_eq!(second.add(&[], &second.file("big", &bytes)), cid);
    let (_node, _point, ipfs) = reader(&[&first, &second]);
    let mut file = File::open(ipfs.join(&cid)).expect("opens");
    let mut read = vec![0; MIB];
    file.read_exact(&mut read).expect("reads");
    first.kill();
    file.read_to_end(&mut read).expect("the other one has it too");
    assert!(read == bytes);
}

#[test]
fn many_threads_read_a_folder_of_another_node() {
    const FILES: usize = 1000;
    const THREADS: usize = 64;
    /// Each file is read by so many threads.
    const READERS: usize = 4;
    if !can_mount() {
        return;
    }
    let content = |number: usize| keystream::bytes(&number.to_string(), 1 + number * 37);
    let holder = Online::new();
    let folder = holder.work().join("folder");
    for number in 0..FILES {
        let dir = folder.join(format!("{}", number % 10));
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        fs::write(dir.join(format!("{number}")), content(number)).expect("the temporary directory is writable");
    }
    let cid = holder.add(&["-r"], &folder);
    let (_node, _point, ipfs) = reader(&[&holder]);
    let (root, next) = (ipfs.join(&cid), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= FILES * READERS {
                        return;
                    }
                    let number = turn / READERS;
                    let path = root.join(format!("{}/{number}", number % 10));
                    let read = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    assert!(read == content(number), "{}", path.display());
                }
            });
        }
    });
    assert_eq!(fs::read_dir(&root).expect("lists").count(), 10);
}

#[test]
fn one_missing_child_breaks_no_listing() {
    if !can_mount() {
        return;
    }
    let holder = Online::new();
    let folder = holder.work().join("folder");
    fs::create_dir(&folder).expect("the temporary directory is writable");
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), name.repeat(100)).expect("the temporary directory is writable");
    }
    let cid = holder.add(&["-r", "--pin=false"], &folder);
    let child = holder.ok(["resolve", "-r", &format!("/ipfs/{cid}/b")]);
    holder.ok(["block", "rm", child.strip_prefix("/ipfs/").expect("a path")]);
    let (_node, _point, ipfs) = reader(&[&holder]);
    let root = ipfs.join(&cid);
    let mut names: Vec<_> = fs::read_dir(&root).expect("lists").map(|e| e.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(fs::read_to_string(root.join("a")).expect("reads"), "a".repeat(100));
    let error = fs::read(root.join("b")).expect_err("nobody has it");
    assert!(is_late(&error), "not that it does not exist: {error}");
    assert_eq!(fs::read_to_string(root.join("c")).expect("reads"), "c".repeat(100));
}
