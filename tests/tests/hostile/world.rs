//! Making a hostile DAG, giving it to the program, and what must hold of every answer.

use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    car::{write_header, write_section},
    cid::codec,
    dag::pb::{PbLink, PbNode},
    unixfs::node::{Data, Kind},
};
use cairn_tests::{
    harness::Node,
    process::{self, Outcome},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// Memory that no command may pass, in bytes.
pub const MAX_MEMORY: u64 = 256 << 20;
/// Time that no command may pass. Most take milliseconds; a walk of 100,000 blocks a few seconds on a machine
/// that is busy.
pub const MAX_TIME: Duration = Duration::from_secs(60);
/// Exit code of a program that panicked.
const PANICKED: i32 = 101;

/// Writes blocks to a CAR as they are made, so that the test itself stays small: its memory counts as its
/// children's.
pub struct Maker {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Maker {
    /// A CAR without roots, in a node's working directory.
    pub fn new(node: &Node) -> Self {
        let path = node.work().join("hostile.car");
        let mut out = BufWriter::new(File::create(&path).expect("the working directory is writable"));
        write_header(&mut out, &[]).expect("the working directory is writable");
        Self { path, out }
    }

    fn put(&mut self, prefix: Prefix, data: impl Into<Bytes>) -> Cid {
        let block = Block::seal(prefix, data.into()).expect("SHA-256 takes all");
        write_section(&mut self.out, &block).expect("the working directory is writable");
        *block.cid()
    }

    /// A raw leaf.
    pub fn raw(&mut self, data: &[u8]) -> Cid {
        self.put(Prefix::v1(codec::RAW), data.to_vec())
    }

    /// A dag-pb node, links in the order given.
    pub fn node(&mut self, data: &Data, links: Vec<PbLink>) -> Cid {
        self.put(Prefix::V0, PbNode { links, data: Some(data.encode().into()) }.encode())
    }

    /// A directory in one block, whatever its names.
    pub fn directory(&mut self, entries: &[(&[u8], Cid)]) -> Cid {
        let links = entries.iter().map(|(name, cid)| PbLink::new(*cid, name.to_vec(), 1)).collect();
        self.node(&Data::new(Kind::Directory), links)
    }

    /// A symlink.
    pub fn symlink(&mut self, target: &str) -> Cid {
        let mut data = Data::new(Kind::Symlink);
        data.data = Some(Bytes::copy_from_slice(target.as_bytes()));
        self.node(&data, Vec::new())
    }

    /// A file of parts with the lengths that are claimed for them.
    pub fn file(&mut self, parts: &[(Cid, u64)], filesize: Option<u64>) -> Cid {
        let mut data = Data::new(Kind::File);
        data.filesize = filesize;
        data.blocksizes = parts.iter().map(|(_, size)| *size).collect();
        let links = parts.iter().map(|(cid, size)| PbLink::new(*cid, Bytes::new(), *size)).collect();
        self.node(&data, links)
    }

    /// A node of a sharded directory, just as it is said.
    pub fn shard(&mut self, bits: &[u8], fanout: u64, hash: u64, links: &[(&str, Cid)]) -> Cid {
        let mut data = Data::new(Kind::HamtShard);
        data.data = Some(Bytes::copy_from_slice(bits));
        data.fanout = Some(fanout);
        data.hash_type = Some(hash);
        let links = links.iter().map(|(name, cid)| PbLink::new(*cid, name.as_bytes().to_vec(), 1)).collect();
        self.node(&data, links)
    }

    /// Has the program import all of it, without pins: Kubo's words for it, and its limits.
    pub fn import(mut self, node: &Node) {
        self.out.flush().expect("the working directory is writable");
        let path = self.path.as_os_str();
        let outcome = run(node, [OsStr::new("dag"), OsStr::new("import"), OsStr::new("--pin-roots=false"), path]);
        assert!(outcome.status.success(), "{}", outcome.errors());
    }
}

/// Runs a command on what strangers sent: it may fail, but not crash, nor take much.
#[track_caller]
pub fn run(node: &Node, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
    let mut command = node.command(args);
    let outcome = process::run(&mut command, None).expect("the program can be started");
    let usage = outcome.usage;
    let errors = outcome.errors();
    let code = outcome.status.code();
    assert!(code.is_some_and(|code| code != PANICKED), "{command:?} ended with {}: {errors}", outcome.status);
    assert!(usage.peak_rss < MAX_MEMORY, "{command:?} took {} bytes", usage.peak_rss);
    assert!(usage.wall < MAX_TIME, "{command:?} took {:?}", usage.wall);
    outcome
}

/// Runs a command that must refuse, with a message.
#[track_caller]
pub fn refuse(node: &Node, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let outcome = run(node, &args);
    assert!(!outcome.status.success(), "{args:?} succeeded: {}", outcome.text());
    let errors = outcome.errors();
    assert!(errors.contains("Error: "), "{args:?} said only {errors:?}");
    errors
}

/// All paths below a directory, as text, sorted; symlinks are not followed.
pub fn tree(root: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("the directory is readable") {
            let entry = entry.expect("the directory is readable");
            if entry.file_type().expect("the entry has a type").is_dir() {
                open.push(entry.path());
            }
            let path = entry.path();
            found.push(path.strip_prefix(root).expect("it lies below").display().to_string());
        }
    }
    found.sort();
    found
}
