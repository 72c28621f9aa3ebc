//! `key`, `name` and `routing get/put` without a network. Keys, records and texts are those of Kubo 0.44.

use cairn_tests::{harness::Node, process};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const ED25519: &str = "k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k";
const RSA: &str = "k2k4r8phop4x2pzuzhbh92kyw60nqfzg3f4chrmnd6roiu3e52ce73m3";
const SECP256K1: &str = "kzwfwjn5ji4puonrlpp7mth5jm6ilgo4zbmmuyxpjh02h9ryxcnfr2d9x2r08dm";

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../net/tests/vectors/names").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The message of a command that must fail.
#[track_caller]
fn refused(node: &Node, args: &[&str]) -> String {
    let outcome = node.run(args);
    assert_eq!(outcome.status.code(), Some(1), "{args:?}: {}", outcome.text());
    outcome.errors()
}

fn json(node: &Node, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--enc=json"]).collect();
    serde_json::from_str(&node.ok(&args)).expect("JSON")
}

/// A node with the three keys of the vectors.
fn with_keys() -> Node {
    let node = Node::new();
    for (name, id) in [("ed25519", ED25519), ("rsa", RSA), ("secp256k1", SECP256K1)] {
        let file = vector(&format!("{name}.key"));
        assert_eq!(node.ok(["key", "import", &format!("k-{name}"), text(&file)]), id);
    }
    node
}

#[test]
fn keys_of_kubo_come_in_and_go_out_byte_for_byte() {
    let node = with_keys();
    for name in ["ed25519", "rsa", "secp256k1"] {
        let key = format!("k-{name}");
        node.ok(["key", "export", &key]);
        node.ok(["key", "export", "-f", "pem-pkcs8-cleartext", &key]);
        for extension in ["key", "pem"] {
            let file = node.work().join(format!("{key}.{extension}"));
            assert_eq!(
                fs::read(&file).expect("exported"),
                fs::read(vector(&format!("{name}.{extension}"))).expect("there")
            );
            assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        }
        let pem = vector(&format!("{name}.pem"));
        let id = node.ok(["key", "import", "-f", "pem-pkcs8-cleartext", &format!("{name}-pem"), text(&pem)]);
        assert!(node.ok(["key", "ls", "-l"]).contains(&id));
    }
    let list = json(&node, &["key", "list"]);
    let named: Vec<&str> = list["Keys"].as_array().expect("a list").iter().filter_map(|k| k["Name"].as_str()).collect();
    assert_eq!(named, ["self", "ed25519-pem", "k-ed25519", "k-rsa", "k-secp256k1", "rsa-pem", "secp256k1-pem"]);
    let ids = node.ok(["key", "ls", "-l", "--ipns-base=b58mh"]);
    for id in ["12D3KooWABqi1pVjfMwtWhP8o6zULkzH9FCqoYH87hbctZUbS92j", "QmejzUye8XT9vnbqcYWsaBGXj6NUPLskRdGgmGXt82FFy4"]
    {
        assert!(ids.contains(id), "{ids}");
    }
    // The directory is Kubo's.
    let file = node.repo().join("keystore/key_nmwxe43b");
    assert_eq!(fs::read(file).expect("k-rsa"), fs::read(vector("rsa.key")).expect("there"));
}

