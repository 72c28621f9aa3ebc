//! Known answers are keys and signatures of Kubo 0.44: `net/tests/vectors/names`.

use super::*;
use libp2p::identity::{KeyType, PublicKey};

/// Kind, protobuf, PEM and name of one key of each kind.
fn vectors() -> [(KeyType, &'static [u8], &'static [u8], &'static str); 4] {
    macro_rules! vector {
        ($name:literal) => {
            (
                &include_bytes!(concat!("../../tests/vectors/names/", $name, ".key"))[..],
                &include_bytes!(concat!("../../tests/vectors/names/", $name, ".pem"))[..],
            )
        };
    }
    let (ed25519, rsa, secp256k1, p256) = (vector!("ed25519"), vector!("rsa"), vector!("secp256k1"), vector!("p256"));
    [
        (KeyType::Ed25519, ed25519.0, ed25519.1, "k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k"),
        (KeyType::RSA, rsa.0, rsa.1, "k2k4r8phop4x2pzuzhbh92kyw60nqfzg3f4chrmnd6roiu3e52ce73m3"),
        (
            KeyType::Secp256k1,
            secp256k1.0,
            secp256k1.1,
            "kzwfwjn5ji4puonrlpp7mth5jm6ilgo4zbmmuyxpjh02h9ryxcnfr2d9x2r08dm",
        ),
        (KeyType::Ecdsa, p256.0, p256.1, "k2k4r8mbb4gkd2x4bmnhornhcmjypjpsp887nj41x3o0v031t3navysg"),
    ]
}

fn name(key: &PrivateKey) -> String {
    crate::ipns::Name::from(key.peer_id()).to_string()
}

fn store() -> (tempfile::TempDir, Keystore) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let store = Keystore::of_repo(dir.path());
    (dir, store)
}

fn new_key() -> PrivateKey {
    PrivateKey::generate(Algorithm::Ed25519).expect("a key")
}

#[test]
fn keys_of_kubo_are_read_and_written_byte_for_byte() {
    for (kind, protobuf, pem, id) in vectors() {
        let key = PrivateKey::from_protobuf(protobuf).expect("protobuf");
        assert_eq!((key.kind(), name(&key).as_str()), (kind, id));
        assert_eq!(key.to_protobuf(), protobuf);
        assert_eq!(key.to_pem().expect("PEM").as_bytes(), pem);
        let again = PrivateKey::from_pem(pem).expect("PEM");
        assert_eq!((again.to_protobuf(), name(&again).as_str()), (protobuf, id));
        assert!(is_pem(pem) && !is_pem(protobuf));
        key.to_keypair().expect("a key for the transports");
    }
}

/// `ipfs key sign` of "hello\n".
#[test]
fn signatures_are_those_of_kubo() {
    let wanted = [
        "uSVFnrsvDEMQ937J2inIkcRnMiVFmlayJs1fHMWb-zvgsk__p3b6LOCIvNghVDW9jYUJkHMHP-w454eZBoOUgAw",
        "uJKrzYGntCIi8w1zPJPBsdyXFiNnWJAq2DJmjn7Z_Kf9mJzJ92ph3q8-hueQwdUwnDfUOMPw9KGfu0_wrsvdSNcJmfoFJQwRI-sSUTkJCkys_T\
         -G7qraWPb7vFR1lv6j149QnvPoBUCU45DBS2UsLwpqiL_N0PuNAp09JbRBVi-IzoglURtEbAHFDCsnFA4APSLMB-b_7tLsImOo8ydC5xUPHM__\
         UhIK9DHOuEsJtzutE9GgwFyXapv63R6O8GpHNi8PySFds3yrDtzXRPavrPhJW4FdeIm1konVJ1mlJHokbdP6AbD2qD547ahjxCndRP7Gf1zdH4\
         Z5t_dsuVFnSHw",
        "uMEUCIQD7Z5RoIiC-PCGRLNNf-SNVu3WCE_163Yln950FJJsuOwIgNQBSTYf0ZtpRuorTLhaUjmPWk3Wgj4h979DVSAvXuaI",
    ];
    for ((kind, protobuf, ..), wanted) in vectors().into_iter().zip(wanted) {
        let key = PrivateKey::from_protobuf(protobuf).expect("protobuf");
        let (_, signature) = multibase::decode(wanted).expect("multibase");
        assert!(verify_message(key.public(), b"hello\n", &signature), "{kind:?}");
        assert!(!verify_message(key.public(), b"hello", &signature), "{kind:?}");
        assert_eq!(key.sign_message(b"hello\n").expect("signed"), signature, "{kind:?}: each is deterministic");
    }
}

