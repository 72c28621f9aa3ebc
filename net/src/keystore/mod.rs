//! Private keys by name, in a directory of Kubo's form: `keystore/key_<name in base32>` holds libp2p's protobuf of
//! the key, mode 0600. Either program reads the other's.
//!
//! The node's own key is no file here: it stands in the configuration, under the name [`SELF`].

mod der;
mod key;
mod pem;

pub use key::{
    Algorithm, DEFAULT_RSA_BITS, MAX_ENCODED, MAX_RSA_BITS, MIN_RSA_BITS, PrivateKey, check_public, verify_message,
};
pub use pem::is_pem;

use cairn_store::StoreError;
use data_encoding::BASE32_NOPAD;
use libp2p::PeerId;
use rustix::{
    fs::{CWD, RenameFlags, renameat, renameat_with},
    io::Errno,
};
use std::{
    fs::{self, DirBuilder, File},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Name of the node's own key.
pub const SELF: &str = "self";
/// Name of the directory in the repository.
pub const DIR: &str = "keystore";
/// Longest name of a key in bytes: what fits a file name of 255 bytes in base32.
pub const MAX_NAME: usize = 156;
/// Keys that are listed. A directory with more is refused: each is a file that is read.
pub const MAX_KEYS: usize = 100_000;

const PREFIX: &str = "key_";

/// Why a key can't be had or kept. Texts are Kubo's where clients know them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyError {
    /// There is no key of that name.
    #[error("no key by the given name was found")]
    NotFound,
    /// There is no key of that name, and none whose peer ID it is.
    #[error("no key by the given name or PeerID was found")]
    NotFoundById,
    /// There is one already.
    #[error("key by that name already exists, refusing to overwrite")]
    Exists,
    /// The name can't be one.
    #[error("{0}")]
    Name(String),
    /// The kind of key is not known.
    #[error("unrecognized key type: {0}")]
    UnknownType(String),
    /// The key has a size that is not allowed.
    #[error("{0}")]
    Size(String),
    /// The bytes are no key.
    #[error("{0}")]
    Malformed(String),
    /// The directory can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyError {
    fn malformed(why: impl ToString) -> Self {
        Self::Malformed(why.to_string())
    }
}

