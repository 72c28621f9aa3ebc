//! The rules of all lists, by what they match.

use super::{
    MAX_RULES,
    rule::{self, Root, Rule, SHA2_256},
};
use cairn_store::{
    Cid, Multihash,
    cid::codec,
    hash::HashFn,
    path::{Namespace, Path},
};
use multibase::Base;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher, RandomState},
    path::PathBuf,
};

/// How a gateway answers what is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 410.
    Gone,
    /// 451.
    Legal,
}

impl Status {
    /// Its number in HTTP.
    pub fn code(self) -> u16 {
        match self {
            Self::Gone => 410,
            Self::Legal => 451,
        }
    }
}

/// Something is blocked. Where the rule stands is for the operator's log, not for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// How to answer.
    pub status: Status,
    /// The list that holds the rule.
    pub list: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
}

/// Where a rule stands, and what it says: the last one is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order(u64);

/// Bits for the number of the list and of the line.
const LIST_BITS: u32 = 12;
const LINE_BITS: u32 = 64 - LIST_BITS - 2;

impl Order {
    pub(super) fn new(list: u64, line: u64, allow: bool, status: Status) -> Self {
        let line = line.min((1 << LINE_BITS) - 1);
        let list = list.min((1 << LIST_BITS) - 1);
        Self(list << (LINE_BITS + 2) | line << 2 | u64::from(status == Status::Legal) << 1 | u64::from(allow))
    }

    pub(super) fn list(self) -> usize {
        (self.0 >> (LINE_BITS + 2)) as usize
    }

    pub(super) fn line(self) -> u64 {
        self.0 >> 2 & ((1 << LINE_BITS) - 1)
    }

    /// How to answer; `None`: what matches is allowed.
    pub(super) fn status(self) -> Option<Status> {
        let status = if self.0 & 2 == 0 { Status::Gone } else { Status::Legal };
        (self.0 & 1 == 0).then_some(status)
    }
}

/// What a rule matches, as a keyed hash: nobody outside can find two that collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Print(u64, u64);

/// What a rule matches.
#[derive(Clone, Copy, Hash)]
enum Kind {
    Exact,
    Prefix,
    /// That there are rules of the kind before with a path.
    Prefixes,
}

#[derive(Default)]
pub(super) struct Table {
    keys: [RandomState; 2],
    // Fingerprints are uniform: a part of one serves as its hash.
    rules: HashMap<Print, Order, BuildHasherDefault<Half>>,
    /// Lengths of the paths of rules for all that begins with them.
    prefixes: BTreeSet<usize>,
    /// Functions of double hashes, and how many rules use each.
    functions: BTreeMap<u64, u64>,
    full: bool,
    /// The lists, by their numbers.
    lists: Vec<PathBuf>,
}

impl Table {
    /// Notes which lists the rules are from.
    pub(super) fn set_lists(&mut self, lists: Vec<PathBuf>) {
        self.lists = lists;
    }