#[test]
fn keys_of_every_kind_can_be_made() {
    for algorithm in [Algorithm::Ed25519, Algorithm::Secp256k1, Algorithm::Rsa(2048)] {
        let key = PrivateKey::generate(algorithm).expect("made");
        let again = PrivateKey::from_protobuf(key.to_protobuf()).expect("read");
        let pem = PrivateKey::from_pem(key.to_pem().expect("PEM").as_bytes()).expect("read");
        assert_eq!((name(&again), name(&pem)), (name(&key), name(&key)), "{algorithm:?}");
        let signature = key.sign(b"x").expect("signed");
        assert!(again.public().verify(b"x", &signature) && !again.public().verify(b"y", &signature));
    }
}

#[test]
fn sizes_that_nobody_should_use_are_refused_in_kubos_words() {
    for (kind, bits, why) in [
        ("rsa", Some(1024), "rsa keys must be >= 2048 bits to be useful"),
        ("rsa", Some(8193), "rsa keys must be <= 8192 bits"),
        ("ed25519", Some(1024), "invalid key size 1024: ed25519 keys are always 256 bits"),
        ("secp256k1", Some(0), "invalid key size 0: secp256k1 keys are always 256 bits"),
        ("foo", None, "unrecognized key type: foo"),
    ] {
        assert_eq!(Algorithm::parse(kind, bits).expect_err(kind).to_string(), why);
    }
    assert_eq!(Algorithm::parse("rsa", None).expect("default"), Algorithm::Rsa(2048));
    assert_eq!(Algorithm::parse("ed25519", Some(256)).expect("its size"), Algorithm::Ed25519);
}

/// CVE-2023-39533: an RSA key with a long modulus makes its verifier work for long.
#[test]
fn rsa_keys_over_8192_bits_are_refused() {
    let public = |bits: usize| {
        let modulus = [&[0][..], &vec![0xff; bits / 8]].concat();
        let pkcs1 = der::element(
            der::SEQUENCE,
            &[der::element(der::INTEGER, &modulus), der::element(der::INTEGER, &[1, 0, 1])].concat(),
        );
        let algorithm = [
            der::element(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
            der::element(der::NULL, &[]),
        ];
        let bit_string = der::element(der::BIT_STRING, &[&[0][..], &pkcs1].concat());
        let spki =
            der::element(der::SEQUENCE, &[der::element(der::SEQUENCE, &algorithm.concat()), bit_string].concat());
        let mut out = Vec::new();
        crate::protobuf::push_number(&mut out, 1, 0);
        crate::protobuf::push_bytes(&mut out, 2, &spki);
        PublicKey::try_decode_protobuf(&out).expect("it is well-formed")
    };
    check_public(&public(8192)).expect("the longest that is allowed");
    check_public(&public(2048)).expect("the shortest that is allowed");
    for bits in [8200, 16384, 1024] {
        assert!(check_public(&public(bits)).is_err(), "{bits}");
        assert!(!verify_message(&public(bits), b"x", &vec![0; bits / 8]));
    }
    // A private key of that size is refused before anything is computed with it.
    let integer = |bits: usize| der::element(der::INTEGER, &[&[0][..], &vec![0xff; bits / 8]].concat());
    let private = der::element(der::SEQUENCE, &[der::element(der::INTEGER, &[0]), integer(16384)].concat());
    let error = PrivateKey::from_parts(KeyType::RSA, &private).expect_err("too long").to_string();
    assert_eq!(error, "rsa keys must be <= 8192 bits");
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    let ed25519 = vectors()[0].1;
    let mut other_half = ed25519.to_vec();
    other_half[67] ^= 1;
    for bytes in [&b""[..], b"hello\n", &ed25519[..60], &other_half, &[8, 9, 18, 0], &[8, 1], &[0; MAX_ENCODED + 1]] {
        assert!(PrivateKey::from_protobuf(bytes).is_err(), "{bytes:?}");
    }
    let [_, rsa, ..] = vectors();
    let pem = std::str::from_utf8(rsa.2).expect("text");
    for text in [
        "",
        "hello",
        &pem.replace("PRIVATE", "PUBLIC"),
        &pem.replace("MII", "MIX"),
        &pem[..500],
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----",
    ] {
        assert!(PrivateKey::from_pem(text.as_bytes()).is_err(), "{text}");
    }
}

/// Keys of go-ipfs before 0.4.21 repeat the public half.
#[test]
fn old_ed25519_keys_are_read() {
    let (_, protobuf, _, id) = vectors()[0];
    let data = [&protobuf[4..], &protobuf[36..]].concat();
    let mut old = vec![8, 1, 18, 96];
    old.extend_from_slice(&data);
    assert_eq!(name(&PrivateKey::from_protobuf(&old).expect("read")), id);
    old[99] ^= 1;
    assert!(PrivateKey::from_protobuf(&old).is_err());
}

/// The names and the bytes of the files are those in a keystore that Kubo made.
#[test]
fn the_directory_is_kubos() {
    let (dir, store) = store();
    let kubo = [
        ("k-ed25519", "key_nmwwkzbsgu2tcoi", vectors()[0].1),
        ("k-rsa", "key_nmwxe43b", vectors()[1].1),
        ("k-secp256k1", "key_nmwxgzldoazdkntlge", vectors()[2].1),
    ];
    for (name, file, bytes) in kubo {
        store.put(name, &PrivateKey::from_protobuf(bytes).expect("a key")).expect("kept");
        let path = dir.path().join("keystore").join(file);
        assert_eq!(fs::read(&path).expect("there"), bytes);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(dir.path().join("keystore")).expect("there").permissions().mode() & 0o777, 0o700);
    let names: Vec<String> = store.list().expect("listed").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["k-ed25519", "k-rsa", "k-secp256k1"]);
}

