//! The progress bar of `cairn add`.

use crate::{ctx::Ctx, progress::Bar, source_size};
use std::{path::PathBuf, thread};

/// What it shows.
const TEMPLATE: &str = "{bytes} / {total_bytes} {wide_bar} {bytes_per_sec} ETA {eta}";

/// A bar on stderr, or none. The total comes later, from a thread that adds up the sizes of the files; those that a
/// client sends are added up there.
pub fn bar(ctx: &Ctx, shown: bool, paths: &[PathBuf]) -> Bar {
    let bar = ctx.out.bar(shown, TEMPLATE, None);
    if shown && ctx.input.upload().is_none() {
        let (paths, counted) = (paths.to_vec(), bar.clone());
        // It only reads sizes; it is not waited for.
        thread::spawn(move || counted.set_length(source_size::total(paths)));
    }
    bar
}
