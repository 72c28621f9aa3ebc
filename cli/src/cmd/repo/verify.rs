//! `cairn repo verify`.

use super::{Message, end, spinner};
use crate::ctx::Ctx;
use anyhow::bail;
use cairn_store::{
    Cid,
    blockstore::KvBlocks,
    check::verify::{self, Checked},
    config::parse_duration,
    fetch::Fetch,
};
use futures::{StreamExt as _, stream};
use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

const EXAMPLES: &str = "Examples:
  cairn repo verify
  cairn repo verify --drop
  cairn repo verify --heal --heal-timeout=2m

Corrupt blocks count as missing, whatever is asked for here, and a daemon that is asked for one fetches it again. With --heal
all of them are fetched now; this needs a running daemon. What nobody gives within --heal-timeout stays deleted.";

/// Corrupt blocks that are fetched at once.
const AT_ONCE: usize = 16;

/// Options of `cairn repo verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Delete corrupt blocks
    #[arg(long)]
    drop: bool,
    /// Delete corrupt blocks and fetch them again from the network
    #[arg(long)]
    heal: bool,
    /// Longest time to fetch one of them; 0: as long as it takes
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    heal_timeout: Duration,
}

/// What was found.
#[derive(Default)]
struct Counts {
    seen: u64,
    corrupt: u64,
    healed: u64,
}

/// Runs `cairn repo verify`.
///
/// # Errors
/// When blocks are corrupt and were not deleted, or could not be fetched again.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    let healer = if args.heal { Some(Healer::new(ctx, args)?) } else { None };
    let drop = args.drop || args.heal;
    let bar = spinner(ctx, true);
    let mut counts = Counts::default();
    let mut waiting = Vec::new();
    let say = |text: String| bar.suspend(|| Message::new(text).emit(ctx));
    let whole = verify::verify(ctx.blocks()?, drop, &ctx.cancel.flag(), &mut |checked| -> anyhow::Result<()> {
        counts.seen += 1;
        if checked.error.is_some() {
            counts.corrupt += 1;
            match &healer {
                None => say(found(ctx, &checked, drop))?,
                Some(healer) => {
                    waiting.push(checked);
                    if waiting.len() == AT_ONCE {
                        counts.healed += healer.heal(std::mem::take(&mut waiting), &say)?;
                    }
                }
            }
        }
        // For people, progress is a line on the terminal.
        if ctx.out.json() {
            return ctx.out.emit(&Message { text: String::new(), progress: counts.seen }, |_| String::new());
        }
        if counts.seen.is_multiple_of(256) {
            bar.set_message(format!("{} blocks processed", counts.seen));
        }
        Ok(())
    })?;
    if let Some(healer) = &healer {
        counts.healed += healer.heal(waiting, &say)?;
    }
    end(&bar, whole)?;
    summary(ctx, args, &counts)
}

fn found(ctx: &Ctx, checked: &Checked, dropped: bool) -> String {
    let mut text = format!("block {} was corrupt", ctx.out.cid(&checked.cid));
    // Writing to a String does not fail.
    let _ = write!(text, " ({})", checked.error.as_deref().unwrap_or_default());
    if dropped {
        text.push_str(", removed");
    }
    text
}

fn summary(ctx: &Ctx, args: &Args, counts: &Counts) -> anyhow::Result<()> {
    let Counts { corrupt, healed, .. } = *counts;
    if corrupt == 0 {
        return Message::new("verify complete, all blocks validated.").emit(ctx);
    }
    let mut text = format!("verify complete, {corrupt} blocks corrupt");
    if args.drop || args.heal {
        let _ = write!(text, ", {corrupt} removed");
    }
    if healed > 0 {
        let _ = write!(text, ", {healed} healed");
    }
    if args.heal && healed < corrupt {
        bail!("{text}, {} failed to heal", corrupt - healed);
    }
    if !args.drop && !args.heal {
        bail!("{text}");
    }
    Message::new(text).emit(ctx)
}

/// Fetches what was corrupt.
struct Healer<'a> {
    ctx: &'a Ctx,
    blocks: &'a Arc<KvBlocks>,
    fetch: Arc<dyn Fetch>,
    patience: Option<Duration>,
}

impl<'a> Healer<'a> {
    fn new(ctx: &'a Ctx, args: &Args) -> anyhow::Result<Self> {
        ctx.node()?;
        let patience = Some(args.heal_timeout).filter(|patience| !patience.is_zero());
        Ok(Self { ctx, blocks: ctx.blocks()?, fetch: ctx.fetch()?, patience })
    }

    /// Fetches these, says what came of each, and how many are whole again.
    fn heal(&self, corrupt: Vec<Checked>, say: &dyn Fn(String) -> anyhow::Result<()>) -> anyhow::Result<u64> {
        let results: Vec<(Checked, Result<(), String>)> = self.ctx.block_on(async {
            let all = stream::iter(corrupt).map(|checked| async {
                let result = self.again(&checked.cid).await;
                (checked, result)
            });
            Ok(all.buffered(AT_ONCE).collect().await)
        })?;
        let mut healed = 0;
        for (checked, result) in results {
            let text = found(self.ctx, &checked, true);
            match result {
                Ok(()) => {
                    healed += 1;
                    say(format!("{text}, healed"))?;
                }
                Err(why) => say(format!("{text}, failed to heal ({why})"))?,
            }
        }
        Ok(healed)
    }

    async fn again(&self, cid: &Cid) -> Result<(), String> {
        let deadline = self.patience.map(|patience| Instant::now() + patience);
        let fetched = self.fetch.fetch(cid, deadline).await.map_err(|error| error.to_string())?;
        // It was stored by whoever fetched it, unless the configuration says otherwise.
        let blocks = Arc::clone(self.blocks);
        let put =
            tokio::task::spawn_blocking(move || cairn_store::blockstore::Blockstore::put(blocks.as_ref(), &fetched));
        put.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