#[test]
fn of_many_who_take_one_name_at_once_one_has_it() {
    let (_dir, store) = store();
    let taken = |take: &(dyn Fn(usize) -> bool + Sync)| {
        let barrier = std::sync::Barrier::new(8);
        let took = |i| {
            barrier.wait();
            take(i)
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|i| scope.spawn(move || took(i))).collect();
            all.into_iter().map(|one| one.join().expect("no panic")).filter(|took| *took).count()
        })
    };
    let keys: Vec<PrivateKey> = (0..8).map(|_| new_key()).collect();
    for round in 0..20 {
        assert_eq!(taken(&|i| store.put(&format!("put {round}"), &keys[i]).is_ok()), 1, "round {round}");
        (0..8).for_each(|i| store.put(&format!("{round} {i}"), &keys[i]).expect("a new name"));
        let rename = |i| store.rename(&format!("{round} {i}"), &format!("renamed {round}"), false).is_ok();
        assert_eq!(taken(&rename), 1, "round {round}");
    }
    assert_eq!(store.list().expect("listed").len(), 20 + 20 * 8, "and no key is lost");
}

#[test]
fn names_are_kept_renamed_and_removed() {
    let (_dir, store) = store();
    let (a, b) = (new_key(), new_key());
    assert!(store.list().expect("empty").is_empty());
    assert!(matches!(store.get("a"), Err(KeyError::NotFound)));
    store.put("a", &a).expect("kept");
    assert!(matches!(store.put("a", &b), Err(KeyError::Exists)));
    store.put("b/ü", &b).expect("any name");
    assert!(matches!(store.rename("a", "b/ü", false), Err(KeyError::Exists)));
    assert!(!store.rename("a", "a", true).expect("nothing to do").1);
    assert!(!store.rename("a", "c", false).expect("renamed").1);
    assert!(store.rename("c", "b/ü", true).expect("renamed").1);
    assert_eq!(name(&store.get("b/ü").expect("there")), name(&a));
    assert!(matches!(store.rename("c", "d", true), Err(KeyError::NotFound)));
    assert_eq!(name(&store.remove("b/ü").expect("removed")), name(&a));
    assert!(matches!(store.remove("b/ü"), Err(KeyError::NotFound)));
}

#[test]
fn names_that_can_be_no_file_are_refused() {
    let (_dir, store) = store();
    let key = new_key();
    for bad in ["", "a\0b", &"x".repeat(MAX_NAME + 1)] {
        assert!(matches!(store.put(bad, &key), Err(KeyError::Name(_))), "{bad:?}");
    }
    for good in ["..", "/", "-", " ", &"x".repeat(MAX_NAME)] {
        store.put(good, &key).expect("a file of its own");
        assert!(store.has(good).expect("examined"));
    }
}

#[test]
fn keys_are_found_by_name_and_by_id() {
    let (_dir, store) = store();
    let (own, key) = (new_key(), new_key());
    store.put("a", &key).expect("kept");
    let found = |text: &str| store.find(text, &own).map(|key| name(&key));
    assert_eq!(found("a").expect("by name"), name(&key));
    assert_eq!(found(&name(&key)).expect("by CID"), name(&key));
    assert_eq!(found(&key.peer_id().to_base58()).expect("by peer ID"), name(&key));
    assert_eq!(found(&name(&own)).expect("own"), name(&own));
    assert_eq!(found(SELF).expect("own"), name(&own));
    assert_eq!(found("b").expect_err("unknown").to_string(), "no key by the given name was found");
    let other = name(&new_key());
    assert_eq!(found(&other).expect_err("unknown").to_string(), "no key by the given name or PeerID was found");
}

#[test]
fn files_that_are_no_keys_are_left_out() {
    let (dir, store) = store();
    store.put("a", &new_key()).expect("kept");
    for file in ["README", "key_!", "key_mf", "key_", "KEY_ME", ".tmp-x"] {
        fs::write(dir.path().join("keystore").join(file), "x").expect("written");
    }
    let names: Vec<String> = store.list().expect("listed").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a"]);
}
