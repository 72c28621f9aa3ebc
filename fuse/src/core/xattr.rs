//! Extended attributes: what content-addressed storage has to say of a file.

use super::{Filesystem, Ino, errno::Errno, place::Place, seen};
use cairn_store::{Cid, fetch::Fetch};
use std::sync::Arc;

/// The CID.
pub const XATTR_CID: &str = "user.ipfs.cid";
/// Bytes of all its blocks, as their authors say; in decimal.
pub const XATTR_SIZE: &str = "user.ipfs.size";
/// As Kubo calls the CID. It is answered, not listed.
const KUBO_CID: &str = "ipfs.cid";

/// Whose attributes there are none of. Programs that hear it of one file do not ask for each of the others.
const UNSUPPORTED: [&[u8]; 3] = [b"security.", b"system.", b"trusted."];

impl Filesystem {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// `ENODATA` where there is none of that name, `EOPNOTSUPP` for access control lists, capabilities and labels.
    pub async fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let is = |known: &str| known.as_bytes() == name;
        if UNSUPPORTED.iter().any(|namespace| name.starts_with(namespace)) {
            return Err(Errno::EOPNOTSUPP);
        }
        if !(is(XATTR_CID) || is(XATTR_SIZE) || is(KUBO_CID)) {
            return Err(Errno::ENODATA);
        }
        let (cid, size) = match self.place(ino)? {
            Place::Top | Place::Ipfs | Place::Ipns => return Err(Errno::ENODATA),
            Place::Node(number) => {
                let node = self.trees.node(number)?;
                (node.cid, node.seen().dag_size)
            }
            Place::Tree(tree, number) => {
                let cid = self.tree(tree)?.cid(number).await?;
                let size = if is(XATTR_SIZE) { dag_size(&self.trees.sources.local, &cid).await? } else { 0 };
                (cid, size)
            }
        };
        Ok(if is(XATTR_SIZE) { size.to_string() } else { cid.to_string() }.into_bytes())
    }

    /// Sets an extended attribute, or removes it: those that are there can't be changed. For programs that copy all that is
    /// listed that is no failure.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for others, `EROFS` where nothing can be changed.
    pub fn setxattr(&self, ino: Ino, name: &[u8]) -> Result<(), Errno> {
        if name != XATTR_CID.as_bytes() && name != XATTR_SIZE.as_bytes() {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.place(ino)? {
            Place::Tree(..) if !self.settings.read_only => Ok(()),
            _ => Err(Errno::EROFS),
        }
    }

    /// The names of the extended attributes, each with a zero byte behind it.
    ///
    /// # Errors
    /// When there is no such inode.
    pub fn listxattr(&self, ino: Ino) -> Result<Vec<u8>, Errno> {
        Ok(match self.place(ino)? {
            Place::Top | Place::Ipfs | Place::Ipns => Vec::new(),
            Place::Node(_) | Place::Tree(..) => format!("{XATTR_CID}\0{XATTR_SIZE}\0").into_bytes(),
        })
    }
}

async fn dag_size(local: &Arc<dyn Fetch>, cid: &Cid) -> Result<u64, Errno> {
    let block = local.fetch(cid, None).await?;
    Ok(seen::look(local, &block)?.0.dag_size)
}
