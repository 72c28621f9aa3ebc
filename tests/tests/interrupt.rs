//! Ctrl-C while a command waits for its input.

use cairn_tests::harness::Node;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    process::{ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a command may take to begin, and then to end: far more than either needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `done` gives something.
fn until<T>(mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(value) = done() {
            return Some(value);
        }
        thread::yield_now();
    }
    None
}

/// Interrupts a command that waits for stdin, once.
fn interrupted(args: &[&str]) -> Option<ExitStatus> {
    let node = Node::new();
    let other = node.work().join("other");
    let mut command = node.command(args);
    command.env("CAIRN_PATH", &other).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    // The configuration of a new repository is written last, long after signals are handled.
    until(|| other.join("config").exists().then_some(())).expect("a repository is made");
    kill_process(Pid::from_child(&child), Signal::INT).expect("sends a signal");
    let ended = until(|| child.try_wait().expect("waits"));
    if ended.is_none() {
        child.kill().expect("ends");
        child.wait().expect("waits");
    }
    ended
}

#[test]
fn a_command_that_waits_for_stdin_ends_at_the_first_interrupt() {
    let config = &["config", "replace", "/dev/stdin"][..];
    for args in [&["add"][..], &["block", "put"], &["dag", "put"], &["dag", "import"], config] {
        let status = interrupted(args).unwrap_or_else(|| panic!("{args:?} went on waiting"));
        assert_eq!(status.code(), Some(130), "{args:?}");
    }
}
