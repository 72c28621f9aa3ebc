//! A mount does what a local directory does, whatever is done.

use crate::{
    actions::{Action, action},
    core::Ground,
    support::{Folder, can_mount, cases, settings},
    syscalls::Directory,
};
use cairn_fuse::core::{Layout, Writable};
use proptest::{prelude::*, test_runner::TestRunner};
use std::time::Duration;

fn mounted(ground: &Ground) -> Folder {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let files = Some(runtime.block_on(ground.tree()));
    let writable = Writable { files, own: None };
    Folder::new(ground.sources(), writable, settings(Layout::Files, Duration::from_secs(60)))
}

fn compare(actions: &[Action]) {
    let ground = Ground::new(4096);
    let mount = mounted(&ground);
    let local = tempfile::tempdir().expect("a directory");
    let mut here = Directory::new(local.path().to_owned());
    let mut there = Directory::new(mount.root().to_owned());
    for (at, action) in actions.iter().enumerate() {
        assert_eq!(there.act(action), here.act(action), "action {at}: {action:?}");
    }
    assert_eq!(there.all(), here.all());
    let expected = here.all();
    drop(there);
    mount.unmount();
    assert_eq!(Directory::new(mounted(&ground).root().to_owned()).all(), expected, "mounted again");
}

#[test]
fn a_mount_does_what_a_local_directory_does() {
    if !can_mount() {
        return;
    }
    let config = ProptestConfig { cases: cases(40), max_shrink_iters: 400, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&proptest::collection::vec(action(), 1..150), |actions| {
        compare(&actions);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
