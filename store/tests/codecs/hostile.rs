//! Bytes that are made to exhaust a reader.

use bytes::Bytes;
use cairn_store::dag::{self, CodecError, Ipld, ipld::MAX_DEPTH};
use std::time::{Duration, Instant};

fn nested(open: &[u8], depth: usize, close: &[u8]) -> Bytes {
    let mut bytes = open.repeat(depth);
    bytes.extend_from_slice(b"0");
    bytes.extend_from_slice(&close.repeat(depth));
    bytes.into()
}

#[test]
fn depth_ends_where_kubo_ends_it() {
    // 0x81 is a list of one, '0' a number in JSON and -17 in CBOR.
    for (depth, ok) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        assert_eq!(dag::cbor::decode(&nested(b"\x81", depth, b"")).is_ok(), ok);
        assert_eq!(dag::cbor::links(&nested(b"\x81", depth, b"")).is_ok(), ok);
        assert_eq!(dag::json::decode(&nested(b"[", depth, b"]")).is_ok(), ok);
        assert_eq!(dag::json::links(&nested(b"{\"a\":", depth, b"}")).is_ok(), ok);
    }
}

#[test]
fn two_megabytes_of_openings_cost_nothing() {
    let begun = Instant::now();
    for open in [&b"\x81"[..], b"\xa1\x61a", b"\x82"] {
        let bytes = nested(open, (2 << 20) / open.len(), b"");
        assert_eq!(dag::cbor::decode(&bytes), Err(CodecError::TooDeep));
        assert_eq!(dag::cbor::links(&bytes), Err(CodecError::TooDeep));
    }
    for open in [&b"["[..], b"{\"a\":", b"{\"/\":", b"{\"/\":{\"bytes\":"] {
        let bytes = nested(open, (2 << 20) / open.len(), b"");
        assert_eq!(dag::json::decode(&bytes), Err(CodecError::TooDeep));
        assert_eq!(dag::json::links(&bytes), Err(CodecError::TooDeep));
    }
    // A reader that goes over it once for each opening takes hours.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_full_block_of_small_values_is_read() {
    let len = (2 << 20) - 5;
    let mut bytes = vec![0x9a];
    bytes.extend_from_slice(&u32::try_from(len).expect("small").to_be_bytes());
    bytes.resize(5 + len, 0);
    assert!(matches!(dag::cbor::decode(&bytes.into()), Ok(Ipld::List(list)) if list.len() == len));
}

#[test]
fn more_values_than_a_block_has_are_refused() {
    let len = 3 << 20;
    let mut bytes = vec![0x9a];
    bytes.extend_from_slice(&u32::try_from(len).expect("small").to_be_bytes());
    bytes.resize(5 + len, 0);
    assert_eq!(dag::cbor::decode(&bytes.into()), Err(CodecError::TooMany));
    let text = format!("[{}0]", "0,".repeat(len));
    assert_eq!(dag::json::decode(&text.into()), Err(CodecError::TooMany));
}

#[test]
fn what_is_too_deep_is_not_written_either() {
    let mut value = Ipld::Null;
    for _ in 0..=MAX_DEPTH {
        value = Ipld::List(vec![value]);
    }
    assert_eq!(dag::cbor::encode(&value), Err(CodecError::TooDeep));
    assert_eq!(dag::json::encode(&value), Err(CodecError::TooDeep));
}

#[test]
fn values_without_a_form_are_not_written() {
    for value in [Ipld::Float(f64::NAN), Ipld::Float(f64::INFINITY), Ipld::Int(1 << 64), Ipld::Int(-(1 << 64) - 1)] {
        assert!(dag::cbor::encode(&value).is_err(), "{value:?}");
        assert!(dag::json::encode(&value).is_err(), "{value:?}");
    }
    let map = |name: &str, value| Ipld::Map(vec![(name.to_owned(), value)]);
    let text = Ipld::String("x".into());
    for value in [map("/", text.clone()), map("/", map("bytes", text.clone())), Ipld::List(vec![map("/", text)])] {
        assert!(dag::json::encode(&value).is_err(), "{value:?}");
        assert!(dag::cbor::encode(&value).is_ok(), "{value:?}");
    }
}
