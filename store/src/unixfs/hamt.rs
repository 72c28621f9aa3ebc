//! Sharded directories: a trie over the hashes of the names.
//!
//! A name's hash is the first half of MurmurHash3 x64-128, read as 64 bits from the most significant one on.
//! Each level of the trie takes log2(fanout) bits as an index; an entry sits at the first level where no other
//! entry shares its index. A link's name is the index in hexadecimal, and the entry's name after it if it is an
//! entry and not a shard. The bitfield of the indices in use is big-endian, without leading zero bytes.

use super::{
    meta::FileMeta,
    node::{Data, Kind},
    profile::Profile,
    writer::{BuildError, NodeWriter, Root},
};
use crate::Block;
use bytes::Bytes;

/// Multicodec number of the hash function, the only one that is defined.
pub const HASH_MURMUR3_X64_64: u64 = 0x22;
/// Width where nothing else is said.
pub const DEFAULT_FANOUT: usize = 256;
/// Largest width that readers accept.
pub const MAX_FANOUT: usize = 1024;
/// Smallest width: a bitfield is whole bytes.
pub const MIN_FANOUT: usize = 8;
/// Bits of a name's hash.
const HASH_BITS: u32 = 64;

/// Whether shards may be that wide.
pub fn valid_fanout(fanout: usize) -> bool {
    fanout.is_power_of_two() && (MIN_FANOUT..=MAX_FANOUT).contains(&fanout)
}

/// Hash of a name.
pub fn hash_name(name: &[u8]) -> u64 {
    // The first half is the low one of the number that the crate gives.
    fastmurmur3::murmur3_x64_128(name, 0) as u64
}

/// Index of a hash at a level, the root's level being 0; `None` when the hash has no bits left for it.
pub fn index(hash: u64, level: u32, fanout: usize) -> Option<usize> {
    let width = fanout.trailing_zeros();
    let used = level.checked_mul(width)?;
    if used + width > HASH_BITS {
        return None;
    }
    Some((hash << used >> (HASH_BITS - width)) as usize)
}

/// Hexadecimal digits of an index in a link's name.
pub fn prefix_len(fanout: usize) -> usize {
    format!("{:X}", fanout - 1).len()
}

/// An entry as the builder wants it.
pub(super) struct ShardEntry<'a> {
    pub(super) hash: u64,
    pub(super) name: &'a [u8],
    /// Binary form.
    pub(super) cid: &'a [u8],
    pub(super) tsize: u64,
}

/// A shard being filled.
struct Open {
    node: NodeWriter,
    /// Most significant byte first.
    bitfield: Vec<u8>,
    /// Its index in its parent.
    index: usize,
}

/// Builds shards from entries in the order of their hashes, each shard as soon as its last entry came: one
/// unfinished shard for each level is kept.
pub(super) struct HamtBuilder<'a, E> {
    profile: &'a Profile,
    width: u32,
    prefix_len: usize,
    stack: Vec<Open>,
    emit: E,
}

impl<'a, X, E> HamtBuilder<'a, E>
where
    X: From<BuildError>,
    E: FnMut(Block) -> Result<(), X>,
{
    pub(super) fn new(profile: &'a Profile, emit: E) -> Self {
        let fanout = profile.max_hamt_fanout;
        let width = fanout.trailing_zeros();
        let mut builder = Self { profile, width, prefix_len: prefix_len(fanout), stack: Vec::new(), emit };
        builder.open(0);
        builder
    }

    fn open(&mut self, index: usize) {
        let bitfield = vec![0; self.profile.max_hamt_fanout / 8];
        self.stack.push(Open { node: NodeWriter::default(), bitfield, index });
    }

    /// Levels at which two hashes have the same index, counted from the root.
    fn shared_levels(&self, a: u64, b: u64) -> usize {
        ((a ^ b).leading_zeros() / self.width) as usize
    }

    /// Appends an entry between its neighbours in hash order.
    pub(super) fn push(
        &mut self,
        entry: &ShardEntry<'_>,
        before: Option<&ShardEntry<'_>>,
        after: Option<&ShardEntry<'_>>,
    ) -> Result<(), X> {
        let shared = |other: Option<&ShardEntry<'_>>| other.map_or(0, |o| self.shared_levels(entry.hash, o.hash));
        let (kept, level) = (shared(before), shared(before).max(shared(after)));
        let Some(slot) = self.index(entry.hash, level) else {
            let other = before.into_iter().chain(after).find(|o| self.shared_levels(entry.hash, o.hash) == level);
            let text = |e: &ShardEntry<'_>| String::from_utf8_lossy(e.name).into_owned();
            return Err(BuildError::TooDeep(text(entry), other.map(text).unwrap_or_default()).into());
        };
        while self.stack.len() > kept + 1 {
            self.close()?;
        }
        while self.stack.len() <= level {
            let index = self.index(entry.hash, self.stack.len() - 1).unwrap_or_default();
            self.open(index);
        }
        self.link(slot, entry.cid, entry.name, entry.tsize);
        Ok(())
    }

    fn index(&self, hash: u64, level: usize) -> Option<usize> {
        index(hash, u32::try_from(level).ok()?, self.profile.max_hamt_fanout)
    }

    /// Links from the lowest open shard.
    fn link(&mut self, slot: usize, cid: &[u8], name: &[u8], tsize: u64) {
        let prefix = format!("{slot:0width$X}", width = self.prefix_len);
        if let Some(open) = self.stack.last_mut() {
            open.node.link(cid, prefix.as_bytes(), name, tsize);
            let byte = open.bitfield.len() - 1 - slot / 8;
            open.bitfield[byte] |= 1 << (slot % 8);
        }
    }

    /// Emits the lowest open shard and links it from its parent.
    fn close(&mut self) -> Result<(), X> {
        if let Some(open) = self.stack.pop() {
            let slot = open.index;
            let root = self.seal(open, FileMeta::NONE)?;
            self.link(slot, &root.cid.to_bytes(), b"", root.tsize);
        }
        Ok(())
    }

    fn seal(&mut self, open: Open, meta: FileMeta) -> Result<Root, X> {
        let mut data = Data::new(Kind::HamtShard);
        let zeros = open.bitfield.iter().take_while(|&&byte| byte == 0).count();
        // An empty bitfield is left out altogether.
        data.data = (zeros < open.bitfield.len()).then(|| Bytes::from(open.bitfield).slice(zeros..));
        data.hash_type = Some(HASH_MURMUR3_X64_64);
        data.fanout = Some(self.profile.max_hamt_fanout as u64);
        meta.apply(&mut data);
        let (block, tsize) = open.node.seal(&data, self.profile)?;
        let root = Root { cid: *block.cid(), tsize, file_size: 0 };
        (self.emit)(block)?;
        Ok(root)
    }

    /// Ends the directory; its metadata goes into the root.
    pub(super) fn finish(mut self, meta: FileMeta) -> Result<Root, X> {
        while self.stack.len() > 1 {
            self.close()?;
        }
        match self.stack.pop() {
            Some(root) => self.seal(root, meta),
            // The root is opened with the builder and closed here only.
            None => Err(BuildError::EmptyName.into()),
        }
    }
}