#[test]
fn keys_are_made_renamed_and_removed_as_in_kubo() {
    let node = Node::new();
    let id = node.ok(["key", "gen", "a"]);
    assert!(id.starts_with("k51"), "{id}");
    assert_eq!(node.ok(["key", "rename", "a", "b"]), format!("Key {id} renamed to b"));
    node.ok(["key", "gen", "c"]);
    assert_eq!(node.ok(["key", "rename", "-f", "b", "c"]), format!("Key {id} renamed to c with overwriting"));
    let renamed = json(&node, &["key", "rename", "c", "d/e"]);
    assert_eq!((renamed["Was"].as_str(), renamed["Overwrite"].as_bool()), (Some("c"), Some(false)));
    assert!(node.ok(["key", "gen", "--type=rsa", "--size=2048", "r"]).starts_with("k2k4r8"));
    assert!(node.ok(["key", "gen", "--type=secp256k1", "s"]).starts_with("kzwf"));
    assert_eq!(node.ok(["key", "ls"]), "self\nd/e\nr\ns");
    assert_eq!(json(&node, &["key", "rm", "d/e", "r"])["Keys"][0]["Id"].as_str(), Some(id.as_str()));
    for (args, why) in [
        (&["key", "gen", "self"][..], "cannot create key with name 'self'"),
        (&["key", "gen", "s"], "key with name 's' already exists"),
        (&["key", "gen", ""], "key name must be at least one character"),
        (&["key", "gen", "--type=foo", "z"], "unrecognized key type: foo"),
        (&["key", "gen", "--type=rsa", "--size=1024", "z"], "rsa keys must be >= 2048 bits to be useful"),
        (&["key", "gen", "--type=rsa", "--size=16384", "z"], "rsa keys must be <= 8192 bits"),
        (&["key", "gen", "--size=1024", "z"], "invalid key size 1024: ed25519 keys are always 256 bits"),
        (&["key", "rm", "nope"], "no key named nope was found"),
        (&["key", "rm", "self"], "cannot remove key with name 'self'"),
        (&["key", "rename", "nope", "z"], "no key named nope was found"),
        (&["key", "rename", "s", "self"], "cannot overwrite key with name 'self'"),
        (&["key", "export", "nope"], "key with name 'nope' doesn't exist"),
        (&["key", "export", "self"], "cannot export key with name 'self'"),
    ] {
        let message = refused(&node, args);
        assert!(message.contains(why), "{args:?}: {message}");
    }
    assert_eq!(node.ok(["key", "ls"]), "self\ns");
}

#[test]
fn keys_that_can_not_be_imported_are_refused_in_kubos_words() {
    let node = Node::new();
    let (pem, p256) = (vector("ed25519.pem"), vector("p256.pem"));
    let hello = node.file("hello", "hello\n");
    let (pem, p256, hello) = (text(&pem), text(&p256), text(&hello));
    for (args, why) in [
        (&["key", "import", "x", pem][..], "try again with format=pem-pkcs8-cleartext"),
        (&["key", "import", "x", hello], "unable to unmarshall format=libp2p-protobuf-cleartext"),
        (&["key", "import", "-f", "pem-pkcs8-cleartext", "x", hello], "PEM block not found in input data"),
        (&["key", "import", "-f", "pem-pkcs8-cleartext", "x", p256], "--allow-any-key-type"),
        (&["key", "import", "self", pem], "cannot import key with name 'self'"),
    ] {
        let message = refused(&node, args);
        assert!(message.contains(why), "{args:?}: {message}");
    }
    let id = node.ok(["key", "import", "-f", "pem-pkcs8-cleartext", "--allow-any-key-type", "x", p256]);
    assert_eq!(id, "k2k4r8mbb4gkd2x4bmnhornhcmjypjpsp887nj41x3o0v031t3navysg");
}

#[test]
fn messages_are_signed_and_checked_as_in_kubo() {
    let node = with_keys();
    let hello = node.file("hello", "hello\n");
    let hello = text(&hello);
    let wanted = "uSVFnrsvDEMQ937J2inIkcRnMiVFmlayJs1fHMWb-zvgsk__p3b6LOCIvNghVDW9jYUJkHMHP-w454eZBoOUgAw";
    let signed: Value = serde_json::from_str(&node.ok(["key", "sign", "-k", "k-ed25519", hello])).expect("JSON");
    assert_eq!((signed["Key"]["Id"].as_str(), signed["Signature"].as_str()), (Some(ED25519), Some(wanted)));
    let valid = |key: &str, file: &str| {
        let answer: Value =
            serde_json::from_str(&node.ok(["key", "verify", "-k", key, "-s", wanted, file])).expect("JSON");
        answer["SignatureValid"].as_bool().expect("a boolean")
    };
    assert!(valid("k-ed25519", hello) && valid(ED25519, hello));
    let other = node.file("other", "hello");
    assert!(!valid("k-ed25519", text(&other)) && !valid("k-rsa", hello) && !valid("self", hello));
    for (key, why) in [("zork", "is not a known key"), (RSA, "")] {
        let outcome = node.run(["key", "verify", "-k", key, "-s", wanted, hello]);
        // A name that is a hash holds no key.
        let refused = !outcome.status.success() && outcome.errors().contains(why);
        assert!(refused, "{key}: {}", outcome.errors());
    }
}

