//! The file system, without a kernel: inodes, handles and errnos over sources of blocks and names.
//!
//! [`Filesystem`] has a method for each request of a kernel. What it answers with counts as the kernel's reference, as
//! FUSE has it: look-ups and creations, until [`Filesystem::forget`].
//!
//! | Module | Says |
//! |---|---|
//! | `attr`, `errno` | what `stat` says, and what goes wrong |
//! | `place` | which tree a number belongs to |
//! | `source` | blocks within the patience of a mount |
//! | `seen`, `inodes`, `readonly`, `folder` | content by its CID: what it is, which of it the kernel knows, directories |
//! | `streams`, `direct` | files: reads that may go to the network, and reads of what is here |
//! | `ipns` | what mutable names lead to |
//! | `tree`, `tree_folder`, `known` | the writable trees |
//! | `handles` | what is open |
//! | `read`, `write` | requests that look, and requests that change |

mod attr;
mod direct;
mod errno;
mod folder;
mod handles;
mod inodes;
mod ipns;
mod known;
mod place;
mod read;
mod readonly;
mod seen;
mod source;
mod streams;
mod tree;
mod tree_folder;
mod write;
mod xattr;

pub use attr::{Attr, Dirent, EPOCH, Entry, Found, Ino, Kind, MAX_NAME, Time, Ttl, UNKNOWN_INO};
pub use errno::Errno;
pub use folder::Room;
pub use handles::{MAX_HANDLES, Opened};
pub use place::{Layout, ROOT};
pub use read::{Read, Space};
pub use source::Sources;
pub use tree::{Fallocate, SetAttr, TreeOptions};
pub use xattr::{XATTR_CID, XATTR_SIZE};

use async_trait::async_trait;
use bytes::Bytes;
use cairn_store::mfs::Mfs;
use handles::Handles;
use ipns::Ipns;
use parking_lot::{Mutex, RwLock};
use place::{FILES, FIRST_PUBLISHED, MAX_TREE, Place};
use readonly::ReadOnly;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tree::Tree;

/// How a mount behaves.
#[derive(Clone)]
pub struct Settings {
    /// What it shows.
    pub layout: Layout,
    /// How long an operation waits for a block that does not come, before it fails with `ETIMEDOUT`.
    pub patience: Duration,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// How the writable trees behave.
    pub tree: TreeOptions,
    /// Says how much the store holds and how much it may hold.
    pub space: Arc<dyn Fn() -> Space + Send + Sync>,
}

/// What the file system tells its kernel without being asked. Calls return at once.
pub trait Kernel: Send + Sync {
    /// That name leads elsewhere now, or the kernel shall let go of it. Says whether the kernel will be told.
    fn entry_changed(&self, parent: Ino, name: &[u8]) -> bool;
    /// The content is not what the kernel has of it.
    fn content_changed(&self, ino: Ino);
    /// The attributes are others than was said. The kernel knows of it when this returns.
    fn attr_changed(&self, ino: Ino);
    /// Bytes of a file that never changes, which the kernel did not ask for but may have. It need not take them.
    fn content(&self, ino: Ino, offset: u64, bytes: Bytes);
}

/// A name that this node can publish under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnName {
    /// What its key is called here.
    pub alias: String,
    /// The name.
    pub name: String,
}

/// Names that this node can publish under.
#[async_trait]
pub trait OwnNames: Send + Sync {
    /// All of them.
    fn list(&self) -> Vec<OwnName>;

    /// The one that a text stands for: what its key is called, or the name in any of its forms.
    fn find(&self, text: &str) -> Option<OwnName>;

    /// The tree that is published under that name whenever it changes.
    ///
    /// # Errors
    /// When what is published there now can't be had, or is no directory.
    async fn tree(&self, name: &OwnName) -> Result<Mfs, Errno>;
}

/// What a mount shows besides what everybody has.
#[derive(Clone, Default)]
pub struct Writable {
    /// The tree of `files`.
    pub files: Option<Mfs>,
    /// The trees below `ipns`.
    pub own: Option<Arc<dyn OwnNames>>,
}

