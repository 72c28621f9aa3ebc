//! CARs and the links in blocks, read without any of the code under test.
//!
//! A reader of the project's own would share its mistakes. This one knows CARv1, SHA-256 and identity hashes, and as much
//! of dag-pb and dag-cbor as links need. It panics at nothing: what is wrong is said.

use cid::Cid;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, io::Cursor};

/// Codec of a raw block.
pub const RAW: u64 = 0x55;
/// Codec of dag-pb.
pub const DAG_PB: u64 = 0x70;
/// Codec of dag-cbor.
pub const DAG_CBOR: u64 = 0x71;
/// Hash code of SHA-256.
const SHA2_256: u64 = 0x12;
/// Hash code of data that stands in the CID itself.
const IDENTITY: u64 = 0x00;

/// What a CAR holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Car {
    /// The version in its header.
    pub version: u64,
    /// The roots in its header.
    pub roots: Vec<Cid>,
    /// Its blocks, in order; their bytes match their CIDs.
    pub blocks: Vec<(Cid, Vec<u8>)>,
}

impl Car {
    /// Reads a CARv1 to its end.
    ///
    /// # Errors
    /// What is wrong with it: also when it breaks off, or a block's bytes are not those of its CID.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes;
        let header = section(&mut rest)?;
        let found = scan_cbor(header)?;
        let mut car = Self { version: found.version.unwrap_or_default(), roots: found.links, blocks: Vec::new() };
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let body = section(&mut rest).map_err(|e| format!("at {at}: {e}"))?;
            let mut cursor = Cursor::new(body);
            let cid = Cid::read_bytes(&mut cursor).map_err(|e| format!("at {at}: no CID: {e}"))?;
            let data = &body[usize::try_from(cursor.position()).unwrap_or(usize::MAX).min(body.len())..];
            verify(&cid, data)?;
            car.blocks.push((cid, data.to_vec()));
        }
        Ok(car)
    }

    /// The CIDs of the blocks in order.
    pub fn cids(&self) -> Vec<Cid> {
        self.blocks.iter().map(|(cid, _)| *cid).collect()
    }

    /// Writes a CARv1.
    pub fn write(roots: &[Cid], blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
        let mut header = vec![0xa2, 0x65];
        header.extend_from_slice(b"roots");
        header.push(0x80 | u8::try_from(roots.len()).unwrap_or(0).min(23));
        for root in roots.iter().take(23) {
            let bytes = root.to_bytes();
            header.extend_from_slice(&[0xd8, 42, 0x58, u8::try_from(bytes.len() + 1).unwrap_or(0), 0]);
            header.extend_from_slice(&bytes);
        }
        header.push(0x67);
        header.extend_from_slice(b"version\x01");
        let mut out = varint(header.len());
        out.extend(header);
        for (cid, data) in blocks {
            let cid = cid.to_bytes();
            out.extend(varint(cid.len() + data.len()));
            out.extend(cid);
            out.extend_from_slice(data);
        }
        out
    }
}

/// Checks that bytes are those of a CID.
///
/// # Errors
/// When they are not, or its hash is not known here.
pub fn verify(cid: &Cid, data: &[u8]) -> Result<(), String> {
    let right = match cid.hash().code() {
        SHA2_256 => cid.hash().digest() == Sha256::digest(data).as_slice(),
        IDENTITY => cid.hash().digest() == data,
        other => return Err(format!("{cid} has hash {other:#x}, which is not known here")),
    };
    if right { Ok(()) } else { Err(format!("{} bytes are not those of {cid}", data.len())) }
}

/// The CID of bytes: version 1, SHA-256.
pub fn cid_of(codec: u64, data: &[u8]) -> Cid {
    let mut hash = vec![0x12, 32];
    hash.extend_from_slice(&Sha256::digest(data));
    let hash = cid::multihash::Multihash::from_bytes(&hash).expect("32 bytes of SHA-256");
    Cid::new_v1(codec, hash)
}

/// An unsigned varint.
pub fn varint(value: usize) -> Vec<u8> {
    let (mut value, mut out) = (value, Vec::new());
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
    out
}

fn read_varint(rest: &mut &[u8]) -> Result<usize, String> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or("it breaks off in a number")?;
        *rest = tail;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number without end".to_owned())
}

/// Bytes behind a varint of their length.
fn section<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let len = read_varint(rest)?;
    let (body, tail) =
        rest.split_at_checked(len).ok_or_else(|| format!("{len} bytes announced, {} left", rest.len()))?;
    *rest = tail;
    Ok(body)
}

#[derive(Default)]
struct Scanned {
    links: Vec<Cid>,
    version: Option<u64>,
}

