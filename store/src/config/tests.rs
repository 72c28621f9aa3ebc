use super::*;
use crate::unixfs::profile::{HamtEstimate, Layout};
use proptest::prelude::*;
use serde_json::json;

/// What Kubo 0.44 changes in a new configuration: profile → key → value.
const KUBO_PROFILES: &str = include_str!("kubo-profiles.json");

fn fresh() -> Config {
    Config::defaults("12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV", "secret")
}

fn error<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn defaults_pass_their_own_check() {
    fresh().check().expect("defaults are valid");
    for profile in PROFILES {
        let mut config = fresh();
        config.apply(profile.name).expect("every listed profile applies");
        config.check().unwrap_or_else(|e| panic!("{}: {e}", profile.name));
    }
}

#[test]
fn profiles_change_what_kubo_changes() {
    let golden: Map<String, Value> = serde_json::from_str(KUBO_PROFILES).expect("golden file");
    assert_eq!(golden.len(), 12);
    for (name, changes) in golden {
        let mut config = fresh();
        config.apply(&name).expect("a known profile");
        for (key, value) in changes.as_object().expect("an object") {
            assert_eq!(config.get(key).expect("is set"), value, "{name}: {key}");
        }
    }
}

#[test]
fn opposite_profiles_undo_each_other() {
    for (there, back) in [("server", "local-discovery"), ("autoconf-off", "autoconf-on")] {
        let mut config = fresh();
        let before = [config.get_strings("Swarm.AddrFilters").expect("strings").unwrap_or_default().len()];
        config.apply(there).expect("applies");
        config.apply(back).expect("applies");
        let after = [config.get_strings("Swarm.AddrFilters").expect("strings").unwrap_or_default().len()];
        assert_eq!(before, after);
        assert_eq!(config.get("Bootstrap").expect("set"), &json!(["auto"]));
    }
    let mut twice = fresh();
    twice.apply("server").expect("applies");
    let once = twice.clone();
    twice.apply("server").expect("applies");
    assert_eq!(once, twice, "filters are not added a second time");
}

#[test]
fn a_datastore_of_kubo_is_refused_with_the_reason() {
    assert!(error(fresh().apply("flatfs")).contains("RocksDB"));
    assert_eq!(error(fresh().apply("nope")), "nope is not a profile");
}

