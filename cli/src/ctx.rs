//! What every command works with: the options, the output, the repository and the runtime, each made at first
//! use so that `cairn version` pays for none of them. A command that runs for a client of the daemon works with what
//! the daemon has open.

use crate::{
    args::Global,
    daemon::Daemon,
    exit::{Interrupted, Usage},
    input::Input,
    output::{Out, Place, complain},
};
use anyhow::Context as _;
use cairn_net::bitswap::Order;
use cairn_net::{ipns, node::Node};
use cairn_store::{
    Cid, StoreError,
    blockstore::KvBlocks,
    config::Config,
    fetch::{Fetch, Offline},
    names::Names,
    repo::{Location, Repo, RepoError},
};
use std::{
    future::Future,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::task::JoinHandle;

/// A file that every repository of Kubo has, and none of ours.
const KUBO_MARK: &str = "datastore_spec";

/// Set by the first Ctrl-C, or when `--timeout` is over. The second Ctrl-C ends the process at once.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// After `--timeout`, a command that does not stop by itself is ended when this much more time is over. Nothing
/// that was acknowledged depends on how a process ends.
const GRACE: Duration = Duration::from_secs(5);

impl Cancel {
    /// Whether the user asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if the user asked to stop: for loops of work.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.requested() { Err(Interrupted) } else { Ok(()) }
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Takes the wish back: it was granted.
    pub fn withdraw(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// The flag itself, for the store's own loops.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// What every command works with.
pub struct Ctx {
    /// The global options.
    pub global: Global,
    /// Standard output.
    pub out: Out,
    /// Standard input and files.
    pub input: Input,
    /// Set by Ctrl-C, when `--timeout` is over, or when the client goes away.
    pub cancel: Cancel,
    timed_out: Arc<AtomicBool>,
    host: Host,
    source: Option<Source>,
}

/// Where the repository is open.
enum Host {
    /// In this process, by and for this command.
    Command { repo: OnceLock<Arc<Repo>>, names: OnceLock<ipns::Names>, runtime: OnceLock<tokio::runtime::Runtime> },
    /// In the daemon, which this command runs in.
    Daemon(Arc<Daemon>),
}

/// Where blocks and names come from, if not from the repository.
pub struct Source {
    /// Blocks.
    pub fetch: Arc<dyn Fetch>,
    /// Names.
    pub names: Arc<dyn Names>,
}

/// What the daemon makes a [`Ctx`] of.
pub struct Request {
    /// The global options that the client gave.
    pub global: Global,
    /// Where output goes.
    pub place: Place,
    /// What was sent.
    pub input: Input,
    /// Set when the client goes away.
    pub cancel: Cancel,
    /// Set, before `cancel` is, when the time that the client gave is over.
    pub timed_out: Arc<AtomicBool>,
}

impl Ctx {
    /// For a command of this process; ends it when the options are not usable.
    pub fn new(global: Global) -> Self {
        let out = Out::new(&global, Place::process()).unwrap_or_else(|error| {
            complain(&format!("Error: {error:#}\n"));
            std::process::exit(2);
        });
        let cancel = Cancel::default();
        // First signal: set the flag. A second one while it is set: end at once, as if nobody listened.
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, cancel.flag());
            let _ = signal_hook::flag::register(signal, cancel.flag());
        }
        let timed_out = Arc::new(AtomicBool::new(false));
        if let Some(limit) = global.timeout {
            let (timed_out, cancel) = (Arc::clone(&timed_out), cancel.flag());
            thread::spawn(move || {
                thread::sleep(limit);
                timed_out.store(true, Ordering::Relaxed);
                cancel.store(true, Ordering::Relaxed);
                thread::sleep(GRACE);
                complain(&format!("Error: {}\n", timeout_message(limit)));
                std::process::exit(1);
            });
        }
        let input = Input::Process(cancel.flag());
        let host = Host::Command { repo: OnceLock::new(), names: OnceLock::new(), runtime: OnceLock::new() };
        Self { global, out, input, cancel, timed_out, host, source: None }
    }

    /// For a request to the daemon.
    ///
    /// # Errors
    /// When the global options are not usable.
    pub fn for_request(daemon: Arc<Daemon>, request: Request) -> anyhow::Result<Self> {
        let out = Out::new(&request.global, request.place)?;
        let Request { global, input, cancel, timed_out, .. } = request;
        Ok(Self { global, out, input, cancel, timed_out, host: Host::Daemon(daemon), source: None })
    }

    /// Takes blocks and names from elsewhere from now on.
    pub fn use_source(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// Whether a program asked over HTTP, and not a person through the command line.
    pub fn is_rpc(&self) -> bool {
        self.input.upload().is_some_and(|upload| upload.as_ref().is_none_or(|u| !u.is_command_line()))
    }

    /// The daemon that this command runs in.
    ///
    /// # Errors
    /// When it runs by itself.
    pub fn daemon(&self) -> anyhow::Result<&Arc<Daemon>> {
        match &self.host {
            Host::Daemon(daemon) => Ok(daemon),
            Host::Command { .. } => Err(Usage(
                "this command works on a running daemon, and there is none: start it with `cairn daemon`".into(),
            )
            .into()),
        }
    }

    /// Lets the network know, in the background, what was just added or pinned: see [`Daemon::announce`]. `None` where
    /// there is none.
    pub fn announce(&self, roots: Vec<Cid>, at_once: bool) -> Option<JoinHandle<()>> {
        match &self.host {
            Host::Daemon(daemon) => daemon.announce(roots, at_once),
            Host::Command { .. } => None,
        }
    }

    /// Announces all that is below these roots, as [`Daemon::announce_below`].
    pub fn announce_below(&self, roots: &[Cid]) -> Option<JoinHandle<()>> {
        match &self.host {
            Host::Daemon(daemon) => daemon.announce_below(roots),
            Host::Command { .. } => None,
        }
    }

    /// The running node.
    ///
    /// # Errors
    /// When there is none: no daemon runs, or it runs offline.
    pub fn node(&self) -> anyhow::Result<Node> {
        let node = match &self.host {
            Host::Daemon(daemon) => daemon.node().cloned(),
            Host::Command { .. } => None,
        };
        node.context("this command must be run in online mode. Try running 'cairn daemon' first")
    }

    /// What to say when the command was stopped by `--timeout`.
    pub fn timed_out(&self) -> Option<String> {
        self.global.timeout.filter(|_| self.timed_out.load(Ordering::Relaxed)).map(timeout_message)
    }

    /// Directory of the repository: `--repo-dir`, `$CAIRN_PATH`, `$IPFS_PATH`, `~/.cairn`. Scripts written for Kubo say
    /// where by `IPFS_PATH`; a repository of Kubo itself can't be used, and is as if it were not named.
    ///
    /// # Errors
    /// When none of them is known.
    pub fn repo_path(&self) -> anyhow::Result<PathBuf> {
        if let Some(dir) = &self.global.repo_dir {
            return Ok(dir.clone());
        }
        if let Some(dir) = std::env::var_os("CAIRN_PATH").filter(|d| !d.is_empty()) {
            return Ok(PathBuf::from(dir));
        }
        if let Some(dir) = std::env::var_os("IPFS_PATH").filter(|d| !d.is_empty()).map(PathBuf::from)
            && !dir.join(KUBO_MARK).exists()
        {
            return Ok(dir);
        }
        let home = std::env::var_os("HOME")
            .filter(|h| !h.is_empty())
            .context("none of CAIRN_PATH, IPFS_PATH and HOME is set: say --repo-dir DIR")?;
        Ok(PathBuf::from(home).join(".cairn"))
    }

    /// The repository, opened at first use, and made, with a notice, if there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn repo(&self) -> anyhow::Result<&Arc<Repo>> {
        match &self.host {
            Host::Daemon(daemon) => Ok(&daemon.repo),
            Host::Command { repo, .. } => {
                if let Some(repo) = repo.get() {
                    return Ok(repo);
                }
                let opened = Arc::new(self.open_repo()?);
                Ok(repo.get_or_init(|| opened))
            }
        }
    }

    /// The repository; if its log is damaged, opened with what can be read of that. Says whether it was.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn repo_or_salvage(&self) -> anyhow::Result<(&Arc<Repo>, bool)> {
        match (self.repo(), &self.host) {
            (Err(error), Host::Command { repo, .. })
                if matches!(error.downcast_ref(), Some(RepoError::Store(StoreError::DamagedLog { .. }))) =>
            {
                let salvaged = Arc::new(Repo::salvage(self.location()?)?);
                Ok((repo.get_or_init(|| salvaged), true))
            }
            (other, _) => Ok((other?, false)),
        }
    }

    /// The repository, opened now, and made, with a notice, if there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open_repo(&self) -> anyhow::Result<Repo> {
        let repo = Repo::open_or_init(self.location()?)?;
        if repo.is_new() {
            let config = repo.config();
            let peer = config.get_str("Identity.PeerID").ok().flatten().unwrap_or_default();
            let path = repo.path().to_string_lossy();
            let path = self.out.escape_stderr(&path);
            self.out.note(&format!("made a new repository at {path} (peer identity: {peer})\n"));
        }
        Ok(repo)
    }

    /// Where the repository and its configuration are.
    ///
    /// # Errors
    /// As [`Ctx::repo_path`].
    pub fn location(&self) -> anyhow::Result<Location> {
        if let Host::Daemon(daemon) = &self.host {
            return Ok(daemon.repo.location().clone());
        }
        let location = Location::new(self.repo_path()?);
        Ok(match &self.global.config_file {
            Some(file) => location.with_config_file(file),
            None => location,
        })
    }

    /// The configuration of the repository.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn config(&self) -> anyhow::Result<Arc<Config>> {
        Ok(self.repo()?.config())
    }

    /// Changes the configuration. When `change` fails, nothing is changed.
    ///
    /// # Errors
    /// When there is no repository, another process has it open, or `change` fails.
    pub fn change_config<T>(&self, change: impl FnOnce(&mut Config) -> anyhow::Result<T>) -> anyhow::Result<T> {
        match &self.host {
            Host::Daemon(daemon) => daemon.repo.change_config(change),
            Host::Command { .. } => self.location()?.change_config(change),
        }
    }

    /// Refuses to go on when the repository holds as much as `Datastore.StorageMax` allows; warns on stderr from
    /// the watermark on.
    ///
    /// # Errors
    /// When it is full, or can't be examined.
    pub fn check_capacity(&self) -> anyhow::Result<()> {
        let repo = self.repo()?;
        let used = repo.kv().usage()?.total;
        let (max, watermark) = (repo.storage_max()?, repo.gc_watermark()?);
        if used >= max {
            return Err(StoreError::Full { used, max }.into());
        }
        if used >= watermark {
            self.out.note(&format!(
                "Warning: the repository holds {used} bytes of the {max} that Datastore.StorageMax allows: \
                 `cairn repo gc` removes what is not pinned\n"
            ));
        }
        Ok(())
    }

    /// The blocks of the repository.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn blocks(&self) -> anyhow::Result<&Arc<KvBlocks>> {
        Ok(self.repo()?.blocks())
    }

    /// Where blocks are asked for.
    ///
    /// # Errors
    /// When the repository can't be opened.
    pub fn fetch(&self) -> anyhow::Result<Arc<dyn Fetch>> {
        self.fetch_in(Order::Sequential)
    }

    /// Where blocks are asked for in that order, as far as they come from the network.
    ///
    /// # Errors
    /// When the repository can't be opened.
    pub fn fetch_in(&self, order: Order) -> anyhow::Result<Arc<dyn Fetch>> {
        if let Some(source) = &self.source {
            return Ok(Arc::clone(&source.fetch));
        }
        if let Host::Daemon(daemon) = &self.host {
            return Ok(daemon.fetch(order, self.global.offline));
        }
        let blocks: Arc<KvBlocks> = Arc::clone(self.blocks()?);
        Ok(Arc::new(Offline::new(blocks)))
    }

    /// What mutable names stand for.
    ///
    /// # Errors
    /// As [`Ctx::ipns`].
    pub fn names(&self) -> anyhow::Result<Arc<dyn Names>> {
        match &self.source {
            Some(source) => Ok(Arc::clone(&source.names)),
            None => Ok(Arc::new(self.ipns()?)),
        }
    }

    /// Names with all that can be asked of them: over the network of the daemon, or the repository's own records.
    ///
    /// # Errors
    /// When the repository can't be opened, or what its configuration says of names makes no sense.
    pub fn ipns(&self) -> anyhow::Result<ipns::Names> {
        match &self.host {
            Host::Daemon(daemon) => Ok(daemon.names(self.global.offline).clone()),
            Host::Command { names, .. } => {
                if let Some(names) = names.get() {
                    return Ok(names.clone());
                }
                let opened = crate::names::open(self)?;
                Ok(names.get_or_init(|| opened).clone())
            }
        }
    }

    /// Runs a future to its end, or to `--timeout`, or to Ctrl-C.
    ///
    /// # Errors
    /// What the future gives, or that it was stopped.
    pub fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let handle = match &self.host {
            Host::Daemon(daemon) => daemon.runtime.clone(),
            Host::Command { runtime, .. } => {
                if runtime.get().is_none() {
                    let made = tokio::runtime::Builder::new_multi_thread()
                        .enable_all()
                        .build()
                        .context("cannot start the runtime's threads")?;
                    let _ = runtime.set(made);
                }
                runtime.get().context("the runtime is gone")?.handle().clone()
            }
        };
        let cancel = self.cancel.clone();
        let interrupted = async move {
            // A flag is all that a signal handler can set; 20 ms is quick enough for a person.
            while !cancel.requested() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        handle.block_on(async move {
            tokio::select! {
                result = work => result,
                () = interrupted => Err(Interrupted.into()),
            }
        })
    }
}

/// What to say when the time of `--timeout` is over.
fn timeout_message(limit: Duration) -> String {
    format!("gave up after {limit:?} (--timeout)")
}
