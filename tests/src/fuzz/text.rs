//! Names.

use cairn_store::{Cid, chunker::ChunkerSpec, cid};

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
