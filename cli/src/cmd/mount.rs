//! `cairn mount`: the network as a folder.

use crate::{
    ctx::Ctx,
    daemon::Daemon,
    exit::Usage,
    mount::{DEADLINE, Ground, How, Mounts, Wanted, real},
};
use anyhow::Context as _;
use cairn_fuse::core::Layout;
use cairn_store::config::parse_duration;
use serde::Serialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How often to look whether a signal has come.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long to wait at most for threads that do not end.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Options of `cairn mount`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
DIR then holds ipfs (any content, by its CID), ipns (any name; names of this node can be written to, and are published when
they change) and files (the tree of `cairn files`, which can be written to). Without DIR these are mounted on three
directories, those of Mounts.IPFS, Mounts.IPNS and Mounts.MFS or of the options. Directories have to be there.

While a daemon runs, it mounts, until `cairn umount` or its end. Otherwise this command does, until it is told to end.

Examples:
  mkdir -p ~/cairn && cairn mount ~/cairn
  ls ~/cairn/ipfs/QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc
  cairn umount ~/cairn")]
pub struct Args {
    /// Directory to mount all of it on
    #[arg(value_name = "DIR", conflicts_with_all = ["ipfs_path", "ipns_path", "mfs_path"])]
    dir: Option<HostPath>,
    /// Where /ipfs is mounted [default: Mounts.IPFS]
    #[arg(short = 'f', long, value_name = "DIR")]
    ipfs_path: Option<HostPath>,
    /// Where /ipns is mounted [default: Mounts.IPNS]
    #[arg(short = 'n', long, value_name = "DIR")]
    ipns_path: Option<HostPath>,
    /// Where the tree of `cairn files` is mounted [default: Mounts.MFS]
    #[arg(short = 'm', long, value_name = "DIR")]
    mfs_path: Option<HostPath>,
    /// Refuse all changes
    #[arg(long)]
    read_only: bool,
    /// Let other users use it, by the permissions of files [default: Mounts.FuseAllowOther]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_other: Option<bool>,
    /// How long an operation waits for a block that does not come before it fails
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    deadline: Duration,
}

/// A path where the command runs, which may be in a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath(pub PathBuf);

impl std::str::FromStr for HostPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path is empty".to_owned()) } else { Ok(Self(text.into())) }
    }
}

/// Where something was mounted, in Kubo's shape.
#[derive(Debug, Serialize)]
struct Mounted {
    #[serde(rename = "IPFS")]
    ipfs: String,
    #[serde(rename = "IPNS")]
    ipns: String,
    #[serde(rename = "MFS")]
    mfs: String,
    #[serde(rename = "FuseAllowOther")]
    allow_other: Option<bool>,
    #[serde(rename = "StoreMtime")]
    store_mtime: Option<bool>,
    #[serde(rename = "StoreMode")]
    store_mode: Option<bool>,
}

/// Where mounts are wanted.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// For all of it; then the others do not count.
    pub all: Option<PathBuf>,
    /// For what is below `ipfs`, `ipns` and `files`; by default what the configuration says.
    pub ipfs: Option<PathBuf>,
    /// See `ipfs`.
    pub ipns: Option<PathBuf>,
    /// See `ipfs`.
    pub mfs: Option<PathBuf>,
}

/// Runs `cairn mount`.
///
/// # Errors
/// When a directory is not there or in use, or the system refuses.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let path = |given: &Option<HostPath>| match given {
        Some(HostPath(path)) if ctx.daemon().is_ok() && path.is_relative() => {
            Err(Usage(format!("{path:?} is relative: a daemon needs to be told the whole path")).into())
        }
        Some(HostPath(path)) => real(path).map(Some),
        None => Ok(None),
    };
    let places = Places {
        all: path(&args.dir)?,
        ipfs: path(&args.ipfs_path)?,
        ipns: path(&args.ipns_path)?,
        mfs: path(&args.mfs_path)?,
    };
    let how = How {
        read_only: args.read_only,
        allow_other: args.allow_other,
        deadline: args.deadline,
        shared: ctx.daemon().is_ok(),
    };
    match ctx.daemon() {
        Ok(daemon) => {
            let daemon = Arc::clone(daemon);
            // Carried through when the client goes away: half of it would be mounted.
            let mounting = daemon.runtime.spawn({
                let daemon = Arc::clone(&daemon);
                async move { in_daemon(&daemon, &places, how).await }
            });
            let wanted = ctx.block_on(async { mounting.await.context("mounting was given up")? })?;
            say(ctx, &wanted)
        }
        Err(_) => alone(ctx, &places, how),
    }
}

