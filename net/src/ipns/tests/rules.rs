//! Each rule of "record verification" in specs.ipfs.tech/ipns/ipns-record, broken once.

use super::*;
use crate::{
    keystore::Algorithm,
    protobuf::{Fields, Value, push_bytes, push_number},
};
use cairn_store::dag::{Ipld, cbor};
use std::time::Duration;

/// A field of a record's protobuf that can be changed.
#[derive(Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// A record's protobuf, taken apart.
fn fields(bytes: &Bytes) -> Vec<(u8, Field)> {
    let mut fields = Fields::new(bytes);
    let mut out = Vec::new();
    while let Some((number, value)) = fields.next().expect("a message") {
        let number = u8::try_from(number).expect("a small number");
        out.push(match value {
            Value::Number(value) => (number, Field::Number(value)),
            Value::Bytes(value) => (number, Field::Bytes(value.to_vec())),
            Value::Fixed => panic!("records have no such field"),
        });
    }
    out
}

fn message(fields: &[(u8, Field)]) -> Bytes {
    let mut out = Vec::new();
    for (number, field) in fields {
        match field {
            Field::Number(value) => push_number(&mut out, *number, *value),
            Field::Bytes(value) => push_bytes(&mut out, *number, value),
        }
    }
    out.into()
}

/// The record with one field of its protobuf set, or removed.
fn with(record: &Bytes, number: u8, field: Option<Field>) -> Bytes {
    let mut fields = fields(record);
    fields.retain(|(n, _)| *n != number);
    fields.extend(field.map(|field| (number, field)));
    fields.sort_by_key(|(number, _)| *number);
    message(&fields)
}

/// A record of version 2 over any data, signed by the key.
fn signed(key: &PrivateKey, data: &Ipld) -> Bytes {
    let data = cbor::encode(data).expect("encodes").to_vec();
    let signature = key.sign(&[b"ipns-signature:", &data[..]].concat()).expect("signs");
    message(&[(8, Field::Bytes(signature)), (9, Field::Bytes(data))])
}

/// Valid data, with one entry set or removed.
fn data(name: &str, value: Option<Ipld>) -> Ipld {
    let bytes = |text: &str| Ipld::Bytes(text.to_owned().into());
    let mut entries = vec![
        ("TTL".to_owned(), Ipld::Int(60)),
        ("Value".to_owned(), bytes("/ipfs/bafkqaaa")),
        ("Sequence".to_owned(), Ipld::Int(1)),
        ("Validity".to_owned(), bytes("2099-01-01T00:00:00Z")),
        ("ValidityType".to_owned(), Ipld::Int(0)),
    ];
    entries.retain(|(key, _)| key != name);
    entries.extend(value.map(|value| (name.to_owned(), value)));
    Ipld::Map(entries)
}

fn check(bytes: &Bytes, name: Name) -> Result<Record, RecordError> {
    parse_valid(bytes, name, Vector::now())
}

/// The first vector, with versions 1 and 2.
fn both() -> Vector {
    vectors().into_iter().next().expect("there are four")
}

#[test]
fn records_of_kubo_are_read_and_valid() {
    for vector in vectors() {
        let record = check(&vector.record, vector.name()).expect(vector.eol);
        assert_eq!(record.value().expect("a path").to_string(), vector.value);
        assert_eq!(record.sequence(), Ok(vector.sequence));
        assert_eq!(record.eol().expect("a time").to_string(), vector.eol);
        assert_eq!(record.ttl(), Ok(Duration::from_secs(vector.ttl)));
        assert_eq!((record.has_v1(), record.validity_type()), (vector.v1, Ok(0)));
    }
}

/// All four kinds of signature are deterministic, so that the same content gives Kubo's bytes.
#[test]
fn the_same_content_gives_the_bytes_of_kubo() {
    for vector in vectors() {
        let eol = vector.eol.parse().expect("a time");
        let (value, sequence, ttl) = (vector.value, vector.sequence, Duration::from_secs(vector.ttl));
        let record = Record::new(&vector.key, &Content { value, sequence, eol, ttl, v1: vector.v1 }).expect("made");
        assert_eq!(record.bytes(), &vector.record, "{value} {sequence}");
        assert_eq!(Record::parse(record.bytes()).as_ref(), Ok(&record));
    }
}

