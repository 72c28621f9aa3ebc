//! Records and links of names.

use bytes::Bytes;
use cairn_net::{
    dnslink,
    ipns::{MAX_RECORD, Name, Record, Timestamp, validate},
};
use cairn_store::path::Namespace;

/// A record that is read has bounded parts, and can be asked for all of them; one that is valid has them.
pub fn ipns_record(data: &[u8]) {
    let Ok(record) = Record::parse(&Bytes::copy_from_slice(data)) else { return };
    assert!(data.len() <= MAX_RECORD && record.bytes() == data);
    assert!(!record.data().is_empty() && record.data().len() < data.len());
    let now: Timestamp = "2026-11-21T12:30:00Z".parse().expect("a time");
    if let Ok(eol) = record.eol() {
        assert_eq!(eol.to_string().parse(), Ok(eol));
        assert!(record.cache_ttl(now) <= eol.since(now));
    }
    let _ = (record.value(), record.sequence(), record.ttl(), record.has_v1());
    // The key of a corpus record, so that mutations get past it.
    let name = Name::parse("12D3KooWABqi1pVjfMwtWhP8o6zULkzH9FCqoYH87hbctZUbS92j").expect("a name");
    if validate(&record, name, now).is_ok() {
        assert!(record.eol().is_ok_and(|eol| now <= eol) && record.sequence().is_ok());
    }
}

/// Each line is a TXT record: a link is a path of one of two namespaces.
pub fn dnslink(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(domain) = dnslink::domain(text) {
        assert_eq!(dnslink::domain(&domain).as_ref(), Some(&domain));
        assert!(!domain.contains('/') && !domain.contains('\0'));
    }
    let Ok(path) = dnslink::link(text.lines()) else { return };
    assert!(matches!(path.namespace(), Namespace::Ipfs | Namespace::Ipns));
    let again = dnslink::link([format!("dnslink={path}").as_str()]).expect("what was written is read");
    assert_eq!(again, path);
}
