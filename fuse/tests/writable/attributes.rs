//! What is said of files.

use crate::{
    core::Ground,
    support::{Folder, can_mount, settings},
};
use cairn_fuse::core::{Layout, Writable};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

fn folder() -> Folder {
    let ground = Ground::new(4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let files = Some(runtime.block_on(ground.tree()));
    Folder::new(ground.sources(), Writable { files, own: None }, settings(Layout::Files, Duration::from_secs(60)))
}

fn changed(path: &Path) -> (i64, i64) {
    let stat = fs::symlink_metadata(path).expect("stat");
    (stat.ctime(), stat.ctime_nsec())
}

fn set_times(path: &Path, accessed: Timespec, modified: Timespec) {
    let times = Timestamps { last_access: accessed, last_modification: modified };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::empty()).expect("sets times");
}

const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ };

#[test]
fn times_of_access_and_of_status_are_their_own() {
    if !can_mount() {
        return;
    }
    let folder = folder();
    let (path, moved) = (folder.path("file"), folder.path("moved"));
    fs::write(&path, "bytes").expect("writes");
    let made = changed(&path);
    let past = Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
    set_times(&path, OMIT, past);
    let stat = fs::metadata(&path).expect("stat");
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_000_000_000, 5));
    let set = changed(&path);
    assert!(set > made, "{set:?} {made:?}: setting a time is a change of status, of now");
    set_times(&path, Timespec { tv_sec: 1_100_000_000, tv_nsec: 7 }, OMIT);
    let stat = fs::metadata(&path).expect("stat");
    assert_eq!((stat.atime(), stat.atime_nsec()), (1_100_000_000, 7));
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_000_000_000, 5));
    let before = changed(&path);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let after = changed(&path);
    assert!(after > before, "chmod");
    fs::rename(&path, &moved).expect("renames");
    assert!(changed(&moved) > after, "rename");
    let before = changed(folder.root());
    fs::remove_file(&moved).expect("removes");
    assert!(changed(folder.root()) > before, "the directory");
}

#[test]
fn attributes_that_are_listed_can_be_copied() {
    if !can_mount() {
        return;
    }
    let folder = folder();
    let path = folder.path("file");
    fs::write(&path, "bytes").expect("writes");
    let get = |name: &str| {
        let mut value = [0; 200];
        rustix::fs::getxattr(&path, name, &mut value).map(|len| value[..len].to_vec())
    };
    let cid = get("user.ipfs.cid").expect("a cid");
    for name in ["user.ipfs.cid", "user.ipfs.size"] {
        rustix::fs::setxattr(&path, name, b"other", XattrFlags::empty()).expect("is accepted");
        rustix::fs::removexattr(&path, name).expect("is accepted");
    }
    assert_eq!(get("user.ipfs.cid"), Ok(cid), "nothing was changed");
    let refused = rustix::fs::setxattr(&path, "user.x", b"1", XattrFlags::empty());
    assert_eq!(refused, Err(rustix::io::Errno::OPNOTSUPP));
}

#[test]
fn the_directory_above_is_listed_with_its_number() {
    if !can_mount() {
        return;
    }
    let folder = folder();
    fs::create_dir_all(folder.path("a/b")).expect("makes");
    let above = fs::metadata(folder.path("a")).expect("stat").ino();
    let dir = fs::File::open(folder.path("a/b")).expect("opens");
    let mut listing = rustix::fs::Dir::read_from(&dir).expect("lists");
    let dots = listing.find_map(|entry| {
        let entry = entry.expect("an entry");
        (entry.file_name().to_bytes() == b"..").then(|| entry.ino())
    });
    assert_eq!(dots, Some(above));
}

#[test]
fn cutting_to_the_same_length_is_a_change() {
    if !can_mount() {
        return;
    }
    let folder = folder();
    let path = folder.path("file");
    fs::write(&path, "bytes").expect("writes");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("opens");
    file.sync_all().expect("syncs");
    let time = |stat: fs::Metadata| (stat.mtime(), stat.mtime_nsec());
    let before = time(file.metadata().expect("stat"));
    file.set_len(5).expect("cuts");
    assert!(time(file.metadata().expect("stat")) > before);
}
