//! Sealing what was copied out of the tree: no lock is held.
//!
//! What can't be sealed is left: its parent keeps the link that it had, or one to nothing in it if it never had one, and
//! all the rest is sealed.

use crate::{
    Block, Cid, StoreError,
    blockstore::{Blockstore as _, KvBlocks},
    fetch::FetchError,
    mfs::{
        Ino, MfsError,
        dir::{DirError, Directory, Link, WANTED, Want},
        file::FileError,
    },
    unixfs::{hamt::hash_name, leaf, meta::FileMeta, profile::Profile},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Entries of a directory in memory from which on it is sealed in parts.
const IN_PARTS: usize = 1 << 17;

/// Why something was not sealed.
#[derive(Debug, Clone)]
pub(in crate::mfs) enum Trouble {
    /// These blocks are not here.
    Need(Vec<Cid>),
    /// It can't be.
    Error(MfsError),
}

/// What was not sealed.
pub(in crate::mfs) type Left = BTreeMap<Ino, Trouble>;

/// What is to be sealed of a tree, children first.
pub(in crate::mfs) struct Plan {
    below: Ino,
    pub(super) nodes: Vec<Planned>,
    /// Links of what is sealed.
    pub(super) links: HashMap<Ino, Link>,
    pub(super) left: Left,
}

pub(super) struct Planned {
    pub(super) ino: Ino,
    /// Its link when it was sealed last.
    pub(super) last: Option<Link>,
    pub(super) node: Node,
}

pub(super) enum Node {
    /// It could not be sealed.
    File(Profile),
    Symlink {
        target: Bytes,
        meta: FileMeta,
        profile: Profile,
    },
    Dir {
        directory: Box<Directory>,
        children: Vec<(Bytes, Ino)>,
    },
}

/// What was sealed.
pub(in crate::mfs) struct Sealed {
    pub(in crate::mfs) done: Vec<Done>,
    /// Of the uppermost.
    pub(in crate::mfs) link: Option<Link>,
    pub(in crate::mfs) left: Left,
}

/// One that was sealed.
pub(in crate::mfs) struct Done {
    pub(super) ino: Ino,
    pub(super) directory: Option<Box<Directory>>,
    pub(super) link: Link,
    /// Children that are there as they were.
    pub(super) stuck: BTreeSet<Ino>,
}

type Emit<'a> = &'a mut dyn FnMut(Block) -> Result<(), StoreError>;

impl Trouble {
    /// What an error means for one inode; the store's errors are everybody's.
    fn of(error: MfsError) -> Result<Self, MfsError> {
        match error {
            MfsError::Store(_) => Err(error),
            MfsError::Fetch(FetchError::NotFound(cid)) => Ok(Self::Need(vec![*cid])),
            other => Ok(Self::Error(other)),
        }
    }

    /// The same for a file's.
    pub(in crate::mfs) fn of_file(error: FileError) -> Result<Self, MfsError> {
        match error {
            FileError::Need(need) => Ok(Self::Need(need.0)),
            other => Self::of(other.into()),
        }
    }

    /// What whoever asks for it is told.
    pub(in crate::mfs) fn error(&self) -> MfsError {
        match self {
            Self::Error(error) => error.clone(),
            Self::Need(cids) => match cids.first() {
                Some(cid) => FetchError::NotFound(Box::new(*cid)).into(),
                None => MfsError::Closed("a block that has no name is needed".into()),
            },
        }
    }
}

impl Plan {
    pub(super) fn new(below: Ino, left: Left) -> Self {
        Self { below, nodes: Vec::new(), links: HashMap::new(), left }
    }

    /// Makes the blocks. Shards that were forgotten meanwhile are read from the store.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::mfs) fn seal(mut self, blocks: &KvBlocks, emit: Emit<'_>) -> Result<Sealed, MfsError> {
        let mut done = Vec::with_capacity(self.nodes.len());
        let mut stuck = BTreeSet::new();
        for Planned { ino, last, node } in self.nodes {
            let naming = node.profile();
            let sealed = match node {
                Node::File(_) => None,
                Node::Symlink { target, meta, profile } => seal_symlink(&target, meta, &profile, emit)
                    .map(|link| Some((None, link)))
                    .or_else(|error| noted(&mut self.left, ino, error))?,
                Node::Dir { mut directory, mut children } => {
                    children.sort_by_cached_key(|(name, _)| hash_name(name));
                    let below = children.iter().map(|(_, child)| *child).filter(|child| stuck.contains(child));
                    let below: BTreeSet<Ino> = below.collect();
                    match seal_directory(&mut directory, &children, &self.links, blocks, emit) {
                        Ok(Ok(link)) => {
                            if !below.is_empty() {
                                stuck.insert(ino);
                            }
                            done.push(Done { ino, directory: Some(directory), link, stuck: below });
                            self.links.insert(ino, link);
                            continue;
                        }
                        Ok(Err(trouble)) => {
                            self.left.insert(ino, trouble);
                            None
                        }
                        Err(error) => noted(&mut self.left, ino, error)?,
                    }
                }
            };
            let link = match (sealed, last) {
                (Some((directory, link)), _) => {
                    done.push(Done { ino, directory, link, stuck: BTreeSet::new() });
                    link
                }
                (None, last) => {
                    stuck.insert(ino);
                    match last {
                        Some(link) => link,
                        None => nothing(naming, emit)?,
                    }
                }
            };
            self.links.insert(ino, link);
        }
        Ok(Sealed { done, link: self.links.get(&self.below).copied(), left: self.left })
    }
}

