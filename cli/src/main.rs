//! `cairn`: a content-addressed filesystem that speaks the public IPFS protocols.
//!
//! This binary is the only place where the crates meet. `args` says what can be asked, `cmd` holds one module
//! for each command, `ctx` gives them the repository and the runtime, `output` everything that is printed.

mod args;
mod cmd;
mod cpu;
mod ctx;
mod exit;
mod log;
mod names;
mod output;
mod process;
mod stdin;
mod target;
mod units;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    process::prepare();
    let cli = args::Cli::parse();
    log::start(cli.global.debug);
    let ctx = ctx::Ctx::new(cli.global);
    let result = cmd::run(&ctx, cli.command);
    exit::report(&ctx, result)
}
