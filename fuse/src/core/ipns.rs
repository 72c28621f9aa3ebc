//! What mutable names lead to.
//!
//! A name is an entry that may lead to another inode later: what it leads to never changes. So whoever has a file open, or
//! stands in a directory, goes on reading what was published when they came, all of it of one time, and whoever comes by
//! the name gets what it stands for now.

use super::{
    Kernel,
    attr::{Attr, Found, Kind, Ttl},
    errno::Errno,
    inodes::Node,
    place::Place,
    readonly::ReadOnly,
    source::Recent,
};
use bytes::Bytes;
use cairn_store::{
    Cid,
    fetch::Fetch,
    names::{NameError, Names},
    path::{Namespace, Path},
    resolve::{self, MAX_NAMES, ResolveError},
};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Names whose target is remembered.
const MAX_REMEMBERED: usize = 1024;
/// Names that are looked after: those that came first are looked after no more.
const MAX_FOLLOWED: usize = 256;
/// How long a name is looked after when nobody asks for it.
const FOLLOWED_FOR: Duration = Duration::from_secs(600);
/// The longest and the shortest time for which the kernel believes an answer.
const MAX_TTL: Duration = Duration::from_secs(3600);
const MIN_TTL: Duration = Duration::from_secs(1);
/// The same for a name that nobody knows.
pub(super) const NEGATIVE: Duration = Duration::from_secs(10);
/// Names that are asked for again at once.
const AT_ONCE: usize = 8;

/// Where a name leads.
#[derive(Clone)]
struct Target {
    cid: Cid,
    source: Arc<dyn Fetch>,
    until: Instant,
}

/// The names that are in use.
pub(super) struct Ipns {
    remembered: Recent<String, Target>,
    followed: Mutex<HashMap<String, (Cid, Instant)>>,
}

impl Ipns {
    pub(super) fn new() -> Self {
        Self { remembered: Recent::new(MAX_REMEMBERED), followed: Mutex::default() }
    }

    /// `ipns/<name>`.
    pub(super) async fn lookup(&self, trees: &ReadOnly, name: &str) -> Result<Found, Errno> {
        if !could_be_a_name(name) {
            return Ok(Found::Nothing(MAX_TTL));
        }
        let target = match self.target(trees, name).await {
            Ok(target) => target,
            Err(Errno::ENOENT) => return Ok(Found::Nothing(NEGATIVE)),
            Err(error) => return Err(error),
        };
        let seen = trees.see(&target.source, &target.cid, 0).await?;
        self.follow(name, target.cid);
        let place = (trees.layout.ino(Place::Ipns), Bytes::copy_from_slice(name.as_bytes()));
        let entry = target.until.saturating_duration_since(Instant::now()).max(MIN_TTL);
        let ttl = Ttl { entry, attr: Ttl::FOREVER.attr };
        Ok(Found::Entry(trees.refer(Node::new(target.cid, target.source, place, seen), ttl)))
    }

    async fn target(&self, trees: &ReadOnly, name: &str) -> Result<Target, Errno> {
        if let Some(target) = self.remembered.get(&name.to_owned()).filter(|target| target.until > Instant::now()) {
            return Ok(target);
        }
        let source = trees.source();
        let (cid, ttl) = resolve(trees, &source, name).await?;
        let target = Target { cid, source, until: Instant::now() + ttl };
        self.remembered.put(name.to_owned(), target.clone(), 1);
        Ok(target)
    }

    fn follow(&self, name: &str, cid: Cid) {
        let now = Instant::now();
        let mut followed = self.followed.lock();
        followed.insert(name.to_owned(), (cid, now));
        if followed.len() > MAX_FOLLOWED {
            followed.retain(|_, (_, asked)| now.duration_since(*asked) < FOLLOWED_FOR);
            let oldest = followed.iter().min_by_key(|(_, (_, asked))| *asked).map(|(name, _)| name.clone());
            if let Some(name) = oldest.filter(|_| followed.len() > MAX_FOLLOWED) {
                followed.remove(&name);
            }
        }
    }