impl Node {
    /// What stands for it as long as it was never sealed: an empty file, or an empty directory.
    fn profile(&self) -> Result<Profile, Box<Directory>> {
        match self {
            Self::File(profile) | Self::Symlink { profile, .. } => Ok(*profile),
            Self::Dir { directory, .. } => Err(Box::new(directory.emptied())),
        }
    }
}

fn noted<T>(left: &mut Left, ino: Ino, error: MfsError) -> Result<Option<T>, MfsError> {
    left.insert(ino, Trouble::of(error)?);
    Ok(None)
}

/// An empty file or directory.
fn nothing(what: Result<Profile, Box<Directory>>, emit: Emit<'_>) -> Result<Link, MfsError> {
    match what {
        Err(mut directory) => directory.seal(emit),
        Ok(profile) => {
            let mut file = crate::mfs::file::File::empty(&profile, FileMeta::NONE);
            let root = file.seal(&(), &mut |blocks| blocks.into_iter().try_for_each(&mut *emit))?;
            Ok(Link { cid: root.cid, tsize: root.tsize })
        }
    }
}

fn seal_symlink(target: &Bytes, meta: FileMeta, profile: &Profile, emit: Emit<'_>) -> Result<Link, MfsError> {
    let mut out = Vec::new();
    let root = leaf::symlink(profile, target, meta, &mut out)?;
    out.into_iter().try_for_each(emit)?;
    Ok(Link { cid: root.cid, tsize: root.tsize })
}

/// Seals a directory whose children come in the order of the hashes of their names.
fn seal_directory(
    directory: &mut Directory,
    children: &[(Bytes, Ino)],
    links: &HashMap<Ino, Link>,
    blocks: &KvBlocks,
    emit: Emit<'_>,
) -> Result<Result<Link, Trouble>, MfsError> {
    let (mut missing, mut heavy) = (Vec::new(), IN_PARTS);
    for (name, child) in children {
        let link = links.get(child).copied().ok_or(MfsError::Stale(*child))?;
        missing.extend(set_link(directory, blocks, name, link)?);
        if missing.len() >= WANTED {
            break;
        }
        // What is behind is as it will be; so large a directory is sharded, if that can be told without another look.
        if directory.weight() > heavy && missing.is_empty() && directory.reckon().is_ok() {
            directory.seal_before(name, emit)?;
            heavy = IN_PARTS.max(2 * directory.weight());
        }
    }
    if !missing.is_empty() {
        missing.sort_unstable();
        missing.dedup();
        return Ok(Err(Trouble::Need(missing)));
    }
    reckon(directory, blocks)?;
    directory.seal(emit).map(Ok)
}

/// Gives a directory shards out of the store. Answers the first that is not there.
fn supply(directory: &mut Directory, blocks: &KvBlocks, wanted: &[Want]) -> Result<Option<Want>, MfsError> {
    for want in wanted {
        match blocks.get(&want.cid)? {
            Some(block) => directory.supply(want, &block)?,
            None => return Ok(Some(*want)),
        }
    }
    Ok(None)
}

/// Sets an entry; answers the shard that is missing for that.
fn set_link(directory: &mut Directory, blocks: &KvBlocks, name: &[u8], link: Link) -> Result<Option<Cid>, MfsError> {
    loop {
        match directory.insert(name, Some(link)) {
            Ok(_) => return Ok(None),
            // Each round goes a level down.
            Err(DirError::Missing(wanted)) => {
                if let Some(missing) = supply(directory, blocks, &wanted)? {
                    return Ok(Some(missing.cid));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks into what says whether a directory is still to be sharded, as far as it is here. One that can't be looked into
/// stays sharded.
fn reckon(directory: &mut Directory, blocks: &KvBlocks) -> Result<(), MfsError> {
    while let Err(DirError::Missing(wanted)) = directory.reckon() {
        match supply(directory, blocks, &wanted) {
            Ok(None) => {}
            Err(error @ MfsError::Store(_)) => return Err(error),
            Ok(Some(_)) | Err(_) => return Ok(()),
        }
    }
    Ok(())
}