#[test]
fn a_record_over_10_kib_is_refused() {
    let key = both().key;
    let eol = Timestamp::MAX;
    let content = |value| Content { value, sequence: 0, eol, ttl: DEFAULT_TTL, v1: false };
    let longest = format!("/ipfs/bafkqaaa/{}", "x".repeat(MAX_RECORD - 200));
    let record = Record::new(&key, &content(&longest)).expect("just fits");
    let padded = |len: usize| {
        [&record.bytes()[..], &{
            let mut padding = Vec::new();
            push_bytes(&mut padding, 100, &vec![0; len]);
            padding
        }]
        .concat()
    };
    // An unknown field takes a tag of two bytes and a length of one.
    let room = MAX_RECORD - record.bytes().len() - 3;
    assert!(room < 100, "the length of the padding takes one byte");
    check(&padded(room).into(), Name::from(key.peer_id())).expect("10 KiB");
    assert_eq!(check(&padded(room + 1).into(), Name::from(key.peer_id())), Err(RecordError::Size));
    let long = "x".repeat(MAX_RECORD);
    assert_eq!(Record::new(&key, &content(&long)), Err(RecordError::Size));
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    let vector = both();
    let cut = vector.record.slice(..200);
    for bytes in [Bytes::new(), Bytes::from_static(b"hello\n"), cut, with(&vector.record, 9, None)] {
        assert!(matches!(check(&bytes, vector.name()), Err(RecordError::Malformed(_))), "{bytes:?}");
    }
    let list = signed(&vector.key, &Ipld::List(vec![]));
    assert!(matches!(check(&list, vector.name()), Err(RecordError::Malformed(_))));
}

#[test]
fn a_record_without_a_signature_of_version_2_is_refused() {
    let vector = both();
    for empty in [None, Some(Field::Bytes(Vec::new()))] {
        let record = with(&vector.record, 8, empty);
        assert_eq!(check(&record, vector.name()), Err(RecordError::Signature));
    }
}

#[test]
fn a_record_of_version_1_alone_is_refused() {
    let vector = both();
    let record = with(&with(&vector.record, 8, None), 9, None);
    assert!(matches!(check(&record, vector.name()), Err(RecordError::Malformed(_))));
}

#[test]
fn a_signature_of_another_key_or_over_other_data_is_refused() {
    let vector = both();
    let other = PrivateKey::generate(Algorithm::Ed25519).expect("a key");
    let record = signed(&other, &data("", None));
    assert_eq!(check(&record, vector.name()), Err(RecordError::Signature));
    let changed = with(&signed(&vector.key, &data("", None)), 9, {
        let data = cbor::encode(&data("Sequence", Some(Ipld::Int(2)))).expect("encodes");
        Some(Field::Bytes(data.to_vec()))
    });
    assert_eq!(check(&changed, vector.name()), Err(RecordError::Signature));
    // One bit anywhere in the signature.
    let record = Record::parse(&vector.record).expect("a record");
    for bit in [0, 100, 511] {
        let mut signature = record.signature().to_vec();
        signature[bit / 8] ^= 1 << (bit % 8);
        let record = with(&vector.record, 8, Some(Field::Bytes(signature)));
        assert_eq!(check(&record, vector.name()), Err(RecordError::Signature), "{bit}");
    }
}

