//! The tree by paths, and what Kubo says when something is wrong with one.

use crate::ctx::Ctx;
use anyhow::{anyhow, bail};
use cairn_store::{
    Cid,
    mfs::{Attr, Held, Ino, Kind, Mfs, MfsError, Naming, New, ROOT_INO},
    path::Path,
};
use std::{borrow::Cow, ffi::OsStr, os::unix::ffi::OsStrExt as _};

/// The tree of the repository.
pub struct Tree {
    /// It.
    pub mfs: Mfs,
}

/// A path of the tree as a command takes it, cleaned: it begins with a slash, and ends with one if it was so written.
///
/// # Errors
/// When it is empty or relative.
pub fn check(path: impl AsRef<OsStr>) -> anyhow::Result<Vec<u8>> {
    let path = path.as_ref().as_bytes();
    if path.is_empty() {
        bail!("paths must not be empty");
    }
    if !path.starts_with(b"/") {
        bail!("paths must start with a leading slash");
    }
    let mut clean = clean(path);
    if path.ends_with(b"/") && clean != b"/" {
        clean.push(b'/');
    }
    Ok(clean)
}

/// A path, or a part of one, as messages show it.
pub fn shown(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

/// The names of a path.
fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect()
}

/// A path without the slash at its end; nothing of the root.
pub fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

/// A path without empty parts, `.` and `..`.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in names(path) {
        match part {
            b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [&b"/"[..], &parts.join(&b'/')].concat()
}

/// A path, of the tree or of content.
pub enum Source {
    /// Of content.
    Content(Path),
    /// Of the tree.
    Tree(Vec<u8>),
}

impl Source {
    /// Reads an argument that may be either. What is no path of content is one of the tree.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(given: impl AsRef<OsStr>) -> anyhow::Result<Self> {
        let content = given.as_ref().to_str().and_then(|text| {
            let uri = ["ipfs:", "ipns:", "ipld:"].iter().any(|scheme| text.starts_with(scheme));
            if uri { Path::parse(text).ok() } else { Path::parse_strict(text).ok() }
        });
        match content {
            Some(path) => Ok(Self::Content(path)),
            None => Ok(Self::Tree(check(given)?)),
        }
    }
}

/// Directory and name of what a path leads to; the directory ends with a slash.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1))
}

/// The directory of a path, without a slash at its end.
pub fn parent(path: &[u8]) -> &[u8] {
    let dir = without_slash(split(path).0);
    if dir.is_empty() { b"/" } else { dir }
}

/// The last part of a path; `/` of the root.
pub fn base(path: &[u8]) -> &[u8] {
    names(path).last().copied().unwrap_or(b"/")
}

/// An error in Kubo's words.
pub fn words(error: MfsError) -> anyhow::Error {
    match error {
        MfsError::NotFound(_) => anyhow!("file does not exist"),
        MfsError::Exists(_) => anyhow!("file already exists"),
        other => other.into(),
    }
}

/// The same where an entry is put into a directory.
pub fn entry_words(error: MfsError) -> anyhow::Error {
    match error {
        MfsError::Exists(_) => anyhow!("directory already has entry by that name"),
        other => words(other),
    }
}

/// Whether there is no such file, for any of the reasons that are not errors of their own.
pub fn is_missing(error: &anyhow::Error) -> bool {
    error.to_string() == NOT_FOUND
}

const NOT_FOUND: &str = "file does not exist";

impl Tree {
    /// Opens the tree. Missing blocks come from where the command gets its blocks.
    ///
    /// # Errors
    /// When the repository can't be opened, or the root can't be had.
    pub async fn open(ctx: &Ctx) -> anyhow::Result<Self> {
        Ok(Self { mfs: ctx.repo()?.mfs(ctx.fetch()?).await? })
    }

    /// What is at a path. Symbolic links are not followed.
    ///
    /// # Errors
    /// When there is nothing, or a part of the way is no directory.
    pub async fn find(&self, path: &[u8]) -> anyhow::Result<Held> {
        let parts = names(path);
        let mut at = self.mfs.hold(self.mfs.attr(ROOT_INO).await.map_err(words)?);
        for (i, part) in parts.iter().enumerate() {
            if at.attr().kind != Kind::Directory {
                bail!("cannot access {}: Not a directory", shown(&parts[..=i].join(&b'/')));
            }
            at = self.mfs.hold(self.mfs.lookup(at.ino(), part).await.map_err(words)?);
        }
        Ok(at)
    }

    /// The directory at a path.
    ///
    /// # Errors
    /// When there is nothing, or something else.
    pub async fn directory(&self, path: &[u8]) -> anyhow::Result<Held> {
        let found = self.find(path).await?;
        if found.attr().kind != Kind::Directory {
            bail!("{} is not a directory", shown(path));
        }
        Ok(found)
    }

