//! `cairn add --to-files`: an entry of the tree for each root.

use crate::{
    cmd::files::tree::{Tree, base, check, parent, shown},
    ctx::Ctx,
};
use anyhow::{anyhow, ensure};
use cairn_store::{import::Added, mfs::Kind};

const OPTION: &str = "to-files";

/// Where roots become entries.
pub struct ToFiles {
    tree: Tree,
    path: Vec<u8>,
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
        let name = &added.name[..];
        ensure!(
            !name.is_empty() && name != added.cid.to_string().as_bytes(),
            "{OPTION}: cannot add unnamed files to MFS"
        );
        let mut to = self.path.clone();
        ctx.block_on(async {
            if to.ends_with(b"/") {
                let missing =
                    |error| anyhow!("{OPTION}: MFS destination directory {:?} does not exist: {error}", shown(&to));
                let found = self.tree.find(&to).await.map_err(missing)?;
                let is_directory = found.attr().kind == Kind::Directory;
                ensure!(is_directory, "{OPTION}: MFS destination {:?} is not a directory", shown(&to));
                to.extend_from_slice(base(name));
            } else {
                let why = "MFS destination is a file: only one entry can be copied to";
                ensure!(!self.taken, "{OPTION}: {why} {:?}", shown(&to));
                self.taken = true;
            }
            let dir = parent(&to);
            let text = shown(&to);
            let missing =
                |error| anyhow!("{OPTION}: MFS destination parent {text:?} {:?} does not exist: {error}", shown(dir));
            self.tree.find(dir).await.map_err(missing)?;
            let refuse = |error| anyhow!("{OPTION}: cannot put node in path {text:?}: {error}");
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
