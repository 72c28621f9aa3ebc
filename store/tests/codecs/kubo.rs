//! What Kubo 0.44 writes, accepts and refuses.

use crate::{hex, unhex};
use bytes::Bytes;
use cairn_store::{
    Block,
    block::Prefix,
    cid::codec,
    dag::{self, Ipld},
};

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn golden_blocks_are_written_and_read() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/kubo-cids.json")).expect("vectors");
    let cases = vectors["dag"].as_array().expect("an array");
    assert_eq!(cases.len(), 28);
    for case in cases {
        let field = |name: &str| case[name].as_str().expect("a string");
        let code = match field("store") {
            "dag-cbor" => codec::DAG_CBOR,
            "dag-json" => codec::DAG_JSON,
            other => panic!("codec {other}"),
        };
        let input = Bytes::copy_from_slice(field("dag_json").as_bytes());
        let value = dag::decode_as(codec::DAG_JSON, &input).expect("decodes");
        let encoded = dag::encode(&value, code).expect("encodes");
        assert_eq!(hex(&encoded), field("block_hex"), "{}", field("dag_json"));
        let block = Block::seal(Prefix::v1(code), encoded).expect("seals");
        assert_eq!(block.cid().to_string(), field("cid"));
        let again = dag::decode(block.cid(), block.data()).expect("decodes");
        // A float without a fraction looks like an integer in dag-json.
        if !(code == codec::DAG_JSON && field("dag_json").contains("-0.0")) {
            assert_eq!(&dag::encode(&again, code).expect("encodes"), block.data());
        }
        let links = dag::links(block.cid(), block.data()).expect("links");
        assert_eq!(links.len(), field("dag_json").matches("\"/\":\"").count());
    }
}

