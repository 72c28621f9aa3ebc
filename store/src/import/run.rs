//! The pipeline: its threads, its queues, and what holds at their limits.

use super::{
    ImportError, Options, Sink, Source,
    build::{Builder, Hashed},
    read::{Chunk, Item, Reader, Window},
};
use crate::task::in_context;
use crate::unixfs::{
    BuildError,
    leaf::{self, Leaf},
    profile::Profile,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Hashing threads, at most: with their queues they bound the windows of 4 MiB that exist at once. Eight are faster than
/// the one thread that reads.
const MAX_WORKERS: usize = 8;
/// Windows that wait between two stages, besides the one that each thread works on. A stage that runs ahead
/// waits. With two hashing threads at most twelve windows exist at once, with eight 24, those on their way to the disk
/// among them.
const QUEUE: usize = 2;

type Sealed = Result<Hashed, ImportError>;
type Work = (Window, Sender<Sealed>);

/// Imports sources into `sink`, on threads of its own besides the caller's. When `cancel` becomes true, it ends
/// early with [`ImportError::Cancelled`].
///
/// # Errors
/// The first thing that went wrong, in the order of the sources.
pub fn import(
    sources: Vec<Source>,
    options: &Options,
    cancel: &AtomicBool,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    let foreign = sources.iter().any(|source| matches!(source, Source::Steps(_)));
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_WORKERS);
    let (work_in, work_out) = bounded::<Work>(QUEUE);
    let (order_in, order_out) = bounded::<Receiver<Sealed>>(QUEUE + workers);
    thread::scope(|scope| {
        for _ in 0..workers {
            let work = work_out.clone();
            scope.spawn(in_context(move || hash(options, &work)));
        }
        // Without this, the reader would wait for ever when all hashing threads have ended.
        drop(work_out);
        let reader = scope.spawn(in_context(move || read(sources, options, cancel, &work_in, &order_in)));
        let built = build(Builder::new(options, foreign), cancel, &order_out, sink);
        // Lets the reader go when building failed.
        drop(order_out);
        let read = reader.join().unwrap_or(Err(ImportError::Broken("reading")));
        // An error of building may be what stopped the reader, so it is the one to report.
        built.and(read)
    })
}

fn read(
    sources: Vec<Source>,
    options: &Options,
    cancel: &AtomicBool,
    work: &Sender<Work>,
    order: &Sender<Receiver<Sealed>>,
) -> Result<(), ImportError> {
    let mut deliver = |window: Window| {
        let (done, result) = bounded(1);
        order.send(result).is_ok() && work.send((window, done)).is_ok()
    };
    let read = Reader::new(options, cancel, &mut deliver).run(sources);
    if let Err(error) = &read {
        // In order: what was read before the error is built, and announced, first.
        let (done, result) = bounded(1);
        let _ = done.send(Err(error.clone()));
        let _ = order.send(result);
    }
    read
}

fn hash(options: &Options, work: &Receiver<Work>) {
    for (mut window, done) in work {
        let chunks = window.items.iter_mut().filter_map(|item| match item {
            Item::Chunk(chunk) => Some(chunk),
            _ => None,
        });
        let sealed = seal_leaves(&options.profile, chunks)
            .map(|leaves| Hashed { items: window.items, leaves: leaves.into_iter() })
            .map_err(ImportError::from);
        // The receiver is gone when building failed: there is nothing left to do then.
        let _ = done.send(sealed);
    }
}

fn seal_leaves<'a>(profile: &Profile, chunks: impl Iterator<Item = &'a mut Chunk>) -> Result<Vec<Leaf>, BuildError> {
    let (mut sizes, mut encoded) = (Vec::new(), Vec::new());
    for chunk in chunks {
        sizes.push(chunk.file_size);
        let bytes = std::mem::take(&mut chunk.bytes);
        encoded.push(if chunk.encoded { bytes } else { leaf::encode(profile, bytes) });
    }
    let blocks = profile.seal_leaves(encoded)?;
    Ok(blocks.into_iter().zip(sizes).map(|(block, file_size)| Leaf { block, file_size }).collect())
}

fn build(
    mut builder: Builder<'_>,
    cancel: &AtomicBool,
    order: &Receiver<Receiver<Sealed>>,
    sink: &mut dyn Sink,
) -> Result<(), ImportError> {
    for next in order {
        let window = next.recv().map_err(|_| ImportError::Broken("hashing"))??;
        if cancel.load(Ordering::Relaxed) {
            return Err(ImportError::Cancelled);
        }
        builder.take(window, sink)?;
    }
    builder.finish(sink)
}
