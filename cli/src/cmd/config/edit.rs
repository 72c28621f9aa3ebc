//! `cairn config edit` and `cairn config replace`.

use crate::ctx::Ctx;
use anyhow::{Context as _, bail};
use cairn_store::repo::Location;
use std::{fs, path::Path, process::Command};

/// Opens a copy of the configuration in $EDITOR, and takes it over when it is valid.
///
/// # Errors
/// When there is no editor, it fails, or what it leaves is not valid; the copy is kept then.
pub fn edit(location: &Location) -> anyhow::Result<()> {
    let editor = std::env::var("EDITOR").unwrap_or_default();
    if editor.trim().is_empty() {
        bail!("ENV variable $EDITOR not set");
    }
    let before = location.read_config()?;
    let copy = location.back_up_config("edit")?;
    let shell = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&copy).status();
    let status = shell.with_context(|| format!("cannot start the editor {editor:?}"))?;
    let remove = || fs::remove_file(&copy).with_context(|| format!("cannot remove {}", copy.display()));
    if !status.success() {
        remove()?;
        bail!("the editor {editor:?} failed ({status}); nothing was changed");
    }
    let kept = || format!("nothing was changed; what you wrote is kept in {}", copy.display());
    let edited = cairn_store::config::Config::load(&copy).with_context(kept)?;
    edited.check().with_context(kept)?;
    location
        .change_config(|config| {
            if *config != before {
                bail!("another process changed the configuration meanwhile");
            }
            *config = edited;
            Ok(())
        })
        .with_context(kept)?;
    remove()
}

/// Replaces the configuration by that in a file. The node's key and the credentials of pinning services stay.
///
/// # Errors
/// When the file is not valid, or would change what stays.
pub fn replace(ctx: &Ctx, file: &Path) -> anyhow::Result<()> {
    let new = super::read(ctx, file)?;
    new.check().context("failed to decode file as config")?;
    ctx.change_config(|config| Ok(config.replace(new)?))
}
