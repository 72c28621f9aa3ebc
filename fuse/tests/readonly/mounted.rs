//! On a real mount.

use crate::support::{Folder, World, can_mount, noise, settings, sharded};
use cairn_fuse::{
    core::{Filesystem, Layout, Writable},
    mount::{Mount, MountError, Options},
};
use cairn_store::{
    cid::codec,
    dag::{self, Ipld},
    unixfs::{meta::FileMeta, node::Mtime, profile::Profile},
};
use std::{
    collections::BTreeSet,
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_millis(300);

fn mount(world: &Arc<World>) -> Folder {
    Folder::new(world.sources(), Writable::default(), settings(Layout::All, PATIENCE))
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect()
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).expect("an errno")
}

#[test]
fn a_folder_is_read_as_it_was_added() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let big = noise(3_000_001, 1);
    let meta = FileMeta { mode: Some(0o751), mtime: Some(Mtime { seconds: 1_600_000_000, nanos: 5 }) };
    let file = world.file(&Profile::unixfs_v0_2015(), 100_000, &big, meta);
    let raw = world.raw(b"raw bytes");
    let link = world.symlink(b"big");
    let inner = world.dir(&[(b"raw", raw, 9)]);
    let root = world.dir(&[(b"big", file, 3_000_001), (b"inner", inner, 0), (b"link", link, 0), (b"raw", raw, 9)]);
    let folder = mount(&world);
    let root = folder.path(&format!("ipfs/{root}"));
    assert_eq!(names(&root), ["big", "inner", "link", "raw"].map(str::to_owned).into());
    assert_eq!(fs::read(root.join("big")).expect("reads"), big);
    assert_eq!(fs::read(root.join("link")).expect("follows"), big);
    assert_eq!(fs::read(root.join("inner/raw")).expect("reads"), b"raw bytes");
    let stat = fs::metadata(root.join("big")).expect("stat");
    assert_eq!((stat.len(), stat.mtime(), stat.mtime_nsec()), (3_000_001, 1_600_000_000, 5));
    assert_eq!(stat.permissions().mode(), libc::S_IFREG | 0o751);
    assert_eq!(fs::metadata(root.join("raw")).expect("stat").permissions().mode(), libc::S_IFREG | 0o444);
    assert!(fs::metadata(&root).expect("stat").is_dir());
    assert_eq!(errno(fs::read(root.join("nothing"))), libc::ENOENT);
    assert_eq!(errno(fs::write(root.join("big"), "x")), libc::EROFS);
    assert_eq!(errno(fs::create_dir(root.join("new"))), libc::EROFS);
    assert_eq!(errno(fs::remove_file(root.join("raw"))), libc::EROFS);
    assert_eq!(names(folder.root()), ["ipfs", "ipns"].map(str::to_owned).into());
    assert_eq!(errno(fs::read_dir(folder.path("ipfs"))), libc::EPERM);
    assert!(names(&folder.path("ipns")).is_empty());
    folder.unmount();
}

