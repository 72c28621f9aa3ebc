//! A repository: a directory with a configuration, a version, a lock and the database.
//!
//! | Name | Holds |
//! |---|---|
//! | `config` | [`Config`], with the node's private key: mode 0600 |
//! | `version` | `cairn 1`: see [`VERSION`] |
//! | `repo.lock` | locked while a process has the repository open, and that process's number |
//! | `datastore/` | the tables ([`crate::kv`]) |
//!
//! `config` is written last: a directory without it is no repository yet, and making one may simply be tried
//! again.

mod error;
mod identity;
mod lock;
mod mfs;
mod trees;
mod version;

pub use error::RepoError;
pub use identity::Identity;
pub use version::VERSION;

use crate::{
    StoreError,
    blockstore::KvBlocks,
    config::{Config, ConfigError},
    kv::{Kv, RocksKv},
    mfs::Mfs,
    pin::Pins,
};
use lock::Lock;
use parking_lot::Mutex;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use tokio::sync::OnceCell;

/// Name of the configuration file.
const CONFIG: &str = "config";
/// Name of the database's directory.
const DATASTORE: &str = "datastore";
/// Files that only a repository of Kubo has.
const KUBO_FILES: [&str; 4] = ["datastore_spec", "blocks/SHARDING", "blocks/_README", "blocks/diskUsage.cache"];
/// What may stand in a directory that becomes a repository without being asked: leftovers of an attempt that
/// was cut short, and what a user puts there before.
const HARMLESS: [&str; 6] = [version::NAME, "repo.lock", DATASTORE, "keystore", "swarm.key", "lost+found"];
/// `Datastore.StorageMax` in bytes, where it is not set.
const STORAGE_MAX: u64 = 10_000_000_000;
/// `Datastore.StorageGCWatermark` in percent, where it is not set.
const GC_WATERMARK: u8 = 90;

/// Where a repository is.
#[derive(Debug, Clone)]
pub struct Location {
    dir: PathBuf,
    config: PathBuf,
}

