//! `cairn completions`.

use crate::ctx::Ctx;
use clap::{CommandFactory as _, ValueEnum};
use std::io::Write as _;

/// Options of `cairn completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cairn completions bash > ~/.local/share/bash-completion/completions/cairn
  cairn completions zsh  > ~/.zfunc/_cairn
  cairn completions fish > ~/.config/fish/completions/cairn.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// A shell that scripts can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, clap::Subcommand)]
pub enum Shell {
    /// Print a completion script for bash
    Bash,
    /// Print a completion script for zsh
    Zsh,
    /// Print a completion script for fish
    Fish,
}

/// Runs `cairn completions`.
///
/// # Errors
/// When stdout can't be written.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    print(ctx, args.shell)
}

/// Prints a completion script.
///
/// # Errors
/// When stdout can't be written.
pub fn print(ctx: &Ctx, shell: Shell) -> anyhow::Result<()> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::args::Cli::command(), "cairn", &mut script);
    Ok(ctx.out.stdout().write_all(&script)?)
}