#[test]
fn odd_places_of_a_file_are_read() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let bytes = noise(5_000_000, 2);
    let cid = world.file(&Profile::cid_v1(), 77_777, &bytes, FileMeta::NONE);
    let folder = mount(&world);
    let path = folder.path(&format!("ipfs/{cid}"));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (path, bytes) = (path.clone(), bytes.clone());
            std::thread::spawn(move || {
                let mut file = fs::File::open(path).expect("opens");
                let mut at = 13 * thread + 1;
                for step in 0..200 {
                    at = (at * 7919 + step) % bytes.len();
                    let len = (step * 331 % 70_000).min(bytes.len() - at);
                    let mut got = vec![0; len];
                    file.seek(SeekFrom::Start(at as u64)).expect("seeks");
                    file.read_exact(&mut got).expect("reads");
                    assert!(got == bytes[at..at + len], "{at} {len}");
                }
                assert_eq!(file.seek(SeekFrom::End(10)).expect("seeks"), bytes.len() as u64 + 10);
                assert_eq!(file.read(&mut [0; 10]).expect("reads"), 0);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a reader"));
}

#[test]
fn a_large_directory_is_listed_without_its_children() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    // None of the files is here, nor anywhere.
    let missing = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(100, 3), FileMeta::NONE);
    world.forget(&missing);
    let entries: Vec<(String, _)> = (0..20_000).map(|i| (format!("file {i}"), missing)).collect();
    for profile in [sharded(256), Profile { max_dir_links: 0, ..Profile::cid_v1() }] {
        let root = world.directory(&profile, &entries);
        let folder = mount(&world);
        let dir = folder.path(&format!("ipfs/{root}"));
        let expected: BTreeSet<String> = entries.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names(&dir), expected);
        assert_eq!(names(&dir), expected, "again, from the cache");
        assert_eq!(errno(fs::metadata(dir.join("file 5"))), libc::EIO);
        assert_eq!(errno(fs::metadata(dir.join("file"))), libc::ENOENT);
        // The type of none of them is known.
        let one = fs::read_dir(&dir).expect("lists").next().expect("one").expect("an entry");
        assert_eq!(errno(one.file_type()), libc::EIO, "a type that is unknown is looked for");
    }
}

#[test]
fn other_codecs_are_files_and_maps_of_links_are_folders() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let raw = world.raw(b"linked");
    let map = Ipld::Map(vec![
        ("one".into(), Ipld::Link(Box::new(raw))),
        ("a/b".into(), Ipld::Link(Box::new(raw))),
        ("two".into(), Ipld::Link(Box::new(raw))),
    ]);
    let links = world.block(codec::DAG_CBOR, dag::encode(&map, codec::DAG_CBOR).expect("encodes"));
    let value = Ipld::Map(vec![("n".into(), Ipld::Int(5)), ("l".into(), Ipld::Link(Box::new(raw)))]);
    let value_bytes = dag::encode(&value, codec::DAG_CBOR).expect("encodes");
    let value = world.block(codec::DAG_CBOR, value_bytes.clone());
    let json = world.block(codec::DAG_JSON, &br#"{"a":[1,2]}"#[..]);
    let unknown = world.block(0x1234, &b"whatever"[..]);
    let folder = mount(&world);
    let path = |cid: &cairn_store::Cid| folder.path(&format!("ipfs/{cid}"));
    assert_eq!(names(&path(&links)), ["one", "two"].map(str::to_owned).into(), "no path leads to a name with a slash");
    assert_eq!(fs::read(path(&links).join("one")).expect("reads"), b"linked");
    assert_eq!(fs::read(path(&value)).expect("reads"), value_bytes);
    assert_eq!(fs::read(path(&json)).expect("reads"), br#"{"a":[1,2]}"#);
    assert_eq!(fs::read(path(&unknown)).expect("reads"), b"whatever");
    assert_eq!(errno(fs::metadata(folder.path("ipfs/.git"))), libc::ENOENT);
}

#[test]
fn what_does_not_come_is_a_timeout_and_leaves_the_rest_alone() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let good = world.raw(b"good");
    let lost = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(100, 4), FileMeta::NONE);
    let half = world.file(&Profile::cid_v1(), 1000, &noise(3000, 5), FileMeta::NONE);
    let leaf = world.raw(&noise(3000, 5)[2000..]);
    world.stall(&lost);
    world.stall(&leaf);
    let root = world.dir(&[(b"good", good, 4), (b"half", half, 3000), (b"lost", lost, 100)]);
    // Long enough to tell waiting once from waiting twice on a machine with much to do.
    let patience = Duration::from_secs(4);
    let folder = Folder::new(world.sources(), Writable::default(), settings(Layout::All, patience));
    let dir = folder.path(&format!("ipfs/{root}"));
    assert_eq!(names(&dir).len(), 3);
    let begin = Instant::now();
    assert_eq!(errno(fs::metadata(dir.join("lost"))), libc::ETIMEDOUT);
    assert!(begin.elapsed() >= patience && begin.elapsed() < 2 * patience, "{:?}", begin.elapsed());
    assert_eq!(fs::read(dir.join("good")).expect("reads"), b"good");
    assert_eq!(fs::metadata(dir.join("half")).expect("stat").len(), 3000);
    let begin = Instant::now();
    // Kernels before 6.16 make EIO of all errors in the page cache.
    assert!(matches!(errno(fs::read(dir.join("half"))), libc::ETIMEDOUT | libc::EIO));
    assert!(begin.elapsed() < 2 * patience, "nobody waits twice: {:?}", begin.elapsed());
    world.stalled.lock().expect("lock").clear();
    assert_eq!(fs::read(dir.join("half")).expect("reads"), noise(3000, 5));
    assert_eq!(fs::metadata(dir.join("lost")).expect("stat").len(), 100);
}

