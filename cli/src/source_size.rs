//! How much there is to read, for progress bars.

use std::path::PathBuf;

/// Bytes of all files below the paths, symlinks not followed.
pub fn total(mut todo: Vec<PathBuf>) -> u64 {
    let mut sum = 0;
    while let Some(path) = todo.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten();
            todo.extend(entries.flatten().map(|e| e.path()));
        } else if metadata.is_file() {
            sum += metadata.len();
        }
    }
    sum
}
