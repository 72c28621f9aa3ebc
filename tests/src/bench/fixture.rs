//! Files to measure with, made at first use.

use super::Config;
use crate::{
    harness::{Node, Program},
    keystream,
};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Files that lie in one folder; more make the file system itself slow.
const IN_A_FOLDER: usize = 1_000;

/// What a command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fixture {
    /// Nothing.
    None,
    /// One file of a gibibyte.
    Big,
    /// 10,000 files, 95 MB together.
    Files,
    /// 100,000 files of some ten bytes.
    Tiny,
    /// 14,000 files of one block each.
    Blocks,
    /// The big file and the tiny ones.
    Mixed,
    /// One file in a million blocks.
    Million,
}

impl Fixture {
    /// Flags that it is added with.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Million => &["--chunker=size-256", "--cid-version=1", "--raw-leaves"],
            _ => &[],
        }
    }
}

/// The files themselves, gone when dropped.
pub struct Fixtures {
    dir: TempDir,
    made: HashMap<Fixture, PathBuf>,
    big: u64,
    divide: usize,
}

impl Fixtures {
    /// None so far.
    ///
    /// # Errors
    /// When there is no temporary directory.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("cairn-bench-").tempdir()?;
        Ok(Self { dir, made: HashMap::new(), big: config.big_mib << 20, divide: config.divide.max(1) })
    }

    /// A directory for other files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Length of the big file.
    pub fn big(&self) -> u64 {
        self.big
    }

    /// Where a fixture lies.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn path(&mut self, fixture: Fixture) -> anyhow::Result<String> {
        if !self.made.contains_key(&fixture) {
            let path = self.dir.path().join(format!("{fixture:?}"));
            self.make(fixture, &path)?;
            self.made.insert(fixture, path);
        }
        Ok(self.made.get(&fixture).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default())
    }

    /// A CAR file with a fixture in it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn archive(&mut self, fixture: Fixture) -> anyhow::Result<String> {
        let car = self.dir.path().join(format!("{fixture:?}.car"));
        if !car.exists() {
            let path = self.path(fixture)?;
            let node = Node::with(Program::under_test());
            let root = node.ok(["add", "-Q", "-r", &path]);
            let mut command = node.command(["dag", "export", "--progress=false", &root]);
            anyhow::ensure!(command.stdout(fs::File::create(&car)?).status()?.success(), "dag export failed");
        }
        Ok(car.to_string_lossy().into_owned())
    }

    fn make(&mut self, fixture: Fixture, path: &Path) -> io::Result<()> {
        let divide = self.divide;
        let many = |count: usize| count / divide;
        match fixture {
            Fixture::None => fs::create_dir(path),
            Fixture::Big => big_file(path, self.big),
            // 1 to 18 KB, 9.5 KB in the middle.
            Fixture::Files => files(path, many(10_000), |i| 1_000 + i * 7_919 % 17_000),
            Fixture::Tiny => files(path, many(100_000), |i| 8 + i % 13),
            Fixture::Blocks => files(path, many(14_000), |i| 500 + i * 7_919 % 8_000),
            Fixture::Mixed => {
                let big = self.path(Fixture::Big).map_err(io::Error::other)?;
                fs::create_dir(path)?;
                fs::hard_link(big, path.join("big"))?;
                files(&path.join("tiny"), many(100_000), |i| 8 + i % 13)
            }
            Fixture::Million => big_file(path, 256 * many(1_000_000) as u64),
        }
    }
}

/// A file of incompressible bytes.
///
/// # Errors
/// When it can't be written.
pub fn big_file(path: &Path, len: u64) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    io::copy(&mut keystream::reader("big", len), &mut file)?;
    file.sync_all()
}

fn files(path: &Path, count: usize, len: impl Fn(usize) -> usize) -> io::Result<()> {
    fs::create_dir(path)?;
    for i in 0..count {
        let folder = path.join(format!("{:03}", i / IN_A_FOLDER));
        if i % IN_A_FOLDER == 0 {
            fs::create_dir(&folder)?;
        }
        fs::write(folder.join(format!("{i:06}")), keystream::bytes(&i.to_string(), len(i)))?;
    }
    Ok(())
}