#[test]
fn a_new_identity_keeps_the_old_one() {
    let node = Node::new();
    let before = node.ok(["config", "Identity.PeerID"]);
    assert!(refused(&node, &["key", "rotate"]).contains("keystore name for backing up old key must be provided"));
    assert!(refused(&node, &["key", "rotate", "-o", "self"]).contains("cannot be named 'self'"));
    let text = node.ok(["key", "rotate", "-o", "old", "-t", "rsa"]);
    assert!(text.starts_with("generating 2048-bit RSA keypair...done\npeer identity: Qm"), "{text}");
    let after = node.ok(["config", "Identity.PeerID"]);
    assert!(text.ends_with(&after) && after != before, "{text}");
    assert!(node.ok(["key", "ls", "-l", "--ipns-base=b58mh"]).contains(&format!("{before} old")));
    assert!(refused(&node, &["key", "rotate", "-o", "old"]).contains("already exists"));
    assert_eq!(node.ok(["config", "Identity.PeerID"]), after, "nothing is changed");
    node.ok(["name", "publish", "--allow-offline", "/ipfs/bafkqaaa"]);
}

#[test]
fn init_makes_keys_of_every_kind() {
    let node = Node::new();
    for (args, says) in [
        (&["-a", "rsa"][..], "generating 2048-bit RSA keypair...done\npeer identity: Qm"),
        (&["-a", "secp256k1"], "generating secp256k1 keypair...done\npeer identity: 16Uiu2HA"),
        (&["-a", "ed25519", "-b", "256"], "generating ED25519 keypair...done\npeer identity: 12D3KooW"),
    ] {
        let dir = node.work().join(args[1]);
        let mut command = node.program().command(&dir);
        let outcome = process::run(command.arg("init").args(args), None).expect("it can be started");
        assert!(outcome.text().starts_with(says), "{}{}", outcome.text(), outcome.errors());
        let mut command = node.program().command(&dir);
        let published = process::run(command.args(["name", "publish", "--allow-offline", "/ipfs/bafkqaaa"]), None);
        let published = published.expect("it can be started");
        assert!(published.text().starts_with("Published to k"), "{}", published.errors());
    }
}

#[test]
fn a_name_is_published_and_resolved_without_a_network() {
    let node = with_keys();
    let file = node.file("file", "hello\n");
    let cid = node.add(&["--cid-version=1"], &file);
    let target = format!("/ipfs/{cid}");
    let offline = refused(&node, &["name", "publish", &target]);
    assert!(offline.contains("can't publish while offline: pass `--allow-offline` to override"), "{offline}");
    let publish = |args: &[&str]| {
        let args: Vec<&str> = ["name", "publish", "--allow-offline"].iter().chain(args).copied().collect();
        node.ok(&args)
    };
    assert_eq!(publish(&["--key=k-ed25519", &target]), format!("Published to {ED25519}: {target}"));
    assert_eq!(publish(&["-Q", "-k", ED25519, &cid]), ED25519);
    let own = publish(&["-Q", "/ipfs/bafkqaaa/x/y/", "--resolve=false"]);
    assert_eq!(node.ok(["name", "resolve"]), "/ipfs/bafkqaaa/x/y/");
    assert_eq!(node.ok(["name", "resolve", &own]), "/ipfs/bafkqaaa/x/y/");
    assert_eq!(node.ok(["name", "resolve", ED25519]), target);
    assert_eq!(node.ok(["name", "resolve", "--stream", &format!("/ipns/{ED25519}/a/b")]), format!("{target}/a/b"));
    assert_eq!(json(&node, &["name", "resolve", ED25519])["Path"].as_str(), Some(target.as_str()));
    // Every command that takes a path follows names.
    let path = format!("/ipns/{ED25519}");
    assert_eq!(node.ok(["cat", &path]), "hello");
    assert_eq!(node.ok(["resolve", "-r", &path]), target);
    assert_eq!(node.ok(["dag", "resolve", &path]), cid);
    assert_eq!(
        node.bytes(["dag", "export", "--progress=false", &path]),
        node.bytes(["dag", "export", "--progress=false", &cid])
    );
    // A name may lead to a name.
    publish(&["--key=k-rsa", &path]);
    assert_eq!(node.ok(["name", "resolve", RSA]), target);
    assert_eq!(node.ok(["name", "resolve", "-r=false", RSA]), path);
    assert_eq!(node.ok(["resolve", "-r=false", &format!("/ipns/{RSA}")]), path);
    let unknown = refused(&node, &["name", "resolve", SECP256K1]);
    assert!(unknown.contains("could not resolve name"), "{unknown}");
}

