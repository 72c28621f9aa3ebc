//! What commands that change something are pointed at.

use crate::{cmd::source, ctx::Ctx};
use cairn_store::{Cid, path::Path};

/// The CID that a path leads to: `/ipfs/<cid>/a/b`, `ipfs://…`, or a bare CID with or without segments.
///
/// # Errors
/// When it leads nowhere.
pub fn target(ctx: &Ctx, text: &str) -> anyhow::Result<Cid> {
    let path = Path::parse(text)?;
    if let (Some(cid), []) = (path.cid(), path.segments()) {
        return Ok(*cid);
    }
    let fetch = ctx.fetch()?;
    ctx.block_on(async { source::resolve(ctx, &fetch, &path).await })
}
