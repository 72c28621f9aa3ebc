//! What `block put` and `dag put` share: reading files or stdin, and storing the blocks that come of them.

use crate::{cmd::pin, ctx::Ctx, exit::Usage, input::Named};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use cairn_store::{Block, block::MAX_BLOCK_SIZE, blockstore::Blockstore as _, kv::Durability, pin::PinMode};
use std::{io::Read as _, path::PathBuf};

/// Largest input that is read, in bytes: it is held in memory.
pub const MAX_INPUT: usize = 256 << 20;
/// Bytes and blocks that are written, and synced, together.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_BLOCKS: usize = 1024;

/// What to do with the blocks.
pub struct Options {
    /// Pin each with all that is below it.
    pub pin: bool,
    /// Let blocks be larger than other nodes take.
    pub allow_big_block: bool,
}

/// Makes a block of each file, or of stdin when there are none or one is `-`; stores the blocks, and hands each to
/// `emit` once it is durable.
///
/// # Errors
/// When an input can't be read or makes no block, or a block can't be stored or pinned. What was made before is
/// stored all the same.
pub fn store(
    ctx: &Ctx,
    files: Vec<PathBuf>,
    options: &Options,
    make: impl Fn(Bytes) -> anyhow::Result<Block>,
    emit: impl Fn(&Block) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    ctx.check_capacity()?;
    // IMPORTANT: held until the pins are durable.
    let _session = ctx.blocks()?.session();
    let mut group = Vec::new();
    let mut bytes = 0;
    let mut failed = None;
    for file in ctx.input.files(files)? {
        ctx.cancel.check()?;
        match file.and_then(all).and_then(&make).and_then(|block| check_size(block, options)) {
            Ok(block) => {
                bytes += block.data().len();
                group.push(block);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        if bytes >= GROUP_BYTES || group.len() >= GROUP_BLOCKS {
            flush(ctx, &group, options, &emit)?;
            group.clear();
            bytes = 0;
        }
    }
    flush(ctx, &group, options, &emit)?;
    failed.map_or(Ok(()), Err)
}

fn flush(
    ctx: &Ctx,
    group: &[Block],
    options: &Options,
    emit: &impl Fn(&Block) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    ctx.blocks()?.put_many(group, Durability::Synced)?;
    let pins = if options.pin { Some(pin::pins(ctx)?) } else { None };
    for block in group {
        if let Some(pins) = &pins {
            pins.add_local(block.cid(), PinMode::Recursive, "")
                .with_context(|| format!("block {} was stored, but not pinned", block.cid()))?;
        }
        emit(block)?;
    }
    Ok(())
}

fn check_size(block: Block, options: &Options) -> anyhow::Result<Block> {
    if block.data().len() > MAX_BLOCK_SIZE && !options.allow_big_block {
        bail!(
            "produced block is over 2MiB: other nodes do not take big blocks. `cairn add` cuts files into blocks; \
             --allow-big-block stores it all the same"
        );
    }
    Ok(block)
}

/// All of one file: of stdin, or of what a client sent.
///
/// # Errors
/// When it can't be read, or holds more than [`MAX_INPUT`] bytes.
pub fn read(ctx: &Ctx, file: PathBuf) -> anyhow::Result<Bytes> {
    let file = ctx.input.files(vec![file])?.next();
    all(file.unwrap_or_else(|| Err(Usage("file argument 'path' is required".into()).into()))?)
}

fn all(file: Named) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let name = file.name;
    file.reader.take(MAX_INPUT as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    if bytes.len() > MAX_INPUT {
        bail!("{name} is larger than {MAX_INPUT} bytes: `cairn add` takes files of any size");
    }
    Ok(bytes.into())
}
