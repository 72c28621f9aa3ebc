//! The global options. Each command's own options stand in its module.

use cairn_store::config::parse_duration;
use clap::{Args, Parser, ValueEnum};
use std::path::PathBuf;

/// What `cairn` is asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "cairn",
    version,
    about = "A content-addressed filesystem that speaks the public IPFS protocols",
    propagate_version = false,
    disable_version_flag = true,
    after_help = "Examples:\n  cairn add -r folder\n  cairn ls QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc\n  cairn commands"
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: crate::cmd::Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Directory of the repository [default: $CAIRN_PATH, else $IPFS_PATH unless it is Kubo's, else ~/.cairn]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub repo_dir: Option<PathBuf>,
    /// Path of the configuration file [default: config in the repository]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config_file: Option<PathBuf>,
    /// Address of a daemon to work with, such as /ip4/127.0.0.1/tcp/5001 or /unix/run/cairn.sock [default: $CAIRN_API,
    /// else the daemon that has the repository open]
    #[arg(long, global = true, value_name = "ADDRESS", help_heading = "Global options")]
    pub api: Option<String>,
    /// Secret for the daemon, as in API.Authorizations: bearer:TOKEN or basic:USER:PASSWORD
    #[arg(long, global = true, value_name = "SECRET", help_heading = "Global options")]
    pub api_auth: Option<String>,
    /// Do everything locally
    #[arg(long, global = true, help_heading = "Global options")]
    pub offline: bool,
    /// Multibase for CIDv1 in the output: base32, base58btc, base36, … (CIDv0 becomes CIDv1 then, unless --upgrade-cidv0-in-output=false)
    #[arg(long, global = true, value_name = "BASE", help_heading = "Global options")]
    pub cid_base: Option<String>,
    /// Print CIDv0 as CIDv1 in the base of --cid-base
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Global options")]
    pub upgrade_cidv0_in_output: Option<bool>,
    /// Form of the output
    #[arg(
        long,
        visible_alias = "encoding",
        global = true,
        value_enum,
        default_value = "text",
        help_heading = "Global options"
    )]
    pub enc: Enc,
    /// Give up after this long: 30s, 5m, 1h, 500ms
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, help_heading = "Global options")]
    pub timeout: Option<std::time::Duration>,
    /// Print debug messages on stderr
    #[arg(short = 'D', long, global = true, help_heading = "Global options")]
    pub debug: bool,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Enc {
    /// For people.
    Text,
    /// One JSON object per line, in Kubo's shapes.
    Json,
}

/// Reads permission bits: octal with a leading 0, decimal without.
pub fn octal_or_decimal(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|t| !t.is_empty())) {
        Some(octal) => u32::from_str_radix(octal, 8),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not a mode: write for example 0644"))
}
