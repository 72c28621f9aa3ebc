//! Making blocks of a directory.

use super::{
    Directory, Form, Link, check_node,
    plain::Plain,
    shard::{Child, Shard},
    shard_room,
    size::{Tally, tally},
    slot,
};
use crate::{
    Block, StoreError,
    mfs::{MfsError, error::shown},
    unixfs::{
        directory::{directory_data, is_sharded},
        hamt::{ShardWriter, hash_name},
        meta::FileMeta,
        profile::Profile,
        writer::NodeWriter,
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// Who takes the blocks.
pub type Emit<'a> = &'a mut dyn FnMut(Block) -> Result<(), StoreError>;

impl Directory {
    /// Makes blocks of what has changed, the root last, and decides whether the directory is sharded. Every entry has to
    /// have its link by then.
    ///
    /// # Errors
    /// When a node can't be made, an entry has no link, or the blocks are not taken. The directory is as it was, but what
    /// was taken by then is not made again.
    pub fn seal(&mut self, emit: Emit<'_>) -> Result<Link, MfsError> {
        if let Some(root) = self.root {
            return Ok(root);
        }
        self.settle_form()?;
        let root = match &mut self.form {
            Form::Plain(plain) => seal_plain(&self.profile, self.meta, plain, emit)?,
            Form::Sharded { root, fanout } => {
                let shard = Arc::make_mut(root);
                // Its metadata may be all that has changed.
                shard.sealed = None;
                seal_shard(&self.profile, *fanout, self.meta, shard, emit)?
            }
        };
        self.root = Some(root);
        Ok(root)
    }

    /// Of a sharded directory, makes the blocks of the shards all of whose names have smaller hashes than this one, and
    /// forgets them and what has no changes. The entries there have their links and are not changed again before
    /// [`Directory::seal`].
    ///
    /// # Errors
    /// As [`Directory::seal`].
    pub fn seal_before(&mut self, name: &[u8], emit: Emit<'_>) -> Result<(), MfsError> {
        if let Form::Sharded { root, fanout } = &mut self.form {
            seal_before(&self.profile, *fanout, Arc::make_mut(root), (hash_name(name), 0), emit)?;
            self.shrink();
        }
        Ok(())
    }

    fn settle_form(&mut self) -> Result<(), MfsError> {
        match &self.form {
            Form::Plain(plain) => {
                self.known.least = self.count(plain.iter().map(|(name, link)| (name.as_ref(), link)));
                let overflows = self.overflows(self.known.least);
                let Tally { entries, size, .. } = self.known.least;
                let wanted = is_sharded(&self.profile, self.meta, entries, size).unwrap_or(false);
                if !wanted && !overflows {
                    return Ok(());
                }
                let fanout = self.profile.max_hamt_fanout;
                let shard = self.known.least.node + shard_room(entries, fanout);
                if plain.has_long_names() && !overflows && check_node(shard).is_err() {
                    // The names would not fit with what a shard puts before them.
                    return Ok(());
                }
                let mut root = Shard::default();
                for (name, link) in plain.iter() {
                    match root.insert(name, *link, fanout) {
                        Ok(()) => {}
                        // One node for all of them is the only form there is.
                        Err(_) if !overflows => return Ok(()),
                        Err(error) => return Err(error.into()),
                    }
                }
                self.form = Form::Sharded { root: Arc::new(root), fanout };
                self.weight = self.in_memory();
            }
            Form::Sharded { root, fanout } => {
                if self.is_known_sharded() {
                    return Ok(());
                }
                let mut entries = Vec::new();
                let wanted = root.walk(*fanout, &mut |name, link| {
                    entries.push((Bytes::copy_from_slice(name), *link));
                    true
                });
                if !wanted.is_empty() {
                    return Ok(());
                }
                self.known.least = self.count(entries.iter().map(|(name, link)| (name.as_ref(), link)));
                if !self.sharded_by(self.known.least) {
                    self.form = Form::Plain(Arc::new(Plain::of(entries.into_iter())));
                    self.weight = self.in_memory();
                }
            }
        }
        (self.known.came, self.known.went) = (Tally::default(), Tally::default());
        Ok(())
    }

    fn count<'a>(&self, entries: impl Iterator<Item = (&'a [u8], &'a Option<Link>)>) -> Tally {
        entries.map(|(name, link)| tally(&self.profile, name, link)).fold(Tally::default(), Tally::plus)
    }
}

fn unlinked(name: &[u8]) -> MfsError {
    MfsError::Invalid(format!("the entry {:?} was never sealed", shown(name)))
}

fn seal_plain(profile: &Profile, meta: FileMeta, plain: &Plain, emit: Emit<'_>) -> Result<Link, MfsError> {
    let mut entries: Vec<_> = plain.iter().collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
    let mut node = NodeWriter::default();
    for (name, link) in entries {
        let link = link.ok_or_else(|| unlinked(name))?;
        node.link(&link.cid.to_bytes(), b"", name, link.tsize);
    }
    let (block, tsize) = node.seal(&directory_data(meta), profile)?;
    let root = Link { cid: *block.cid(), tsize };
    emit(block)?;
    Ok(root)
}

/// Seals the shards before a hash, which is looked at from that level on. They are not more levels than it has bits for.
fn seal_before(
    profile: &Profile,
    fanout: usize,
    shard: &mut Shard,
    (hash, level): (u64, u32),
    emit: Emit<'_>,
) -> Result<(), MfsError> {
    let Some(end) = slot(hash, level, fanout) else { return Ok(()) };
    for (slot, child) in shard.children.iter_mut().take_while(|(slot, _)| *slot <= end) {
        let Child::Below(below) = child else { continue };
        if below.sealed.is_some() {
            continue;
        }
        let below = Arc::make_mut(below);
        if *slot < end {
            let link = seal_shard(profile, fanout, FileMeta::NONE, below, emit)?;
            *child = Child::Sealed(Box::new(link));
        } else {
            seal_before(profile, fanout, below, (hash, level + 1), emit)?;
        }
    }
    Ok(())
}

/// Seals a shard and, first, those below it. They are not more levels than a hash has bits for.
fn seal_shard(
    profile: &Profile,
    fanout: usize,
    meta: FileMeta,
    shard: &mut Shard,
    emit: Emit<'_>,
) -> Result<Link, MfsError> {
    if let Some(sealed) = shard.sealed {
        return Ok(sealed);
    }
    let mut writer = ShardWriter::new(fanout);
    for (slot, child) in &mut shard.children {
        let (name, link): (&[u8], Link) = match child {
            Child::Entry(leaf) => (&leaf.name, leaf.link.ok_or_else(|| unlinked(&leaf.name))?),
            Child::Sealed(link) => (b"", **link),
            Child::Below(below) => match below.sealed {
                Some(link) => (b"", link),
                None => (b"", seal_shard(profile, fanout, FileMeta::NONE, Arc::make_mut(below), emit)?),
            },
        };
        writer.link(usize::from(*slot), &link.cid.to_bytes(), name, link.tsize);
    }
    let (block, tsize) = writer.seal(meta, profile)?;
    let sealed = Link { cid: *block.cid(), tsize };
    emit(block)?;
    shard.sealed = Some(sealed);
    Ok(sealed)
}