#[test]
fn publishing_nonsense_is_refused_in_kubos_words() {
    let node = Node::new();
    for (args, why) in [
        (&["nope"][..], "invalid path \"nope\""),
        (&["--key=nope", "/ipfs/bafkqaaa"], "no key by the given name was found"),
        (&["--key", ED25519, "/ipfs/bafkqaaa"], "no key by the given name or PeerID was found"),
        (&["--ttl=3h", "--lifetime=1h", "/ipfs/bafkqaaa"], "ttl (3h0m0s) must not be greater than lifetime (1h0m0s)"),
        (&["--lifetime=0s", "/ipfs/bafkqaaa"], "lifetime must be greater than zero"),
        (&["/ipfs/bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64"], "not found locally"),
        (&["--sequence=0", "/ipfs/bafkqaaa"], "sequence number must be greater than the current record sequence"),
    ] {
        let args: Vec<&str> = ["name", "publish", "--allow-offline"].iter().chain(args).copied().collect();
        let message = refused(&node, &args);
        assert!(message.contains(why), "{args:?}: {message}");
    }
    assert!(refused(&node, &["name", "resolve", "/ipfs/bafkqaaa"]).contains("is not an IPNS name"));
}

#[test]
fn records_move_between_nodes() {
    let (one, two) = (with_keys(), Node::new());
    let publish = |sequence: &str, path: &str| {
        let sequence = format!("--sequence={sequence}");
        one.ok(["name", "publish", "--allow-offline", "--resolve=false", "--key=k-rsa", "--ttl=1m", &sequence, path])
    };
    publish("5", "/ipfs/bafkqaaa");
    let key = format!("/ipns/{RSA}");
    let record = one.bytes(["routing", "get", &key]);
    assert_eq!(one.bytes(["name", "get", RSA]), record);
    let event = json(&one, &["routing", "get", &key]);
    assert_eq!((event["Type"].as_u64(), event["ID"].as_str(), event["Responses"].is_null()), (Some(5), Some(""), true));
    let file = two.file("record", &record);
    let file = text(&file);
    assert!(refused(&two, &["routing", "put", &key, file]).contains("can't put while offline: pass `--allow-offline`"));
    let peer = "QmejzUye8XT9vnbqcYWsaBGXj6NUPLskRdGgmGXt82FFy4";
    assert_eq!(two.ok(["routing", "put", "--allow-offline", &key, file]), peer);
    assert_eq!(json(&two, &["routing", "put", "--allow-offline", &key, file])["ID"].as_str(), Some(peer));
    assert_eq!(two.ok(["name", "resolve", RSA]), "/ipfs/bafkqaaa");
    assert_eq!(two.ok(["name", "put", "--allow-offline", RSA, file]), RSA, "the same record again is fine");
    let shown = two.ok(["name", "inspect", "--verify", RSA, "--dump=false", file]);
    for line in [
        "Value:          \"/ipfs/bafkqaaa\"",
        "Sequence:       5",
        "TTL:            1m0s",
        "Signature Type: V1+V2",
        " Valid: true",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line:?} is not in {shown}");
    }
    publish("6", "/ipfs/bafkqaaa/new");
    two.file("newer", one.bytes(["name", "get", RSA]));
    two.ok(["name", "put", "--allow-offline", RSA, "newer"]);
    let older = refused(&two, &["name", "put", "--allow-offline", RSA, file]);
    assert!(older.contains("existing IPNS record has sequence 6 >= new record sequence 5"), "{older}");
    assert!(refused(&two, &["name", "put", "--allow-offline", ED25519, file]).contains("record validation failed"));
    assert_eq!(two.ok(["name", "resolve", RSA]), "/ipfs/bafkqaaa/new");
}

