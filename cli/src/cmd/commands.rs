//! `cairn commands`.

use super::completions::{self, Shell};
use crate::{args::Cli, ctx::Ctx};
use anyhow::Context as _;
use clap::CommandFactory as _;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `cairn commands`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cairn commands
  cairn commands --flags
  cairn commands man ~/.local/share/man/man1")]
pub struct Args {
    #[command(subcommand)]
    sub: Option<Sub>,
    /// Print the options of each command too
    #[arg(short, long)]
    flags: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  source <(cairn commands completion bash)")]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example:\n  cairn commands man ~/.local/share/man/man1")]
    Man {
        /// The folder; it is made if it is not there
        dir: PathBuf,
    },
}

/// A command in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    name: String,
    subcommands: Vec<Listed>,
    options: Vec<Opt>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Opt {
    names: Vec<String>,
}

/// Runs `cairn commands`.
///
/// # Errors
/// When stdout or the folder can't be written.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    match args.sub {
        Some(Sub::Completion { shell }) => completions::print(ctx, shell),
        Some(Sub::Man { dir }) => {
            let refuse = || format!("cannot write manual pages into {}", dir.display());
            std::fs::create_dir_all(&dir).with_context(refuse)?;
            clap_mangen::generate_to(Cli::command(), &dir).with_context(refuse)
        }
        None => ctx.out.emit_once(&listed(&Cli::command()), |root| {
            let mut lines = Vec::new();
            describe(root, "", args.flags, &mut lines);
            lines.sort();
            lines.concat()
        }),
    }
}

/// A command with all below it. The depth is that of this program's own commands.
fn listed(command: &clap::Command) -> Listed {
    let options = command.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set()).map(|argument| {
        let long = argument.get_long_and_visible_aliases().unwrap_or_default();
        let short = argument.get_short_and_visible_aliases().unwrap_or_default();
        Opt { names: long.into_iter().map(str::to_owned).chain(short.into_iter().map(String::from)).collect() }
    });
    Listed {
        name: command.get_name().to_owned(),
        options: options.collect(),
        subcommands: command.get_subcommands().filter(|c| !c.is_hide_set()).map(listed).collect(),
    }
}

fn describe(command: &Listed, above: &str, flags: bool, lines: &mut Vec<String>) {
    let path = format!("{above}{}", command.name);
    lines.push(format!("{path}\n"));
    // As in Kubo, the options of all commands are not listed again.
    if flags && !above.is_empty() {
        for option in &command.options {
            let spell = |name: &String| match name.chars().count() {
                1 => format!("{path} -{name}"),
                _ => format!("{path} --{name}"),
            };
            let names: Vec<String> = option.names.iter().map(spell).collect();
            lines.push(format!("{}\n", names.join(" / ")));
        }
    }
    let path = format!("{path} ");
    command.subcommands.iter().for_each(|below| describe(below, &path, flags, lines));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_parsed_and_has_an_example() {
        Cli::command().debug_assert();
        let mut commands = vec![Cli::command()];
        let mut seen = 0;
        while let Some(command) = commands.pop() {
            seen += 1;
            commands.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().or(command.get_after_long_help()).map(ToString::to_string);
            let leaf = command.get_subcommands().next().is_none();
            assert!(
                !leaf || help.is_some_and(|h| h.contains("cairn ")),
                "`cairn … {} --help` has no example",
                command.get_name()
            );
        }
        assert!(seen > 20, "only {seen} commands were looked at");
    }

    #[test]
    fn the_list_has_kubos_form() {
        let mut lines = Vec::new();
        describe(&listed(&Cli::command()), "", true, &mut lines);
        for line in
            ["cairn\n", "cairn init\n", "cairn init --profile / cairn init -p\n", "cairn config profile apply\n"]
        {
            assert!(lines.iter().any(|l| l == line), "{line:?} is not in {lines:?}");
        }
    }
}
