//! What docs/SEMANTICS.md says is refused is refused, by the errno that stands there.

use crate::{
    core::Ground,
    support::{Folder, can_mount, settings},
};
use cairn_fuse::core::{Layout, Writable};
use rustix::{
    fs::{self, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags},
    io::Errno,
    process::{Gid, Uid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

const DOCUMENT: &str = include_str!("../../../docs/SEMANTICS.md");

/// Operation and errno of each row.
fn table() -> Vec<(String, String)> {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with("The mount\n")).expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|');
        let operation = cells.next().expect("a cell").trim().trim_end_matches('`').to_owned();
        (operation, cells.next().expect("an errno").trim().to_owned())
    })
    .collect()
}

type Attempt = fn(&Path, &Path) -> Result<(), Errno>;

fn mknod(files: &Path, kind: FileType) -> Result<(), Errno> {
    fs::mknodat(CWD, files.join("new"), kind, Mode::from_raw_mode(0o600), 0)
}

fn allocate(files: &Path, flags: FallocateFlags) -> Result<(), Errno> {
    let file = fs::open(files.join("file"), OFlags::RDWR, Mode::empty())?;
    fs::fallocate(&file, flags, 0, 4096)
}

fn getxattr(files: &Path, name: &str) -> Result<(), Errno> {
    fs::getxattr(files.join("file"), name, &mut [0; 100]).map(drop)
}

fn create(path: PathBuf) -> Result<(), Errno> {
    fs::open(path, OFlags::CREATE | OFlags::RDWR, Mode::from_raw_mode(0o600)).map(drop)
}

/// What is tried, on the mount and its `files`.
fn attempts() -> BTreeMap<&'static str, Attempt> {
    let mut all: BTreeMap<&'static str, Attempt> = BTreeMap::new();
    all.insert("link", |_, files| fs::link(files.join("file"), files.join("hard")));
    all.insert("mknod fifo", |_, files| mknod(files, FileType::Fifo));
    all.insert("mknod socket", |_, files| mknod(files, FileType::Socket));
    all.insert("mknod device", |_, files| mknod(files, FileType::CharacterDevice));
    all.insert("chown other", |_, files| {
        let other = (Uid::from_raw(54_321), Gid::from_raw(54_321));
        fs::chownat(CWD, files.join("file"), Some(other.0), Some(other.1), AtFlags::empty())
    });
    all.insert("setxattr", |_, files| fs::setxattr(files.join("file"), "user.x", b"1", XattrFlags::empty()));
    all.insert("removexattr", |_, files| fs::removexattr(files.join("file"), "user.x"));
    all.insert("getxattr user.other", |_, files| getxattr(files, "user.other"));
    all.insert("getxattr acl", |_, files| getxattr(files, "system.posix_acl_access"));
    all.insert("open tmpfile", |_, files| {
        fs::open(files, OFlags::TMPFILE | OFlags::RDWR, Mode::from_raw_mode(0o600)).map(drop)
    });
    all.insert("fallocate collapse", |_, files| allocate(files, FallocateFlags::COLLAPSE_RANGE));
    all.insert("fallocate insert", |_, files| allocate(files, FallocateFlags::INSERT_RANGE));
    all.insert("rename whiteout", |_, files| {
        fs::renameat_with(CWD, files.join("file"), CWD, files.join("other"), RenameFlags::WHITEOUT)
    });
    all.insert("name of 256 bytes", |_, files| create(files.join("x".repeat(256))));
    all.insert("create in ipfs", |root, _| create(root.join("ipfs/new")));
    all.insert("create in ipns", |root, _| create(root.join("ipns/new")));
    all.insert("create in the root", |root, _| create(root.join("new")));
    all.insert("rename into ipfs", |root, files| fs::rename(files.join("file"), root.join("ipfs/new")));
    all.insert("rename out of ipfs", |root, files| {
        // The raw block of no bytes, which stands in its CID.
        fs::rename(root.join("ipfs/bafkqaaa"), files.join("new"))
    });
    all.insert("list ipfs", |root, _| fs::open(root.join("ipfs"), OFlags::DIRECTORY, Mode::empty()).map(drop));
    all
}

#[test]
fn what_is_refused_stands_in_the_document() {
    let table = table();
    let attempts = attempts();
    let written: BTreeSet<&str> = table.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(written, attempts.keys().copied().collect(), "rows and attempts");
    if !can_mount() {
        return;
    }
    let ground = Ground::new(4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let files = Some(runtime.block_on(ground.tree()));
    let settings = settings(Layout::All, Duration::from_secs(60));
    let mount = Folder::new(ground.sources(), Writable { files, own: None }, settings);
    let files = mount.path("files");
    std::fs::write(files.join("file"), vec![1; 10_000]).expect("writes");
    for (operation, errno) in &table {
        let number = cairn_fuse::core::Errno::ALL.iter().find(|(name, _)| name == errno).expect("a known errno").1;
        let outcome = attempts[operation.as_str()](mount.root(), &files);
        assert_eq!(outcome.map_err(Errno::raw_os_error), Err(number.code()), "{operation}");
    }
    assert_eq!(std::fs::read(files.join("file")).expect("reads"), vec![1; 10_000], "nothing was done");
    assert_eq!(std::fs::read_dir(&files).expect("lists").count(), 1);
}