/// Links of a CBOR document in order, and the number behind the text `version`. One pass over the heads of all items:
/// what contains what does not matter for that.
fn scan_cbor(bytes: &[u8]) -> Result<Scanned, String> {
    let (mut rest, mut found, mut link, mut version) = (bytes, Scanned::default(), false, false);
    while let Some((&head, tail)) = rest.split_first() {
        rest = tail;
        let len = match head & 31 {
            small @ 0..=23 => u64::from(small),
            size @ 24..=27 => {
                let (number, tail) = rest.split_at_checked(1 << (size - 24)).ok_or("it breaks off in a head")?;
                rest = tail;
                number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
            }
            other => return Err(format!("a head of form {other}")),
        };
        let (was_link, was_version) = (std::mem::take(&mut link), std::mem::take(&mut version));
        match head >> 5 {
            0 if was_version => found.version = Some(len),
            2 | 3 => {
                let len = usize::try_from(len).map_err(|e| e.to_string())?;
                let (text, tail) = rest.split_at_checked(len).ok_or("it breaks off in a string")?;
                rest = tail;
                version = text == b"version";
                if was_link {
                    let cid = text.strip_prefix(&[0]).ok_or("a link without its zero")?;
                    found.links.push(Cid::try_from(cid).map_err(|e| e.to_string())?);
                }
            }
            6 => link = len == 42,
            _ => {}
        }
    }
    Ok(found)
}

/// A link of a dag-pb node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub cid: Cid,
}

/// A dag-pb node, as far as walking needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its links in order.
    pub links: Vec<Link>,
    /// UnixFS type: 0 raw, 1 directory, 2 file, 4 symlink, 5 shard.
    pub kind: u64,
    /// Bytes of the file below each link.
    pub sizes: Vec<u64>,
}

/// UnixFS type of a shard of a directory.
pub const SHARD: u64 = 5;
/// UnixFS type of a directory.
pub const DIRECTORY: u64 = 1;

/// A field of a protobuf message: which one, and its number or its bytes.
type Field<'a> = (usize, usize, &'a [u8]);

fn fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while !rest.is_empty() {
        let key = read_varint(&mut rest)?;
        let (number, body): (usize, &[u8]) = match key & 7 {
            0 => (read_varint(&mut rest)?, &[]),
            2 => (0, section(&mut rest)?),
            size @ (1 | 5) => {
                let (_, tail) = rest.split_at_checked(if size == 1 { 8 } else { 4 }).ok_or("it breaks off")?;
                rest = tail;
                continue;
            }
            other => return Err(format!("wire type {other}")),
        };
        out.push((key >> 3, number, body));
    }
    Ok(out)
}

impl Node {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut node = Self::default();
        for (field, _, body) in fields(bytes)? {
            match field {
                1 => {
                    for (field, number, _) in fields(body)? {
                        match field {
                            1 => node.kind = number as u64,
                            4 => node.sizes.push(number as u64),
                            _ => {}
                        }
                    }
                }
                2 => {
                    let (mut name, mut cid) = (String::new(), None);
                    for (field, _, body) in fields(body)? {
                        match field {
                            1 => cid = Some(Cid::try_from(body).map_err(|e| e.to_string())?),
                            2 => name = String::from_utf8_lossy(body).into_owned(),
                            _ => {}
                        }
                    }
                    node.links.push(Link { name, cid: cid.ok_or("a link without a CID")? });
                }
                _ => {}
            }
        }
        Ok(node)
    }
}

/// Blocks that can be walked.
#[derive(Debug, Clone, Default)]
pub struct Dag {
    blocks: HashMap<Cid, Vec<u8>>,
}

/// How much of the DAG below the end of a path belongs to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its root block.
    Block,
    /// What is needed to read the file or to list the directory.
    Entity,
    /// Everything.
    All,
}

impl Dag {
    /// Takes the blocks of a CAR.
    pub fn take(&mut self, car: Car) {
        self.blocks.extend(car.blocks);
    }

    /// The bytes of a block.
    ///
    /// # Errors
    /// When it is not there.
    pub fn get(&self, cid: &Cid) -> Result<&[u8], String> {
        self.blocks.get(cid).map(Vec::as_slice).ok_or_else(|| format!("the test has no {cid}"))
    }

    /// A dag-pb node; of other codecs one without UnixFS, with the links that they have.
    ///
    /// # Errors
    /// When it is not there, or can't be read.
    pub fn node(&self, cid: &Cid) -> Result<Node, String> {
        if cid.hash().code() == IDENTITY && cid.codec() == RAW {
            return Ok(Node::default());
        }
        match cid.codec() {
            DAG_PB => Node::read(self.get(cid)?),
            DAG_CBOR => {
                let links = scan_cbor(self.get(cid)?)?.links.into_iter();
                Ok(Node { links: links.map(|cid| Link { name: String::new(), cid }).collect(), ..Node::default() })
            }
            _ => self.get(cid).map(|_| Node::default()),
        }
    }

