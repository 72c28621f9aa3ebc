//! Names.

use cairn_store::{
    Cid,
    chunker::ChunkerSpec,
    cid,
    config::{Config, parse_duration, parse_size},
    path::Path,
};

/// A CID that was read is written to something that reads as the same.
pub fn cid_bytes(data: &[u8]) {
    let Ok(cid) = cid::from_bytes(data) else { return };
    assert_eq!(cid.to_bytes(), data, "two encodings of one CID");
    same(&cid);
}

/// The same for text; and no more than one CID is read.
pub fn cid_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(cid) = cid::parse(text) else { return };
    same(&cid);
    assert!(cid::parse(&format!("{text}\0")).is_err(), "a NUL at the end is let through");
}

fn same(cid: &Cid) {
    assert_eq!(cid::from_bytes(&cid.to_bytes()).as_ref(), Ok(cid));
    assert_eq!(&cid::parse(&cid.to_string()).expect("what was written is read"), cid);
}

/// What is accepted can be used.
pub fn chunker_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(spec) = ChunkerSpec::parse(text) else { return };
    spec.validate().expect("what was read is valid");
    assert!(spec.max_chunk() > 0);
}

/// A clean path has no segment that could lead out of its root, and reads as itself.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(path) = Path::parse(text) else { return };
    assert!(path.segments().iter().all(|s| !s.is_empty() && s != "." && s != ".." && !s.contains('/')));
    assert_eq!(Path::parse(&path.to_string()).as_ref().ok(), Some(&path));
}

/// A configuration survives being written; values that are no JSON are read as what they are.
pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (parse_duration(text), parse_size(text));
    }
    let Ok(config) = Config::parse(data) else { return };
    let _ = config.check();
    let again = Config::parse(config.to_text().as_bytes()).expect("what was written is read");
    assert_eq!(again.to_text(), config.to_text());
}