/// Mounts in a daemon. What it has mounted there before is unmounted first, as in Kubo.
///
/// # Errors
/// When a directory is not there or in use, or the system refuses; nothing is mounted then.
pub async fn in_daemon(daemon: &Daemon, places: &Places, how: How) -> anyhow::Result<Vec<Wanted>> {
    let node = daemon.node().cloned();
    let names = daemon.names(node.is_none()).clone();
    let ground = Ground {
        repo: Arc::clone(&daemon.repo),
        node,
        names,
        offline: daemon.offline,
        publishers: Arc::clone(&daemon.mounts.publishers),
    };
    let wanted = wanted(&ground, places)?;
    let dirs: Vec<PathBuf> = wanted.iter().map(|wanted| wanted.dir.clone()).collect();
    daemon.mounts.unmount(Some(&dirs)).await?;
    mount_all(&ground, &wanted, how, &daemon.mounts).await?;
    Ok(wanted)
}

fn wanted(ground: &Ground, places: &Places) -> anyhow::Result<Vec<Wanted>> {
    if let Some(dir) = &places.all {
        return Ok(vec![Wanted { dir: dir.clone(), layout: Layout::All }]);
    }
    let config = ground.repo.config();
    let place = |given: &Option<PathBuf>, key: &str, usual: &str, layout| {
        let dir = match given {
            Some(dir) => dir.clone(),
            None => real(config.get_str(key)?.unwrap_or(usual).as_ref()).with_context(|| key.to_owned())?,
        };
        anyhow::Ok(Wanted { dir, layout })
    };
    Ok(vec![
        place(&places.ipfs, "Mounts.IPFS", "/ipfs", Layout::Ipfs)?,
        place(&places.ipns, "Mounts.IPNS", "/ipns", Layout::Ipns)?,
        place(&places.mfs, "Mounts.MFS", "/mfs", Layout::Files)?,
    ])
}

async fn mount_all(ground: &Ground, wanted: &[Wanted], how: How, mounts: &Mounts) -> anyhow::Result<()> {
    for (at, next) in wanted.iter().enumerate() {
        match ground.mount(next, how).await {
            Ok(mount) => mounts.keep(mount),
            Err(error) => {
                let dirs: Vec<PathBuf> = wanted[..at].iter().map(|wanted| wanted.dir.clone()).collect();
                mounts.unmount(Some(&dirs)).await?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Says where something was mounted.
fn say(ctx: &Ctx, wanted: &[Wanted]) -> anyhow::Result<()> {
    let dir = |layout| wanted.iter().find(|wanted| wanted.layout == layout).map(|wanted| wanted.dir.clone());
    let shown = |dir: PathBuf| dir.to_string_lossy().into_owned();
    let all = dir(Layout::All);
    let below = |layout, name: &str| {
        dir(layout).or_else(|| all.as_ref().map(|all| all.join(name))).map(shown).unwrap_or_default()
    };
    let mounted = Mounted {
        ipfs: below(Layout::Ipfs, "ipfs"),
        ipns: below(Layout::Ipns, "ipns"),
        mfs: below(Layout::Files, "files"),
        allow_other: None,
        store_mtime: None,
        store_mode: None,
    };
    ctx.out.emit(&mounted, |mounted| {
        let [ipfs, ipns, mfs] = [&mounted.ipfs, &mounted.ipns, &mounted.mfs].map(|dir| ctx.out.escape(dir));
        format!("IPFS mounted at: {ipfs}\nIPNS mounted at: {ipns}\nMFS  mounted at: {mfs}\n")
    })
}

/// Mounts in this process, until it is unmounted or told to end.
fn alone(ctx: &Ctx, places: &Places, how: How) -> anyhow::Result<()> {
    let repo = Arc::new(ctx.open_repo()?);
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).context("cannot handle SIGPIPE")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("cairn")
        .build()
        .context("cannot start the runtime's threads")?;
    let daemon = Daemon::new(repo, runtime.handle().clone(), ctx.global.offline)?;
    let result = runtime.block_on(async {
        let node = if daemon.offline {
            None
        } else {
            Some(super::daemon::network::start(ctx, &Default::default(), &daemon).await?)
        };
        let wanted = in_daemon(&daemon, places, how).await?;
        say(ctx, &wanted)?;
        ctx.out.finish()?;
        let trimming = tokio::spawn(crate::process::trim_regularly(daemon.stop.clone()));
        // A flag is all that a signal handler can set.
        while !ctx.cancel.requested() && daemon.mounts.any() {
            tokio::time::sleep(PATIENCE).await;
        }
        daemon.stop.cancel();
        let unmounted = daemon.mounts.end().await;
        if let Some(node) = node {
            node.shutdown().await;
        }
        // It ends when the daemon stops.
        let _ = trimming.await;
        ctx.cancel.withdraw();
        unmounted
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// How mounts are wanted that the daemon begins with.
pub fn usual() -> How {
    How { read_only: false, allow_other: None, deadline: DEADLINE, shared: true }
}