    /// The file at a path.
    ///
    /// # Errors
    /// When there is nothing, or something else.
    pub async fn file(&self, path: &[u8]) -> anyhow::Result<Held> {
        let found = self.find(path).await?;
        match found.attr().kind {
            Kind::File => Ok(found),
            Kind::Directory => bail!("{} was not a file", shown(path)),
            Kind::Symlink => bail!("symlinks not yet supported"),
        }
    }

    /// Makes a directory, and with `parents` those around it, none of which need be new then.
    ///
    /// # Errors
    /// When it is there, or one around it is not.
    pub async fn mkdir(&self, path: &[u8], parents: bool, naming: Option<Naming>) -> anyhow::Result<()> {
        let parts = names(path);
        let Some((last, around)) = parts.split_last() else {
            anyhow::ensure!(parents, "cannot create directory '/': Already exists");
            return Ok(());
        };
        let new = New { naming, ..New::default() };
        let mut at = self.mfs.hold(self.mfs.attr(ROOT_INO).await.map_err(words)?);
        for (i, part) in around.iter().enumerate() {
            let found = match self.mfs.lookup(at.ino(), part).await {
                Err(MfsError::NotFound(_)) if parents => self.make(at.ino(), part, new).await?,
                other => other.map_err(words)?,
            };
            at = self.mfs.hold(found);
            if found.kind != Kind::Directory {
                bail!("{} was not a directory", shown(&around[..=i].join(&b'/')));
            }
        }
        match self.mfs.mkdir(at.ino(), last, new).await {
            Ok(attr) => {
                self.mfs.hold(attr);
            }
            Err(MfsError::Exists(name)) if parents => {
                let found = self.mfs.hold(self.mfs.lookup(at.ino(), last).await.map_err(words)?);
                if found.attr().kind != Kind::Directory {
                    return Err(words(MfsError::Exists(name)));
                }
            }
            Err(error) => return Err(words(error)),
        }
        Ok(())
    }

    /// Makes a directory unless somebody else just did.
    async fn make(&self, at: Ino, name: &[u8], new: New) -> anyhow::Result<Attr> {
        match self.mfs.mkdir(at, name, new).await {
            Err(MfsError::Exists(_)) => self.mfs.lookup(at, name).await.map_err(words),
            other => other.map_err(words),
        }
    }

    /// Makes an entry of a DAG by reference.
    ///
    /// # Errors
    /// When there is an entry of that name, no directory for it, or the DAG is no UnixFS.
    pub async fn put(&self, path: &[u8], cid: &Cid) -> anyhow::Result<()> {
        let (dir, name) = split(path);
        anyhow::ensure!(!name.is_empty(), "cannot create file with empty name");
        let dir = self.directory(dir).await?;
        self.mfs.link_cid(dir.ino(), name, cid).await.map_err(entry_words)
    }

    /// Ends a change: durable if `flush`, and in any case when no daemon is there to do it later.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn end(&self, ctx: &Ctx, flush: bool) -> anyhow::Result<()> {
        if flush || ctx.daemon().is_err() {
            self.mfs.sync().await.map_err(words)?;
        }
        Ok(())
    }

    /// The same, and what was changed at that path must be written: what others left in the tree that can't be is not the
    /// matter of this command.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn end_at(&self, ctx: &Ctx, flush: bool, path: &[u8]) -> anyhow::Result<()> {
        if flush || ctx.daemon().is_err() {
            match self.mfs.resolve(path).await {
                Ok(found) => self.mfs.sync_below(found.ino()).await.map_err(words)?,
                // Somebody removed it meanwhile.
                Err(_) => self.mfs.sync().await.map_err(words)?,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_kubo_does() {
        for (path, want) in [
            ("/", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a//b/./c", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../a", "/a"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/.", "/"),
        ] {
            assert_eq!(check(path).expect(path), want.as_bytes(), "{path}");
        }
        assert_eq!(check("").expect_err("empty").to_string(), "paths must not be empty");
        assert_eq!(check("a/b").expect_err("relative").to_string(), "paths must start with a leading slash");
    }

    #[test]
    fn paths_are_divided() {
        for (path, dir, name, around, last) in [
            ("/a/b", "/a/", "b", "/a", "b"),
            ("/a/b/", "/a/b/", "", "/a/b", "b"),
            ("/a", "/", "a", "/", "a"),
            ("/", "/", "", "/", "/"),
        ] {
            let path = path.as_bytes();
            assert_eq!(split(path), (dir.as_bytes(), name.as_bytes()));
            assert_eq!((parent(path), base(path)), (around.as_bytes(), last.as_bytes()));
        }
    }

    #[test]
    fn content_is_told_from_the_tree() {
        let cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";
        for content in [format!("/ipfs/{cid}/x"), format!("ipfs://{cid}"), format!("/ipns/{cid}")] {
            assert!(matches!(Source::parse(&content), Ok(Source::Content(_))), "{content}");
        }
        for path in ["/ipfs/nonsense", "/a/b", "/ipfs"] {
            assert!(matches!(Source::parse(path), Ok(Source::Tree(_))), "{path}");
        }
        assert!(Source::parse(cid).is_err());
    }
}
