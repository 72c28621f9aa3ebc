//! The version of a repository, and the steps from an older one to this one.
//!
//! The file `version` holds `cairn N`. Kubo's holds a bare number, so that neither takes the other's for its own.

use super::RepoError;
use crate::{StoreError, config::write_atomic};
use std::{fs, path::Path};

/// Name of the file.
pub(super) const NAME: &str = "version";
/// The version that this release writes.
pub const VERSION: u32 = 1;

/// One step from a version to the next.
pub(super) struct Migration {
    /// The version before it.
    pub from: u32,
    /// Changes the directory. It may be run again after it was cut short, so it must come to the same end.
    pub run: fn(&Path) -> Result<(), RepoError>,
}

/// All steps, by ascending version. Version 1 is the first.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// What `version` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no such file.
    Nothing,
    /// One of ours.
    Cairn(u32),
    /// One of Kubo's: a bare number.
    Kubo,
    /// Something else.
    Unknown(String),
}

/// Reads `version`.
///
/// # Errors
/// When it is there and can't be read.
pub(super) fn read(dir: &Path) -> Result<Found, StoreError> {
    let path = dir.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(e) => return Err(StoreError::io(format!("cannot read {}", path.display()), e)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    Ok(match text.strip_prefix("cairn ").map(str::parse) {
        Some(Ok(number)) => Found::Cairn(number),
        None if text.parse::<u32>().is_ok() => Found::Kubo,
        _ => Found::Unknown(text.chars().take(20).collect()),
    })
}

/// Writes `version`.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write(dir: &Path, version: u32) -> Result<(), StoreError> {
    write_atomic(&dir.join(NAME), format!("cairn {version}\n").as_bytes(), false)
}

/// Brings a directory from `found` to `target`, one step after the other, each written down when it is done.
///
/// # Errors
/// [`RepoError::Newer`], or that of the first step that fails: the version is then that before the step.
pub(super) fn migrate(dir: &Path, found: u32, target: u32, steps: &[Migration]) -> Result<(), RepoError> {
    if found > target {
        return Err(RepoError::Newer { dir: dir.to_owned(), found, known: target });
    }
    for version in found..target {
        let step = steps.iter().find(|s| s.from == version).ok_or_else(|| RepoError::Damaged {
            dir: dir.to_owned(),
            why: format!("there is no way from its version {version} to {target}"),
        })?;
        (step.run)(dir)?;
        write(dir, version + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(dir: &Path, letter: &str) -> Result<(), RepoError> {
        let path = dir.join("log");
        let log = fs::read_to_string(&path).unwrap_or_default();
        Ok(fs::write(&path, log + letter).map_err(|e| StoreError::io("log", e))?)
    }

    const STEPS: &[Migration] = &[
        Migration { from: 2, run: |dir| append(dir, "c") },
        Migration { from: 0, run: |dir| append(dir, "a") },
        Migration { from: 1, run: |dir| append(dir, "b") },
        Migration { from: 3, run: |_| Err(RepoError::Key("no".into())) },
    ];

    fn folder(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        fs::write(dir.path().join(NAME), version).expect("write");
        dir
    }

    #[test]
    fn an_older_repository_goes_step_by_step() {
        let dir = folder("cairn 0");
        migrate(dir.path(), 0, 3, STEPS).expect("three steps");
        assert_eq!(fs::read_to_string(dir.path().join("log")).expect("log"), "abc");
        assert_eq!(read(dir.path()).expect("readable"), Found::Cairn(3));
        migrate(dir.path(), 3, 3, STEPS).expect("nothing to do");
        assert_eq!(fs::read_to_string(dir.path().join("log")).expect("log"), "abc");
    }

    #[test]
    fn a_failing_step_leaves_the_version_before_it() {
        let dir = folder("cairn 2");
        assert!(migrate(dir.path(), 2, 4, STEPS).is_err());
        assert_eq!(read(dir.path()).expect("readable"), Found::Cairn(3));
        assert_eq!(fs::read_to_string(dir.path().join("log")).expect("log"), "c");
    }

    #[test]
    fn a_newer_repository_is_refused_in_words() {
        let dir = folder("cairn 7");
        let error = migrate(dir.path(), 7, 3, STEPS).expect_err("newer").to_string();
        assert!(error.contains("version 7") && error.contains("up to 3") && error.contains("newer cairn"), "{error}");
    }

    #[test]
    fn a_gap_in_the_table_is_refused() {
        let dir = folder("cairn 4");
        assert!(matches!(migrate(dir.path(), 4, 6, STEPS), Err(RepoError::Damaged { .. })));
    }

    #[test]
    fn every_version_up_to_this_one_has_a_step() {
        let steps: Vec<u32> = MIGRATIONS.iter().map(|m| m.from).collect();
        let wanted: Vec<u32> = (1..).take_while(|&version| version < VERSION).collect();
        assert_eq!(steps, wanted);
    }

    #[test]
    fn the_file_is_told_from_kubos() {
        let cases = [
            ("cairn 1\n", Found::Cairn(1)),
            ("18\n", Found::Kubo),
            ("5", Found::Kubo),
            ("", Found::Unknown(String::new())),
            ("cairn x", Found::Unknown("cairn x".into())),
            ("cairn 99999999999", Found::Unknown("cairn 99999999999".into())),
        ];
        for (text, found) in cases {
            assert_eq!(read(folder(text).path()).expect("readable"), found, "{text:?}");
        }
        assert_eq!(read(tempfile::tempdir().expect("dir").path()).expect("none"), Found::Nothing);
    }
}
