//! `cairn version`.

mod check;

use crate::ctx::Ctx;
use cairn_store::repo::VERSION;
use serde::Serialize;

/// All packages that this program is built from, with their versions and checksums.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Options of `cairn version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cairn version\n  cairn version --all\n  cairn version deps")]
pub struct Args {
    #[command(subcommand)]
    sub: Option<Sub>,
    /// Print only the version number
    #[arg(short, long)]
    number: bool,
    /// Print the commit too
    #[arg(short, long)]
    commit: bool,
    /// Print the version of the repository
    #[arg(long)]
    repo: bool,
    /// Print everything
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List the packages that this program is built from
    #[command(after_help = "Example:\n  cairn version deps")]
    Deps,
    /// Compare the version with those of connected nodes of this program
    #[command(after_help = "Example:\n  cairn version check --min-percent=10")]
    Check {
        /// Percentage of them that must have a newer version for an update to be called for
        #[arg(short = 't', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
        min_percent: u8,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    version: &'static str,
    commit: &'static str,
    repo: String,
    system: String,
    rust: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dependency<'a> {
    path: &'a str,
    version: &'a str,
    replaced_by: &'a str,
    sum: &'a str,
}

/// Runs `cairn version`.
///
/// # Errors
/// When stdout can't be written.
pub fn run(ctx: &Ctx, args: &Args) -> anyhow::Result<()> {
    match args.sub {
        Some(Sub::Deps) => return dependencies(ctx),
        Some(Sub::Check { min_percent }) => return check::run(ctx, min_percent),
        None => {}
    }
    ctx.out.emit_once(&info(), |info| text(info, args))
}

fn info() -> Info {
    Info {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("CAIRN_COMMIT"),
        repo: VERSION.to_string(),
        system: system(),
        rust: env!("CAIRN_RUSTC"),
    }
}

fn text(info: &Info, args: &Args) -> String {
    let with_commit = |wanted: bool| match info.commit {
        commit if wanted && !commit.is_empty() => format!("{}-{commit}", info.version),
        _ => info.version.to_owned(),
    };
    if args.all {
        return format!(
            "Cairn version: {}\nRepo version: {}\nSystem version: {}\nRust version: {}\n",
            with_commit(true),
            info.repo,
            info.system,
            info.rust
        );
    }
    if args.repo {
        return format!("{}\n", info.repo);
    }
    let name = if args.number { "" } else { "cairn version " };
    format!("{name}{}\n", with_commit(args.commit))
}

/// Processor and system as Kubo names them: `amd64/linux`.
pub fn system() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!("{processor}/{system}")
}

fn packages() -> impl Iterator<Item = Dependency<'static>> {
    LOCK.split("[[package]]").skip(1).map(|package| {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map_or("", |value| value.trim_matches('"'))
        };
        Dependency { path: field("name"), version: field("version"), replaced_by: "", sum: field("checksum") }
    })
}

fn dependencies(ctx: &Ctx) -> anyhow::Result<()> {
    packages().try_for_each(|package| ctx.out.emit(&package, |d| format!("{}@{}\n", d.path, d.version)))
}

/// Version and packages as JSON.
pub fn all() -> String {
    let packages: Vec<Dependency<'_>> = packages().collect();
    format!("{:#}\n", serde_json::json!({"Version": info(), "Packages": packages}))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Args = Args { sub: None, number: false, commit: false, repo: false, all: false };

    fn release(commit: &'static str) -> Info {
        Info { version: "1.2.3", commit, repo: "1".into(), system: "amd64/linux".into(), rust: "rustc 1" }
    }

    #[test]
    fn texts_are_those_of_kubo() {
        assert_eq!(text(&release(""), &NONE), "cairn version 1.2.3\n");
        assert_eq!(text(&release("abc"), &NONE), "cairn version 1.2.3\n");
        assert_eq!(text(&release("abc"), &Args { commit: true, ..NONE }), "cairn version 1.2.3-abc\n");
        assert_eq!(text(&release("abc"), &Args { number: true, commit: true, ..NONE }), "1.2.3-abc\n");
        assert_eq!(text(&release(""), &Args { number: true, commit: true, ..NONE }), "1.2.3\n");
        assert_eq!(text(&release(""), &Args { repo: true, number: true, ..NONE }), "1\n");
        assert_eq!(
            text(&release("abc"), &Args { all: true, ..NONE }),
            "Cairn version: 1.2.3-abc\nRepo version: 1\nSystem version: amd64/linux\nRust version: rustc 1\n"
        );
    }

    #[test]
    fn the_list_of_packages_holds_this_one_and_those_it_stands_on() {
        assert!(LOCK.contains("name = \"cairn\"\n") && LOCK.contains("name = \"clap\"\n"));
    }
}
