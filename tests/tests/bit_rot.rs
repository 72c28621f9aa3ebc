//! One bit of each of 1,000 stored blocks flips on the disk: every one is noticed, none is served, all heal.

use cairn_store::{Cid, blockstore::Blockstore as _, repo::Repo};
use cairn_tests::{harness::Node, keystream, network::Online};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

const BLOCKS: usize = 1_000;
/// So many bytes at a block's beginning tell where it lies in a file.
const MARK: usize = 16;

/// Every so manieth block is read by a process of its own, all of them by this one.
const BY_PROCESS: usize = 10;

/// Lengths on both sides of those from which a store may keep bytes apart, up to a whole chunk.
fn length(i: usize, rng: &mut StdRng) -> usize {
    match i % 10 {
        0..4 => rng.random_range(MARK..4_096),
        4..9 => rng.random_range(4_096..16_384),
        _ => rng.random_range(16_384..=262_144),
    }
}

/// All regular files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut open = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("the repository is readable") {
            let path = entry.expect("the repository is readable").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Flips one bit of each block wherever its bytes lie, and gives the number of copies of each.
fn rot(repo: &Path, blocks: &[Vec<u8>], rng: &mut StdRng) -> Vec<usize> {
    let marks: HashMap<&[u8], usize> = blocks.iter().enumerate().map(|(i, b)| (&b[..MARK], i)).collect();
    let bits: Vec<usize> = blocks.iter().map(|b| rng.random_range(0..b.len() * 8)).collect();
    let mut copies = vec![0; blocks.len()];
    for path in files(repo) {
        let mut bytes = fs::read(&path).expect("the repository is readable");
        let starts: Vec<(usize, usize)> = bytes
            .windows(MARK)
            .enumerate()
            .filter_map(|(at, window)| Some((at, *marks.get(window)?)))
            .filter(|&(at, i)| bytes[at..].starts_with(&blocks[i]))
            .collect();
        for (at, i) in &starts {
            bytes[at + bits[*i] / 8] ^= 1 << (bits[*i] % 8);
            copies[*i] += 1;
        }
        if !starts.is_empty() {
            fs::write(&path, bytes).expect("the repository is writable");
        }
    }
    copies
}

/// Reads every block as any part of the program does: none may come, each must be reported.
fn read_all(repo: &Path, cids: &BTreeMap<usize, &str>) {
    let repo = Repo::open_or_init(repo).expect("the repository opens");
    for (i, text) in cids {
        let cid = Cid::try_from(*text).expect("add prints CIDs");
        let found = repo.blocks().get(&cid).expect("a bad block counts as missing");
        assert!(found.is_none(), "block {i}, {cid}, was served");
        let has = repo.blocks().has(cid.hash()).expect("the index is readable");
        assert!(!has, "block {i}, {cid}, still counts as present after it was read");
    }
}

