//! `cairn dag stat`.

use crate::{cmd::source::arguments, ctx::Ctx, units::decimal};
use anyhow::{Context as _, ensure};
use cairn_net::bitswap::Order;
use cairn_store::{
    Cid,
    dag::walk::{Options, Seen, Sight, walk},
    path::Path,
    resolve,
};
use futures::TryStreamExt as _;
use serde::{Serialize, Serializer};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// Time between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Options of `cairn dag stat`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn dag stat QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB

A block that is reached twice below one root counts once there; what several roots share is the shared size.")]
pub struct Args {
    /// CIDs or paths of the roots; from stdin, one a line, if there are none
    #[arg(value_name = "ROOT")]
    roots: Vec<String>,
    /// Show progress on stderr [default: when stderr is a terminal]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    progress: Option<bool>,
}

/// One DAG, in Kubo's shape.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dag {
    cid: String,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_blocks: u64,
}

/// All of them, in Kubo's shape.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(skip_serializing_if = "is_zero")]
    unique_blocks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    shared_size: u64,
    #[serde(skip_serializing_if = "has_no_form", serialize_with = "as_go_writes")]
    ratio: f32,
    dag_stats: Vec<Dag>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Left out as in Kubo, or no JSON: a DAG of no bytes has no ratio.
fn has_no_form(ratio: &f32) -> bool {
    *ratio == 0.0 || !ratio.is_finite()
}

/// Whole numbers without a fraction.
fn as_go_writes<S: Serializer>(ratio: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    if ratio.fract() == 0.0 { serializer.serialize_u64(*ratio as u64) } else { serializer.serialize_f32(*ratio) }
}

/// Runs `cairn dag stat`.
///
/// # Errors
/// When a block is missing or malformed.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let roots = arguments(ctx, args.roots)?;
    let mut tally = Tally {
        several: roots.len() > 1,
        seen: Seen::new(),
        summary: Summary::default(),
        with_repeats: 0,
        progress: args.progress.unwrap_or(ctx.out.err_tty),
        shown: Instant::now(),
    };
    for root in &roots {
        let cid = locate(ctx, &Path::parse(root)?)?;
        tally.summary.dag_stats.push(Dag { cid: ctx.out.cid(&cid), ..Dag::default() });
        let result = tally.walk(ctx, cid);
        if tally.progress {
            ctx.out.note("\x1b[2K\r");
        }
        result.context("error traversing DAG")?;
    }
    let summary = tally.finish();
    ctx.out.emit(&summary, text)
}

fn locate(ctx: &Ctx, path: &Path) -> anyhow::Result<Cid> {
    let (fetch, names) = (ctx.fetch()?, ctx.names()?);
    let end = ctx.block_on(async { Ok(resolve::resolve(&fetch, &*names, path, None).await?) })?;
    ensure!(end.remainder.is_empty(), "cannot return size for anything other than a DAG with a root CID");
    Ok(end.cid)
}

struct Tally {
    several: bool,
    /// Blocks below all roots; one root's walk meets each block once by itself.
    seen: Seen,
    summary: Summary,
    /// Bytes of the DAGs, counting what they share each time.
    with_repeats: u64,
    progress: bool,
    shown: Instant,
}

impl Tally {
    fn walk(&mut self, ctx: &Ctx, root: Cid) -> anyhow::Result<()> {
        let fetch = ctx.fetch_in(Order::Rarest)?;
        ctx.block_on(async {
            let mut blocks = walk(fetch, root, Options::default());
            while let Some(block) = blocks.try_next().await? {
                self.count(ctx, block.cid(), block.data().len() as u64)?;
            }
            Ok(())
        })
    }

    fn count(&mut self, ctx: &Ctx, cid: &Cid, size: u64) -> anyhow::Result<()> {
        let new = !self.several
            || self.seen.visit(cid, 0).context("asking for one root at a time needs no list of blocks")? == Sight::New;
        if new {
            self.summary.unique_blocks += 1;
            self.summary.total_size += size;
        }
        self.with_repeats += size;
        if let Some(dag) = self.summary.dag_stats.last_mut() {
            dag.num_blocks += 1;
            dag.size += size;
        }
        if self.progress && self.shown.elapsed() >= PROGRESS_EVERY {
            self.shown = Instant::now();
            let blocks: u64 = self.summary.dag_stats.iter().map(|d| d.num_blocks).sum();
            let bytes = self.with_repeats;
            ctx.out.note(&format!("Fetched/Processed {blocks} blocks, {bytes} bytes ({})\r", decimal(bytes)));
        }
        Ok(())
    }

    fn finish(self) -> Summary {
        let mut summary = self.summary;
        summary.shared_size = self.with_repeats - summary.total_size;
        summary.ratio = self.with_repeats as f32 / summary.total_size as f32;
        summary
    }
}

fn text(summary: &Summary) -> String {
    let width = summary.dag_stats.first().map_or(0, |dag| dag.cid.len());
    let mut out = format!("\n{:<width$}\t{:<15}\tSize\n", "CID", "Blocks");
    for dag in &summary.dag_stats {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{}\t{:<15}\t{}", dag.cid, dag.num_blocks, dag.size);
    }
    let (total, shared) = (summary.total_size, summary.shared_size);
    let _ = write!(
        out,
        "\nSummary\nTotal Size: {total} ({})\nUnique Blocks: {}\nShared Size: {shared} ({})\nRatio: {:.6}\n\n\n",
        decimal(total),
        summary.unique_blocks,
        decimal(shared),
        summary.ratio,
    );
    out
}