#[test]
fn fields_of_version_1_must_say_what_the_signed_data_says() {
    let vector = both();
    let other = |text: &str| Some(Field::Bytes(text.as_bytes().to_vec()));
    for (number, field, name) in [
        (1, other("/ipfs/bafkqaddimvwgy3zao5xxe3debi"), "Value"),
        (1, None, "Value"),
        (4, other("2099-01-01T00:00:00Z"), "Validity"),
        (4, None, "Validity"),
        (3, Some(Field::Number(1)), "ValidityType"),
        (5, Some(Field::Number(9)), "Sequence"),
        (5, None, "Sequence"),
        (6, Some(Field::Number(1)), "TTL"),
        (6, None, "TTL"),
    ] {
        let record = with(&vector.record, number, field);
        assert_eq!(check(&record, vector.name()), Err(RecordError::Mismatch(name)), "field {number}");
    }
}

#[test]
fn a_signature_of_version_1_is_not_looked_at() {
    let vector = both();
    let broken = with(&vector.record, 2, Some(Field::Bytes(vec![0; 64])));
    check(&broken, vector.name()).expect("only version 2 counts");
    // Without value and signature of version 1, the rest of its fields says nothing.
    let neither = with(&with(&vector.record, 2, None), 1, None);
    let neither = with(&neither, 5, Some(Field::Number(99)));
    assert_eq!(check(&neither, vector.name()).expect("version 2").sequence(), Ok(8));
}

#[test]
fn a_record_is_valid_until_its_end_and_not_after_it() {
    let vector = both();
    let end: Timestamp = vector.eol.parse().expect("a time");
    parse_valid(&vector.record, vector.name(), end).expect("to the last nanosecond");
    let after = end.after(Duration::from_nanos(1));
    assert_eq!(parse_valid(&vector.record, vector.name(), after), Err(RecordError::Expired));
    let record = Record::parse(&vector.record).expect("a record");
    validate_at_any_time(&record, vector.name()).expect("but for that it is valid");
    assert_eq!(record.cache_ttl(end), Duration::ZERO);
    assert_eq!(record.cache_ttl(Vector::now()), Duration::from_secs(300));
}

#[test]
fn other_kinds_of_validity_and_ends_that_are_no_times_are_refused() {
    let vector = both();
    let signed = |name, value| check(&signed(&vector.key, &data(name, value)), vector.name());
    signed("", None).expect("nothing is changed");
    assert_eq!(signed("ValidityType", Some(Ipld::Int(1))), Err(RecordError::ValidityType));
    assert_eq!(signed("Validity", Some(Ipld::Bytes("soon".into()))), Err(RecordError::Validity));
    for name in ["Validity", "ValidityType", "Sequence"] {
        assert!(matches!(signed(name, None), Err(RecordError::Malformed(_))), "{name}");
        assert!(matches!(signed(name, Some(Ipld::Null)), Err(RecordError::Malformed(_))), "{name}");
    }
}

#[test]
fn a_negative_ttl_is_refused_and_none_is_the_default() {
    let vector = both();
    let signed = |value| check(&signed(&vector.key, &data("TTL", value)), vector.name());
    assert!(matches!(signed(Some(Ipld::Int(-1))), Err(RecordError::Malformed(_))));
    assert_eq!(signed(None).expect("valid").cache_ttl(Vector::now()), DEFAULT_TTL);
}

#[test]
fn a_value_may_be_a_path_a_binary_cid_or_nothing() {
    let vector = both();
    let value = |bytes: &[u8]| {
        let record = signed(&vector.key, &data("Value", Some(Ipld::Bytes(bytes.to_vec().into()))));
        check(&record, vector.name()).expect("valid").value().map(|path| path.to_string())
    };
    assert_eq!(value(b"/ipns/example.com/a/").as_deref(), Ok("/ipns/example.com/a/"));
    assert_eq!(value(b"").as_deref(), Ok("/ipfs/bafkqaaa"));
    assert_eq!(value(&[1, 0x55, 0, 0]).as_deref(), Ok("/ipfs/bafkqaaa"));
    for bad in [&b"bafkqaaa"[..], b"/ipfs/nope", b"/", b"/foo/bar", b"\xff", b"/ipfs/\xff"] {
        assert!(matches!(value(bad), Err(RecordError::Path(_))), "{bad:?}");
    }
}

