//! Trees that others change too.

use crate::{
    core::Ground,
    support::{Folder, can_mount, settings},
};
use cairn_fuse::core::{Kernel, Layout, Settings, TreeOptions, Writable};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    sync::Arc,
    time::Duration,
};

fn shared() -> Settings {
    let settings = settings(Layout::Files, Duration::from_secs(60));
    Settings { tree: TreeOptions { shared: true, ..settings.tree }, ..settings }
}

#[test]
fn appends_through_two_mounts_are_all_kept() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tree = runtime.block_on(ground.tree());
    let mounts = [(); 2].map(|()| {
        let writable = Writable { files: Some(tree.clone()), own: None };
        Folder::new(ground.sources(), writable, shared())
    });
    fs::write(mounts[0].path("log"), "begin\n").expect("writes");
    let reader = fs::read(mounts[0].path("log")).expect("reads");
    assert_eq!(reader, b"begin\n");
    let mut logs = [0, 1].map(|at| OpenOptions::new().append(true).open(mounts[at].path("log")).expect("opens"));
    let mut expected = "begin\n".to_owned();
    for round in 0..500 {
        for (at, log) in logs.iter_mut().enumerate() {
            let line = format!("line {round} of {at}\n");
            log.write_all(line.as_bytes()).expect("appends");
            expected += &line;
        }
    }
    for mount in &mounts {
        assert_eq!(fs::read_to_string(mount.path("log")).expect("reads"), expected);
    }
}

#[test]
fn what_is_unmounted_by_its_path_is_durable() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let files = Some(runtime.block_on(ground.tree()));
    let settings = settings(Layout::All, Duration::from_secs(60));
    let mount = Folder::new(ground.sources(), Writable { files, own: None }, settings);
    fs::write(mount.path("files/new"), "written").expect("writes");
    // The mount goes on for whoever has it open.
    let held = fs::File::open(mount.path("files/new")).expect("opens");
    assert_eq!(*ground.cell.0.lock(), None, "nobody asked for a commit yet");
    cairn_fuse::mount::unmount(mount.root()).expect("unmounts");
    assert!(ground.cell.0.lock().is_some());
    drop(held);
}

/// A kernel that lets go of names at once.
struct Forgetful {
    sender: std::sync::mpsc::SyncSender<(u64, Vec<u8>)>,
}

impl Kernel for Forgetful {
    fn entry_changed(&self, parent: u64, name: &[u8]) -> bool {
        self.sender.try_send((parent, name.to_vec())).is_ok()
    }

    fn content_changed(&self, _: u64) {}

    fn attr_changed(&self, _: u64) {}

    fn content(&self, _: u64, _: u64, _: bytes::Bytes) {}
}

#[test]
fn the_kernel_is_asked_to_let_go_of_what_it_has_not_used_for_long() {
    use cairn_fuse::core::{Filesystem, Found, ROOT};
    const FILES: usize = 90_000;
    let ground = Ground::new(4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tree = runtime.block_on(ground.tree());
    let writable = Writable { files: Some(tree.clone()), own: None };
    let fs = Filesystem::new(ground.sources(), writable, settings(Layout::Files, Duration::from_secs(60)));
    let (sender, told) = std::sync::mpsc::sync_channel(1 << 16);
    fs.attach(Arc::new(Forgetful { sender }));
    let name = |at: usize| format!("file {at}").into_bytes();
    let mut numbers = std::collections::HashMap::new();
    runtime.block_on(async {
        for at in 0..FILES {
            let entry = fs.mknod(ROOT, &name(at), libc::S_IFREG | 0o644).await.expect("makes");
            numbers.insert(name(at), entry.attr.ino);
            for (parent, name) in told.try_iter() {
                assert_eq!(parent, ROOT);
                fs.forget(numbers[&name], 1);
            }
        }
        fs.sync_all().await.expect("syncs");
        assert!(tree.stats().inodes < 80_000, "{}", tree.stats().inodes);
        assert!(matches!(fs.lookup(ROOT, &name(1)).await, Ok(Found::Entry(_))));
    });
}