/// A process that waits for what never comes ends when it is told to.
#[test]
fn a_signal_ends_the_wait() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let mut entries = Vec::new();
    for seed in [5, 6] {
        let lost = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(100, seed), FileMeta::NONE);
        let half = world.file(&Profile::cid_v1(), 1000, &noise(3000, seed), FileMeta::NONE);
        world.stall(&lost);
        world.stall(&world.raw(&noise(3000, seed)[..1000]));
        entries.extend([(format!("lost{seed}"), lost), (format!("half{seed}"), half)]);
    }
    let root = world.directory(&Profile::cid_v1(), &entries);
    let folder = Folder::new(world.sources(), Writable::default(), settings(Layout::All, Duration::from_secs(600)));
    for (name, _) in &entries {
        // INT is ignored by what a shell starts in the background.
        let signal = if name.ends_with('5') { "-TERM" } else { "-KILL" };
        let path = folder.path(&format!("ipfs/{root}/{name}"));
        let mut child = Command::new("cat").arg(path).stderr(Stdio::null()).spawn().expect("starts");
        folder.block_on(world.reached.notified());
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kills");
        assert!(killed.success());
        let begin = Instant::now();
        assert!(!child.wait().expect("ends").success(), "{name} {signal}");
        assert!(begin.elapsed() < Duration::from_secs(60), "{name} {signal}: {:?}", begin.elapsed());
    }
}

/// As on a disk: what a process catches waits until the call is done, and what ends it ends the wait.
#[test]
fn a_signal_that_is_caught_does_not_end_the_wait() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let lost = world.file(&Profile::unixfs_v0_2015(), 1000, &noise(100, 7), FileMeta::NONE);
    world.stall(&lost);
    let folder = Folder::new(world.sources(), Writable::default(), settings(Layout::All, Duration::from_secs(600)));
    let path = folder.path(&format!("ipfs/{lost}"));
    let start = || {
        let script = "trap 'echo caught' USR1; test -e \"$0\" && echo there";
        let mut bash = Command::new("bash");
        bash.args(["-c", script]).arg(&path).stdout(Stdio::piped());
        let child = bash.spawn().expect("starts");
        folder.block_on(world.reached.notified());
        child
    };
    let kill = |signal: &str, child: &std::process::Child| {
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kills");
        assert!(killed.success());
        // For an answer that would be wrong; none is needed.
        std::thread::sleep(Duration::from_millis(300));
    };
    let child = start();
    kill("-USR1", &child);
    let begin = Instant::now();
    kill("-TERM", &child);
    assert!(!child.wait_with_output().expect("ends").status.success());
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    let child = start();
    kill("-USR1", &child);
    world.release();
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "caught\nthere\n");
}