#[test]
fn every_flipped_bit_is_noticed_and_none_is_served() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let node = Node::new();
    let folder = node.work().join("folder");
    fs::create_dir(&folder).expect("the work folder is writable");
    let mut blocks = Vec::new();
    for i in 0..BLOCKS {
        let bytes = keystream::bytes(&format!("rot-{seed}-{i}"), length(i, &mut rng));
        fs::write(folder.join(format!("{i:04}")), &bytes).expect("the work folder is writable");
        blocks.push(bytes);
    }
    // Raw leaves: a file is a block, and its bytes lie on the disk as they are.
    let flags = ["add", "-r", "--cid-version=1", "--raw-leaves", "folder"];
    let added = node.ok(flags);
    let cids: BTreeMap<usize, &str> = added
        .lines()
        .filter_map(|line| {
            let (cid, name) = line.strip_prefix("added ")?.split_once(' ')?;
            Some((name.strip_prefix("folder/")?.parse().ok()?, cid))
        })
        .collect();
    assert_eq!(cids.len(), BLOCKS, "add printed {added}");
    // The next opening takes over what is only in a log; the flips come after.
    node.ok(["repo", "verify"]);

    let copies = rot(&node.repo(), &blocks, &mut rng);
    let absent = copies.iter().filter(|n| **n == 0).count();
    assert_eq!(absent, 0, "the bytes of {absent} blocks were not found on the disk");

    for (i, cid) in cids.iter().step_by(BY_PROCESS) {
        let outcome = node.run(["block", "get", cid]);
        assert!(!outcome.status.success(), "block {i} ({} bytes), {cid}, was served", blocks[*i].len());
        assert!(outcome.stdout.is_empty(), "bytes of block {i}, {cid}, were served before the error");
        let errors = outcome.errors();
        assert!(!errors.contains("panicked"), "block {i}, {cid}: {errors}");
        assert!(errors.contains(cid), "block {i}, {cid} is not reported: {errors}");
    }
    // Of all others `fsck` says so, each of which is in the way of a scan.
    let fsck = node.run(["repo", "fsck"]);
    assert!(!fsck.status.success(), "repo fsck found nothing");
    let report = fsck.text() + &fsck.errors();
    let unread = cids.values().enumerate().filter(|(i, _)| i % BY_PROCESS != 0);
    let missed = unread.filter(|(_, cid)| !report.contains(**cid)).count();
    assert_eq!(missed, 0, "repo fsck did not name {missed} of {BLOCKS} blocks: {report}");
    read_all(&node.repo(), &cids);

    let verify = node.run(["repo", "verify"]);
    assert!(!verify.status.success(), "repo verify found nothing");
    let report = verify.text() + &verify.errors();
    let missed = cids.values().filter(|cid| !report.contains(**cid)).count();
    assert_eq!(missed, 0, "repo verify did not name {missed} of {BLOCKS} blocks: {report}");
    // That they are missing is then known. What is left are pins: damage takes what lies beside a block with it.
    let fsck = node.run(["repo", "fsck"]);
    let report = fsck.text() + &fsck.errors();
    assert!(!report.contains("corrupt") && report.contains("fsck complete"), "{report}");

    assert_eq!(node.ok(flags), added);
    node.ok(["repo", "verify"]);
    for (i, cid) in cids.iter().step_by(50) {
        assert_eq!(node.bytes(["block", "get", cid]), blocks[*i], "block {i} did not heal");
    }
}

#[test]
fn what_is_corrupt_is_fetched_again_when_that_is_asked_for() {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (whole, mut damaged) = (Online::new(), Online::new());
    let blocks: Vec<Vec<u8>> = (0..20).map(|i| keystream::bytes(&format!("heal-{seed}-{i}"), 5_000)).collect();
    for node in [&whole, &damaged] {
        for (i, block) in blocks.iter().enumerate() {
            node.add(&["--cid-version=1", "--raw-leaves"], &node.file(&i.to_string(), block));
        }
    }
    // This one nobody else has.
    let own = keystream::bytes(&format!("heal-{seed}"), 5_000);
    let lost = damaged.add(&["--cid-version=1", "--raw-leaves"], &damaged.file("own", &own));
    damaged.stop();
    // The next opening takes over what is only in a log; the flips come after.
    damaged.ok(["repo", "verify"]);
    let offline = damaged.run(["repo", "verify", "--heal"]);
    assert!(offline.errors().contains("must be run in online mode"), "{}", offline.errors());
    let all: Vec<Vec<u8>> = blocks.iter().cloned().chain([own]).collect();
    assert!(rot(&damaged.repo(), &all, &mut rng).iter().all(|copies| *copies > 0));
    damaged.start();
    damaged.connect(&whole);
    let verify = damaged.run(["repo", "verify", "--heal", "--heal-timeout=10s"]);
    let report = verify.text() + &verify.errors();
    assert_eq!(verify.status.code(), Some(1), "{report}");
    assert!(report.contains("21 blocks corrupt, 21 removed, 20 healed, 1 failed to heal"), "{report}");
    let failed: Vec<&str> = report.lines().filter(|line| line.contains("removed, failed to heal")).collect();
    assert!(matches!(&failed[..], [line] if line.contains(&lost)), "{report}");
    assert!(damaged.ok(["repo", "verify"]).contains("all blocks validated"));
    damaged.stop();
    let kept = Repo::open_or_init(damaged.repo().as_path()).expect("the repository opens");
    for block in &blocks {
        let cid = cairn_store::Block::seal(cairn_store::block::Prefix::v1(0x55), block.clone().into()).expect("seals");
        assert!(kept.blocks().has(cid.cid().hash()).expect("reads"));
    }
}
