//! Small files that are there whole, or not at all.

use crate::StoreError;
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path};

/// Mode of a file that only its owner may read.
const PRIVATE: u32 = 0o600;
/// Mode of a file that everybody may read.
const PUBLIC: u32 = 0o644;

/// Replaces a file durably: a temporary file beside it, synced, renamed over it, and its folder synced. A
/// symbolic link is followed, so that a configuration kept elsewhere stays there.
///
/// # Errors
/// When the disk refuses; the file is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8], private: bool) -> Result<(), StoreError> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let refuse = |e| StoreError::io(format!("cannot write {}", path.display()), e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mode = fs::Permissions::from_mode(if private { PRIVATE } else { PUBLIC });
    let mut file = tempfile::Builder::new().prefix(".tmp-").permissions(mode).tempfile_in(folder).map_err(refuse)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(refuse)?;
    file.persist(path).map_err(|e| refuse(e.error))?;
    // IMPORTANT: without this a power cut may undo the rename after it was acknowledged.
    fs::File::open(folder).and_then(|f| f.sync_all()).map_err(refuse)
}
