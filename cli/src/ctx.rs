//! What every command works with: the options, the output, the repository and the runtime, each made at first
//! use so that `cairn version` pays for none of them.

use crate::{args::Global, exit::Interrupted, output::Out};
use anyhow::Context as _;
use cairn_store::{
    StoreError,
    blockstore::KvBlocks,
    config::Config,
    fetch::{Fetch, Offline},
    repo::{Location, Repo, RepoError},
};
use std::{
    cell::OnceCell,
    future::Future,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

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
    /// Set by Ctrl-C, or when `--timeout` is over.
    pub cancel: Cancel,
    timed_out: Arc<AtomicBool>,
    repo: OnceCell<Repo>,
    names: OnceCell<cairn_net::ipns::Names>,
    runtime: OnceCell<tokio::runtime::Runtime>,
}

impl Ctx {
    /// From the global options; ends the process when they are not usable.
    pub fn new(global: Global) -> Self {
        let out = Out::new(&global).unwrap_or_else(|error| {
            eprintln!("Error: {error:#}");
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
                eprintln!("Error: {}", timeout_message(limit));
                std::process::exit(1);
            });
        }
        Self { global, out, cancel, timed_out, repo: OnceCell::new(), names: OnceCell::new(), runtime: OnceCell::new() }
    }

    /// What to say when the command was stopped by `--timeout`.
    pub fn timed_out(&self) -> Option<String> {
        self.global.timeout.filter(|_| self.timed_out.load(Ordering::Relaxed)).map(timeout_message)
    }

    /// Directory of the repository: `--repo-dir`, `$CAIRN_PATH`, `~/.cairn`.
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
        let home = std::env::var_os("HOME")
            .filter(|h| !h.is_empty())
            .context("neither CAIRN_PATH nor HOME is set: say --repo-dir DIR")?;
        Ok(PathBuf::from(home).join(".cairn"))
    }

    /// The repository, opened at first use, and made, with a notice, if there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn repo(&self) -> anyhow::Result<&Repo> {
        if let Some(repo) = self.repo.get() {
            return Ok(repo);
        }
        let repo = self.open_repo()?;
        Ok(self.repo.get_or_init(|| repo))
    }

    /// The repository; if its log is damaged, opened with what can be read of that. Says whether it was.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn repo_or_salvage(&self) -> anyhow::Result<(&Repo, bool)> {
        match self.repo() {
            Err(error) if matches!(error.downcast_ref(), Some(RepoError::Store(StoreError::DamagedLog { .. }))) => {
                let repo = Repo::salvage(self.location()?)?;
                Ok((self.repo.get_or_init(|| repo), true))
            }
            other => Ok((other?, false)),
        }
    }

    /// The repository, opened now, and made, with a notice, if there is none.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open_repo(&self) -> anyhow::Result<Repo> {
        let repo = Repo::open_or_init(self.location()?)?;
        if repo.is_new() {
            let peer = repo.config().get_str("Identity.PeerID").ok().flatten().unwrap_or_default();
            let path = repo.path().to_string_lossy();
            eprintln!("made a new repository at {} (peer identity: {peer})", self.out.escape_stderr(&path));
        }
        Ok(repo)
    }

    /// Where the repository and its configuration are.
    ///
    /// # Errors
    /// As [`Ctx::repo_path`].
    pub fn location(&self) -> anyhow::Result<Location> {
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
    pub fn config(&self) -> anyhow::Result<&Config> {
        Ok(self.repo()?.config())
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
            eprintln!(
                "Warning: the repository holds {used} bytes of the {max} that Datastore.StorageMax allows: \
                 `cairn repo gc` removes what is not pinned"
            );
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
        let blocks: Arc<KvBlocks> = Arc::clone(self.blocks()?);
        Ok(Arc::new(Offline::new(blocks)))
    }

    /// What mutable names stand for.
    ///
    /// # Errors
    /// When the repository can't be opened, or what its configuration says of names makes no sense.
    pub fn names(&self) -> anyhow::Result<&cairn_net::ipns::Names> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let names = crate::names::open(self)?;
        Ok(self.names.get_or_init(|| names))
    }

    /// Runs a future to its end, or to `--timeout`, or to Ctrl-C.
    ///
    /// # Errors
    /// What the future gives, or that it was stopped.
    pub fn block_on<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        if self.runtime.get().is_none() {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("cannot start the runtime's threads")?;
            let _ = self.runtime.set(runtime);
        }
        let runtime = self.runtime.get().context("the runtime is gone")?;
        let cancel = self.cancel.clone();
        let interrupted = async move {
            // A flag is all that a signal handler can set; 20 ms is quick enough for a person.
            while !cancel.requested() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        runtime.block_on(async move {
            tokio::select! {
                result = work => result,
                () = interrupted => Err(Interrupted.into()),
            }
        })
    }
}

fn timeout_message(limit: Duration) -> String {
    format!("gave up after {limit:?} (--timeout)")
}
