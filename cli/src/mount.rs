//! Mounts of this program: what they show, where they read from, and which there are.

mod own;
mod publish;

use crate::reading::Reading;
use anyhow::Context as _;
use cairn_fuse::{
    core::{Filesystem, Layout, Settings, Sources, Space, TreeOptions, Writable},
    mount::{self, Mount},
};
use cairn_net::{ipns, node::Node};
use cairn_store::{fetch::Fetch, repo::Repo};
use own::OwnKeys;
use parking_lot::Mutex;
use publish::Publishers;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Handle;

/// How long an operation on a mount waits for a block that does not come.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A mount that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where.
    pub dir: PathBuf,
    /// What it shows.
    pub layout: Layout,
}

/// How mounts are wanted.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// Whether other users may use it; `None`: as `Mounts.FuseAllowOther` says.
    pub allow_other: Option<bool>,
    /// How long an operation waits for a block that does not come.
    pub deadline: Duration,
    /// Whether the trees can be changed by others than the mount while it lasts.
    pub shared: bool,
}

/// What mounts are made of.
#[derive(Clone)]
pub struct Ground {
    /// The repository.
    pub repo: Arc<Repo>,
    /// The node, if the network is to be asked.
    pub node: Option<Node>,
    /// Names, to publish them.
    pub names: ipns::Names,
    /// Whether not even DNS is to be asked.
    pub offline: bool,
    /// Who publishes trees that change.
    pub publishers: Arc<Publishers>,
}

/// The mounts of a process.
#[derive(Default)]
pub struct Mounts {
    all: Mutex<Vec<Mount>>,
    /// Who publishes trees that change.
    pub publishers: Arc<Publishers>,
}

impl Ground {
    /// Mounts.
    ///
    /// # Errors
    /// When the configuration makes no sense, a tree can't be opened, or the system refuses.
    pub async fn mount(&self, wanted: &Wanted, how: How) -> anyhow::Result<Mount> {
        let config = self.repo.config();
        let Reading { session, local, names } = Reading::new(&self.repo, self.node.as_ref(), self.offline)?;
        let settings = Settings {
            layout: wanted.layout,
            patience: how.deadline,
            read_only: how.read_only,
            tree: TreeOptions {
                shared: how.shared,
                store_mode: config.get_bool("Mounts.StoreMode")?.unwrap_or(true),
                store_mtime: config.get_bool("Mounts.StoreMtime")?.unwrap_or(true),
            },
            space: space(&self.repo),
        };
        let writable = self.writable(wanted.layout, &(session.as_ref())(), how.deadline).await?;
        let fs = Filesystem::new(Sources { session, local, names }, writable, settings);
        let options = mount::Options {
            dir: wanted.dir.clone(),
            allow_other: match how.allow_other {
                Some(allow) => allow,
                None => config.get_bool("Mounts.FuseAllowOther")?.unwrap_or(false),
            },
            read_only: how.read_only,
            name: self.repo.path().display().to_string(),
        };
        let runtime = Handle::current();
        let mounting = move || Mount::new(fs, &options, &runtime);
        Ok(tokio::task::spawn_blocking(mounting).await.context("mounting was given up")??)
    }

    async fn writable(&self, layout: Layout, fetch: &Arc<dyn Fetch>, patience: Duration) -> anyhow::Result<Writable> {
        let mut writable = Writable::default();
        if matches!(layout, Layout::All | Layout::Files) {
            let tree = self.repo.mfs(Arc::clone(fetch)).await;
            writable.files = Some(tree.context("the tree of files can't be opened")?);
        }
        if matches!(layout, Layout::All | Layout::Ipns) {
            writable.own = Some(Arc::new(OwnKeys::new(self.clone(), Arc::clone(fetch), patience)?));
        }
        Ok(writable)
    }
}

/// How full a repository is: what it may still take, and the disk can.
fn space(repo: &Arc<Repo>) -> Arc<dyn Fn() -> Space + Send + Sync> {
    let repo = Arc::clone(repo);
    Arc::new(move || {
        let used = repo.kv().usage().map_or(0, |usage| usage.total);
        let max = repo.storage_max().unwrap_or(u64::MAX).max(used);
        let free = (max - used).min(repo.kv().room().unwrap_or(u64::MAX));
        Space { total: used + free, free }
    })
}

impl Mounts {
    /// Keeps a mount until it is unmounted.
    pub fn keep(&self, mount: Mount) {
        let mut mounts = self.all.lock();
        mounts.retain(|mount| !mount.ended().is_cancelled());
        mounts.push(mount);
    }

    /// Whether anything is mounted.
    pub fn any(&self) -> bool {
        self.all.lock().iter().any(|mount| !mount.ended().is_cancelled())
    }

    /// Unmounts all, and publishes what waits for it.
    ///
    /// # Errors
    /// As [`Mounts::unmount`].
    pub async fn end(&self) -> anyhow::Result<()> {
        let unmounted = self.unmount(None).await;
        self.publishers.finish().await;
        unmounted.map(drop)
    }

    /// Takes the mounts out that are on one of these directories, or all.
    fn take(&self, dirs: Option<&[PathBuf]>) -> Vec<Mount> {
        let mut mounts = self.all.lock();
        let (taken, kept) = std::mem::take(&mut *mounts)
            .into_iter()
            .partition(|mount| dirs.is_none_or(|dirs| dirs.iter().any(|dir| dir == mount.dir())));
        *mounts = kept;
        taken
    }

    /// Unmounts all that are on one of these directories, or all; gives the directories.
    ///
    /// # Errors
    /// When what was written can't be made durable, or the system refuses. The others are unmounted all the same.
    pub async fn unmount(&self, dirs: Option<&[PathBuf]>) -> anyhow::Result<Vec<PathBuf>> {
        let mut result = Ok(());
        let mut unmounted = Vec::new();
        for mount in self.take(dirs) {
            if !mount.ended().is_cancelled() {
                unmounted.push(mount.dir().to_owned());
            }
            result = result.and(mount.unmount().await);
        }
        result?;
        Ok(unmounted)
    }
}

/// The path of a directory without asking what is mounted on it, which may not answer.
///
/// # Errors
/// When the directory above it is not there.
pub fn real(dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => {
            Ok(parent.canonicalize().with_context(|| format!("cannot find {}", parent.display()))?.join(name))
        }
        _ => Ok(dir),
    }
}