/// A directory of keys.
#[derive(Debug, Clone)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// That of a repository. The directory is made by the first key.
    pub fn of_repo(repo: &Path) -> Self {
        Self::new(repo.join(DIR))
    }

    /// That directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Whether there is a key of that name.
    ///
    /// # Errors
    /// [`KeyError::Name`], or [`KeyError::Store`] when the directory can't be examined.
    pub fn has(&self, name: &str) -> Result<bool, KeyError> {
        let path = self.path(name)?;
        path.try_exists().map_err(|e| StoreError::io(format!("cannot examine {}", path.display()), e).into())
    }

    /// The key of that name.
    ///
    /// # Errors
    /// [`KeyError::NotFound`]; any other when the file can't be read or holds no key.
    pub fn get(&self, name: &str) -> Result<PrivateKey, KeyError> {
        let path = self.path(name)?;
        let refuse = |e| StoreError::io(format!("cannot read {}", path.display()), e);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(KeyError::NotFound),
            Err(e) => return Err(refuse(e).into()),
        };
        let mut bytes = Vec::new();
        file.take(MAX_ENCODED as u64 + 1).read_to_end(&mut bytes).map_err(refuse)?;
        PrivateKey::from_protobuf(&bytes)
            .map_err(|e| KeyError::malformed(format!("cannot deserialize private key file {}: {e}", path.display())))
    }

    /// The key of that name, or that has that peer ID (base58 or a CID); `own` is the node's.
    ///
    /// # Errors
    /// [`KeyError::NotFound`] or [`KeyError::NotFoundById`]; others as [`Keystore::get`].
    pub fn find(&self, name: &str, own: &PrivateKey) -> Result<PrivateKey, KeyError> {
        if name == SELF {
            return Ok(own.clone());
        }
        match self.get(name) {
            Err(KeyError::NotFound | KeyError::Name(_)) => {}
            found => return found,
        }
        let Ok(wanted) = crate::ipns::Name::parse(name) else { return Err(KeyError::NotFound) };
        let wanted = wanted.peer_id();
        if own.peer_id() == wanted {
            return Ok(own.clone());
        }
        self.by_id(wanted)?.map(|(_, key)| key).ok_or(KeyError::NotFoundById)
    }

    /// The name and key of that peer ID, if it is here.
    fn by_id(&self, id: PeerId) -> Result<Option<(String, PrivateKey)>, KeyError> {
        let keys = self.list()?;
        Ok(keys.into_iter().find(|(_, key)| key.peer_id() == id))
    }

    /// Keeps a new key, durably.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::Name`], or [`KeyError::Store`] when the disk refuses.
    pub fn put(&self, name: &str, key: &PrivateKey) -> Result<(), KeyError> {
        let path = self.path(name)?;
        self.make_dir()?;
        let refuse = |e| StoreError::io(format!("cannot write {}", path.display()), e);
        // Beside it, and under its name only if that is free: of two who write at once, one is told that it came late.
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(&self.dir).map_err(refuse)?;
        file.write_all(key.to_protobuf()).and_then(|()| file.as_file().sync_all()).map_err(refuse)?;
        file.persist_noclobber(&path).map_err(|e| match e.error.kind() {
            ErrorKind::AlreadyExists => KeyError::Exists,
            _ => refuse(e.error).into(),
        })?;
        self.sync_dir().map_err(|e| refuse(e).into())
    }

    fn sync_dir(&self) -> std::io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    /// Forgets a key, and gives it.
    ///
    /// # Errors
    /// As [`Keystore::get`], and [`KeyError::Store`] when the disk refuses.
    pub fn remove(&self, name: &str) -> Result<PrivateKey, KeyError> {
        let (path, key) = (self.path(name)?, self.get(name)?);
        fs::remove_file(&path)
            .and_then(|()| self.sync_dir())
            .map_err(|e| StoreError::io(format!("cannot remove {}", path.display()), e))?;
        Ok(key)
    }

    /// Gives a key another name: the key, and whether it took the place of another one. After a crash it has one of
    /// the names.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if the new name is taken and `force` is not set; else as [`Keystore::get`] and
    /// [`Keystore::put`].
    pub fn rename(&self, old: &str, new: &str, force: bool) -> Result<(PrivateKey, bool), KeyError> {
        let key = self.get(old)?;
        if old == new {
            return Ok((key, false));
        }
        let (from, to) = (self.path(old)?, self.path(new)?);
        let refuse =
            |e: Errno| StoreError::io(format!("cannot rename {} to {}", from.display(), to.display()), e.into());
        let replaces = match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => false,
            Err(Errno::EXIST) if force => {
                renameat(CWD, &from, CWD, &to).map_err(refuse)?;
                true
            }
            Err(Errno::EXIST) => return Err(KeyError::Exists),
            // The file system does not know the flag: then only who comes later is refused.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let replaces = self.has(new)?;
                if replaces && !force {
                    return Err(KeyError::Exists);
                }
                renameat(CWD, &from, CWD, &to).map_err(refuse)?;
                replaces
            }
            Err(error) => return Err(refuse(error).into()),
        };
        self.sync_dir().map_err(|e| StoreError::io(format!("cannot rename {}", from.display()), e))?;
        Ok((key, replaces))
    }

    /// All keys by name. Files that are no keys are left out, with a warning.
    ///
    /// # Errors
    /// [`KeyError::Store`] when the directory can't be read or holds more than [`MAX_KEYS`] files.
    pub fn list(&self) -> Result<Vec<(String, PrivateKey)>, KeyError> {
        let refuse = |e| StoreError::io(format!("cannot list {}", self.dir.display()), e);
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(refuse(e).into()),
        };
        let mut keys = Vec::new();
        for (count, entry) in entries.enumerate() {
            if count == MAX_KEYS {
                return Err(refuse(std::io::Error::other(format!("more than {MAX_KEYS} files"))).into());
            }
            let file = entry.map_err(refuse)?.file_name();
            let Some(name) = file.to_str().and_then(decode_name) else { continue };
            match self.get(&name) {
                Ok(key) => keys.push((name, key)),
                Err(error) => tracing::warn!(name, %error, "cannot get key from keystore"),
            }
        }
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(keys)
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyError> {
        Ok(self.dir.join(encode_name(name)?))
    }

    fn make_dir(&self) -> Result<(), KeyError> {
        let refuse = |e| StoreError::io(format!("cannot make {}", self.dir.display()), e);
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(()),
            Err(e) => return Err(refuse(e).into()),
        }
        let parent = self.dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| refuse(e).into())
    }
}

/// Writes an exported key, readable by its owner only, in place of what is there.
///
/// # Errors
/// [`KeyError::Store`] when the disk refuses.
pub fn export(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let refuse = |e| StoreError::io(format!("cannot write {}", path.display()), e);
    let mut file = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    let mut file = file.write(true).create(true).truncate(true).open(path).map_err(refuse)?;
    // The file may have been there, with other rights.
    if file.metadata().is_ok_and(|meta| meta.is_file()) {
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(refuse)?;
    }
    Ok(std::io::Write::write_all(&mut file, bytes).map_err(refuse)?)
}

fn encode_name(name: &str) -> Result<String, KeyError> {
    let refuse = |why: &str| Err(KeyError::Name(why.to_owned()));
    if name.is_empty() {
        return refuse("key name must be at least one character");
    }
    if name.len() > MAX_NAME {
        return refuse("key name must be at most 156 bytes: its base32 form is a file name");
    }
    if name.contains('\0') {
        return refuse("key name must not hold a NUL");
    }
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(name.as_bytes()).to_ascii_lowercase()))
}

fn decode_name(file: &str) -> Option<String> {
    let encoded = file.strip_prefix(PREFIX)?.to_ascii_uppercase();
    let name = String::from_utf8(BASE32_NOPAD.decode(encoded.as_bytes()).ok()?).ok()?;
    // A file in another case or of an impossible name would not be found again.
    (encode_name(&name).ok()? == file).then_some(name)
}

#[cfg(test)]
mod tests;
