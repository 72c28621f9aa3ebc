//! `--fast-provide-…`: whether what was just added or pinned is announced at once.

use crate::ctx::Ctx;
use cairn_store::Cid;

/// Options of commands that add or pin.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Announce roots at once, and not only when their turn in the schedule comes [default: Import.FastProvideRoot, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fast_provide_root: Option<bool>,
    /// Announce all blocks below them too, where Provide.Strategy announces fewer [default: Import.FastProvideDAG, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fast_provide_dag: Option<bool>,
    /// Wait until they are announced [default: Import.FastProvideWait, else false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fast_provide_wait: Option<bool>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FastProvide {
    root: bool,
    dag: bool,
    wait: bool,
}

impl Args {
    /// The options, and what the configuration says where they say nothing.
    ///
    /// # Errors
    /// When the configuration can't be read.
    pub fn of(&self, ctx: &Ctx) -> anyhow::Result<FastProvide> {
        let config = ctx.config()?;
        let root = match self.fast_provide_root {
            Some(root) => root,
            None => config.get_bool("Import.FastProvideRoot")?.unwrap_or(true),
        };
        let dag = match self.fast_provide_dag {
            Some(dag) => dag,
            None => config.get_bool("Import.FastProvideDAG")?.unwrap_or(false),
        };
        let wait = match self.fast_provide_wait {
            Some(wait) => wait,
            None => config.get_bool("Import.FastProvideWait")?.unwrap_or(false),
        };
        Ok(FastProvide { root, dag, wait })
    }
}

impl FastProvide {
    /// Whether the command waits.
    pub fn waits(self) -> bool {
        self.wait
    }

    /// Lets the network know of what was just added or pinned; does nothing where there is none.
    ///
    /// # Errors
    /// When the command is cancelled while it waits.
    pub fn announce(self, ctx: &Ctx, roots: Vec<Cid>) -> anyhow::Result<()> {
        let below = if self.dag { ctx.announce_below(&roots) } else { None };
        let announced = ctx.announce(roots, self.root);
        if !self.wait {
            return Ok(());
        }
        ctx.block_on(async {
            for work in announced.into_iter().chain(below) {
                work.await?;
            }
            Ok(())
        })
    }
}