#[test]
fn an_invalid_record_is_kept_with_a_warning_and_resolves_to_nothing() {
    let node = Node::new();
    let mut record = fs::read(vector("ed25519.record")).expect("there");
    let last = record.len() - 1;
    record[last] ^= 1;
    let file = node.file("broken", record);
    let outcome = node.run(["routing", "put", "--allow-offline", &format!("/ipns/{ED25519}"), text(&file)]);
    assert!(outcome.status.success() && outcome.errors().contains("not valid"), "{}", outcome.errors());
    let message = refused(&node, &["name", "resolve", ED25519]);
    assert!(message.contains("signature verification failed"), "{message}");
    for key in ["/foo/x", "/ipns/nope", "ipns"] {
        refused(&node, &["routing", "get", key]);
    }
}

#[test]
fn inspect_says_what_kubo_says() {
    let node = Node::new();
    let file = vector("ed25519-v2.record");
    let record: Value = json(&node, &["name", "inspect", "--dump=false", text(&file)]);
    let wanted = r#"{"Entry":{"Value":"/ipfs/bafkqaddimvwgy3zao5xxe3debi","ValidityType":0,"Validity":"2027-11-21T12:25:34.72680518Z","Sequence":7,"TTL":60000000000},"PbSize":187,"SignatureType":"V2","HexDump":"","Validation":null}"#;
    assert_eq!(record, serde_json::from_str::<Value>(wanted).expect("JSON"));
    let text = node.feed_bytes(["name", "inspect"], fs::read(&file).expect("there"));
    let dump = "00000000  42 40 db 45 86 d1 06 6c  2a 9f fb 38 69 c9 4d ba  |B@.E...l*..8i.M.|";
    assert!(text.contains("This record was not verified.") && text.contains(dump), "{text}");
    let rsa = vector("rsa.record");
    let mismatch = json(&node, &["name", "inspect", "--verify", ED25519, rsa.to_str().expect("UTF-8")]);
    assert_eq!(mismatch["Validation"]["Valid"].as_bool(), Some(false));
    assert_eq!(
        mismatch["Validation"]["Reason"].as_str(),
        Some("record public key does not match the expected public key")
    );
    assert_eq!(mismatch["Validation"]["Name"].as_str(), Some(ED25519));
}

#[test]
fn the_static_map_answers_for_domains() {
    let node = Node::new();
    let file = node.file("file", "hello\n");
    let cid = node.add(&["--cid-version=1", "-w"], &file);
    let map = format!("a.example:/ipns/b.example/file,b.example:/ipfs/{cid},l.example:/ipns/l.example");
    let run = |args: &[&str]| {
        let mut command = node.command(args);
        process::run(command.env("IPFS_NS_MAP", &map), None).expect("the program can be started")
    };
    let path = format!("/ipfs/{cid}/file\n");
    assert_eq!(run(&["name", "resolve", "a.example"]).text(), path);
    assert_eq!(run(&["name", "resolve", "ipns://a.example"]).text(), path);
    assert_eq!(run(&["name", "resolve", "-r=false", "a.example"]).text(), "/ipns/b.example/file\n");
    assert_eq!(run(&["--offline", "cat", "/ipns/b.example/file"]).text(), "hello\n");
    let endless = run(&["name", "resolve", "l.example"]);
    assert!(endless.errors().contains("recursion limit exceeded"), "{}", endless.errors());
    let offline = run(&["--offline", "name", "resolve", "c.example"]);
    assert!(offline.errors().contains("could not resolve name"), "{}", offline.errors());
    let mut command = node.command(["name", "resolve", "a.example"]);
    let broken = process::run(command.env("IPFS_NS_MAP", "a.example"), None).expect("the program can be started");
    assert!(broken.errors().contains("IPFS_NS_MAP"), "{}", broken.errors());
}
