//! `cairn daemon`: holds the repository open and answers requests.

mod collect;
pub mod files;
pub mod network;
mod provide;
mod systemd;

use crate::{
    cmd::{
        init,
        mount::{self, Places},
    },
    ctx::Ctx,
    daemon::{Daemon, MAX_REQUESTS},
    exit::Interrupted,
    rpc::{address::Address, server::Listener},
};
use anyhow::Context as _;
use cairn_store::repo::{Repo, VERSION};
use std::{io::Write as _, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How long to wait at most for what does not end when the daemon does; with what the listeners wait, about the
/// 10 s after which service managers lose patience.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// Where the RPC listens if nothing is configured.
const DEFAULT_API: &str = "/ip4/127.0.0.1/tcp/5001";
/// What Kubo says when it is told to end.
const INTERRUPTED: &[u8] =
    b"Received interrupt signal, shutting down...\n(Hit ctrl-c again to force-shutdown the daemon.)\n";
/// How often the daemon looks whether a signal has come.
const PATIENCE: Duration = Duration::from_millis(20);

/// Options of `cairn daemon`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Commands of the same repository are carried out by its daemon while one runs. Programs ask it over HTTP, in the form
of Kubo's RPC; --api ADDRESS listens there instead of at Addresses.API.

The first Ctrl-C or SIGTERM ends it cleanly, the second at once.

Examples:
  cairn daemon
  cairn daemon --offline --enable-gc
  cairn daemon --init --init-profile=server")]
pub struct Args {
    /// Make a repository first if there is none: always so, accepted for scripts written for Kubo
    #[arg(long)]
    init: bool,
    /// Profiles for the configuration of a new repository
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    init_profile: Vec<String>,
    /// Collect garbage every Datastore.GCPeriod, when the repository is larger than Datastore.StorageGCWatermark allows
    #[arg(long)]
    enable_gc: bool,
    /// Bring the repository to the present version: always so; with =false an older one is refused
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    migrate: Option<bool>,
    /// Where content is looked for, in place of Routing.Type: auto, autoclient, dht, dhtclient, dhtserver, delegated, none
    #[arg(long, value_name = "TYPE")]
    routing: Option<String>,
    /// Mount the network on the directories of Mounts.IPFS, Mounts.IPNS and Mounts.MFS
    #[arg(long)]
    mount: bool,
    /// With --mount: where /ipfs is mounted
    #[arg(long, value_name = "DIR", requires = "mount")]
    mount_ipfs: Option<PathBuf>,
    /// With --mount: where /ipns is mounted
    #[arg(long, value_name = "DIR", requires = "mount")]
    mount_ipns: Option<PathBuf>,
    /// With --mount: where the tree of `cairn files` is mounted
    #[arg(long, value_name = "DIR", requires = "mount")]
    mount_mfs: Option<PathBuf>,
}

/// Runs `cairn daemon`.
///
/// # Errors
/// When the repository can't be opened, or an address not be listened on.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    say(ctx, "Initializing daemon...\n")?;
    say(ctx, &versions())?;
    let repo = Arc::new(open(ctx, args)?);
    let peer = repo.config().get_str("Identity.PeerID")?.unwrap_or_default().to_owned();
    say(ctx, &format!("PeerID: {peer}\n"))?;
    // A peer or client that closes its end must not end the daemon, as the reader of a pipe ends other commands.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default()).context("cannot handle SIGPIPE")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("cairn")
        // Each request holds a thread, and needs others to read blocks.
        .max_blocking_threads(2 * MAX_REQUESTS)
        .build()
        .context("cannot start the runtime's threads")?;
    let daemon = Daemon::new(repo, runtime.handle().clone(), ctx.global.offline)?;
    let result = runtime.block_on(serve(ctx, args, &daemon));
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// Prints a line of what happens, at once.
///
/// # Errors
/// When nobody takes it.
pub fn say(ctx: &Ctx, text: &str) -> anyhow::Result<()> {
    let mut out = ctx.out.stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn versions() -> String {
    let commit = env!("CAIRN_COMMIT");
    let dash = if commit.is_empty() { "" } else { "-" };
    format!(
        "Cairn version: {}{dash}{commit}\nRepo version: {VERSION}\nSystem version: {}\nRust version: {}\n",
        env!("CARGO_PKG_VERSION"),
        crate::cmd::version::system(),
        env!("CAIRN_RUSTC"),
    )
}

fn open(ctx: &Ctx, args: &Args) -> anyhow::Result<Repo> {
    let location = ctx.location()?;
    if !location.exists()? && !args.init_profile.is_empty() {
        init::make(&location, &args.init_profile)?;
    }
    if args.migrate == Some(false) && location.exists()? {
        location.refuse_older()?;
    }
    ctx.open_repo()
}

async fn serve(ctx: &Ctx, args: &Args, daemon: &Arc<Daemon>) -> anyhow::Result<()> {
    let config = daemon.repo.config();
    let addresses = match &ctx.global.api {
        Some(address) => vec![address.clone()],
        None => match config.get_strings("Addresses.API")? {
            Some(list) => list.into_iter().map(str::to_owned).collect(),
            None => vec![DEFAULT_API.to_owned()],
        },
    };
    let addresses = addresses.iter().map(|text| Address::parse(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let open_to_all = crate::rpc::auth::Secrets::new(&config)?.is_open();
    let node = if daemon.offline {
        say(ctx, "Swarm not listening, running in offline mode.\n")?;
        None
    } else {
        Some(network::start(ctx, args.routing.as_deref(), daemon).await?)
    };
    if !open_to_all {
        say(ctx, "RPC API access is limited by the rules defined in API.Authorizations\n")?;
    }
    let names: Vec<String> = addresses
        .iter()
        .filter_map(|a| if let Address::Name(name, _) = a { Some(name.to_ascii_lowercase()) } else { None })
        .collect();
    let mut servers = JoinSet::new();
    let mut first = None;
    for address in &addresses {
        let listener = Listener::bind(address).await?;
        let address = listener.address.clone();
        say(ctx, &format!("RPC API server listening on {address}\n"))?;
        if open_to_all && !address.is_local() {
            ctx.out.note(&format!(
                "Warning: whoever reaches {address} controls this node: set API.Authorizations, or listen on 127.0.0.1\n"
            ));
        }
        servers.spawn(listener.serve(daemon, &names)?);
        first.get_or_insert(address.for_clients());
    }
    let _api =
        first.map(|address| files::Announced::new(daemon.repo.path(), "api", &address.to_string())).transpose()?;
    let served = crate::gateway::start(ctx, &daemon.repo, node.as_ref(), &daemon.stop, &mut servers, false).await?;
    daemon.serves(Arc::clone(&served.gateway));
    servers.spawn(crate::process::trim_regularly(daemon.stop.clone()));
    if args.enable_gc {
        servers.spawn(collect::regularly(Arc::clone(daemon)));
    }
    if args.mount {
        begin_mounts(ctx, args, daemon).await?;
    }
    say(ctx, "Daemon is ready\n")?;
    systemd::notify("READY=1");
    wait(ctx, daemon).await;
    systemd::notify("STOPPING=1");
    daemon.stop.cancel();
    if ctx.cancel.requested() {
        // Past `ctx.out`, which would tell of the error at its end: whoever read this may be gone, and that is no reason
        // not to end in order.
        let mut out = std::io::stdout();
        let _ = out.write_all(INTERRUPTED).and_then(|()| out.flush());
    }
    let unmounted = daemon.mounts.end().await;
    if let Some(node) = node {
        node.shutdown().await;
    }
    while servers.join_next().await.is_some() {}
    // Changes that nobody asked to make durable.
    daemon.repo.sync_mfs().await.context("the last changes of the tree could not be kept")?;
    unmounted?;
    // It was asked to end, and did.
    ctx.cancel.withdraw();
    Ok(())
}

async fn begin_mounts(ctx: &Ctx, args: &Args, daemon: &Arc<Daemon>) -> anyhow::Result<()> {
    let path = |given: &Option<PathBuf>| given.as_deref().map(crate::mount::real).transpose();
    let places =
        Places { all: None, ipfs: path(&args.mount_ipfs)?, ipns: path(&args.mount_ipns)?, mfs: path(&args.mount_mfs)? };
    let mounted = mount::in_daemon(daemon, &places, mount::usual()).await.context("--mount")?;
    let names = ["IPFS", "IPNS", "MFS"];
    for (name, mounted) in names.iter().zip(mounted) {
        say(ctx, &format!("{name} mounted at: {}\n", ctx.out.escape(&mounted.dir.to_string_lossy())))?;
    }
    Ok(())
}

/// Waits for a signal, or `cairn shutdown`.
async fn wait(ctx: &Ctx, daemon: &Daemon) {
    let signal = async {
        // A flag is all that a signal handler can set.
        while !ctx.cancel.requested() {
            tokio::time::sleep(PATIENCE).await;
        }
        Interrupted
    };
    tokio::select! {
        _ = signal => {}
        () = daemon.stop.cancelled() => {}
    }
}
