//! A node for a test: the program under test with a repository of its own.
//!
//! The program is `$CAIRN_BIN`, else the `cairn` that was built beside the test. Kubo's `ipfs` has the same
//! command line, so most tests can be pointed at it, which checks the test itself: `CAIRN_BIN=/usr/bin/ipfs`.

use crate::process::{self, Outcome};
use std::{
    ffi::OsStr,
    fs,
    io::{Cursor, Read},
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A program that speaks Kubo's command line.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    kubo: bool,
}

impl Program {
    /// The program under test.
    ///
    /// # Panics
    /// When it was not built.
    pub fn under_test() -> Self {
        let path = std::env::var_os("CAIRN_BIN").map_or_else(built_beside, PathBuf::from);
        assert!(path.is_file(), "{} is not there: build it with `cargo build --release`", path.display());
        Self::at(path)
    }

    /// Kubo, to compare with: `$KUBO`, else `ipfs` on the `PATH`.
    pub fn kubo() -> Option<Self> {
        let on_path =
            || std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join("ipfs")).find(|p| p.is_file());
        std::env::var_os("KUBO").map(PathBuf::from).or_else(on_path).map(Self::at)
    }

    fn at(path: PathBuf) -> Self {
        let kubo = path.file_name() == Some(OsStr::new("ipfs"));
        Self { path, kubo }
    }

    /// Whether it is Kubo.
    pub fn is_kubo(&self) -> bool {
        self.kubo
    }

    /// A command of this program on a repository.
    pub fn command(&self, repo: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.env(if self.kubo { "IPFS_PATH" } else { "CAIRN_PATH" }, repo);
        command.env("NO_COLOR", "1");
        command
    }
}

/// `target/release/cairn`, from `target/release/NAME` or `target/release/deps/NAME-HASH`.
fn built_beside() -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its executable");
    let dir = exe.parent().expect("an executable lies in a directory");
    let dir = if dir.ends_with("deps") { dir.parent().expect("deps lies in the profile's directory") } else { dir };
    dir.join("cairn")
}

/// The program with a repository, both gone when it is dropped.
#[derive(Debug)]
pub struct Node {
    program: Program,
    dir: TempDir,
}

impl Node {
    /// The program under test with a fresh repository.
    ///
    /// # Panics
    /// When the program is not there or can't make a repository.
    pub fn new() -> Self {
        Self::with(Program::under_test())
    }

    /// Another program with a fresh repository.
    ///
    /// # Panics
    /// When it can't make a repository.
    pub fn with(program: Program) -> Self {
        Self::with_profile(program, "test,server")
    }

    /// As [`Node::with`], with these profiles.
    ///
    /// # Panics
    /// When it can't make a repository.
    pub fn with_profile(program: Program, profile: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix("cairn-test-").tempdir().expect("the temporary directory is writable");
        fs::create_dir(dir.path().join("work")).expect("the temporary directory is writable");
        let node = Self { program, dir };
        node.ok(["init", &format!("--profile={profile}")]);
        node
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Directory of the repository.
    pub fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// A directory for the test's own files.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Writes a file into [`Node::work`] and gives its path.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, bytes).expect("the temporary directory is writable");
        path
    }

    /// A command of the program, run in [`Node::work`].
    pub fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.program.command(&self.repo());
        command.current_dir(self.work()).args(args);
        command
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        process::run(&mut self.command(args), None).expect("the program can be started")
    }

    /// Runs a command that must succeed, and gives its standard output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let mut command = self.command(args);
        let outcome = process::run(&mut command, None).expect("the program can be started");
        succeeded(&command, &outcome);
        outcome.text().trim_end_matches('\n').to_owned()
    }

    /// Runs a command that must succeed, and gives its standard output byte for byte.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn bytes(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Vec<u8> {
        let mut command = self.command(args);
        let outcome = process::run(&mut command, None).expect("the program can be started");
        succeeded(&command, &outcome);
        outcome.stdout
    }

    /// Runs a command that must succeed on some input, and gives its standard output without the last line end.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn feed(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: impl Read + Send + 'static) -> String {
        let mut command = self.command(args);
        let outcome = process::run(&mut command, Some(Box::new(input))).expect("the program can be started");
        succeeded(&command, &outcome);
        outcome.text().trim_end_matches('\n').to_owned()
    }

    /// As [`Node::feed`], from memory.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn feed_bytes(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: impl Into<Vec<u8>>) -> String {
        self.feed(args, Cursor::new(input.into()))
    }

    /// The CID of a file or folder, added with flags.
    ///
    /// # Panics
    /// When it can't be added.
    #[track_caller]
    pub fn add(&self, flags: &[&str], path: &Path) -> String {
        let mut args: Vec<&OsStr> = vec![OsStr::new("add"), OsStr::new("-Q")];
        args.extend(flags.iter().map(OsStr::new));
        args.extend([OsStr::new("--"), path.as_os_str()]);
        self.ok(args)
    }

    /// What `dag stat` says of a root: blocks and bytes.
    ///
    /// # Panics
    /// When it fails or does not answer in Kubo's shape.
    #[track_caller]
    pub fn dag_stat(&self, root: &str) -> (u64, u64) {
        // As text: Kubo's JSON has no number for the ratio of an empty object, and fails.
        let text = self.ok(["dag", "stat", "--progress=false", root]);
        let number = |label: &str| {
            let value = text.lines().find_map(|l| l.strip_prefix(label)).and_then(|v| v.split_whitespace().next());
            value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {label:?} in {text}"))
        };
        (number("Unique Blocks:"), number("Total Size:"))
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

#[track_caller]
fn succeeded(command: &Command, outcome: &Outcome) {
    assert!(
        outcome.status.success(),
        "{command:?} ended with {}:\n{}{}",
        outcome.status,
        outcome.text(),
        outcome.errors()
    );
}
