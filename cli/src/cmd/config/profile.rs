//! `cairn config profile`.

use super::public;
use crate::ctx::Ctx;
use cairn_store::{config::PROFILES, repo::Location};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// Options of `cairn config profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = list())]
pub struct Args {
    #[command(subcommand)]
    sub: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Apply a profile; the configuration before it is kept as config-pre-NAME-…
    #[command(after_help = "Example:\n  cairn config profile apply unixfs-v1-2025 --dry-run")]
    Apply {
        /// The profile
        profile: String,
        /// Only print what would change
        #[arg(long)]
        dry_run: bool,
    },
}

/// What was and what is, in Kubo's shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update {
    old_cfg: Value,
    new_cfg: Value,
}

/// The profiles, for the help.
fn list() -> String {
    let mut text = String::from("Profiles:\n");
    for profile in PROFILES {
        let _ = writeln!(text, "  {}\n      {}", profile.name, profile.description.replace('\n', "\n      "));
    }
    text + "\nExample:\n  cairn config profile apply server"
}

/// Runs `cairn config profile`.
///
/// # Errors
/// When there is no such profile, or the configuration can't be written.
pub fn run(ctx: &Ctx, location: &Location, args: Args) -> anyhow::Result<()> {
    let Sub::Apply { profile, dry_run } = args.sub;
    let old = location.read_config()?;
    let mut new = old.clone();
    new.apply(&profile)?;
    if !dry_run {
        ctx.change_config(|config| {
            config.apply(&profile)?;
            location.back_up_config(&format!("pre-{profile}"))?;
            new = config.clone();
            anyhow::Ok(())
        })?;
    }
    let update = Update { old_cfg: public(&old), new_cfg: public(&new) };
    ctx.out.emit_once(&update, |u| {
        let mut text = String::new();
        compare("", &u.old_cfg, &u.new_cfg, &mut text);
        if ctx.out.color() { colored(&text) } else { text }
    })
}

/// Prints the keys that differ: `-` was, `+` is. The depth is that of a configuration.
fn compare(path: &str, old: &Value, new: &Value, text: &mut String) {
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let or_null = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
            compare(&path, &or_null(old.get(name)), &or_null(new.get(name)), text);
        }
    } else if old != new {
        if !old.is_null() {
            let _ = writeln!(text, "- {path}: {old}");
        }
        let _ = writeln!(text, "+ {path}: {new}");
    }
}

/// What was in red, what is in green.
fn colored(text: &str) -> String {
    text.lines().map(|l| format!("\x1b[{}m{l}\x1b[0m\n", if l.starts_with('-') { 31 } else { 32 })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_printed() {
        let old = json!({"A": {"x": 1, "y": null}, "B": [1], "C": true});
        let new = json!({"A": {"x": 2, "y": "z", "n": 3}, "B": [1], "C": null});
        let mut text = String::new();
        compare("", &old, &new, &mut text);
        assert_eq!(text, "- A.x: 1\n+ A.x: 2\n+ A.y: \"z\"\n+ A.n: 3\n- C: true\n+ C: null\n");
    }
}
