//! Random values and random bytes, against the codecs of the ipld-core family.

use bytes::Bytes;
use cairn_store::{
    cid::codec,
    dag::{self, Ipld},
    hash::HashFn,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Other = ipld_core::ipld::Ipld;

fn to_other(value: &Ipld) -> Other {
    match value {
        Ipld::Null => Other::Null,
        Ipld::Bool(value) => Other::Bool(*value),
        Ipld::Int(value) => Other::Integer(*value),
        Ipld::Float(value) => Other::Float(*value),
        Ipld::String(value) => Other::String(value.clone()),
        Ipld::Bytes(value) => Other::Bytes(value.to_vec()),
        Ipld::List(list) => Other::List(list.iter().map(to_other).collect()),
        Ipld::Map(map) => Other::Map(map.iter().map(|(k, v)| (k.clone(), to_other(v))).collect()),
        Ipld::Link(cid) => Other::Link(cid.to_bytes().as_slice().try_into().expect("a narrow CID")),
    }
}

fn floats() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    // The oracle drops the sign of zero, Kubo keeps it.
    prop_oneof![POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO, -1e22..1e22f64, -1e-5..1e-5f64]
        .prop_map(|f| if f == 0.0 { 0.0 } else { f })
}

/// Values with names in random order. `whole`: floats may be whole numbers, which JSON reads back as integers.
fn values(whole: bool) -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        any::<i64>().prop_map(|i| Ipld::Int(i.into())),
        any::<u64>().prop_map(|i| Ipld::Int(i.into())),
        (0..70_000i128).prop_map(Ipld::Int),
        floats().prop_filter("a fraction", move |f| whole || f.fract() != 0.0).prop_map(Ipld::Float),
        ".{0,20}".prop_map(Ipld::String),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(|b| Ipld::Bytes(b.into())),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(|b| {
            let hash = HashFn::SHA2_256.digest(&b).expect("hashes");
            Ipld::Link(Box::new(cairn_store::Cid::new_v1(codec::DAG_CBOR, hash)))
        }),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Ipld::List),
            proptest::collection::vec((".{0,4}", inner), 0..8).prop_map(|entries| {
                let distinct: BTreeMap<String, Ipld> = entries.into_iter().filter(|(k, _)| k != "/").collect();
                let mut entries: Vec<_> = distinct.into_iter().collect();
                entries.reverse();
                Ipld::Map(entries)
            }),
        ]
    })
}

fn links_of(value: &Ipld) -> usize {
    match value {
        Ipld::Link(_) => 1,
        Ipld::List(list) => list.iter().map(links_of).sum(),
        Ipld::Map(map) => map.iter().map(|(_, v)| links_of(v)).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn dag_cbor_agrees(value in values(true)) {
        let ours = dag::cbor::encode(&value).expect("encodes");
        let theirs = serde_ipld_dagcbor::to_vec(&to_other(&value)).expect("encodes");
        prop_assert_eq!(ours.as_ref(), theirs.as_slice());
        let read = dag::cbor::decode(&ours).expect("decodes");
        prop_assert_eq!(to_other(&read), to_other(&value));
        prop_assert_eq!(dag::cbor::encode(&read).expect("encodes"), ours.clone());
        prop_assert_eq!(dag::cbor::links(&ours).expect("links").len(), links_of(&value));
    }

    #[test]
    fn dag_json_agrees(value in values(false)) {
        let ours = dag::json::encode(&value).expect("encodes");
        let read: Other = serde_ipld_dagjson::from_slice(&ours).expect("theirs decodes ours");
        prop_assert_eq!(read, to_other(&value));
        let theirs = serde_ipld_dagjson::to_vec(&to_other(&value)).expect("encodes");
        let read = dag::json::decode(&theirs.into()).expect("ours decodes theirs");
        prop_assert_eq!(to_other(&read), to_other(&value));
        let read = dag::json::decode(&ours).expect("decodes");
        prop_assert_eq!(dag::json::encode(&read).expect("encodes"), ours.clone());
        prop_assert_eq!(dag::json::links(&ours).expect("links").len(), links_of(&value));
    }

    /// One changed byte: both refuse it, or what both read is the same.
    #[test]
    fn damaged_dag_cbor_agrees(value in values(true), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = dag::cbor::encode(&value).expect("encodes").to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let bytes = Bytes::from(bytes);
        let ours = dag::cbor::decode(&bytes);
        if let Ok(ours) = &ours {
            prop_assert!(dag::cbor::links(&bytes).is_ok());
            if let Ok(theirs) = serde_ipld_dagcbor::from_slice::<Other>(&bytes) {
                prop_assert_eq!(to_other(ours), theirs);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for code in [codec::DAG_CBOR, codec::DAG_JSON, codec::CBOR, codec::JSON, codec::DAG_PB, codec::RAW] {
            if let Ok(value) = dag::decode_as(code, &bytes) {
                let _ = dag::encode(&value, code);
            }
        }
        let _ = (dag::cbor::links(&bytes), dag::json::links(&bytes));
    }

    #[test]
    fn random_json_never_panics(text in r#"[\[\]{}":,/\\u0-9a-ftrnls\.eE+\- ]{0,60}"#) {
        let bytes = Bytes::from(text);
        let read = dag::json::decode(&bytes);
        prop_assert_eq!(dag::json::links(&bytes).is_ok(), read.is_ok());
        if let Ok(plain) = dag::json::decode_plain(&bytes) {
            let again = dag::json::encode_plain(&plain).expect("json has neither links nor bytes");
            // A float without a fraction is an integer when it is read again.
            prop_assert!(dag::json::decode_plain(&again).is_ok());
        }
    }
}
