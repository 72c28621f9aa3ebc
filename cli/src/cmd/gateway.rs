//! `cairn gateway`: the HTTP gateway of a repository, without the rest of the daemon.

use crate::{ctx::Ctx, gateway};
use anyhow::Context as _;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often to look whether a signal has come.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long to wait at most for threads that do not end.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Options of `cairn gateway`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Serves what is in the repository at Addresses.Gateway, by the rules of Gateway.*, and asks nobody for blocks that are not
there. A daemon serves the same gateway, and fetches what is missing: while one runs, this is not needed.

Example:
  cairn gateway")]
pub struct Args {}

/// Runs `cairn gateway`.
///
/// # Errors
/// When the repository can't be opened, for example since a daemon runs, or an address not be listened on.
pub fn run(ctx: &Ctx, _: &Args) -> anyhow::Result<()> {
    let repo = ctx.open_repo()?;
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, std::sync::Arc::default())
        .context("cannot handle SIGPIPE")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("cairn")
        .build()
        .context("cannot start the runtime's threads")?;
    let result = runtime.block_on(async {
        let (stop, mut servers) = (CancellationToken::new(), JoinSet::new());
        let _served = gateway::start(ctx, &repo, None, &stop, &mut servers, true).await?;
        servers.spawn(crate::process::trim_regularly(stop.clone()));
        crate::cmd::daemon::say(ctx, "Gateway is ready\n")?;
        // A flag is all that a signal handler can set.
        while !ctx.cancel.requested() {
            tokio::time::sleep(PATIENCE).await;
        }
        stop.cancel();
        while servers.join_next().await.is_some() {}
        ctx.cancel.withdraw();
        Ok(())
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}