    /// Asks again for the names in use, and has the kernel let go of those that lead elsewhere now. Whoever resolves
    /// names remembers records for their time, so that this asks the network no more often than they expire.
    pub(super) async fn refresh(&self, trees: &ReadOnly, kernel: &dyn Kernel) {
        let now = Instant::now();
        let names: Vec<(String, Cid)> = {
            let mut followed = self.followed.lock();
            followed.retain(|_, (_, asked)| now.duration_since(*asked) < FOLLOWED_FOR);
            followed.iter().map(|(name, (cid, _))| (name.clone(), *cid)).collect()
        };
        let asked = stream::iter(names).map(|(name, before)| async move {
            let source = trees.source();
            let answer = resolve(trees, &source, &name).await;
            (name, before, source, answer)
        });
        let mut answers = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((name, before, source, answer)) = answers.next().await {
            let Ok((cid, ttl)) = answer else { continue };
            if cid == before {
                continue;
            }
            self.remembered.put(name.clone(), Target { cid, source, until: Instant::now() + ttl }, 1);
            if let Some(entry) = self.followed.lock().get_mut(&name) {
                entry.0 = cid;
            }
            kernel.entry_changed(trees.layout.ino(Place::Ipns), name.as_bytes());
        }
    }
}

/// Follows a name to a block; also says how long that may be believed.
async fn resolve(trees: &ReadOnly, source: &Arc<dyn Fetch>, name: &str) -> Result<(Cid, Duration), Errno> {
    let deadline = Some(Instant::now() + trees.patience);
    let names = &trees.sources.names;
    let parsed = Path::parse_strict(&format!("/ipns/{name}"));
    let mut path = parsed.map_err(|_| Errno::from(NameError::NotFound(name.to_owned())))?;
    let mut ttl = MAX_TTL;
    for _ in 0..MAX_NAMES {
        if path.namespace() != Namespace::Ipns {
            break;
        }
        let target = names.lookup(path.root(), deadline).await?;
        ttl = ttl.min(target.ttl);
        path = target.path.join(path.segments().iter().cloned());
    }
    if path.namespace() == Namespace::Ipns {
        return Err(ResolveError::TooManyNames(name.to_owned()).into());
    }
    let cid = resolve::resolve_block(source, names.as_ref() as &dyn Names, &path, deadline).await?;
    Ok((cid, ttl.max(MIN_TTL)))
}

/// Whether a text may be an IPNS key or a domain. Programs look for files of theirs everywhere: those are not asked for in
/// the network.
fn could_be_a_name(name: &str) -> bool {
    let key = name.len() >= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let domain = name.contains('.') && name.split('.').all(label) && last.bytes().any(|b| b.is_ascii_alphabetic());
    key || domain && !matches!(name, "autorun.inf" | "desktop.ini" | "Desktop.ini" | "thumbs.db" | "Thumbs.db")
}

/// A symbolic link beside a name.
pub(super) fn alias(trees: &ReadOnly, alias: &str, name: &str, ttl: Ttl) -> Result<Found, Errno> {
    let cid = super::readonly::inline_symlink(name).ok_or(Errno::ENAMETOOLONG)?;
    let size = name.len() as u64;
    let seen = super::seen::Seen { kind: Kind::Symlink, size, dag_size: size, perm: None, mtime: None, claimed: false };
    let place = (trees.layout.ino(Place::Ipns), Bytes::copy_from_slice(alias.as_bytes()));
    Ok(Found::Entry(trees.refer(Node::new(cid, trees.source(), place, seen), ttl)))
}

/// Attributes of a directory that is only in this program.
pub(super) fn virtual_attr(ino: super::Ino, perm: u32) -> Attr {
    let epoch = super::attr::EPOCH;
    Attr { ino, kind: Kind::Directory, perm, size: 0, stored: 0, atime: epoch, mtime: epoch, ctime: epoch, nlink: 1 }
}

#[cfg(test)]
mod tests {
    use super::could_be_a_name;

    #[test]
    fn only_names_are_asked_for() {
        for name in [
            "docs.ipfs.tech",
            "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
            "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF",
            "en.wikipedia-on-ipfs.org",
            "_dnslink.example.com",
        ] {
            assert!(could_be_a_name(name), "{name}");
        }
        for name in
            [".git", "HEAD", ".Trash-1000", "autorun.inf", "a..b", ".hidden.example", "x y.z", "1.2", "", "..", "."]
        {
            assert!(!could_be_a_name(name), "{name}");
        }
    }
}
