//! Writes and syncs that fail: the message is clear, nothing acknowledged is lost, and the repository opens again.

use cairn_tests::{
    durability::{
        faults::{Fault, Faults},
        power,
    },
    harness::Program,
};

/// Every third write or sync, beginning with a different one for each fault: the commands differ from run to run,
/// so all of them are reached in time.
const STEP: u64 = 3;

fn walk(fault: Fault) {
    if Program::under_test().is_kubo() {
        eprintln!("skipped: Kubo does not write through the C library");
        return;
    }
    let seed = rand::random();
    eprintln!("seed {seed}");
    let met = Faults::new(seed)
        .and_then(|mut faults| faults.walk(fault, STEP))
        .unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    assert!(met > 3, "only {met} faults were met");
}

#[test]
fn a_failing_device_loses_nothing() {
    walk(Fault::Io);
}

#[test]
fn a_full_device_loses_nothing() {
    walk(Fault::NoSpace);
}

#[test]
fn a_short_write_is_continued() {
    walk(Fault::Short);
}

#[test]
fn death_before_any_write_loses_nothing() {
    walk(Fault::Kill);
}

/// The power test must be able to fail: on a disk that forgets every sync, acknowledged things do get lost.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    if Program::under_test().is_kubo() {
        eprintln!("skipped: Kubo does not write through the C library");
        return;
    }
    let config = power::Config { cuts: 60, seed: 7, lies: true };
    let error = power::run(&config).expect_err("losses must be seen");
    eprintln!("seen as it should be: {error:#}");
}
