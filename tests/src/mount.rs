//! Mounts for a test. None stays behind, not even after a panic.

use crate::{harness::Node, network::eventually, skip};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};
use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Longest time that mounting may take.
const START: Duration = Duration::from_secs(60);

/// Whether mounts can be tested here. A kernel without FUSE is no tool that set-up could install, so a test that can't
/// run there says so and passes, also where [`skip`] fails.
pub fn can_mount() -> bool {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.inspect_err(|error| eprintln!("skipped: /dev/fuse can't be opened ({error})")).is_ok()
}

/// Whether a program is here: see [`skip`].
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        skip(program);
    }
    found
}

/// A directory on which something may be mounted; that is unmounted when this is dropped.
#[derive(Debug)]
pub struct Point(PathBuf);

impl Point {
    /// A new one, in the node's directory for the test's files.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn new(node: &Node, name: &str) -> Self {
        let dir = node.work().join(name);
        std::fs::create_dir(&dir).expect("the temporary directory is writable");
        Self(dir.canonicalize().expect("it is there"))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether something is mounted on it.
    ///
    /// # Panics
    /// When the system has no table of mounts.
    pub fn is_mounted(&self) -> bool {
        let table = std::fs::read_to_string("/proc/self/mountinfo").expect("a table of mounts");
        let dir = self.0.to_str().expect("a path of letters");
        table.lines().any(|line| line.split(' ').nth(4) == Some(dir))
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        while self.is_mounted() {
            if unmount(&self.0, UnmountFlags::DETACH).is_err() {
                let _ = Command::new("fusermount3").arg("-uz").arg(&self.0).status();
                return;
            }
        }
    }
}

/// `cairn mount` of a node, in a process of its own.
#[derive(Debug)]
pub struct Mounted {
    child: Child,
    point: Point,
}

impl Mounted {
    /// Mounts a node's repository, without a network.
    ///
    /// # Panics
    /// When it is not mounted in time.
    pub fn new(node: &Node) -> Self {
        Self::on(node, Point::new(node, &format!("mount-{:08x}", rand::random::<u32>())), &["--offline"])
    }

    /// Mounts it on that directory, with more arguments.
    ///
    /// # Panics
    /// When it is not mounted in time.
    pub fn on(node: &Node, point: Point, args: &[&str]) -> Self {
        let mut command = node.command([OsStr::new("mount"), point.path().as_os_str()]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (heard, line) = mpsc::sync_channel(16);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(heard.send(line))));
        let mounted = Self { child, point };
        loop {
            let line = line.recv_timeout(START).expect("it is mounted in time");
            if line.starts_with("MFS  mounted at: ") {
                return mounted;
            }
        }
    }

    /// A path below it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.point.path().join(path)
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When it is not there.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().expect("its state can be asked for");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Kills the process, and gives the directory with what is left on it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(mut self) -> Point {
        self.signal(Signal::KILL);
        self.wait();
        std::mem::replace(&mut self.point, Point(PathBuf::new()))
    }

    /// Ends it in order.
    ///
    /// # Panics
    /// When it does not end with 0, or leaves the mount behind.
    pub fn end(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
        assert!(!self.point.is_mounted());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