#[test]
fn the_key_in_a_record_must_be_that_of_the_name() {
    let [_, _, rsa, secp256k1] = vectors();
    assert_eq!(check(&rsa.record, secp256k1.name()), Err(RecordError::KeyMismatch));
    // A hash alone verifies nothing.
    assert_eq!(check(&with(&rsa.record, 7, None), rsa.name()), Err(RecordError::KeyNotFound));
    let garbage = with(&rsa.record, 7, Some(Field::Bytes(vec![1, 2, 3])));
    assert!(matches!(check(&garbage, rsa.name()), Err(RecordError::Key(_))));
    // A key that the name holds already may stand in the record too.
    let twice = with(&secp256k1.record, 7, Some(Field::Bytes(secp256k1.key.public().encode_protobuf())));
    check(&twice, secp256k1.name()).expect("the same key");
}

#[test]
fn the_higher_sequence_then_the_later_end_then_the_greater_bytes_count() {
    let key = both().key;
    let make = |sequence, end: u64, value| {
        let eol = Vector::now().after(Duration::from_secs(end));
        Record::new(&key, &Content { value, sequence, eol, ttl: DEFAULT_TTL, v1: false }).expect("made")
    };
    let a = "/ipfs/bafkqaaa";
    let order = [make(1, 9, a), make(2, 5, a), make(2, 6, a), make(10, 1, a)];
    for (at, record) in order.iter().enumerate() {
        for (other, against) in order.iter().enumerate() {
            assert_eq!(compare(record, against), at.cmp(&other));
        }
    }
    assert_eq!(select(order.clone()).as_ref(), Some(&order[3]));
    let (one, two) = (make(3, 3, a), make(3, 3, "/ipfs/bafkqaddimvwgy3zao5xxe3debi"));
    let greater = if one.bytes() > two.bytes() { &one } else { &two };
    assert_eq!(select([one.clone(), two.clone()]).as_ref(), Some(greater));
    assert_eq!(select([two.clone(), one.clone()]).as_ref(), Some(greater));
    assert_eq!(select([]), None);
}

#[test]
fn sequence_numbers_over_63_bits_are_not_written() {
    let content =
        Content { value: "/ipfs/bafkqaaa", sequence: 1 << 63, eol: Timestamp::MAX, ttl: DEFAULT_TTL, v1: true };
    assert!(matches!(Record::new(&both().key, &content), Err(RecordError::Malformed(_))));
}

#[test]
fn data_may_hold_more_than_is_known() {
    let vector = both();
    let record = signed(&vector.key, &data("_more", Some(Ipld::List(vec![Ipld::Bool(true)]))));
    check(&record, vector.name()).expect("unknown fields are kept and signed");
}

#[test]
fn routing_keeps_records_and_public_keys_only() {
    use std::cmp::Ordering;
    let [both, v2, rsa, _] = vectors();
    let check = |key: &[u8], value: &Bytes| validate_value(key, value, Vector::now());
    check(&both.name().routing_key(), &both.record).expect("a record");
    let hash = rsa.name().peer_id().to_bytes();
    let (key, public) = ([b"/pk/", &hash[..]].concat(), Bytes::from(rsa.key.public().encode_protobuf()));
    check(&key, &public).expect("a key");
    assert_eq!(
        check(&[b"/pk/", &both.name().peer_id().to_bytes()[..]].concat(), &public),
        Err(RecordError::KeyMismatch)
    );
    assert!(check(&key, &Bytes::from_static(b"x")).is_err());
    for other in [&b"/foo/x"[..], b"", b"/pk/", b"/ipns/", &hash] {
        assert!(matches!(check(other, &both.record), Err(RecordError::Name(_))), "{other:?}");
    }
    let key = both.name().routing_key();
    assert_eq!(compare_values(&key, &both.record, &v2.record), Ordering::Greater);
    assert_eq!(compare_values(&key, &Bytes::new(), &v2.record), Ordering::Less);
    assert_eq!(compare_values(b"/pk/x", &public, &public), Ordering::Equal);
}