/// dag-cbor, and the dag-json that `ipfs dag put --input-codec=dag-cbor --store-codec=dag-json` makes of it.
const READ: &[(&str, &str)] = &[
    ("f7", "null"),
    ("f93c00", "1"),
    ("f90001", "5.960464477539063e-8"),
    ("f9fbff", "-65504"),
    ("fa3f800000", "1"),
    ("fb3ff8000000000000", "1.5"),
    ("fb8000000000000000", "-0"),
    ("fb444b1ae4d6e2ef50", "1e+21"),
    ("fb3e7ad7f29abcaf48", "1e-7"),
    ("1903ff", "1023"),
    ("3b7fffffffffffffff", "-9223372036854775808"),
    ("a262616101616102", r#"{"a":2,"aa":1}"#),
    ("d82a450001550000", r#"{"/":"bafkqaaa"}"#),
    ("4401020304", r#"{"/":{"bytes":"AQIDBA"}}"#),
    ("67e280a8220a5c01", "\"\\u2028\\\"\\n\\\\\\u0001\""),
];

#[test]
fn what_kubo_reads_is_read() {
    for (block, json) in READ {
        let value = dag::cbor::decode(&unhex(block)).expect(block);
        assert_eq!(text(&dag::json::encode(&value).expect("encodes")), *json, "{block}");
        assert!(dag::cbor::links(&unhex(block)).is_ok(), "{block}");
    }
}

/// dag-cbor that `ipfs dag put --input-codec=dag-cbor` refuses, and what is wrong with it.
const REFUSED_CBOR: &[(&str, &str)] = &[
    ("", "nothing"),
    ("fb7ff0000000000000", "an infinity"),
    ("fbfff0000000000000", "an infinity"),
    ("f97e00", "NaN"),
    ("f97c00", "an infinity"),
    ("1800", "a long integer"),
    ("190010", "a long integer"),
    ("1b00000000ffffffff", "a long integer"),
    ("5800", "a long length"),
    ("9800", "a long length"),
    ("d90000f6", "a long tag"),
    ("5f4100ff", "bytes of no declared length"),
    ("7f6161ff", "text of no declared length"),
    ("9fff", "a list of no declared length"),
    ("bfff", "a map of no declared length"),
    ("a16161", "a name without value"),
    ("a26161016161", "a cut map"),
    ("a2616101616102", "a repeated name"),
    ("a3616202616101616203", "a repeated name, not in order"),
    ("c24100", "another tag"),
    ("d82a4100", "a link that is no CID"),
    ("d82a4501550000ff", "a link without its zero"),
    ("d82a5825000155122058", "a cut link"),
    ("d82a40", "an empty link"),
    ("0000", "two values"),
    ("f8ff", "a long simple value"),
    ("e0", "a simple value"),
    ("ff", "an end"),
    ("fc", "a reserved byte"),
    ("1c", "a reserved byte"),
    ("a10102", "a number as name"),
    ("9a7fffffff", "a huge list"),
    ("9b7fffffffffffffff", "a huge list"),
    ("bbffffffffffffffff", "a huge map"),
    ("5a7fffffff", "huge bytes"),
    ("7bffffffffffffffff", "huge text"),
];

/// dag-json that `ipfs dag put` refuses.
const REFUSED_JSON: &[&str] = &[
    "",
    "nul",
    "1e400",
    r#"{"a":1,"a":2}"#,
    r#"{"/":"foo"}"#,
    r#"{"/":"QmVZ"}"#,
    r#"{"/":{"bytes":"A"}}"#,
    r#"{"/":{"bytes":"-_"}}"#,
    "{} x",
    "1 2",
    "{1:2}",
    "[1",
    "{",
    r#"{"a""#,
    r#"{"a":"#,
    "\"",
    "\"\\x\"",
    "\"\n\"",
    "-",
    "+1",
    ".5",
    "tru",
    "[1 2]",
    r#"{"a" 1}"#,
    "]",
    "}",
];

#[test]
fn what_kubo_refuses_is_refused() {
    for (block, why) in REFUSED_CBOR {
        assert!(dag::cbor::decode(&unhex(block)).is_err(), "{block}: {why}");
        assert!(dag::cbor::links(&unhex(block)).is_err(), "{block}: {why}");
    }
    for json in REFUSED_JSON {
        let bytes = Bytes::from_static(json.as_bytes());
        assert!(dag::json::decode(&bytes).is_err(), "{json}");
        assert!(dag::json::links(&bytes).is_err(), "{json}");
    }
}

/// Stricter than Kubo, whose reader repairs or tolerates these: they are no JSON, or lose something in silence.
#[test]
fn what_is_not_json_is_refused() {
    for json in ["[1,]", r#"{"a":1,}"#, "[,]", "1.", "01", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\u{0}", "1e"] {
        assert!(dag::json::decode(&Bytes::copy_from_slice(json.as_bytes())).is_err(), "{json}");
    }
    assert!(dag::json::decode(&Bytes::from_static(b"\"\xff\"")).is_err());
}

#[test]
fn json_is_read_as_kubo_reads_it() {
    for (input, written) in [
        ("1.0", "1"),
        ("-0", "0"),
        ("-0.0", "-0"),
        ("123456789012345.678", "123456789012345.67"),
        ("1e-7", "1e-7"),
        ("0.000001", "0.000001"),
        ("1E2", "100"),
        (" {} ", "{}"),
        ("\"\\u00e9\\n\\ud83d\\ude00\"", "\"é\\n😀\""),
        (r#"{"/":{"bytes":"AA=="}}"#, r#"{"/":{"bytes":"AA"}}"#),
        (r#"{"/":{"bytes":"AA","x":1}}"#, r#"{"/":{"bytes":"AA","x":1}}"#),
        (r#"{"/":1}"#, r#"{"/":1}"#),
        (r#"{"/":"x","y":2}"#, r#"{"/":"x","y":2}"#),
        (r#"{"y":2,"/":"x"}"#, r#"{"/":"x","y":2}"#),
        (r#"{"\u002f":"bafkqaaa"}"#, r#"{"/":"bafkqaaa"}"#),
        (
            r#"{ "/" : "QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB" }"#,
            r#"{"/":"QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB"}"#,
        ),
        (
            r#"{"/":"zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"}"#,
            r#"{"/":"bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su"}"#,
        ),
    ] {
        let value = dag::json::decode(&Bytes::copy_from_slice(input.as_bytes())).expect(input);
        assert_eq!(text(&dag::json::encode(&value).expect("encodes")), written, "{input}");
    }
}

#[test]
fn every_codec_writes_what_kubo_writes() {
    let json = |text: &str| dag::json::decode(&Bytes::copy_from_slice(text.as_bytes())).expect("json");
    let node = json(r#"{"Data":{"/":{"bytes":"CAE"}},"Links":[]}"#);
    let block = dag::encode(&node, codec::DAG_PB).expect("encodes");
    assert_eq!(hex(&block), "0a020801");
    let node = dag::decode_as(codec::DAG_PB, &block).expect("decodes");
    let encode = |value: &Ipld, code| dag::encode(value, code).map(|b| hex(&b)).ok();
    assert_eq!(encode(&node, codec::DAG_CBOR).as_deref(), Some("a26444617461420801654c696e6b7380"));
    assert_eq!(encode(&node, codec::CBOR).as_deref(), Some("a2654c696e6b73806444617461420801"));
    assert_eq!(encode(&node, codec::JSON), None, "bytes");
    assert_eq!(encode(&node, codec::RAW), None);
    let value = json(r#"{"e":{},"f":1.5,"g":[],"x":{"a":[1,2,[3]]},"y":true}"#);
    let lines = "{\n\t\"e\": {},\n\t\"f\": 1.5,\n\t\"g\": [],\n\t\"x\": {\n\t\t\"a\": [\n\t\t\t1,\n\t\t\t2,\n\t\t\t[\n\t\t\t\t3\n\t\t\t]\n\t\t]\n\t},\n\t\"y\": true\n}\n";
    assert_eq!(text(&dag::encode(&value, codec::JSON).expect("encodes")), lines);
    assert_eq!(encode(&json("true"), codec::JSON).as_deref(), Some("74727565"));
    assert_eq!(encode(&json(r#"{"/":"bafkqaaa"}"#), codec::CBOR), None, "a link");
    assert_eq!(encode(&json(r#"{"/":"bafkqaaa"}"#), codec::JSON), None, "a link");
    assert_eq!(encode(&json("1"), codec::DAG_PB), None);
    let many =
        json(r#"{"Links":[{"Hash":{"/":"bafkqaaa"},"Name":"b","Tsize":1},{"Hash":{"/":"bafkqaaa"},"Name":"a"}]}"#);
    assert_eq!(
        encode(&many, codec::DAG_PB).as_deref(),
        Some("12090a04015500001201611 20b0a040155000012016218 01".replace(' ', "").as_str())
    );
}

#[test]
fn the_widest_identity_digest_is_a_link_in_both() {
    use cairn_store::{Cid, hash::HashFn};
    for (len, fits) in [(127, true), (128, true)] {
        let hash = HashFn::IDENTITY.digest(&vec![7; len]).expect("within the limit");
        let link = Ipld::Link(Box::new(Cid::new_v1(codec::RAW, hash)));
        for code in [codec::DAG_CBOR, codec::DAG_JSON] {
            let bytes = dag::encode(&link, code).expect("encodes");
            assert_eq!(dag::decode_as(code, &bytes).is_ok_and(|v| v == link), fits);
        }
    }
    // One byte more is over the limit.
    let mut long = unhex("d82a5886000155008101").to_vec();
    long.extend_from_slice(&[7; 128]);
    assert!(dag::cbor::decode(&long.into()).is_err());
}