#[test]
fn unknown_keys_and_the_order_of_keys_survive() {
    let text = r#"{"Zebra": {"b": 1, "a": [2]}, "Datastore": {"Mine": true, "StorageMax": "1GB"}}"#;
    let mut config = Config::parse(text.as_bytes()).expect("an object");
    config.check().expect("unknown keys are no error");
    config.set("Datastore.StorageMax", json!("2GB")).expect("known key");
    let compact = Value::Object(config.as_map().clone()).to_string();
    assert_eq!(compact, r#"{"Zebra":{"b":1,"a":[2]},"Datastore":{"Mine":true,"StorageMax":"2GB"}}"#);
}

#[test]
fn keys_are_refused_in_the_words_of_kubo() {
    let mut config = fresh();
    assert_eq!(error(config.get("Nope")), "Nope not found");
    assert_eq!(error(config.get("Datastore.Nope")), "Datastore.Nope not found");
    assert_eq!(error(config.get("Datastore.StorageMax.x")), "Datastore.StorageMax key is not a map");
    assert_eq!(error(config.get("datastore.storagemax")), "datastore not found");
    assert_eq!(error(config.set("Foo.Bar", json!("x"))), "Foo not found");
    assert_eq!(error(config.set("Datastore.StorageMax.x", json!("x"))), "Datastore.StorageMax key is not a map");
    assert_eq!(error(config.set("", json!(1))), " not found");
    for key in ["Swarm.ConnMgr.LowWater", "Gateway.HTTPHeaders.X-Mine", "Internal.Bitswap.TaskWorkerCount", "Swarm"] {
        schema::find(key).unwrap_or_else(|e| panic!("{key}: {e}"));
    }
}

#[test]
fn a_wrong_type_names_the_key_what_it_holds_and_what_it_must_hold() {
    let cases = [
        ("Import.CidVersion", json!("1"), r#"Import.CidVersion is the string "1", but must be an integer"#),
        ("Import.CidVersion", json!(7), "Import.CidVersion: must be 0 or 1, got 7"),
        (
            "Import.UnixFSRawLeaves",
            json!("default"),
            r#"Import.UnixFSRawLeaves is the string "default", but must be true, false or null"#,
        ),
        ("Datastore", json!(5), "Datastore is 5, but must be an object"),
        (
            "Datastore",
            json!({"StorageMax": []}),
            r#"Datastore.StorageMax is the list [], but must be a size such as "10GB""#,
        ),
        (
            "Datastore.StorageMax",
            json!("10QB"),
            r#"Datastore.StorageMax: "10QB" is not a size: write for example 10GB, 512MiB or 1000000"#,
        ),
        (
            "Swarm.ConnMgr.GracePeriod",
            json!("x"),
            r#"Swarm.ConnMgr.GracePeriod: "x" is not a duration: write for example 30s, 5m or 1h30m"#,
        ),
        (
            "Swarm.Transports.Security.TLS",
            json!(true),
            "Swarm.Transports.Security.TLS is true, but must be false or an integer above 0",
        ),
        ("Bootstrap", json!(["a", 1]), r#"Bootstrap is the list ["a",1], but must be a list of strings"#),
        (
            "Import.UnixFSHAMTDirectoryMaxFanout",
            json!(24),
            "Import.UnixFSHAMTDirectoryMaxFanout: must be a power of 2, between 8 and 1024, got 24",
        ),
    ];
    for (key, value, message) in cases {
        let mut config = fresh();
        assert_eq!(error(config.set(key, value.clone())), message);
        assert_eq!(config, fresh(), "a refused value changes nothing");
        // The same in a file that somebody edited.
        config.put(key, value).expect("the way is free");
        assert_eq!(error(config.check()), message);
    }
}

#[test]
fn a_long_value_is_cut_in_an_error() {
    let message = error(fresh().set("Bootstrap", json!("ä".repeat(5000))));
    assert!(message.len() < 200, "{message}");
}

#[test]
fn null_absent_and_empty_mean_the_default() {
    let config =
        Config::parse(br#"{"Swarm": null, "Datastore": {"StorageMax": "", "GCPeriod": "default"}}"#).expect("json");
    config.check().expect("valid");
    assert_eq!(config.get_int("Swarm.ConnMgr.LowWater").expect("default"), None);
    assert_eq!(config.get_size("Datastore.StorageMax").expect("default"), None);
    assert_eq!(config.get_duration("Datastore.GCPeriod").expect("default"), None);
    assert_eq!(config.get_bool("Datastore.HashOnRead").expect("default"), None);
    assert_eq!(config.import().expect("default"), ImportConfig::default());
}

#[test]
fn typed_reading() {
    let config = fresh();
    assert_eq!(config.get_size("Datastore.StorageMax").expect("size"), Some(10_000_000_000));
    assert_eq!(config.get_int("Datastore.StorageGCWatermark").expect("int"), Some(90));
    assert_eq!(config.get_duration("Datastore.GCPeriod").expect("duration"), Some(Duration::from_secs(3600)));
    assert_eq!(config.get_strings("Addresses.API").expect("strings"), Some(vec!["/ip4/127.0.0.1/tcp/5001"]));
    assert_eq!(config.get_bool("Discovery.MDNS.Enabled").expect("bool"), Some(true));
    assert!(config.get_bool("Datastore.StorageMax").is_err());
}

#[test]
fn the_import_section_is_read_whole() {
    let mut config = fresh();
    config.apply("unixfs-v1-2025").expect("applies");
    let import = config.import().expect("valid");
    assert_eq!(import.cid_version, Some(1));
    assert_eq!(import.raw_leaves, Some(true));
    assert_eq!(import.chunker.as_deref(), Some("size-1048576"));
    assert_eq!(import.hash.map(crate::hash::HashFn::name), Some("sha2-256"));
    assert_eq!(import.file_max_links, Some(1024));
    assert_eq!(import.hamt_threshold, Some(262_144));
    assert_eq!(import.hamt_estimation, Some(HamtEstimate::Block));
    assert_eq!(import.layout, Some(Layout::Balanced));
    for (key, value) in [
        ("UnixFSChunker", json!("size-0")),
        ("UnixFSChunker", json!("rabin-9-5-20")),
        ("HashFunction", json!("md5")),
        ("UnixFSFileMaxLinks", json!(0)),
        ("UnixFSDirectoryMaxLinks", json!(-1)),
        ("UnixFSDAGLayout", json!("flat")),
        ("BatchMaxSize", json!(0)),
    ] {
        let key = format!("Import.{key}");
        assert!(error(config.set(&key, value)).starts_with(&key));
    }
}

#[test]
fn a_replacement_keeps_the_key_and_the_credentials() {
    let services = |api: Value| json!({"one": {"API": api, "Policies": {"MFS": {"Enable": true}}}});
    let mut config = fresh();
    config.put("Pinning.RemoteServices", services(json!({"Endpoint": "https://e", "Key": "k"}))).expect("free way");
    let with = |services: Value| {
        let text = json!({"Identity": {"PeerID": "x"}, "Mine": 1, "Pinning": {"RemoteServices": services}});
        Config::parse(text.to_string().as_bytes()).expect("an object")
    };
    let mut changed = config.clone();
    changed.replace(with(services(json!({"Endpoint": "https://e"})))).expect("nothing secret changes");
    assert_eq!(changed.get("Identity").expect("kept"), config.get("Identity").expect("there"));
    assert_eq!(changed.get("Pinning.RemoteServices.one.API.Key").expect("kept"), "k");
    assert_eq!(changed.get("Mine").expect("taken over"), 1);
    assert!(changed.get("Datastore").is_err(), "all else is as in the file");
    for refused in [json!({}), services(json!({"Key": "l"})), services(json!({"Endpoint": "https://f"}))] {
        assert!(error(config.clone().replace(with(refused))).contains("pinning services"));
    }
    let own_key = Config::parse(br#"{"Identity": {"PrivKey": "mine"}}"#).expect("an object");
    assert!(error(config.clone().replace(own_key)).contains("private key"));
}

#[test]
fn secrets_are_not_shown() {
    let mut config = fresh();
    config
        .put_all(
            "Pinning.RemoteServices",
            json!({"one": {"API": {"Endpoint": "https://e", "Key": "SECRET"}, "Policies": {}}}),
        )
        .expect("free way");
    config.put("API.Authorizations", json!({"a": {"AuthSecret": "SECRET"}})).expect("free way");
    config.put("Identity.privkey", json!("SECRET")).expect("free way");
    let shown = config.public().to_string();
    assert!(!shown.contains("SECRET") && !shown.contains("PrivKey"), "{shown}");
    assert!(shown.contains("https://e") && shown.contains("PeerID"), "the rest stays");
}

#[test]
fn files_are_replaced_whole_and_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("config");
    fresh().save(&path).expect("first");
    let mut second = fresh();
    second.apply("test").expect("applies");
    second.save(&path).expect("second");
    assert_eq!(Config::load(&path).expect("readable"), second);
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).expect("folder").count(), 1, "no temporary files are left");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("config", &link).expect("link");
    fresh().save(&link).expect("through the link");
    assert_eq!(Config::load(&path).expect("readable"), fresh());
    assert!(fresh().save(&dir.path().join("no/such/folder")).is_err());
}

#[test]
fn broken_files_are_named() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("config");
    for text in ["", "{", "[]", "7", "{\"a\": 1} x", &"[".repeat(100_000)] {
        std::fs::write(&path, text).expect("write");
        let message = error(Config::load(&path));
        assert!(message.contains("config") && message.contains("JSON"), "{message}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[0-9.]{1,6}[a-zA-Z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[A-Za-z.*]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_breaks_anything(value in any_json(), at in 0usize..400, text in ".*") {
        let keys: Vec<String> = fresh().as_map().keys().cloned().collect();
        let mut config = fresh();
        let key = &keys[at % keys.len()];
        if config.set(key, value.clone()).is_ok() {
            prop_assert!(config.check().is_ok(), "{key} = {value}");
        }
        let _ = config.put(key, value);
        let _ = config.check();
        let _ = config.public();
        for profile in PROFILES {
            let _ = config.clone().apply(profile.name);
        }
        let _ = parse_size(&text);
        let _ = parse_duration(&text);
        let _ = Config::parse(text.as_bytes());
        let _ = config.set(&text, Value::Null);
    }
}
