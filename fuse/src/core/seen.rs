//! What a block is to the mount.
//!
//! UnixFS is what it says. Anything else is a file of the block's bytes, unless it can be nothing but a directory: a
//! dag-pb node whose links all have names, or a dag-cbor or dag-json map of nothing but links.

use super::attr::{Kind, Time};
use bytes::Bytes;
use cairn_store::{
    Block,
    cid::codec,
    dag::{self, Ipld, pb::PbNode},
    fetch::{Fetch, OneBlock},
    unixfs::{
        Dir, Entries, Entry, ReadError,
        entity::{self, Entity, FileNode},
        node::Data,
    },
};
use std::{collections::HashSet, sync::Arc, vec};

/// What is told of a node without its block at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// Bytes of a file or of a symlink's target.
    pub(super) size: u64,
    /// Bytes of all blocks, as their authors say.
    pub(super) dag_size: u64,
    pub(super) perm: Option<u32>,
    pub(super) mtime: Option<Time>,
    /// Whether only a directory says so.
    pub(super) claimed: bool,
}

impl Seen {
    /// A file in one raw block, of which a directory says that it is that long.
    pub(super) fn raw(size: u64) -> Self {
        Self { kind: Kind::File, size, dag_size: size, perm: None, mtime: None, claimed: true }
    }
}

impl From<OneBlock> for Seen {
    fn from(file: OneBlock) -> Self {
        Self { size: file.len, dag_size: file.block, claimed: false, ..Self::raw(0) }
    }
}

/// What a block holds.
pub(super) enum Body {
    File(FileNode),
    Folder(Folder),
    Symlink(Bytes),
}

/// A directory.
pub(super) enum Folder {
    Unixfs(Box<Dir>),
    /// The links of something else.
    Links(Vec<Entry>),
}

/// The entries of a directory, in its order.
pub(super) enum Lines {
    Unixfs(Box<Entries>),
    /// Of a directory in one node, with the names that were listed: of several entries of one name the first counts.
    Plain(Box<Entries>, HashSet<Bytes>),
    Links(vec::IntoIter<Entry>),
}

impl Folder {
    pub(super) async fn lookup(&self, name: &[u8]) -> Result<Option<Entry>, ReadError> {
        match self {
            Self::Unixfs(dir) => dir.lookup(name).await,
            Self::Links(links) => Ok(links.iter().find(|link| link.name == name).cloned()),
        }
    }

    /// The entries, whose shards are asked for one by one until [`Lines::read_ahead`].
    pub(super) fn lines(self) -> Lines {
        match self {
            Self::Unixfs(dir) if !dir.is_sharded() => Lines::Plain(Box::new(dir.entries()), HashSet::new()),
            Self::Unixfs(dir) => {
                let mut entries = dir.entries();
                entries.limit(0);
                Lines::Unixfs(Box::new(entries))
            }
            Self::Links(links) => Lines::Links(links.into_iter()),
        }
    }
}

impl Lines {
    /// Has shards asked for before their turn: they are not here.
    pub(super) fn read_ahead(&mut self) {
        if let Self::Unixfs(entries) = self {
            entries.limit(usize::MAX);
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        match self {
            Self::Unixfs(entries) => entries.next().await,
            Self::Plain(entries, listed) => loop {
                match entries.next().await? {
                    Some(entry) if !listed.insert(entry.name.clone()) => {}
                    next => return Ok(next),
                }
            },
            Self::Links(links) => Ok(links.next()),
        }
    }
}

/// Looks at a block.
pub(super) fn look(fetch: &Arc<dyn Fetch>, block: &Block) -> Result<(Seen, Body), ReadError> {
    match block.cid().codec() {
        codec::DAG_PB => look_pb(fetch, block),
        codec::DAG_CBOR | codec::DAG_JSON => Ok(match links_of_map(block) {
            Some(links) => links_folder(block, links),
            None => bytes_file(block),
        }),
        _ => Ok(bytes_file(block)),
    }
}

fn look_pb(fetch: &Arc<dyn Fetch>, block: &Block) -> Result<(Seen, Body), ReadError> {
    let cid = block.cid();
    let malformed = |reason: String| ReadError::Malformed { cid: Box::new(*cid), reason };
    let node = PbNode::decode(block.data()).map_err(|error| malformed(error.to_string()))?;
    let own = block.data().len() as u64;
    let dag_size = node.links.iter().fold(own, |sum, link| sum.saturating_add(link.tsize.unwrap_or_default()));
    let data = node.data.clone();
    let named = named_links(&node);
    let (meta, entity) = match entity::decode_node(cid, node) {
        Ok(decoded) => decoded,
        // A UnixFS message that contradicts itself is no other thing for that.
        Err(error) if data.is_some_and(|data| Data::decode(&data).is_ok()) => return Err(error),
        Err(_) => return Ok(named.map_or_else(|| bytes_file(block), |links| links_folder(block, links))),
    };
    let (kind, size) = match &entity {
        Entity::File(node) => (Kind::File, node.size),
        Entity::Symlink(target) => (Kind::Symlink, target.len() as u64),
        Entity::Directory(_) | Entity::Shard(_) => (Kind::Directory, 0),
    };
    let seen = Seen { kind, size, dag_size, perm: meta.mode, mtime: meta.mtime, claimed: false };
    let body = match entity {
        Entity::File(node) => Body::File(node),
        Entity::Symlink(target) => Body::Symlink(target),
        entity @ (Entity::Directory(_) | Entity::Shard(_)) => {
            Body::Folder(Folder::Unixfs(Box::new(Dir::from_entity(Arc::clone(fetch), block, meta, entity, None)?)))
        }
    };
    Ok((seen, body))
}

fn bytes_file(block: &Block) -> (Seen, Body) {
    let seen = Seen { claimed: false, ..Seen::raw(block.data().len() as u64) };
    (seen, Body::File(FileNode::leaf(block.data().clone())))
}

fn links_folder(block: &Block, links: Vec<Entry>) -> (Seen, Body) {
    let own = block.data().len() as u64;
    let dag_size = links.iter().fold(own, |sum, link| sum.saturating_add(link.tsize));
    let seen = Seen { kind: Kind::Directory, size: 0, dag_size, perm: None, mtime: None, claimed: false };
    (seen, Body::Folder(Folder::Links(links)))
}

/// The links of a node that is no UnixFS, if all have names of their own.
fn named_links(node: &PbNode) -> Option<Vec<Entry>> {
    let mut names = HashSet::new();
    let distinct = node.links.iter().all(|link| !link.name().is_empty() && names.insert(link.name()));
    (distinct && !node.links.is_empty()).then(|| {
        let entry = |link: &dag::pb::PbLink| Entry {
            name: Bytes::copy_from_slice(link.name()),
            cid: link.cid,
            tsize: link.tsize.unwrap_or_default(),
        };
        node.links.iter().map(entry).collect()
    })
}

/// The links of a map that holds nothing else.
fn links_of_map(block: &Block) -> Option<Vec<Entry>> {
    // A block that its codec can't read is a file: its bytes are all that there is.
    let Ok(Ipld::Map(map)) = dag::decode(block.cid(), block.data()) else { return None };
    if map.is_empty() {
        return None;
    }
    let entry = |(name, value): (String, Ipld)| match value {
        Ipld::Link(cid) => Some(Entry { name: name.into(), cid: *cid, tsize: 0 }),
        _ => None,
    };
    map.into_iter().map(entry).collect()
}