/// The file system.
pub struct Filesystem {
    settings: Settings,
    trees: Arc<ReadOnly>,
    ipns: Ipns,
    files: Option<Arc<Tree>>,
    own: Option<Arc<dyn OwnNames>>,
    /// Trees of names of this node that were opened, in the order of their numbers.
    published: RwLock<Vec<(String, Arc<Tree>)>>,
    /// Held while one is being opened, so that none is opened twice: for each name, since the network may be asked.
    opening: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    handles: Handles,
    kernel: Arc<OnceLock<Arc<dyn Kernel>>>,
}

impl Filesystem {
    /// Over these sources and trees.
    pub fn new(sources: Sources, writable: Writable, settings: Settings) -> Arc<Self> {
        let kernel: Arc<OnceLock<Arc<dyn Kernel>>> = Arc::default();
        let trees = Arc::new(ReadOnly::new(sources, settings.layout, settings.patience, Arc::clone(&kernel)));
        let tree = |mfs: &Mfs| Arc::new(Tree::new(FILES, mfs, &settings, &kernel));
        Arc::new(Self {
            trees,
            ipns: Ipns::new(),
            files: writable.files.as_ref().map(tree),
            own: writable.own,
            published: RwLock::default(),
            opening: Mutex::default(),
            handles: Handles::default(),
            kernel,
            settings,
        })
    }

    /// Whom to tell of changes, from now on.
    pub fn attach(&self, kernel: Arc<dyn Kernel>) {
        // There is one kernel for a mount.
        let _ = self.kernel.set(kernel);
    }

    /// Looks whether the names in use lead elsewhere now, and tells the kernel of those. To be called now and then.
    pub async fn refresh_names(&self) {
        if let Some(kernel) = self.kernel.get() {
            self.ipns.refresh(&self.trees, kernel.as_ref()).await;
        }
    }

    /// Makes everything that was written durable.
    ///
    /// # Errors
    /// When a tree can't be committed; the others are, all the same.
    pub async fn sync_all(&self) -> Result<(), Errno> {
        let published: Vec<_> = self.published.read().iter().map(|(_, tree)| Arc::clone(tree)).collect();
        let mut result = Ok(());
        for tree in self.files.iter().chain(&published) {
            result = result.and(tree.sync().await);
        }
        result
    }

    /// Inodes of the read-only trees that the kernel has references to.
    pub fn inodes(&self) -> usize {
        self.trees.inodes.len()
    }

    fn place(&self, ino: Ino) -> Result<Place, Errno> {
        self.settings.layout.place(ino).ok_or(Errno::ESTALE)
    }

    fn tree(&self, index: u8) -> Result<Arc<Tree>, Errno> {
        let published = |index: u8| self.published.read().get(usize::from(index)).map(|(_, tree)| Arc::clone(tree));
        let tree = if index == FILES { self.files.clone() } else { published(index - FIRST_PUBLISHED) };
        tree.ok_or(Errno::ESTALE)
    }

    /// The tree of a name of this node, opened at first use.
    async fn own_tree(&self, name: &OwnName) -> Result<Arc<Tree>, Errno> {
        let known = || self.published.read().iter().find(|(tree, _)| *tree == name.name).map(|(_, tree)| tree.clone());
        if let Some(tree) = known() {
            return Ok(tree);
        }
        // As many as this node has names.
        let opening = Arc::clone(self.opening.lock().entry(name.name.clone()).or_default());
        let _alone = opening.lock().await;
        if let Some(tree) = known() {
            return Ok(tree);
        }
        let Some(own) = &self.own else { return Err(Errno::ENOENT) };
        let mfs = own.tree(name).await?;
        let mut published = self.published.write();
        let index = u8::try_from(published.len()).ok().and_then(|at| at.checked_add(FIRST_PUBLISHED));
        let index = index.filter(|&index| index <= MAX_TREE).ok_or(Errno::ENFILE)?;
        let tree = Arc::new(Tree::new(index, &mfs, &self.settings, &self.kernel));
        published.push((name.name.clone(), Arc::clone(&tree)));
        Ok(tree)
    }
}
