//! The tree by paths, and what Kubo says when something is wrong with one.

use crate::ctx::Ctx;
use anyhow::{anyhow, bail};
use cairn_store::{
    Cid,
    mfs::{Attr, Held, Ino, Kind, Mfs, MfsError, Naming, New, ROOT_INO},
    path::Path,
};

/// The tree of the repository.
pub struct Tree {
    /// It.
    pub mfs: Mfs,
}

/// A path of the tree as a command takes it, cleaned: it begins with a slash, and ends with one if it was so written.
///
/// # Errors
/// When it is empty or relative.
pub fn check(path: &str) -> anyhow::Result<String> {
    if path.is_empty() {
        bail!("paths must not be empty");
    }
    if !path.starts_with('/') {
        bail!("paths must start with a leading slash");
    }
    let mut clean = clean(path);
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    Ok(clean)
}

/// A path without empty parts, `.` and `..`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path, of the tree or of content.
pub enum Source {
    /// Of content.
    Content(Path),
    /// Of the tree.
    Tree(String),
}

impl Source {
    /// Reads an argument that may be either. What is no path of content is one of the tree.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let uri = ["ipfs:", "ipns:", "ipld:"].iter().any(|scheme| text.starts_with(scheme));
        let path = if uri { Path::parse(text).ok() } else { Path::parse_strict(text).ok() };
        match path {
            Some(path) => Ok(Self::Content(path)),
            None => Ok(Self::Tree(check(text)?)),
        }
    }
}

/// Directory and name of what a path leads to; the directory ends with a slash.
pub fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// The directory of a path, without a slash at its end.
pub fn parent(path: &str) -> &str {
    let dir = split(path).0;
    let dir = dir.strip_suffix('/').unwrap_or(dir);
    if dir.is_empty() { "/" } else { dir }
}

/// The last part of a path; `/` of the root.
pub fn base(path: &str) -> &str {
    let name = split(path.trim_end_matches('/')).1;
    if name.is_empty() { "/" } else { name }
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
    pub async fn find(&self, path: &str) -> anyhow::Result<Held> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let mut at = self.mfs.hold(self.mfs.attr(ROOT_INO).await.map_err(words)?);
        for (i, part) in parts.iter().enumerate() {
            if at.attr().kind != Kind::Directory {
                bail!("cannot access {}: Not a directory", parts[..=i].join("/"));
            }
            at = self.mfs.hold(self.mfs.lookup(at.ino(), part.as_bytes()).await.map_err(words)?);
        }
        Ok(at)
    }

    /// The directory at a path.
    ///
    /// # Errors
    /// When there is nothing, or something else.
    pub async fn directory(&self, path: &str) -> anyhow::Result<Held> {
        let found = self.find(path).await?;
        if found.attr().kind != Kind::Directory {
            bail!("{path} is not a directory");
        }
        Ok(found)
    }

    /// The file at a path.
    ///
    /// # Errors
    /// When there is nothing, or something else.
    pub async fn file(&self, path: &str) -> anyhow::Result<Held> {
        let found = self.find(path).await?;
        match found.attr().kind {
            Kind::File => Ok(found),
            Kind::Directory => bail!("{path} was not a file"),
            Kind::Symlink => bail!("symlinks not yet supported"),
        }
    }

    /// Makes a directory, and with `parents` those around it, none of which need be new then.
    ///
    /// # Errors
    /// When it is there, or one around it is not.
    pub async fn mkdir(&self, path: &str, parents: bool, naming: Option<Naming>) -> anyhow::Result<()> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some((last, around)) = parts.split_last() else {
            anyhow::ensure!(parents, "cannot create directory '/': Already exists");
            return Ok(());
        };
        let new = New { naming, ..New::default() };
        let mut at = self.mfs.hold(self.mfs.attr(ROOT_INO).await.map_err(words)?);
        for (i, part) in around.iter().enumerate() {
            let found = match self.mfs.lookup(at.ino(), part.as_bytes()).await {
                Err(MfsError::NotFound(_)) if parents => self.make(at.ino(), part, new).await?,
                other => other.map_err(words)?,
            };
            at = self.mfs.hold(found);
            if found.kind != Kind::Directory {
                bail!("{} was not a directory", around[..=i].join("/"));
            }
        }
        match self.mfs.mkdir(at.ino(), last.as_bytes(), new).await {
            Ok(attr) => {
                self.mfs.hold(attr);
            }
            Err(MfsError::Exists(name)) if parents => {
                let found = self.mfs.hold(self.mfs.lookup(at.ino(), last.as_bytes()).await.map_err(words)?);
                if found.attr().kind != Kind::Directory {
                    return Err(words(MfsError::Exists(name)));
                }
            }
            Err(error) => return Err(words(error)),
        }
        Ok(())
    }

    /// Makes a directory unless somebody else just did.
    async fn make(&self, at: Ino, name: &str, new: New) -> anyhow::Result<Attr> {
        match self.mfs.mkdir(at, name.as_bytes(), new).await {
            Err(MfsError::Exists(_)) => self.mfs.lookup(at, name.as_bytes()).await.map_err(words),
            other => other.map_err(words),
        }
    }

    /// Makes an entry of a DAG by reference.
    ///
    /// # Errors
    /// When there is an entry of that name, no directory for it, or the DAG is no UnixFS.
    pub async fn put(&self, path: &str, cid: &Cid) -> anyhow::Result<()> {
        let (dir, name) = split(path);
        anyhow::ensure!(!name.is_empty(), "cannot create file with empty name");
        let dir = self.directory(dir).await?;
        self.mfs.link_cid(dir.ino(), name.as_bytes(), cid).await.map_err(entry_words)
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
            assert_eq!(check(path).expect(path), want, "{path}");
        }
        assert_eq!(check("").expect_err("empty").to_string(), "paths must not be empty");
        assert_eq!(check("a/b").expect_err("relative").to_string(), "paths must start with a leading slash");
    }

    #[test]
    fn paths_are_divided() {
        assert_eq!(split("/a/b"), ("/a/", "b"));
        assert_eq!(split("/a/"), ("/a/", ""));
        assert_eq!(split("/a"), ("/", "a"));
        assert_eq!([parent("/a/b"), parent("/a"), parent("/"), parent("/a/b/")], ["/a", "/", "/", "/a/b"]);
        assert_eq!([base("/a/b"), base("/a/b/"), base("/")], ["b", "b", "/"]);
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