#[test]
fn a_name_leads_to_what_was_published_last() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let (one, two) = (world.raw(b"one"), world.raw(b"two"));
    let old = world.dir(&[(b"a", one, 3)]);
    let new = world.dir(&[(b"a", two, 3), (b"b", two, 3)]);
    world.publish("example.com", &format!("/ipfs/{old}"), Duration::from_secs(1));
    world.publish("sub.example.com", "/ipns/example.com/a", Duration::from_secs(1));
    let folder = mount(&world);
    let dir = folder.path("ipns/example.com");
    assert_eq!(fs::read(dir.join("a")).expect("reads"), b"one");
    assert_eq!(fs::read(folder.path("ipns/sub.example.com")).expect("reads"), b"one");
    let mut open = fs::File::open(dir.join("a")).expect("opens");
    world.publish("example.com", &format!("/ipfs/{new}"), Duration::from_secs(1));
    let begin = Instant::now();
    while fs::read(dir.join("a")).expect("reads") != b"two" {
        assert!(begin.elapsed() < Duration::from_secs(60), "the old one is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(names(&dir).len(), 2);
    let mut text = String::new();
    open.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "one", "who had it open goes on reading it");
    assert_eq!(errno(fs::metadata(folder.path("ipns/nobody.example.com"))), libc::ENOENT);
}

#[test]
fn extended_attributes_tell_cids() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let file = world.file(&Profile::cid_v1(), 1000, &noise(3000, 5), FileMeta::NONE);
    let folder = mount(&world);
    let path = folder.path(&format!("ipfs/{file}"));
    let get = |name: &str| {
        let mut value = [0; 200];
        rustix::fs::getxattr(&path, name, &mut value)
            .map(|len| String::from_utf8_lossy(&value[..len]).into_owned())
            .map_err(rustix::io::Errno::raw_os_error)
    };
    assert_eq!(get("user.ipfs.cid"), Ok(file.to_string()));
    assert_eq!(get("ipfs.cid"), Ok(file.to_string()));
    assert_eq!(get("user.other"), Err(libc::ENODATA));
    let size: u64 = get("user.ipfs.size").expect("a size").parse().expect("a number");
    assert!((3001..4000).contains(&size), "{size}");
    let mut list = [0; 200];
    let len = rustix::fs::listxattr(&path, &mut list).expect("lists");
    assert_eq!(&list[..len], b"user.ipfs.cid\0user.ipfs.size\0");
    let set = rustix::fs::setxattr(&path, "user.x", b"1", rustix::fs::XattrFlags::empty());
    assert_eq!(set, Err(rustix::io::Errno::OPNOTSUPP));
}

#[test]
fn a_length_that_was_a_lie_is_corrected() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let raw = world.raw(&noise(5000, 6));
    let root = world.dir(&[(b"long", raw, 1_000_000), (b"short", raw, 10)]);
    for (name, lie) in [("long", 1_000_000), ("short", 10)] {
        let folder = mount(&world);
        let path = folder.path(&format!("ipfs/{root}/{name}"));
        world.count();
        assert_eq!(fs::metadata(&path).expect("stat").len(), lie, "nothing was fetched to know better");
        assert_eq!(world.count(), 1, "the directory");
        assert_eq!(fs::read(&path).expect("reads"), noise(5000, 6), "{name}");
        assert_eq!(fs::metadata(&path).expect("stat").len(), 5000, "{name}");
    }
}

#[test]
fn a_mount_that_was_left_behind_is_replaced_and_a_living_one_is_not() {
    if !can_mount() {
        return;
    }
    let world = World::new();
    let folder = mount(&world);
    let again = Options { dir: folder.root().to_owned(), allow_other: false, read_only: true, name: "again".into() };
    let fs = Filesystem::new(world.sources(), Writable::default(), settings(Layout::All, PATIENCE));
    let handle = folder.block_on(async { tokio::runtime::Handle::current() });
    assert!(matches!(Mount::new(fs, &again, &handle), Err(MountError::InUse(_))));
    let _busy = fs::File::open(folder.root()).expect("opens");
    folder.unmount();
}
