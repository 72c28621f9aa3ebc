//! Test bytes, and a driver that walks them through chunker, leaves and layout.

use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    chunker::{Chunker, ChunkerSpec},
    hash::{HashFn, sha256},
    unixfs::{
        Root,
        directory::DirBuilder,
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
        node::Mtime,
        profile::{Layout, Profile},
    },
};
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use std::collections::{BTreeMap, HashMap};

/// The ChaCha20 keystream under the hash of `seed`.
pub fn keystream(seed: &str) -> ChaCha20 {
    ChaCha20::new(&sha256(seed.as_bytes()).into(), &[0; 12].into())
}

/// Its first `len` bytes.
pub fn test_bytes(seed: &str, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    keystream(seed).apply_keystream(&mut out);
    out
}

/// An import in memory.
pub struct Importer {
    pub profile: Profile,
    pub meta: FileMeta,
    /// Bytes of every block by its name.
    pub blocks: HashMap<Cid, Bytes>,
}

impl Importer {
    pub fn new(profile: Profile) -> Self {
        profile.validate().expect("a valid profile");
        Self { profile, meta: FileMeta::NONE, blocks: HashMap::new() }
    }

    fn keep(&mut self, out: &mut Vec<Block>) {
        self.blocks.extend(out.drain(..).map(|block| (*block.cid(), block.into_data())));
    }

    pub fn file(&mut self, bytes: &[u8]) -> Root {
        let mut out = Vec::new();
        let mut layout = LayoutBuilder::new(&self.profile);
        let mut chunker = Chunker::new(self.profile.chunker);
        let (mut start, mut end) = (0, 0);
        while start < bytes.len() {
            match chunker.next_cut(&bytes[start..end], end == bytes.len()) {
                Some(len) => {
                    let chunk = Bytes::copy_from_slice(&bytes[start..start + len]);
                    let encoded = leaf::encode(&self.profile, chunk);
                    let block = self.profile.seal_leaf(encoded).expect("seals");
                    layout.push(Leaf { block, file_size: len as u64 }, &mut out).expect("a node");
                    start += len;
                }
                // An odd step, so that windows end everywhere.
                None => end = (end + 99_991).min(bytes.len()),
            }
            self.keep(&mut out);
        }
        let root = layout.finish(self.meta, &mut out).expect("a root");
        self.keep(&mut out);
        assert_eq!(root.file_size, bytes.len() as u64);
        root
    }

    pub fn symlink(&mut self, target: &str) -> Root {
        let mut out = Vec::new();
        let root = leaf::symlink(&self.profile, target.as_bytes(), self.meta, &mut out).expect("a symlink");
        self.keep(&mut out);
        root
    }

    pub fn directory<'a>(&mut self, entries: impl IntoIterator<Item = (&'a str, Root)>) -> Root {
        let mut dir = DirBuilder::new(&self.profile, self.meta);
        for (name, root) in entries {
            dir.add(name, &root.cid, root.tsize).expect("a good name");
        }
        let mut out = Vec::new();
        let root = dir.finish(&mut out).expect("a directory");
        self.keep(&mut out);
        root
    }

    pub fn tree(&mut self, tree: &Tree) -> Root {
        match tree {
            Tree::File(bytes) => self.file(bytes),
            Tree::Link(target) => self.symlink(target),
            Tree::Dir(entries) => {
                let roots: Vec<(&str, Root)> =
                    entries.iter().map(|(name, child)| (name.as_str(), self.tree(child))).collect();
                self.directory(roots)
            }
        }
    }

    /// Bytes of all blocks.
    pub fn dag_bytes(&self) -> u64 {
        self.blocks.values().map(|data| data.len() as u64).sum()
    }
}

/// Files to add.
pub enum Tree {
    File(Vec<u8>),
    Link(String),
    Dir(BTreeMap<String, Self>),
}

impl Tree {
    pub fn dir() -> Self {
        Self::Dir(BTreeMap::new())
    }

    pub fn text(text: &str) -> Self {
        Self::File(text.into())
    }

    /// Puts something at a path, with the directories that lead to it.
    pub fn put(&mut self, path: &str, child: Self) {
        let Self::Dir(entries) = self else { panic!("{path} is below a file") };
        match path.split_once('/') {
            None => drop(entries.insert(path.to_owned(), child)),
            Some((first, rest)) => entries.entry(first.to_owned()).or_insert_with(Self::dir).put(rest, child),
        }
    }
}

/// What the flags of `add` ask for.
#[derive(Default)]
pub struct Flags {
    pub profile: Profile,
    pub meta: FileMeta,
    pub hidden: bool,
    pub wrap: bool,
}

/// Reads the flags as they stand in the vectors.
pub fn flags<'a>(flags: impl IntoIterator<Item = &'a str>) -> Flags {
    flags_of(Profile::default(), flags)
}

/// The same, on top of a profile.
pub fn flags_of<'a>(profile: Profile, flags: impl IntoIterator<Item = &'a str>) -> Flags {
    let mut out = Flags { profile, ..Flags::default() };
    let mut raw = profile.raw_leaves.then_some(true);
    let mut v1 = profile.cid_version == cid::Version::V1;
    let (mut inline, mut limit) = (false, 32);
    let (mut seconds, mut nanos) = (None, 0);
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let number = || value.parse::<usize>().expect("a number");
        match name {
            "--cid-version" => v1 = value == "1",
            "--raw-leaves" => raw = Some(value != "false"),
            "--chunker" => out.profile.chunker = ChunkerSpec::parse(value).expect("a chunker"),
            "--max-file-links" => out.profile.max_file_links = number(),
            "--max-directory-links" => out.profile.max_dir_links = number(),
            "--max-hamt-fanout" => out.profile.max_hamt_fanout = number(),
            "--trickle" => out.profile.layout = Layout::Trickle,
            "--hash" => out.profile.hash = HashFn::from_name(value).expect("a hash function"),
            "--inline" => inline = true,
            "--inline-limit" => limit = number(),
            // Kubo's flag loses the bits above rwxrwxrwx, though the format has room for three of them.
            "--mode" => out.meta.mode = Some(u32::from_str_radix(value, 8).expect("a mode") & 0o777),
            "--mtime" => seconds = Some(value.parse().expect("seconds")),
            "--mtime-nsecs" => nanos = value.parse().expect("nanoseconds"),
            "--hidden" => out.hidden = true,
            "--wrap-with-directory" => out.wrap = true,
            "--dereference-args" => {}
            other => panic!("unknown flag {other}"),
        }
    }
    out.meta.mtime = seconds.map(|seconds| Mtime { seconds, nanos });
    v1 |= out.profile.hash != HashFn::SHA2_256;
    out.profile.cid_version = if v1 { cid::Version::V1 } else { cid::Version::V0 };
    // Kubo turns raw leaves off when metadata is asked for.
    out.profile.raw_leaves = raw.unwrap_or(v1) && out.meta.is_empty();
    out.profile.inline = inline.then_some(limit);
    out
}
