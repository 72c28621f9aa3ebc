//! A disk without space: a clean error, nothing lost, and a store that is usable once there is space again.

use cairn_tests::{harness::Program, keystream, process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// Room for the database, its reserve of 64 MiB, and some objects, in MiB.
const DISK_MIB: u64 = 224;
const OBJECT: usize = 5 << 20;

/// A small file system of its own, gone when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with the reason on stderr, when nothing can be mounted here.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "cairn-test"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                cairn_tests::skip(&format!("the right to mount ({})", String::from_utf8_lossy(&output.stderr).trim()));
                None
            }
            Err(error) => {
                cairn_tests::skip(&format!("mount ({error})"));
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

struct Store {
    program: Program,
    repo: PathBuf,
    files: TempDir,
}

impl Store {
    fn run(&self, args: &[&str]) -> process::Outcome {
        process::run(self.program.command(&self.repo).args(args), None).expect("the program can be started")
    }

    fn ok(&self, args: &[&str]) -> process::Outcome {
        let outcome = self.run(args);
        assert!(outcome.status.success(), "{args:?} ended with {}: {}", outcome.status, outcome.errors());
        outcome
    }

    fn add(&self, number: usize) -> Result<String, String> {
        let path = self.files.path().join("object");
        fs::write(&path, keystream::bytes(&format!("object-{number}"), OBJECT))
            .expect("the temporary directory is writable");
        let outcome = self.run(&["add", "-Q", &path.to_string_lossy()]);
        assert!(!outcome.errors().contains("panicked"), "it panicked: {}", outcome.errors());
        if outcome.status.success() { Ok(outcome.text().trim().to_owned()) } else { Err(outcome.errors()) }
    }

    fn assert_whole(&self, number: usize, cid: &str) {
        let whole = self.ok(&["cat", cid]).stdout == keystream::bytes(&format!("object-{number}"), OBJECT);
        assert!(whole, "object {number}, {cid}, has wrong bytes");
    }
}

fn store(disk: &SmallDisk) -> Store {
    let files = tempfile::tempdir().expect("the temporary directory is writable");
    let store = Store { program: Program::under_test(), repo: disk.path().join("repo"), files };
    store.ok(&["init", "--profile=test,server"]);
    store
}

/// What others write to the disk.
struct Ballast {
    dir: PathBuf,
    files: usize,
}

impl Ballast {
    fn new(disk: &Path) -> Self {
        let dir = disk.join("ballast");
        fs::create_dir(&dir).expect("the small disk is writable");
        Self { dir, files: 0 }
    }

    /// Takes every byte that is free.
    fn fill(&mut self) {
        self.files += 1;
        // A name may be too much already.
        let Ok(mut file) = fs::File::create(self.dir.join(self.files.to_string())) else { return };
        std::io::copy(&mut std::io::repeat(0), &mut file).expect_err("it ends when the disk is full");
    }

    fn remove(&self) {
        fs::remove_dir_all(&self.dir).expect("the small disk is writable");
    }
}

/// Bytes that are free.
fn available(disk: &Path) -> u64 {
    let stat = rustix::fs::statvfs(disk).expect("the small disk can be examined");
    stat.f_bavail * stat.f_frsize
}

#[test]
fn a_store_that_fills_its_disk_says_so_and_recovers_by_collecting() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = store(&disk);
    let most = usize::try_from(DISK_MIB).expect("a small number") * (1 << 20) / OBJECT + 1;
    let mut added = Vec::new();
    let error = (0..most)
        .find_map(|number| store.add(number).map(|cid| added.push(cid)).err())
        .expect("the disk must be full before that much is stored");
    assert!(error.to_lowercase().contains("space"), "the message must name the reason: {error}");
    assert!(added.len() > 3, "only {} objects of 5 MiB fit on {DISK_MIB} MiB", added.len());
    for (number, cid) in added.iter().enumerate() {
        store.assert_whole(number, cid);
    }
    store.ok(&["repo", "verify"]);

    // Pins go and a collection runs while there is no space; then there is some.
    let (gone, kept) = added.split_at(added.len() / 2);
    for cid in gone {
        store.ok(&["pin", "rm", cid]);
    }
    store.ok(&["repo", "gc", "-q"]);
    let again = store.add(1_000).expect("space was freed");
    store.assert_whole(1_000, &again);
    for (number, cid) in kept.iter().enumerate() {
        store.assert_whole(gone.len() + number, cid);
    }
}

/// Not a byte is free, and what the program frees by the way is taken at once.
#[test]
fn a_disk_that_others_fill_to_the_last_byte_is_read_unpinned_and_collected() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = store(&disk);
    let added: Vec<String> = (0..8).map(|number| store.add(number).expect("there is space")).collect();
    let mut ballast = Ballast::new(disk.path());
    ballast.fill();

    let error = store.add(100).expect_err("there is no space");
    assert!(error.to_lowercase().contains("space"), "the message must name the reason: {error}");
    // As many small ones as would fill the reserve are refused too.
    let small = store.files.path().join("small");
    for number in 0..20 {
        fs::write(&small, format!("small {number}")).expect("the temporary directory is writable");
        assert!(!store.run(&["add", "-Q", &small.to_string_lossy()]).status.success());
        ballast.fill();
    }
    for (number, cid) in added.iter().enumerate() {
        store.assert_whole(number, cid);
        ballast.fill();
    }
    store.ok(&["pin", "verify"]);
    let (gone, kept) = added.split_at(7);
    for cid in gone {
        store.ok(&["pin", "rm", cid]);
        ballast.fill();
    }
    let before = available(disk.path());
    store.ok(&["repo", "gc", "-q"]);
    let freed = available(disk.path()).saturating_sub(before);
    assert!(freed > 20 << 20, "only {freed} bytes came back");
    store.assert_whole(7, &kept[0]);
    store.ok(&["repo", "verify"]);
    store.ok(&["repo", "fsck"]);
}

#[test]
fn a_disk_that_others_filled_takes_more_once_there_is_space_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = store(&disk);
    let first = store.add(0).expect("there is space");
    let mut ballast = Ballast::new(disk.path());
    ballast.fill();
    store.add(1).expect_err("there is no space");
    ballast.remove();
    store.assert_whole(0, &first);
    let second = store.add(1).expect("there is space again");
    store.assert_whole(1, &second);
    store.ok(&["repo", "verify"]);
}
