//! What was synced survives a kill.

use cairn_tests::{
    harness::Node,
    keystream::bytes as keystream,
    mount::{Mounted, can_mount},
};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

/// What the writer of that round and number writes.
fn content(round: usize, number: usize) -> Vec<u8> {
    keystream(&format!("{round} {number}"), 1 + (number * 7919) % 300_000)
}

/// Writes and syncs files until it can't; says which are durable.
fn write(dir: &Path, round: usize, durable: &mpsc::SyncSender<usize>) -> std::io::Result<()> {
    for number in 0.. {
        let mut file = File::create(dir.join(format!("{round}-{number}.part")))?;
        file.write_all(&content(round, number))?;
        fs::rename(dir.join(format!("{round}-{number}.part")), dir.join(format!("{round}-{number}")))?;
        file.sync_all()?;
        // Nobody counts more than these.
        if durable.send(number).is_err() {
            break;
        }
    }
    Ok(())
}

#[test]
fn what_was_synced_is_there_after_a_kill() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let mut point = None;
    let mut expected: Vec<(usize, usize)> = Vec::new();
    for round in 0..4 {
        let mounted = match point.take() {
            None => Mounted::new(&node),
            // The one that was killed left its mount behind.
            Some(point) => Mounted::on(&node, point, &["--offline"]),
        };
        let files = mounted.path("files");
        for &(round, number) in &expected {
            let path = files.join(format!("{round}-{number}"));
            assert!(fs::read(&path).expect("is there") == content(round, number), "{}", path.display());
        }
        let (sender, durable) = mpsc::sync_channel(0);
        let writer = thread::spawn(move || write(&files, round, &sender));
        expected.extend((0..12 + 3 * round).map(|_| (round, durable.recv().expect("it writes"))));
        let left = mounted.kill();
        assert!(left.is_mounted());
        let error = fs::read_dir(left.path()).expect_err("nobody answers").raw_os_error();
        assert!(matches!(error, Some(libc::ENOTCONN | libc::ECONNABORTED)), "{error:?}");
        // What was being synced may be there or not.
        drop(durable);
        assert!(writer.join().expect("it ends").is_err() || round > 0);
        point = Some(left);
    }
}

#[test]
fn nobody_waits_for_one_that_was_killed() {
    if !can_mount() {
        return;
    }
    let node = Node::new();
    let mounted = Mounted::new(&node);
    let files = mounted.path("files");
    fs::write(files.join("file"), vec![1; 5_000_000]).expect("writes");
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let file = files.join("file");
            thread::spawn(move || while fs::read(&file).is_ok() {})
        })
        .collect();
    mounted.signal(Signal::STOP);
    thread::sleep(Duration::from_millis(200));
    let _left = mounted.kill();
    for reader in readers {
        reader.join().expect("it got an error");
    }
}