    /// What blocks, if the rule does.
    pub(super) fn blocked(&self, order: Order) -> Option<Blocked> {
        let status = order.status()?;
        Some(Blocked { status, list: self.lists.get(order.list()).cloned().unwrap_or_default(), line: order.line() })
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Gives back the room that growing left.
    pub(super) fn shrink(&mut self) {
        self.rules.shrink_to_fit();
    }

    pub(super) fn insert(&mut self, rule: Rule, order: Order) {
        if self.rules.len() >= MAX_RULES {
            if !self.full {
                tracing::warn!("the denylists have more than {MAX_RULES} rules: the others are left out");
            }
            self.full = true;
            return;
        }
        if let Root::Double(hash) = &rule.root {
            *self.functions.entry(hash.code()).or_default() += 1;
        }
        let kind = if rule.prefix { Kind::Prefix } else { Kind::Exact };
        if rule.prefix && !rule.path.is_empty() {
            self.prefixes.insert(rule.path.len());
            self.note(self.print(Kind::Prefixes, &rule.root, b""), order);
        }
        self.note(self.print(kind, &rule.root, &rule.path), order);
    }

    fn note(&mut self, print: Print, order: Order) {
        let known = self.rules.entry(print).or_insert(order);
        *known = order.max(*known);
    }

    fn print(&self, kind: Kind, root: &Root, path: &[u8]) -> Print {
        let [a, b] = [0, 1].map(|key: usize| self.keys[key].hash_one((kind, root, path)));
        Print(a, b)
    }

    fn get(&self, kind: Kind, root: &Root, path: &[u8]) -> Option<Order> {
        self.rules.get(&self.print(kind, root, path)).copied()
    }

    /// The last rule that matches a root with a path.
    fn check(&self, root: &Root, path: &[u8]) -> Option<Order> {
        let found = self.get(Kind::Exact, root, path).max(self.get(Kind::Prefix, root, b""));
        if self.prefixes.is_empty() || self.get(Kind::Prefixes, root, b"").is_none() {
            return found;
        }
        let lengths = self.prefixes.range(..=path.len());
        lengths.map(|&len| self.get(Kind::Prefix, root, &path[..len])).fold(found, Ord::max)
    }

    /// The last rule for a double hash of one of these texts, in the new form and in the old one.
    fn check_double(&self, new: &[u8], old: &[u8]) -> Option<Order> {
        let double = |code: u64, text: &[u8]| {
            let hash = HashFn::from_code(code)?.digest(text)?;
            self.get(Kind::Exact, &Root::Double(hash), b"")
        };
        let found = if self.functions.contains_key(&SHA2_256) { double(SHA2_256, old) } else { None };
        self.functions.keys().map(|&code| double(code, new)).fold(found, Ord::max)
    }

    /// The last rule for a path that does not climb out of its root.
    pub(super) fn check_path(&self, path: &Path) -> Option<Order> {
        let below = path.segments().join("/");
        match path.cid().filter(|_| path.namespace() != Namespace::Ipns) {
            Some(cid) => self.check_ipfs(cid, &below),
            None => self.check_ipns(path.root(), &below),
        }
    }

    pub(super) fn check_cid(&self, cid: &Cid) -> Option<Order> {
        self.check_ipfs(cid, "")
    }

    fn check_ipfs(&self, cid: &Cid, below: &str) -> Option<Order> {
        let found = self.check(&Root::Ipfs(*cid.hash()), below.as_bytes());
        if self.functions.is_empty() {
            return found;
        }
        found.max(self.check_double(&modern(cid.hash(), below), &legacy(&base32(cid.codec(), cid.hash()), below)))
    }

    fn check_ipns(&self, name: &str, below: &str) -> Option<Order> {
        let root = rule::name(name);
        let found = self.check(&root, below.as_bytes());
        if self.functions.is_empty() {
            return found;
        }
        let (new, old) = match &root {
            Root::Domain(domain) => {
                let slash = if below.is_empty() { "" } else { "/" };
                (format!("/ipns/{domain}{slash}{below}").into_bytes(), legacy(domain, below))
            }
            Root::Key(hash) | Root::Ipfs(hash) | Root::Double(hash) => {
                (modern(hash, below), legacy(&base32(codec::LIBP2P_KEY, hash), below))
            }
        };
        found.max(self.check_double(&new, &old))
    }
}

/// `MULTIHASH`, or `MULTIHASH/PATH`.
fn modern(hash: &Multihash, below: &str) -> Vec<u8> {
    let hash = Base::Base58Btc.encode(hash.to_bytes());
    if below.is_empty() { hash.into_bytes() } else { format!("{hash}/{below}").into_bytes() }
}

/// `CID/PATH`, where the path may be empty.
fn legacy(root: &str, below: &str) -> Vec<u8> {
    format!("{root}/{below}").into_bytes()
}

fn base32(codec: u64, hash: &Multihash) -> String {
    Cid::new_v1(codec, *hash).to_string()
}

/// Takes the first eight bytes as the hash.
#[derive(Default)]
struct Half(u64);

impl Hasher for Half {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_small() {
        // A byte more in a table that is between 7/16 and 7/8 full: 29 to 57 bytes.
        assert_eq!(size_of::<(Print, Order)>(), 24);
        let mut table = Table::default();
        for number in 0..1_000_000u64 {
            let root = Root::Domain(format!("{number}.example"));
            table.insert(Rule { root, path: Vec::new(), prefix: false }, Order::new(0, number, false, Status::Gone));
        }
        table.shrink();
        assert_eq!(table.len(), 1_000_000);
        assert!(table.rules.capacity() <= 7 << 18, "room for {}", table.rules.capacity());
    }
}
