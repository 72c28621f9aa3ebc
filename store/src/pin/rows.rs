//! Pins as rows of table `Pins` (`docs/FORMAT.md`, "Pins").

use super::{Pin, PinMode};
use crate::{Cid, StoreError, blockstore::KEY_VERSION, cid};

/// Second byte of the key of a pin.
const KIND_PIN: u8 = b'c';

/// What every key of a pin begins with.
pub(super) const PREFIX: [u8; 2] = [KEY_VERSION, KIND_PIN];
/// The first key after those of the pins.
pub(super) const END: [u8; 2] = [KEY_VERSION, KIND_PIN + 1];

/// Key of a pin: the prefix, then the CID in its binary form, so that one block pinned as CIDv0 and as CIDv1 has
/// two pins.
pub(super) fn key(cid: &Cid) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    // Writing to a Vec does not fail.
    let _ = cid.write_bytes(&mut key);
    key
}

/// Value of a pin: its mode, then its name.
pub(super) fn value(mode: PinMode, name: &str) -> Vec<u8> {
    let mut value = vec![match mode {
        PinMode::Recursive => 1,
        PinMode::Direct => 2,
    }];
    value.extend_from_slice(name.as_bytes());
    value
}

/// Reads a row.
pub(super) fn parse(key: &[u8], value: &[u8]) -> Result<Pin, StoreError> {
    let refuse = |why: &str| StoreError::Corrupt(format!("pin {key:02x?}: {why}"));
    let cid = key.strip_prefix(&PREFIX).ok_or_else(|| refuse("its key has no known version"))?;
    let cid = cid::from_bytes(cid).map_err(|e| refuse(&e))?;
    let (mode, name) = match value.split_first() {
        Some((1, name)) => (PinMode::Recursive, name),
        Some((2, name)) => (PinMode::Direct, name),
        _ => return Err(refuse("its mode is unknown")),
    };
    let name = std::str::from_utf8(name).map_err(|_| refuse("its name is not UTF-8"))?.to_owned();
    Ok(Pin { cid, mode, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, block::Prefix};
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_says_what_was_pinned(data: Vec<u8>, recursive: bool, v0: bool, name in ".{0,60}") {
            let prefix = if v0 { Prefix::V0 } else { Prefix::v1(cid::codec::RAW) };
            let cid = *Block::seal(prefix, Bytes::from(data)).expect("seals").cid();
            let mode = if recursive { PinMode::Recursive } else { PinMode::Direct };
            let pin = parse(&key(&cid), &value(mode, &name)).expect("reads its own row");
            prop_assert_eq!(pin, Pin { cid, mode, name });
        }

        #[test]
        fn any_bytes_are_read_or_refused(key: Vec<u8>, value: Vec<u8>) {
            let _ = parse(&[&PREFIX, key.as_slice()].concat(), &value);
        }
    }

    #[test]
    fn damaged_rows_are_refused() {
        let cid = *Block::seal(Prefix::V0, Bytes::from_static(b"x")).expect("seals").cid();
        assert!(parse(&key(&cid), b"").is_err());
        assert!(parse(&key(&cid), b"\x03name").is_err());
        assert!(parse(&key(&cid), b"\x01\xff").is_err());
        assert!(parse(&key(&cid)[..20], b"\x01").is_err());
        assert!(parse(&[2, b'c'], b"\x01").is_err());
    }
}
