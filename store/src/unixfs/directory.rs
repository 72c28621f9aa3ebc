//! Directories: one node, or shards when that node would be too large.

use super::{
    hamt::{self, HamtBuilder, ShardEntry},
    meta::FileMeta,
    node::{Data, Kind},
    profile::{HamtEstimate, Profile},
    writer::{BuildError, NodeWriter, Root, link_len},
};
use crate::{Block, Cid};

/// Collects the entries of one directory, in any order. An entry takes 40 bytes and those of its name and CID.
#[derive(Debug)]
pub struct DirBuilder {
    profile: Profile,
    meta: FileMeta,
    entries: Vec<Entry>,
    /// Name, then CID, of each entry.
    arena: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    tsize: u64,
    /// Where the name begins in the arena: it grows with each entry, so it tells earlier ones from later ones.
    at: usize,
    name_len: u32,
    cid_len: u32,
}

impl DirBuilder {
    /// An empty directory. The profile is expected to be valid.
    pub fn new(profile: &Profile, meta: FileMeta) -> Self {
        Self { profile: *profile, meta, entries: Vec::new(), arena: Vec::new() }
    }

    /// Adds an entry; `tsize` is [`Root::tsize`] of what it points at. Of several entries with one name the
    /// last one stays.
    ///
    /// # Errors
    /// When the name is empty, `.` or `..`, or holds `/` or NUL: no path leads to such an entry.
    pub fn add(&mut self, name: impl AsRef<[u8]>, cid: &Cid, tsize: u64) -> Result<(), BuildError> {
        let name = name.as_ref();
        check_name(name)?;
        if i64::try_from(tsize).is_err() {
            return Err(BuildError::Tsize(tsize));
        }
        let cid_len = cid.encoded_len() as u32;
        // A longer name would not fit into a block either.
        let name_len = u32::try_from(name.len()).map_err(|_| BuildError::NodeTooLarge(name.len()))?;
        let at = self.arena.len();
        self.arena.extend_from_slice(name);
        // Writing to a Vec does not fail.
        let _ = cid.write_bytes(&mut self.arena);
        self.entries.push(Entry { hash: hamt::hash_name(name), tsize, at, name_len, cid_len });
        Ok(())
    }

    /// Sets another mode and time than at first.
    pub fn set_meta(&mut self, meta: FileMeta) {
        self.meta = meta;
    }

    /// Number of entries so far; those of one name count each.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Builds the directory and appends its blocks to `out`, the root last.
    ///
    /// # Errors
    /// When a node can't be made.
    pub fn finish(self, out: &mut Vec<Block>) -> Result<Root, BuildError> {
        self.finish_with(|block| {
            out.push(block);
            Ok(())
        })
    }

    /// As [`DirBuilder::finish`], handing each block on as it is made: a million entries are 100 MB of shards.
    ///
    /// # Errors
    /// When a node can't be made, or when `emit` fails.
    pub fn finish_with<X: From<BuildError>>(mut self, mut emit: impl FnMut(Block) -> Result<(), X>) -> Result<Root, X> {
        self.sort_by_hash();
        if self.is_sharded()? {
            return self.finish_sharded(emit);
        }
        let Self { profile, meta, mut entries, arena } = self;
        entries.sort_unstable_by(|a, b| a.name(&arena).cmp(b.name(&arena)));
        let mut node = NodeWriter::default();
        for entry in &entries {
            node.link(entry.cid(&arena), b"", entry.name(&arena), entry.tsize);
        }
        let (block, tsize) = node.seal(&directory_data(meta), &profile)?;
        let root = Root { cid: *block.cid(), tsize, file_size: 0 };
        emit(block)?;
        Ok(root)
    }

    /// Orders the entries by hash and drops all but the last of each name.
    fn sort_by_hash(&mut self) {
        let arena = &self.arena;
        let key = |e: &Entry| (e.hash, e.name(arena), std::cmp::Reverse(e.at));
        self.entries.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        self.entries.dedup_by(|later, kept| later.hash == kept.hash && later.name(arena) == kept.name(arena));
    }

    fn is_sharded(&self) -> Result<bool, BuildError> {
        let profile = &self.profile;
        let size = |e: &Entry| entry_size(profile, e.name_len as usize, e.cid_len as usize, e.tsize);
        is_sharded(profile, self.meta, self.entries.len(), self.entries.iter().map(size).sum())
    }

    fn finish_sharded<X: From<BuildError>>(self, emit: impl FnMut(Block) -> Result<(), X>) -> Result<Root, X> {
        let Self { profile, meta, entries, arena } = self;
        let entry = |i: usize| entries.get(i).map(|e| e.shard_entry(&arena));
        let mut builder = HamtBuilder::new(&profile, emit);
        let (mut before, mut next) = (None, entry(0));
        let mut i = 0;
        while let Some(current) = next {
            i += 1;
            next = entry(i);
            builder.push(&current, before.as_ref(), next.as_ref())?;
            before = Some(current);
        }
        builder.finish(meta)
    }
}

/// What an entry adds to the size of a directory that is compared with the threshold.
pub(crate) fn entry_size(profile: &Profile, name: usize, cid: usize, tsize: u64) -> u64 {
    match profile.hamt_estimate {
        HamtEstimate::Disabled => 0,
        HamtEstimate::Links => (name + cid) as u64,
        HamtEstimate::Block => link_len(cid, name, tsize) as u64,
    }
}

/// Whether a directory of so many entries, whose sizes are `size` together, is sharded.
///
/// # Errors
/// When it has too many entries, and may not be sharded.
pub(crate) fn is_sharded(profile: &Profile, meta: FileMeta, entries: usize, size: u64) -> Result<bool, BuildError> {
    let too_many = profile.max_dir_links > 0 && entries > profile.max_dir_links;
    if profile.hamt_threshold == 0 {
        let error = BuildError::TooManyLinks { entries, max: profile.max_dir_links };
        return if too_many { Err(error) } else { Ok(false) };
    }
    let head = if profile.hamt_estimate == HamtEstimate::Block { node_head(meta) } else { 0 };
    // A directory of exactly the threshold stays in one node.
    Ok(too_many || (head + size > profile.hamt_threshold && entries > 0))
}

/// Bytes of a directory's node besides its links.
pub(crate) fn node_head(meta: FileMeta) -> u64 {
    let data = directory_data(meta).encode().len();
    (1 + crate::dag::pb::varint_len(data as u64) + data) as u64
}

impl Entry {
    fn name<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.at..][..self.name_len as usize]
    }

    fn cid<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        &arena[self.at + self.name_len as usize..][..self.cid_len as usize]
    }

    fn shard_entry<'a>(&self, arena: &'a [u8]) -> ShardEntry<'a> {
        ShardEntry { hash: self.hash, name: self.name(arena), cid: self.cid(arena), tsize: self.tsize }
    }
}

pub(crate) fn directory_data(meta: FileMeta) -> Data {
    let mut data = Data::new(Kind::Directory);
    meta.apply(&mut data);
    data
}

fn check_name(name: &[u8]) -> Result<(), BuildError> {
    match name {
        b"" => Err(BuildError::EmptyName),
        _ if super::is_plain_name(name) => Ok(()),
        _ => Err(BuildError::BadName(String::from_utf8_lossy(name).into_owned())),
    }
}

#[cfg(test)]
mod tests;
