//! Making blocks of a directory.

use super::{
    Directory, Form, Link, Tally,
    plain::Plain,
    shard::{Child, Shard},
    tally,
};
use crate::{
    Block, StoreError,
    mfs::{MfsError, error::shown},
    unixfs::{
        BuildError,
        directory::{directory_data, is_sharded},
        hamt::ShardWriter,
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
    let (block, tsize) = writer.seal(meta, profile).map_err(BuildError::from)?;
    let sealed = Link { cid: *block.cid(), tsize };
    emit(block)?;
    shard.sealed = Some(sealed);
    Ok(sealed)
}
