//! A line of a denylist.

use cairn_store::{Cid, Multihash, cid, hash::HashFn};
use percent_encoding::percent_decode_str;

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Root {
    /// `/ipfs/CID`, by multihash.
    Ipfs(Multihash),
    /// `/ipns/KEY`, by multihash.
    Key(Multihash),
    /// `/ipns/domain`, in lower case.
    Domain(String),
    /// `//HASH`.
    Double(Multihash),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub root: Root,
    /// Without slashes at its ends.
    pub path: Vec<u8>,
    /// Whether all paths that begin with that one are meant.
    pub prefix: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// One; two for a double hash that can be read in two ways.
    pub rules: Vec<Rule>,
    /// `!`: what matches is not blocked.
    pub allow: bool,
    /// The hint `gateway_status`, if it is one that is known.
    pub status: Option<u16>,
}

/// Empty files, directories and blocks in their usual forms, which half of the network is made of: rules for these CIDs
/// are mistakes, as nopfs has it.
const SAFE: [&str; 7] = [
    "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
    "bafyaabakaieac",
    "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "bafkqaaa",
    "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
    "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
    "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
];

impl Line {
    /// Reads a line; `None`: it says nothing. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text.starts_with('#') {
            return Ok(None);
        }
        let mut fields = text.split_whitespace();
        let Some(rule) = fields.next() else { return Ok(None) };
        let status = fields.find_map(hint).and_then(|(key, value)| status(key, value));
        // Other implementations read `+` and `-` as `!` too.
        let bare = rule.strip_prefix(['!', '-', '+']);
        let rules = rules(bare.unwrap_or(rule))?;
        Ok(Some(Self { rules, allow: bare.is_some(), status }))
    }
}

/// A hint: `key=value`, or `key:value`.
fn hint(text: &str) -> Option<(&str, &str)> {
    let at = text.find(['=', ':'])?;
    let (key, value) = (&text[..at], &text[at + 1..]);
    (key == STATUS).then_some((key, value))
}

/// The hint that says how a gateway answers.
const STATUS: &str = "gateway_status";

/// The status that a hint asks for.
pub(super) fn status(key: &str, value: &str) -> Option<u16> {
    let status = value.trim_matches(['"', '\'']).parse().ok();
    status.filter(|status| key == STATUS && matches!(status, 410 | 451))
}

fn rules(text: &str) -> Result<Vec<Rule>, String> {
    if let Some(hash) = text.strip_prefix("//") {
        let double = |hash| Rule { root: Root::Double(hash), path: Vec::new(), prefix: false };
        let rules: Vec<Rule> = multihash(hash).into_iter().chain(sha256(hash)).map(double).collect();
        return if rules.is_empty() {
            Err(format!("{hash:?} is neither a multihash in base58 of a known function nor a sha256 in hexadecimal"))
        } else {
            Ok(rules)
        };
    }
    let mut parts = text.splitn(4, '/');
    let (first, namespace, name, path) = (parts.next(), parts.next(), parts.next(), parts.next().unwrap_or_default());
    let (Some(""), Some(namespace), Some(name)) = (first, namespace, name) else {
        return Err("a rule begins with /ipfs/, /ipns/ or //".into());
    };
    let root = match namespace {
        "ipfs" | "ipld" => {
            let cid = cid::parse(name).map_err(|error| format!("{name:?} is no CID: {error}"))?;
            if is_safe(&cid) {
                return Err(format!("{cid} is an empty file, directory or block, and is not blocked"));
            }
            Root::Ipfs(*cid.hash())
        }
        "ipns" if !name.is_empty() => self::name(name),
        _ => return Err("a rule begins with /ipfs/, /ipns/ or //".into()),
    };
    let (path, prefix) = match path.strip_suffix('*') {
        // `*` after a slash is the same as without that slash.
        Some(path) => (path.strip_suffix('/').unwrap_or(path), true),
        None => (path, false),
    };
    let path: Vec<u8> = percent_decode_str(path).collect();
    Ok(vec![Rule { root, path: trim(&path).to_vec(), prefix }])
}

/// Without a slash at either end.
pub(super) fn trim(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path.strip_suffix(b"/").unwrap_or(path)
}

/// What an IPNS name stands for: a key in any form, or a domain. One without dots is a domain as one label of a host.
pub(super) fn name(text: &str) -> Root {
    if let Some(hash) = key(text) {
        return Root::Key(hash);
    }
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    Root::Domain(if text.contains('.') { text } else { text.replace("--", "\0").replace('-', ".").replace('\0', "-") })
}

/// The multihash of a key: a CID, or a multihash in base58.
pub(super) fn key(text: &str) -> Option<Multihash> {
    cid::parse(text).map(|cid| *cid.hash()).ok().or_else(|| base58(text))
}

fn base58(text: &str) -> Option<Multihash> {
    // A multihash takes 69 bytes at most: longer text need not be decoded.
    (text.len() <= MAX_HASH_TEXT)
        .then(|| multibase::Base::Base58Btc.decode(text).ok())
        .flatten()
        .and_then(|bytes| Multihash::from_bytes(&bytes).ok())
}

/// Longest multihash in base58.
const MAX_HASH_TEXT: usize = 128;

/// A double hash in the form of the specification: of a known function, and as long as that makes them.
fn multihash(text: &str) -> Option<Multihash> {
    base58(text).filter(|hash| {
        let function = HashFn::from_code(hash.code()).filter(|_| hash.code() != 0);
        function.and_then(|function| function.digest(b"")).is_some_and(|whole| whole.size() == hash.size())
    })
}

/// A double hash in its old form.
fn sha256(text: &str) -> Option<Multihash> {
    let hex = (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)?;
    let bytes: Option<Vec<u8>> = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
    Multihash::wrap(SHA2_256, &bytes?).ok()
}

/// Multicodec number.
pub(super) const SHA2_256: u64 = 0x12;

fn is_safe(cid: &Cid) -> bool {
    SAFE.iter().any(|safe| cid::parse(safe).is_ok_and(|safe| safe == *cid))
}
