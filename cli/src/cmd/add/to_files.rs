//! `cairn add --to-files`: an entry of the tree for each root.

use crate::{
    cmd::files::tree::{Tree, base, check, parent},
    ctx::Ctx,
};
use anyhow::{anyhow, ensure};
use cairn_store::{import::Added, mfs::Kind};

const OPTION: &str = "to-files";

/// Where roots become entries.
pub struct ToFiles {
    tree: Tree,
    path: String,
    /// Whether something was put at a path that is not a directory's.
    taken: bool,
}

impl ToFiles {
    /// Prepares for a path as it was given.
    ///
    /// # Errors
    /// When it is none, or the tree can't be opened.
    pub fn open(ctx: &Ctx, path: &str) -> anyhow::Result<Self> {
        let path = check(if path.is_empty() { "/" } else { path }).map_err(|error| anyhow!("{OPTION}: {error}"))?;
        Ok(Self { tree: ctx.block_on(Tree::open(ctx))?, path, taken: false })
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// When there is one, or no directory for it.
    pub fn add(&mut self, ctx: &Ctx, added: &Added) -> anyhow::Result<()> {
        let name = String::from_utf8_lossy(&added.name);
        ensure!(!name.is_empty() && name != added.cid.to_string(), "{OPTION}: cannot add unnamed files to MFS");
        let mut to = self.path.clone();
        ctx.block_on(async {
            if to.ends_with('/') {
                let missing = |error| anyhow!("{OPTION}: MFS destination directory {to:?} does not exist: {error}");
                let found = self.tree.find(&to).await.map_err(missing)?;
                ensure!(found.attr().kind == Kind::Directory, "{OPTION}: MFS destination {to:?} is not a directory");
                to.push_str(base(&name));
            } else {
                ensure!(!self.taken, "{OPTION}: MFS destination is a file: only one entry can be copied to {to:?}");
                self.taken = true;
            }
            let dir = parent(&to);
            let missing = |error| anyhow!("{OPTION}: MFS destination parent {to:?} {dir:?} does not exist: {error}");
            self.tree.find(dir).await.map_err(missing)?;
            let refuse = |error| anyhow!("{OPTION}: cannot put node in path {to:?}: {error}");
            self.tree.put(&to, &added.cid).await.map_err(refuse)
        })
    }

    /// Makes the entries durable.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn end(self, ctx: &Ctx) -> anyhow::Result<()> {
        ctx.block_on(self.tree.end(ctx, true))
    }
}
