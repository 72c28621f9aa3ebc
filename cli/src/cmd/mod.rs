//! The commands: one module each, and the table that dispatches them.

pub mod add;
pub mod bitswap;
pub mod block;
pub mod bootstrap;
pub mod cat;
pub mod cid;
pub mod commands;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod dag;
pub mod diag;
pub mod fast_provide;
pub mod files;
pub mod gateway;
pub mod get;
pub mod id;
pub mod init;
pub mod key;
pub mod log;
pub mod ls;
pub mod mount;
pub mod multibase;
pub mod name;
pub mod pin;
pub mod ping;
pub mod provide;
pub mod pubsub;
pub mod put;
pub mod refs;
pub mod repo;
pub mod resolve;
pub mod routing;
pub mod shutdown;
pub mod source;
pub mod stats;
pub mod swarm;
pub mod umount;
pub mod version;

use crate::ctx::Ctx;
use clap::Subcommand;

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a repository
    Init(init::Args),
    /// Run a node that others can ask
    Daemon(daemon::Args),
    /// Serve what is here over HTTP
    Gateway(gateway::Args),
    /// End the daemon
    Shutdown(shutdown::Args),
    /// Print who this node is
    Id(id::Args),
    /// Look into the daemon
    Diag(diag::Args),
    /// Follow and set what the daemon logs
    Log(log::Args),
    /// Add files and folders: print their CIDs
    Add(add::Args),
    /// Print the content of files
    Cat(cat::Args),
    /// Write a file or folder from the store to disk
    Get(get::Args),
    /// List directories
    Ls(ls::Args),
    /// Print what a path resolves to
    Resolve(resolve::Args),
    /// List the links of an object
    Refs(refs::Args),
    /// The mutable tree of files and folders
    Files(files::Args),
    /// Mount the network as a folder
    Mount(mount::Args),
    /// Unmount it
    Umount(umount::Args),
    /// Keep objects from being collected
    Pin(pin::Args),
    /// Look after the repository
    Repo(repo::Args),
    /// Raw blocks
    Block(block::Args),
    /// IPLD objects and CAR files
    Dag(dag::Args),
    /// Make names point somewhere, and find out where they point
    Name(name::Args),
    /// The keys of names
    Key(key::Args),
    /// Ask and tell the network
    Routing(routing::Args),
    /// Convert and look into CIDs
    Cid(cid::Args),
    /// Encode and decode multibase
    Multibase(multibase::Args),
    /// Read and change the configuration
    Config(config::Args),
    /// Connections with other nodes
    Swarm(swarm::Args),
    /// Peers that the node begins with
    Bootstrap(bootstrap::Args),
    /// Measure the way to a peer
    Ping(ping::Args),
    /// Look into the exchange of blocks
    Bitswap(bitswap::Args),
    /// Tell others what this node holds
    Provide(provide::Args),
    /// Send and receive messages by topic
    Pubsub(pubsub::Args),
    /// Figures of the node
    Stats(stats::Args),
    /// List all commands
    Commands(commands::Args),
    /// Print the version
    Version(version::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Runs a command.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(ctx: &Ctx, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(ctx, &args),
        Command::Daemon(args) => daemon::run(ctx, &args),
        Command::Gateway(args) => gateway::run(ctx, &args),
        Command::Shutdown(args) => shutdown::run(ctx, &args),
        Command::Id(args) => id::run(ctx, &args),
        Command::Diag(args) => diag::run(ctx, args),
        Command::Log(args) => log::run(ctx, args),
        Command::Add(args) => add::run(ctx, &args),
        Command::Cat(args) => cat::run(ctx, args),
        Command::Get(args) => get::run(ctx, args),
        Command::Ls(args) => ls::run(ctx, args),
        Command::Resolve(args) => resolve::run(ctx, args),
        Command::Refs(args) => refs::run(ctx, args),
        Command::Files(args) => files::run(ctx, args),
        Command::Mount(args) => mount::run(ctx, &args),
        Command::Umount(args) => umount::run(ctx, &args),
        Command::Pin(args) => pin::run(ctx, args),
        Command::Repo(args) => repo::run(ctx, args),
        Command::Block(args) => block::run(ctx, args),
        Command::Dag(args) => dag::run(ctx, args),
        Command::Name(args) => name::run(ctx, args),
        Command::Key(args) => key::run(ctx, args),
        Command::Routing(args) => routing::run(ctx, args),
        Command::Cid(args) => cid::run(ctx, args),
        Command::Multibase(args) => multibase::run(ctx, args),
        Command::Config(args) => config::run(ctx, args),
        Command::Swarm(args) => swarm::run(ctx, args),
        Command::Bootstrap(args) => bootstrap::run(ctx, args),
        Command::Ping(args) => ping::run(ctx, &args),
        Command::Bitswap(args) => bitswap::run(ctx, args),
        Command::Provide(args) => provide::run(ctx, args),
        Command::Pubsub(args) => pubsub::run(ctx, args),
        Command::Stats(args) => stats::run(ctx, args),
        Command::Commands(args) => commands::run(ctx, args),
        Command::Version(args) => version::run(ctx, &args),
        Command::Completions(args) => completions::run(ctx, args),
    }
}
