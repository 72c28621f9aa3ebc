//! `cairn`: a content-addressed filesystem that speaks the public IPFS protocols.
//!
//! This binary is the only place where the crates meet. `args` says what can be asked, `cmd` holds one module
//! for each command, `ctx` gives them the repository and the runtime, `output` and `input` what they print and read.
//! `daemon` holds a repository open for many, `rpc` is how they ask it.

#![deny(clippy::print_stderr, clippy::print_stdout)]

mod address;
mod args;
mod cmd;
mod cpu;
mod ctx;
mod daemon;
mod exit;
mod gateway;
mod input;
mod log;
mod mount;
mod names;
mod output;
mod process;
mod progress;
mod reading;
mod rpc;
mod source_size;
mod table;
mod target;
mod units;

use clap::{CommandFactory as _, FromArgMatches as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    process::prepare();
    let matches = args::Cli::command().get_matches();
    let cli = args::Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    log::start(cli.global.debug);
    let mut ctx = ctx::Ctx::new(cli.global);
    let outcome = match rpc::dispatch::to_daemon(&mut ctx, &matches, &cli.command) {
        Ok(Some(outcome)) => outcome,
        Ok(None) => {
            let span = tracing::debug_span!("command", cmd = rpc::query::path(&matches).join("/"));
            let result = span.in_scope(|| cmd::run(&ctx, cli.command));
            exit::outcome(&ctx, result)
        }
        Err(error) => exit::outcome(&ctx, Err(error)),
    };
    exit::report(&ctx, &outcome)
}
