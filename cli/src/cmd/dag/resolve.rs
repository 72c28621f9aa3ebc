//! `cairn dag resolve`.

use super::Link;
use crate::{
    cmd::{self, source::arguments},
    ctx::Ctx,
};
use cairn_store::{path::Path, resolve};
use serde::Serialize;

/// Options of `cairn dag resolve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  cairn dag resolve bafyreibc3ll65psx6kbwb56wqfuoxyvhrqnzyh2lyykxpcj4yrum7xtcty/a/l/0

Prints the last block on the path, and what of the path leads on inside it.")]
pub struct Args {
    /// The path [default: the first line of stdin]
    #[arg(value_name = "REF")]
    target: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    cid: Link,
    rem_path: String,
}

/// Runs `cairn dag resolve`.
///
/// # Errors
/// When the path leads nowhere.
pub fn run(ctx: &Ctx, args: Args) -> anyhow::Result<()> {
    let given = arguments(ctx, args.target.into_iter().collect())?;
    let path = Path::parse(&given[0])?;
    let (fetch, names) = (ctx.fetch()?, ctx.names());
    let end = ctx.block_on(async { Ok(resolve::resolve(&fetch, &*names, &path, None).await?) })?;
    let rem_path: String = end.remainder.iter().flat_map(|segment| ["/", segment]).collect();
    let event = Event { cid: Link { cid: end.cid.to_string() }, rem_path };
    let shown = cmd::resolve::encode(ctx, &path, &end.cid);
    // As in Kubo no line is ended; a terminal's prompt needs it.
    let end = if ctx.out.tty { "\n" } else { "" };
    ctx.out.emit_once(&event, |event| format!("{shown}{}{end}", ctx.out.escape(&event.rem_path)))
}
