//! Hashing every block again, on all cores.

use crate::{
    Block, Cid, StoreError,
    blockstore::{Entry, KEY_VERSION, KvBlocks, parse_key},
    cid::codec,
    kv::Table,
};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Bytes of blocks that one batch holds, unless a single block is larger.
const BATCH_BYTES: u64 = 4 << 20;
/// Blocks that one batch holds.
const BATCH: usize = 1024;

/// What was found of one block.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The block, as CIDv1 and raw: the store knows multihashes only.
    pub cid: Cid,
    /// What is wrong with it, if anything.
    pub error: Option<String>,
}

/// Keys of a batch, and the multihashes in them.
type Asked = Vec<(Vec<u8>, Cid)>;

/// Reads and hashes every block, and hands what it found to `emit`, in no order. A corrupt block counts as
/// missing from then on; with `forget` it is deleted. Setting `stop` ends the work; the answer is then `false`.
///
/// Memory: 4 MiB of blocks for each core, twice.
///
/// # Errors
/// The first error of `emit`, or of the store: a block that can't be read because its bytes are damaged is no
/// error, but found corrupt.
pub fn verify<E: From<StoreError>>(
    blocks: &KvBlocks,
    forget: bool,
    stop: &AtomicBool,
    emit: &mut dyn FnMut(Checked) -> Result<(), E>,
) -> Result<bool, E> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let (ask, asked) = bounded::<Asked>(cores);
        let (answer, answers) = bounded::<Result<Vec<Checked>, StoreError>>(cores);
        for _ in 0..cores {
            let (asked, answer) = (asked.clone(), answer.clone());
            scope.spawn(move || work(blocks, &asked, &answer));
        }
        drop(asked);
        scope.spawn(move || {
            if let Err(error) = list(blocks, stop, &ask) {
                // Nobody listens only if the work was ended by another error.
                let _ = answer.send(Err(error));
            }
        });
        for answer in answers {
            for mut checked in answer? {
                // What was wrong may have been put right since it was read.
                if checked.error.is_some() && !blocks.condemn_or(checked.cid.hash(), forget)? {
                    checked.error = None;
                }
                emit(checked)?;
            }
        }
        Ok(!stop.load(Ordering::Relaxed))
    })
}

/// Lists the index in batches.
fn list(blocks: &KvBlocks, stop: &AtomicBool, ask: &Sender<Asked>) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    for row in blocks.kv().scan(Table::Index, &[KEY_VERSION], Some(&[KEY_VERSION + 1])) {
        let (key, entry) = row?;
        // The entry only bounds the batch here; whether it is right is for `fsck` to say.
        bytes += Entry::decode(&entry).map_or(0, |e| e.size);
        let cid = Cid::new_v1(codec::RAW, parse_key(&key)?);
        batch.push((key, cid));
        if bytes >= BATCH_BYTES || batch.len() == BATCH {
            bytes = 0;
            if stop.load(Ordering::Relaxed) || ask.send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
    }
    let _ = ask.send(batch);
    Ok(())
}

fn work(blocks: &KvBlocks, asked: &Receiver<Asked>, answer: &Sender<Result<Vec<Checked>, StoreError>>) {
    for batch in asked {
        if answer.send(check(blocks, batch)).is_err() {
            return;
        }
    }
}

fn check(blocks: &KvBlocks, batch: Asked) -> Result<Vec<Checked>, StoreError> {
    let (keys, cids): (Vec<Vec<u8>>, Vec<Cid>) = batch.into_iter().unzip();
    let mut checked = Vec::with_capacity(cids.len());
    let mut read: Vec<(Cid, Bytes)> = Vec::with_capacity(cids.len());
    for (cid, bytes) in cids.into_iter().zip(blocks.kv().get_many(Table::Blocks, &keys)) {
        match bytes {
            Ok(Some(bytes)) => read.push((cid, bytes)),
            Ok(None) => checked.push(Checked { cid, error: Some("its bytes are missing".to_owned()) }),
            Err(StoreError::Corrupt(why)) => checked.push(Checked { cid, error: Some(why) }),
            Err(error) => return Err(error),
        }
    }
    let cids: Vec<Cid> = read.iter().map(|(cid, _)| *cid).collect();
    for (cid, verified) in cids.into_iter().zip(Block::verify_many(read)) {
        let error = verified.err().map(|_| "block in storage has different hash than requested".to_owned());
        checked.push(Checked { cid, error });
    }
    Ok(checked)
}