impl Location {
    /// That of a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self { config: dir.join(CONFIG), dir }
    }

    /// With the configuration elsewhere. A name without a folder stands in the repository's directory.
    #[must_use]
    pub fn with_config_file(mut self, file: &Path) -> Self {
        let bare = file.parent().is_none_or(|p| p.as_os_str().is_empty());
        self.config = if bare { self.dir.join(file) } else { file.to_owned() };
        self
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its configuration file.
    pub fn config_file(&self) -> &Path {
        &self.config
    }

    /// Whether a repository is there.
    ///
    /// # Errors
    /// When what is there belongs to Kubo, or can't be read.
    pub fn exists(&self) -> Result<bool, RepoError> {
        let found = version::read(&self.dir)?;
        let ours = matches!(found, version::Found::Cairn(_));
        if found == version::Found::Kubo || (!ours && KUBO_FILES.iter().any(|f| self.dir.join(f).exists())) {
            return Err(RepoError::Kubo(self.dir.clone()));
        }
        let damaged = |why: String| Err(RepoError::Damaged { dir: self.dir.clone(), why });
        match (found, self.config.try_exists()) {
            (_, Err(e)) => Err(StoreError::io(format!("cannot examine {}", self.config.display()), e).into()),
            (version::Found::Unknown(text), _) => damaged(format!("its file `version` holds {text:?}")),
            (version::Found::Nothing, Ok(true)) => damaged(format!(
                "there is a configuration, but no file `version`; if it is one of Cairn's, write \"cairn {VERSION}\" into it"
            )),
            (_, Ok(exists)) => Ok(exists),
        }
    }

    /// Refuses a repository that would have to be migrated.
    ///
    /// # Errors
    /// When it has an older version than this release writes, or can't be read.
    pub fn refuse_older(&self) -> Result<(), RepoError> {
        match version::read(&self.dir)? {
            version::Found::Cairn(found) if found < VERSION => Err(RepoError::Older { dir: self.dir.clone(), found }),
            _ => Ok(()),
        }
    }

    /// Reads the configuration, whether or not another process has the repository open.
    ///
    /// # Errors
    /// When there is none, or it is not JSON. Types are not checked.
    pub fn read_config(&self) -> Result<Config, RepoError> {
        if !self.exists()? {
            return Err(RepoError::Missing(self.dir.clone()));
        }
        Ok(Config::load(&self.config)?)
    }

    /// Changes the configuration while no other process has the repository open. When `change` fails, nothing is
    /// changed.
    ///
    /// # Errors
    /// When the repository is missing or in use, or `change` fails.
    pub fn change_config<T, E: From<RepoError>>(
        &self,
        change: impl FnOnce(&mut Config) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.exists()? {
            return Err(RepoError::Missing(self.dir.clone()).into());
        }
        let _lock = Lock::take(&self.dir)?;
        self.change_locked(change).map(|(result, _)| result)
    }

    /// The same, where the caller holds the lock.
    fn change_locked<T, E: From<RepoError>>(
        &self,
        change: impl FnOnce(&mut Config) -> Result<T, E>,
    ) -> Result<(T, Config), E> {
        let config = |e: ConfigError| E::from(RepoError::from(e));
        let mut changed = Config::load(&self.config).map_err(config)?;
        let result = change(&mut changed)?;
        changed.save(&self.config).map_err(config)?;
        Ok((result, changed))
    }

    /// Copies the configuration to a new file beside it, whose name begins with `config-` and `label`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn back_up_config(&self, label: &str) -> Result<PathBuf, RepoError> {
        let refuse = |e| StoreError::io(format!("cannot back up {}", self.config.display()), e);
        let text = fs::read(&self.config).map_err(refuse)?;
        let mut copy = tempfile::Builder::new()
            .prefix(&format!("config-{label}-"))
            .rand_bytes(10)
            .tempfile_in(&self.dir)
            .map_err(refuse)?;
        copy.write_all(&text).and_then(|()| copy.as_file().sync_all()).map_err(refuse)?;
        let (_, path) = copy.keep().map_err(|e| refuse(e.error))?;
        Ok(path)
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Location {
    fn from(dir: &P) -> Self {
        Self::new(dir.as_ref())
    }
}

/// An open repository. One process at a time holds it, and all threads of that process may use it at once.
pub struct Repo {
    location: Location,
    config: Mutex<Arc<Config>>,
    kv: Arc<dyn Kv>,
    blocks: Arc<KvBlocks>,
    pins: Pins,
    mfs: OnceCell<Mfs>,
    trees: trees::Trees,
    new: bool,
    /// Dropped last.
    _lock: Lock,
}

impl Repo {
    /// Opens a repository.
    ///
    /// # Errors
    /// When there is none, it is in use, belongs to Kubo or to a later release, or can't be opened.
    pub fn open(location: impl Into<Location>) -> Result<Self, RepoError> {
        Self::open_by(location.into(), RocksKv::open)
    }

    /// Opens a repository whose log is damaged ([`StoreError::DamagedLog`]), as far as it can be read.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn salvage(location: impl Into<Location>) -> Result<Self, RepoError> {
        Self::open_by(location.into(), RocksKv::salvage)
    }

    fn open_by(location: Location, open: OpenTables) -> Result<Self, RepoError> {
        if !location.exists()? {
            return Err(RepoError::Missing(location.dir));
        }
        let lock = Lock::take(&location.dir)?;
        if let version::Found::Cairn(found) = version::read(&location.dir)? {
            version::migrate(&location.dir, found, VERSION, version::MIGRATIONS)?;
        }
        let config = Config::load(&location.config)?;
        config.check()?;
        Self::with(location, config, lock, open, false)
    }

    /// Makes a repository with that configuration, and opens it.
    ///
    /// # Errors
    /// When there is one already, or the disk refuses. What was made by then is used by the next attempt.
    pub fn init(location: impl Into<Location>, config: Config) -> Result<Self, RepoError> {
        let location = location.into();
        config.check()?;
        make_dir(&location.dir)?;
        let lock = Lock::take(&location.dir)?;
        if location.exists()? {
            return Err(RepoError::Exists(location.config));
        }
        version::write(&location.dir, VERSION)?;
        let repo = Self::with(location, config, lock, RocksKv::open, true)?;
        // IMPORTANT: last, because it is what makes the directory a repository.
        repo.config().save(&repo.location.config)?;
        Ok(repo)
    }

    /// Opens a repository; makes it if there is none and nothing else is in the directory. [`Repo::is_new`] says
    /// which.
    ///
    /// # Errors
    /// As [`Repo::open`] and [`Repo::init`].
    pub fn open_or_init(location: impl Into<Location>) -> Result<Self, RepoError> {
        let location = location.into();
        if location.exists()? {
            return Self::open(location);
        }
        refuse_foreign_files(&location.dir)?;
        let identity = Identity::generate()?;
        let config = Config::defaults(&identity.peer_id(), identity.private_key());
        Self::init(location, config)
    }

    fn with(location: Location, config: Config, lock: Lock, open: OpenTables, new: bool) -> Result<Self, RepoError> {
        let start = Instant::now();
        let kv = open_kv(&location.dir, open)?;
        let on_read = config.get_bool("Datastore.HashOnRead")?.unwrap_or(false);
        let blocks = KvBlocks::open(Arc::clone(&kv))?.hash_on_read(on_read).storage_max(storage_max(&config)?);
        let blocks = Arc::new(blocks);
        let pins = Pins::new(Arc::clone(&blocks));
        tracing::debug!(dir = %location.dir.display(), took = ?start.elapsed(), "opened the repository");
        Ok(Self {
            location,
            config: Mutex::new(Arc::new(config)),
            kv,
            blocks,
            pins,
            mfs: OnceCell::new(),
            trees: trees::Trees::default(),
            new,
            _lock: lock,
        })
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.location.dir
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Its configuration: that of the file when it was opened, or after the last [`Repo::change_config`].
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock())
    }

    /// Changes the configuration, in the file and for whoever asks from now on. One change at a time; when `change`
    /// fails, nothing is changed.
    ///
    /// # Errors
    /// When the file can't be read or written, or `change` fails.
    pub fn change_config<T, E: From<RepoError>>(
        &self,
        change: impl FnOnce(&mut Config) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut config = self.config.lock();
        let (result, changed) = self.location.change_locked(change)?;
        *config = Arc::new(changed);
        Ok(result)
    }

    /// Its tables.
    pub fn kv(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// Its blocks.
    pub fn blocks(&self) -> &Arc<KvBlocks> {
        &self.blocks
    }

    /// Its pins.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Whether it was made by this process.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// `Datastore.StorageMax` in bytes.
    ///
    /// # Errors
    /// When it is not a size.
    pub fn storage_max(&self) -> Result<u64, RepoError> {
        Ok(storage_max(&self.config())?)
    }

    /// `Datastore.StorageGCWatermark` of [`Repo::storage_max`], in bytes: from here on a collection is due.
    ///
    /// # Errors
    /// When it is not a percentage.
    pub fn gc_watermark(&self) -> Result<u64, RepoError> {
        let key = "Datastore.StorageGCWatermark";
        let percent = self.config().get_int(key)?.filter(|p| *p != 0).unwrap_or(GC_WATERMARK.into());
        if !(1..=100).contains(&percent) {
            let why = format!("must be between 1 and 100 percent, got {percent}");
            return Err(ConfigError::Value { key: key.to_owned(), why }.into());
        }
        let bytes = u128::from(self.storage_max()?) * u128::from(percent.unsigned_abs()) / 100;
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// How the tables are opened.
type OpenTables = fn(&Path) -> Result<RocksKv, StoreError>;

fn open_kv(dir: &Path, open: OpenTables) -> Result<Arc<dyn Kv>, StoreError> {
    let database = dir.join(DATASTORE);
    make_dir(&database)?;
    Ok(Arc::new(open(&database)?))
}

fn storage_max(config: &Config) -> Result<u64, ConfigError> {
    Ok(config.get_size("Datastore.StorageMax")?.unwrap_or(STORAGE_MAX))
}

/// Makes a directory that only its owner may enter, and those above it, durably.
fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let refuse = |e| StoreError::io(format!("cannot make {}", dir.display()), e);
    if dir.is_dir() {
        return Ok(());
    }
    let there = dir.ancestors().find(|a| a.is_dir()).unwrap_or_else(|| Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refuse)?;
    // From the new directory's parent up to the one that was there: each has got a new name.
    for parent in dir.ancestors().skip(1).map(|p| if p.as_os_str().is_empty() { Path::new(".") } else { p }) {
        fs::File::open(parent).and_then(|f| f.sync_all()).map_err(refuse)?;
        if parent == there {
            break;
        }
    }
    Ok(())
}

/// Refuses to turn a directory with other people's files into a repository unasked.
fn refuse_foreign_files(dir: &Path) -> Result<(), RepoError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !HARMLESS.contains(&name.as_ref()) && !name.starts_with(".tmp-") {
            let why = format!(
                "there is no repository, but other files such as {name:?}; run `cairn init` if one shall be made there"
            );
            return Err(RepoError::Damaged { dir: dir.to_owned(), why });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
