//! Names as labels of a host name: CIDs, keys and inlined domains (subdomain gateway specification, section 2).

use cairn_store::{
    Cid,
    cid::{self, codec},
};
use multibase::Base;

/// Longest label of a host name (RFC 1034, section 3.1).
pub const MAX_LABEL: usize = 63;

/// Why something can't stand in a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Too long in every base.
    #[error("CID incompatible with DNS label length limit of {MAX_LABEL}: {0}")]
    Cid(String),
    /// Too long once its dots are written as dashes.
    #[error("inlined DNSLink incompatible with DNS label length limit of {MAX_LABEL}: {0:?}")]
    Domain(String),
}

/// The CID of a key, whether it is written as a peer ID or as a CID of a key. `None` if the text is neither.
pub fn key(text: &str) -> Option<Cid> {
    if text.starts_with("Qm") || text.starts_with('1') {
        let bytes = Base::Base58Btc.decode(text).ok().filter(|bytes| bytes.len() <= cid::MAX_DIGEST + 8)?;
        let hash = multihash::Multihash::from_bytes(&bytes).ok()?;
        return Some(Cid::new_v1(codec::LIBP2P_KEY, hash));
    }
    cid::parse(text)
        .ok()
        .filter(|cid| cid.codec() == codec::LIBP2P_KEY)
        .map(|cid| Cid::new_v1(codec::LIBP2P_KEY, *cid.hash()))
}

/// A key as URLs and hosts write it: a CID in base36.
pub fn key_text(key: &Cid) -> String {
    multibase::encode(Base::Base36Lower, key.to_bytes())
}

/// A CID as a label: of version 1 and in base32, which host names don't change; in base36 if that is too long.
///
/// # Errors
/// When it is too long in base36, too.
pub fn cid_label(cid: &Cid) -> Result<String, LabelError> {
    let v1 = Cid::new_v1(cid.codec(), *cid.hash());
    fit(multibase::encode(Base::Base32Lower, v1.to_bytes()), cid)
}

/// A key as a label.
///
/// # Errors
/// When it is too long.
pub fn key_label(cid: &Cid) -> Result<String, LabelError> {
    let key = Cid::new_v1(codec::LIBP2P_KEY, *cid.hash());
    fit(key_text(&key), &key)
}

/// The text of a CID if it is no longer than a label, else the CID in base36.
///
/// # Errors
/// When that is too long.
pub fn fit(text: String, cid: &Cid) -> Result<String, LabelError> {
    if text.len() <= MAX_LABEL {
        return Ok(text);
    }
    let short = multibase::encode(Base::Base36Lower, Cid::new_v1(cid.codec(), *cid.hash()).to_bytes());
    if short.len() <= MAX_LABEL { Ok(short) } else { Err(LabelError::Cid(short)) }
}

/// A domain as one label: `en.wikipedia-on-ipfs.org` as `en-wikipedia--on--ipfs-org`, which fits a wildcard certificate.
///
/// # Errors
/// When it is too long.
pub fn inline(domain: &str) -> Result<String, LabelError> {
    let label = domain.replace('-', "--").replace('.', "-");
    if label.len() <= MAX_LABEL { Ok(label) } else { Err(LabelError::Domain(label)) }
}

/// The domain that such a label stands for.
pub fn uninline(label: &str) -> String {
    let mut domain = String::with_capacity(label.len());
    let mut rest = label;
    while let Some(at) = rest.find('-') {
        domain.push_str(&rest[..at]);
        let double = rest[at + 1..].starts_with('-');
        domain.push(if double { '-' } else { '.' });
        rest = &rest[at + 1 + usize::from(double)..];
    }
    domain + rest
}

/// Whether a text may be the name of a domain, and is not that of a key.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b >= 0x80)
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && name.split('.').all(label) && key(text).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V0: &str = "QmbCMUZw6JFeZ7Wp9jkzbye3Fzp2GGcPgC3nmeUjfVF87n";

    #[test]
    fn cids_become_labels() {
        // From the specification of subdomain gateways.
        let cid = cid::parse(V0).expect("a CID");
        assert_eq!(cid_label(&cid).as_deref(), Ok("bafybeif7a7gdklt6hodwdrmwmxnhksctcuav6lfxlcyfz4khzl3qfmvcgu"));
        let long = cid::parse("bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs").expect("a CID");
        assert!(matches!(cid_label(&long), Err(LabelError::Cid(_))));
        let key = "12D3KooWRBy97UB99e3J6hiPesre1MZeuNQvfan4gBziswrRJsNK";
        let expected = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
        let by_peer_id = super::key(key).expect("a peer ID");
        assert_eq!(super::key(expected), Some(by_peer_id));
        assert!(super::key_text(&by_peer_id).starts_with('k'));
    }

    #[test]
    fn domains_become_labels() {
        for (domain, label) in [
            ("en.wikipedia-on-ipfs.org", "en-wikipedia--on--ipfs-org"),
            ("my.v-long.example.com", "my-v--long-example-com"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(inline(domain).as_deref(), Ok(label));
            assert_eq!(uninline(label), domain);
        }
        assert_eq!(inline(&"a".repeat(63)), Ok("a".repeat(63)));
        assert!(inline(&"a".repeat(64)).is_err());
    }

    #[test]
    fn domains_are_told_from_keys_and_rubbish() {
        for (text, expected) in [
            ("example.com", true),
            ("example.com.", true),
            ("localhost", true),
            ("ünïcode.org", true),
            (V0, false),
            ("a..b", false),
            ("", false),
            ("a b.c", false),
            ("example.com:8080", false),
        ] {
            assert_eq!(is_domain(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn inlining_goes_both_ways(labels in prop::collection::vec("[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", 1..4)) {
            // Three dashes in a row are two signs in an order that nobody can tell.
            prop_assume!(!labels.iter().any(|label| label.contains("--")));
            let domain = labels.join(".");
            if let Ok(label) = inline(&domain) {
                prop_assert_eq!(uninline(&label), domain);
            }
        }
    }
}
