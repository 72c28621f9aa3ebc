//! The progress bar of `cairn add`.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{path::PathBuf, thread};

/// A bar on stderr, or nothing.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// Begins. The total comes later, from a thread that adds up the sizes of the files.
    pub fn new(shown: bool, paths: &[PathBuf]) -> Self {
        if !shown {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bytes} / {total_bytes} {wide_bar} {bytes_per_sec} ETA {eta}")
        {
            bar.set_style(style);
        }
        let (paths, counted) = (paths.to_vec(), bar.clone());
        // It only reads sizes; it is not waited for.
        thread::spawn(move || counted.set_length(total(paths)));
        Self(Some(bar))
    }

    /// Shows how many bytes are done.
    pub fn set(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
        }
    }

    /// Hides the bar while something else is printed.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Bytes of all files below the paths, symlinks not followed.
fn total(mut todo: Vec<PathBuf>) -> u64 {
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
