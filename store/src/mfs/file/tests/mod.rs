//! A file against a vector of bytes, and its CIDs against the importer's and Kubo's.

mod foreign;
mod golden;
mod holes;
mod limits;
mod random;
mod sharing;

use super::*;
use crate::{
    Block, Cid,
    mfs::need::Blocks,
    unixfs::{
        layout::LayoutBuilder,
        leaf::{self, Leaf as BuiltLeaf},
    },
};
use std::{cell::RefCell, collections::HashMap, ops::Range};

/// Blocks that were stored.
#[derive(Default)]
struct Store {
    blocks: RefCell<HashMap<Cid, Block>>,
    /// Blocks that were asked for.
    asked: RefCell<Vec<Cid>>,
}

/// All of them at hand.
impl Blocks for Store {
    fn block(&self, cid: &Cid) -> Option<Block> {
        Some(self.get(cid))
    }
}

impl Store {
    fn get(&self, cid: &Cid) -> Block {
        let identity = Block::from_identity(cid);
        identity.unwrap_or_else(|| self.blocks.borrow().get(cid).expect("a block that was stored").clone())
    }

    fn take(&self, blocks: Vec<Block>) {
        self.blocks.borrow_mut().extend(blocks.into_iter().map(|block| (*block.cid(), block)));
    }

    /// Repeats an operation until no block is missing; only what was asked for last is at hand, as with the strictest caller.
    fn run<T>(&self, mut operation: impl FnMut(&dyn Blocks) -> Result<T, FileError>) -> Result<T, FileError> {
        let mut at_hand = Latest(Vec::new());
        for _ in 0..10_000 {
            match operation(&at_hand) {
                Err(FileError::Need(Need(cids))) => {
                    at_hand = Latest(cids.iter().map(|cid| self.get(cid)).collect());
                    self.asked.borrow_mut().extend(cids);
                }
                other => return other,
            }
        }
        panic!("it asks for ever");
    }

    fn seal(&self, file: &mut File) -> Root {
        let sealed = self.run(|blocks| {
            file.seal(blocks, &mut |blocks| {
                self.take(blocks);
                Ok(())
            })
        });
        let root = sealed.expect("seals");
        assert_eq!((file.is_dirty(), file.dirty_bytes(), root.file_size), (false, 0, file.len()));
        root
    }

    fn write_back(&self, file: &mut File) {
        let sealed = file.write_back(&mut |blocks| {
            self.take(blocks);
            Ok(())
        });
        sealed.expect("seals");
    }

    fn write(&self, file: &mut File, offset: u64, data: &[u8]) {
        self.run(|blocks| file.write(offset, data, blocks)).expect("writes");
    }

    fn truncate(&self, file: &mut File, len: u64) {
        self.run(|blocks| file.truncate(len, blocks)).expect("cuts");
    }

    fn punch(&self, file: &mut File, range: Range<u64>) {
        self.run(|blocks| file.punch(range.clone(), blocks)).expect("punches");
    }

    fn open(&self, profile: &Profile, cid: &Cid) -> File {
        File::from_block(profile, &self.get(cid)).expect("a file")
    }

    fn read(&self, file: &File, range: Range<u64>) -> Vec<u8> {
        let (mut out, mut at, end) = (Vec::new(), range.start, range.end.min(file.len()));
        while at < end {
            for segment in file.segments(at..end) {
                at += segment.len();
                match segment {
                    Segment::Bytes(bytes) => out.extend_from_slice(&bytes),
                    Segment::Zeros(len) => out.resize(out.len() + len as usize, 0),
                    Segment::Sealed { cid, size, of } => {
                        let whole = self.content(&cid);
                        assert_eq!(whole.len() as u64, size);
                        out.extend_from_slice(&whole[of.start as usize..of.end as usize]);
                    }
                }
            }
        }
        out
    }

    fn all(&self, file: &File) -> Vec<u8> {
        self.read(file, 0..file.len())
    }

    /// The content below a root, by the readers' own decoder.
    fn content(&self, cid: &Cid) -> Vec<u8> {
        let mut out = Vec::new();
        let mut todo = vec![(*cid, None)];
        while let Some((cid, size)) = todo.pop() {
            let node = crate::unixfs::entity::FileNode::decode(&self.get(&cid)).expect("a file");
            assert!(size.is_none_or(|size| size == node.size), "{cid}: {size:?}, {}", node.size);
            out.extend_from_slice(&node.data);
            todo.extend(node.children.iter().rev().map(|part| (part.cid, Some(part.size))));
        }
        out
    }

    /// What `add` makes of that content.
    fn add(&self, profile: &Profile, meta: FileMeta, content: &[u8]) -> Root {
        let shape = Shape::of(profile);
        let mut out = Vec::new();
        let mut layout = LayoutBuilder::new(profile);
        for chunk in content.chunks(shape.chunk as usize) {
            let encoded = leaf::encode(profile, Bytes::copy_from_slice(chunk));
            let block = profile.seal_leaf(encoded).expect("seals");
            layout.push(BuiltLeaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
        }
        let root = layout.finish(meta, &mut out).expect("a root");
        self.take(out);
        root
    }
}

/// What was asked for last.
struct Latest(Vec<Block>);

impl Blocks for Latest {
    fn block(&self, cid: &Cid) -> Option<Block> {
        self.0.iter().find(|block| block.cid() == cid).cloned()
    }
}

/// Chunks of `chunk` bytes, nodes of `links` links.
fn small(chunk: usize, links: usize, raw: bool) -> Profile {
    let base = if raw { Profile::cid_v1() } else { Profile::unixfs_v0_2015() };
    Profile { chunker: crate::chunker::ChunkerSpec::Size(chunk), max_file_links: links, ..base }
}

/// Bytes in which no two positions near each other look alike.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
