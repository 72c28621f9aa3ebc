//! `cairn diag sys`.

use crate::{ctx::Ctx, rpc::metrics};
use serde_json::{Value, json};

/// Runs `cairn diag sys`.
///
/// # Errors
/// When the repository can't be examined.
pub fn run(ctx: &Ctx) -> anyhow::Result<()> {
    ctx.out.emit_once(&info(ctx)?, |info| format!("{info}\n"))
}

/// What it prints.
///
/// # Errors
/// As [`run`].
pub fn info(ctx: &Ctx) -> anyhow::Result<Value> {
    let path = ctx.repo_path()?;
    let disk = rustix::fs::statvfs(&path).ok();
    let bytes =
        |blocks: Option<u64>| blocks.zip(disk.as_ref().map(|d| d.f_frsize)).map(|(n, size)| n.saturating_mul(size));
    let online = ctx.daemon().is_ok_and(|daemon| !daemon.offline);
    Ok(json!({
        "diskinfo": {
            "free_space": bytes(disk.as_ref().map(|d| d.f_bavail)),
            "fstype": rustix::fs::statfs(&path).ok().map(|s| format!("{:x}", s.f_type)),
            "total_space": bytes(disk.as_ref().map(|d| d.f_blocks)),
        },
        "environment": {"CAIRN_PATH": std::env::var("CAIRN_PATH").unwrap_or_default()},
        "ipfs_commit": env!("CAIRN_COMMIT"),
        "ipfs_version": env!("CARGO_PKG_VERSION"),
        "memory": {"swap": 0, "virt": metrics::resident()},
        "net": {"interface_addresses": Value::Null, "online": online},
        "runtime": {
            "arch": std::env::consts::ARCH,
            "compiler": env!("CAIRN_RUSTC"),
            "numcpu": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "os": std::env::consts::OS,
        },
    }))
}