    /// The blocks in the order of a depth-first walk: those of the path to each name in turn, then those of the scope;
    /// every block as often as the walk meets it, but none whose bytes stand in its CID.
    ///
    /// # Errors
    /// When a block or a name is not there.
    pub fn walk(&self, root: &Cid, path: &[&str], scope: Scope) -> Result<Vec<Cid>, String> {
        let (mut at, mut out) = (*root, Vec::new());
        for name in path {
            let way = self.find(&at, name)?;
            at = way.last().copied().ok_or("an empty way")?;
            out.extend_from_slice(&way[..way.len() - 1]);
        }
        let top = self.node(&at)?;
        let mut open = vec![at];
        while let Some(cid) = open.pop() {
            out.push(cid);
            let node = if cid == at { top.clone() } else { self.node(&cid)? };
            let deeper = |link: &&Link| match (scope, top.kind) {
                (Scope::Block, _) | (Scope::Entity, DIRECTORY) => false,
                (Scope::Entity, SHARD) => link.name.len() == 2,
                (Scope::Entity, _) => at.codec() == DAG_PB,
                (Scope::All, _) => true,
            };
            open.extend(node.links.iter().filter(deeper).rev().map(|link| link.cid));
        }
        out.retain(|cid| cid.hash().code() != IDENTITY);
        Ok(out)
    }

    /// The blocks from a directory, or a shard of one, to the entry with a name: the directory, the shards on the way,
    /// the entry.
    fn find(&self, directory: &Cid, name: &str) -> Result<Vec<Cid>, String> {
        let mut open = vec![vec![*directory]];
        while let Some(way) = open.pop() {
            let node = self.node(way.last().ok_or("an empty way")?)?;
            let shard = node.kind == SHARD;
            for link in &node.links {
                let found = if shard { link.name.get(2..) == Some(name) } else { link.name == name };
                let longer = || way.iter().copied().chain([link.cid]).collect::<Vec<_>>();
                if found {
                    return Ok(longer());
                }
                if shard && link.name.len() == 2 {
                    open.push(longer());
                }
            }
        }
        Err(format!("no {name:?} below {directory}"))
    }

    /// The blocks of a file that hold the bytes from `from` to `to`, both inclusive, depth first, with the nodes above
    /// them.
    ///
    /// # Errors
    /// When a block is not there.
    pub fn range(&self, file: &Cid, from: u64, to: u64) -> Result<Vec<Cid>, String> {
        let (mut out, mut open) = (Vec::new(), vec![(*file, 0)]);
        while let Some((cid, start)) = open.pop() {
            out.push(cid);
            let node = self.node(&cid)?;
            let mut children = Vec::new();
            let mut at = start;
            for (link, size) in node.links.iter().zip(&node.sizes) {
                if at <= to && at + size > from {
                    children.push((link.cid, at));
                }
                at += size;
            }
            open.extend(children.into_iter().rev());
        }
        Ok(out)
    }
}

/// Each CID where it stands first.
pub fn once(cids: &[Cid]) -> Vec<Cid> {
    let mut out: Vec<Cid> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    out.extend(cids.iter().copied().filter(|cid| seen.insert(*cid)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(parts: &[&[u8]]) -> (Cid, Vec<(Cid, Vec<u8>)>) {
        let mut blocks: Vec<_> = parts.iter().map(|part| (cid_of(RAW, part), part.to_vec())).collect();
        let (mut links, mut data) = (Vec::new(), vec![0x08, 2]);
        for (cid, part) in &blocks {
            let cid = cid.to_bytes();
            let link = [&[0x0a, cid.len() as u8][..], &cid].concat();
            links.extend([&[0x12, link.len() as u8][..], &link].concat());
            data.extend([0x20, part.len() as u8]);
        }
        let node = [links, vec![0x0a, data.len() as u8], data].concat();
        let root = cid_of(DAG_PB, &node);
        blocks.insert(0, (root, node));
        (root, blocks)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (root, blocks) = file(&[b"abc", b"defg", b"abc"]);
        let bytes = Car::write(&[root], &blocks);
        let car = Car::read(&bytes).expect("a CAR");
        assert_eq!((car.version, &car.roots[..], &car.blocks), (1, &[root][..], &blocks));
        for len in 1..bytes.len() {
            // A CAR may end after any section: what is left is a shorter one.
            if let Ok(part) = Car::read(&bytes[..len]) {
                assert!(part.blocks.len() < car.blocks.len(), "{len}");
            }
        }
        let mut wrong = bytes;
        *wrong.last_mut().expect("bytes") ^= 1;
        assert!(Car::read(&wrong).is_err_and(|e| e.contains("are not those of")));
    }

    #[test]
    fn walks_go_depth_first() {
        let (root, blocks) = file(&[b"abc", b"defg", b"abc"]);
        let leaf = |i: usize| blocks[i].0;
        let mut dag = Dag::default();
        dag.take(Car { blocks: blocks.clone(), ..Car::default() });
        let all = dag.walk(&root, &[], Scope::All).expect("all are there");
        assert_eq!(all, [root, leaf(1), leaf(2), leaf(3)]);
        assert_eq!(once(&all), [root, leaf(1), leaf(2)]);
        assert_eq!(dag.walk(&root, &[], Scope::Block), Ok(vec![root]));
        assert_eq!(dag.range(&root, 3, 6), Ok(vec![root, leaf(2)]));
        assert_eq!(dag.range(&root, 2, 3), Ok(vec![root, leaf(1), leaf(2)]));
        assert!(dag.walk(&root, &["no"], Scope::All).is_err());
    }
}
