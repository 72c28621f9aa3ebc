//! From a path to the block that it names.
//!
//! Each segment goes through one block: the entry of a directory, plain or sharded; a named link of a dag-pb
//! node that is no UnixFS; a field of a dag-cbor or dag-json value. Names are followed first, a bounded number
//! of steps.

use crate::{
    Block, Cid,
    cid::codec,
    dag::{
        self, DagError,
        pb::{PbLink, PbNode},
        select::{SelectError, Selected},
    },
    fetch::{Deadline, Fetch, FetchError},
    names::{NameError, Names},
    path::{Namespace, Path},
    unixfs::{
        Dir, ReadError,
        entity::{self, Entity},
        meta::FileMeta,
        node::Data,
    },
};
use std::sync::Arc;

/// Names that may lead to names (DNSLink specification).
pub const MAX_NAMES: usize = 32;

/// Why a path leads nowhere.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    /// A segment names nothing.
    #[error("no link named {name:?} under {cid}")]
    NoLink {
        /// The segment.
        name: String,
        /// The block in which it was looked for.
        cid: Box<Cid>,
    },
    /// The path goes on inside a block, where a file or directory was wanted.
    #[error("{path} is a value inside the block {cid}, not a file or directory: `cairn dag get` prints it")]
    InsideBlock {
        /// The path.
        path: String,
        /// The block.
        cid: Box<Cid>,
    },
    /// A block can't be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A directory can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block is not what its codec says.
    #[error(transparent)]
    Dag(#[from] DagError),
    /// A segment leads nowhere inside a dag-cbor or dag-json value.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// A name can't be resolved.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Names lead to names without end.
    #[error("could not resolve name {0:?}: more than {MAX_NAMES} names lead to one another")]
    TooManyNames(String),
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The namespace of the path after its names were followed: never [`Namespace::Ipns`].
    pub namespace: Namespace,
    /// The last block.
    pub cid: Cid,
    /// What is left of the path, if it ends at a value inside that block.
    pub remainder: Vec<String>,
    /// The block that the root and each segment after it lead to; of a segment that stays inside a block, that block.
    /// Shards of directories are left out. The last one is `cid`.
    pub roots: Vec<Cid>,
}

/// What a segment leads to inside one block.
enum Found {
    /// Another block, after that many segments.
    Link(Cid, usize),
    /// A value inside this block, at the end of the path.
    Value,
    /// Nothing.
    Nothing,
}

/// Resolves a path.
///
/// # Errors
/// When a name or a segment leads nowhere, or a block on the way can't be had or read. The last block is not
/// fetched.
pub async fn resolve(
    fetch: &Arc<dyn Fetch>,
    names: &dyn Names,
    path: &Path,
    deadline: Deadline,
) -> Result<Resolved, ResolveError> {
    let path = follow_names(names, path, deadline).await?;
    let Some(&root) = path.cid() else {
        return Err(NameError::NotFound(path.root().to_owned()).into());
    };
    let namespace = path.namespace();
    let mut cid = root;
    let mut rest = path.segments();
    let mut roots = vec![root];
    while !rest.is_empty() {
        let block = fetch.fetch(&cid, deadline).await?;
        let found = match namespace {
            Namespace::Ipld => select(&block, rest)?,
            Namespace::Ipfs | Namespace::Ipns => step(fetch, block, rest, deadline).await?,
        };
        match found {
            Found::Link(next, used) => {
                roots.extend(std::iter::repeat_n(cid, used.saturating_sub(1)));
                roots.push(next);
                cid = next;
                rest = &rest[used..];
            }
            Found::Value => {
                roots.extend(std::iter::repeat_n(cid, rest.len()));
                return Ok(Resolved { namespace, cid, remainder: rest.to_vec(), roots });
            }
            Found::Nothing => return Err(ResolveError::NoLink { name: rest[0].clone(), cid: Box::new(cid) }),
        }
    }
    Ok(Resolved { namespace, cid, remainder: Vec::new(), roots })
}

/// Resolves a path that has to end at a block: a file, a directory, or any other object.
///
/// # Errors
/// As [`resolve`], and when the path ends inside a block.
pub async fn resolve_block(
    fetch: &Arc<dyn Fetch>,
    names: &dyn Names,
    path: &Path,
    deadline: Deadline,
) -> Result<Cid, ResolveError> {
    let resolved = resolve(fetch, names, path, deadline).await?;
    if resolved.remainder.is_empty() {
        return Ok(resolved.cid);
    }
    Err(ResolveError::InsideBlock { path: path.to_string(), cid: Box::new(resolved.cid) })
}

async fn follow_names(names: &dyn Names, path: &Path, deadline: Deadline) -> Result<Path, ResolveError> {
    let mut path = path.clone();
    for _ in 0..MAX_NAMES {
        if path.namespace() != Namespace::Ipns {
            return Ok(path);
        }
        let target = names.lookup(path.root(), deadline).await?;
        path = target.path.join(path.segments().iter().cloned());
    }
    if path.namespace() == Namespace::Ipns { Err(ResolveError::TooManyNames(path.root().to_owned())) } else { Ok(path) }
}

/// One step of a `/ipfs` path.
async fn step(
    fetch: &Arc<dyn Fetch>,
    block: Block,
    rest: &[String],
    deadline: Deadline,
) -> Result<Found, ResolveError> {
    let (cid, name) = (block.cid(), rest[0].as_bytes());
    let found = |next: Option<Cid>| next.map_or(Found::Nothing, |cid| Found::Link(cid, 1));
    match cid.codec() {
        codec::RAW => Ok(found(None)),
        codec::DAG_PB => {
            let (block, node) = entity::aside(fetch, block, deadline, read).await.map_err(ReadError::from)?;
            let (meta, entity) = match node? {
                Node::Unixfs(meta, entity) => (meta, entity),
                Node::Links(links) => {
                    return Ok(found(links.iter().find(|l| l.name() == name).map(|l| l.cid)));
                }
            };
            if matches!(entity, Entity::File(_) | Entity::Symlink(_)) {
                return Ok(found(None));
            }
            let dir = Dir::from_entity(Arc::clone(fetch), &block, meta, entity, deadline)?;
            drop(block);
            Ok(found(dir.lookup(name).await?.map(|entry| entry.cid)))
        }
        _ => select(&block, rest),
    }
}

/// A dag-pb node.
enum Node {
    Unixfs(FileMeta, Entity),
    /// It is no UnixFS, and has links with names all the same.
    Links(Vec<PbLink>),
}

fn read(block: &Block) -> Result<Node, ReadError> {
    let decode = || PbNode::decode(block.data()).map_err(|e| ReadError::malformed(block.cid(), e.to_string()));
    let node = decode()?;
    let data = node.data.clone();
    match entity::decode_node(block.cid(), node) {
        Ok((meta, entity)) => Ok(Node::Unixfs(meta, entity)),
        // A UnixFS message that contradicts itself.
        Err(error) if data.is_some_and(|data| Data::decode(&data).is_ok()) => Err(error),
        Err(_) => Ok(Node::Links(decode()?.links)),
    }
}

/// As many steps through the data model of a block as there are.
fn select(block: &Block, rest: &[String]) -> Result<Found, ResolveError> {
    let value = dag::decode(block.cid(), block.data())?;
    Ok(match dag::select::select(value, rest)? {
        Selected::Link(next, used) => Found::Link(next, used),
        Selected::Value(_) => Found::Value,
    })
}
