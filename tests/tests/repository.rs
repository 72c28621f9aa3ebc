//! `init`, `config`, `version`, `commands` and `completions`, and what becomes of a repository between processes.
//! Texts that clients know are those of Kubo 0.44.

use cairn_tests::{harness::Node, process};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Cursor, Read},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// The message of a command that must fail.
#[track_caller]
fn refused(node: &Node, args: &[&str]) -> String {
    let outcome = node.run(args);
    assert_eq!(outcome.status.code(), Some(1), "{args:?}: {}", outcome.text());
    outcome.errors()
}

/// A command on another directory than the node's own.
fn elsewhere(node: &Node, repo: &Path, args: &[&str]) -> process::Outcome {
    let mut command = node.program().command(repo);
    process::run(command.args(args), None).expect("the program can be started")
}

#[test]
fn init_says_what_kubo_says_and_only_once() {
    let node = Node::new();
    let dir = node.work().join("new");
    let outcome = elsewhere(&node, &dir, &["init", "-p", "server,unixfs-v1-2025"]);
    let text = outcome.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "generating ED25519 keypair...done");
    assert!(lines[1].starts_with("peer identity: 12D3KooW"), "{text}");
    assert!(lines[2].ends_with(dir.to_str().expect("UTF-8")), "{text}");
    assert_eq!(fs::metadata(dir.join("config")).expect("there").permissions().mode() & 0o777, 0o600);
    let get = |key: &str| elsewhere(&node, &dir, &["config", key]).text();
    assert_eq!(get("Identity.PeerID"), format!("{}\n", &lines[1]["peer identity: ".len()..]));
    assert_eq!(get("Import.UnixFSChunker"), "size-1048576\n");
    assert_eq!(get("Swarm.DisableNatPortMap"), "true\n");
    let again = elsewhere(&node, &dir, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.errors().contains("configuration file already exists!\nReinitializing would overwrite your keys"));
}

#[test]
fn a_refused_init_makes_nothing() {
    let node = Node::new();
    for (args, why) in [
        (&["init", "-p", "nope"][..], "invalid configuration profile: nope"),
        (&["init", "-p", "flatfs"], "RocksDB"),
        (&["init", "-a", "rsa", "-b", "1024"], "rsa keys must be >= 2048 bits to be useful"),
        (&["init", "-a", "foo"], "unrecognized key type: foo"),
        (&["init", "-b", "2048"], "invalid key size 2048: ed25519 keys are always 256 bits"),
        (&["init", "--empty-repo=false"], "help files"),
        (&["init", "/nowhere/config"], "/nowhere/config"),
    ] {
        let dir = node.work().join("never");
        let outcome = elsewhere(&node, &dir, args);
        assert_eq!(outcome.status.code(), Some(1), "{args:?}");
        assert!(outcome.errors().contains(why), "{args:?}: {}", outcome.errors());
        assert!(!dir.exists(), "{args:?}");
    }
}

#[test]
fn a_repository_is_made_at_first_use_with_a_notice() {
    let node = Node::new();
    let dir = node.work().join("new");
    let outcome = elsewhere(&node, &dir, &["config", "Datastore.StorageMax"]);
    assert_eq!(outcome.text(), "10GB\n");
    assert!(outcome.errors().contains("made a new repository at"), "{}", outcome.errors());
    assert_eq!(elsewhere(&node, &dir, &["config", "Datastore.StorageMax"]).errors(), "");
}

#[test]
fn a_configuration_is_carried_to_a_new_repository() {
    let node = Node::new();
    let given = node.repo().join("config");
    let dir = node.work().join("new");
    let outcome = elsewhere(&node, &dir, &["init", given.to_str().expect("UTF-8")]);
    assert!(outcome.status.success(), "{}", outcome.errors());
    assert_eq!(fs::read(dir.join("config")).expect("there"), fs::read(given).expect("there"));
    let keyless = node.file("keyless", r#"{"Datastore": {}}"#);
    let refused = elsewhere(&node, &node.work().join("other"), &["init", keyless.to_str().expect("UTF-8")]);
    assert!(refused.errors().contains("Identity.PrivKey"), "{}", refused.errors());
}

#[test]
fn a_second_process_is_told_who_has_the_repository() {
    let node = Node::new();
    // An import that waits for its input holds the repository.
    let mut holder = node.command(["add", "-Q"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let pid = holder.id().to_string();
    while fs::read_to_string(node.repo().join("repo.lock")).is_ok_and(|text| text.trim() != pid) {
        assert!(holder.try_wait().expect("a child").is_none(), "it ended before it had the repository");
        std::thread::yield_now();
    }
    let message = refused(&node, &["pin", "ls"]);
    assert!(message.contains("in use by process") && message.contains(&pid), "{message}");
    assert!(refused(&node, &["config", "Datastore.StorageMax", "1GB"]).contains(&pid));
    assert_eq!(node.ok(["config", "Datastore.StorageMax"]), "10GB", "reading the configuration needs no lock");
    drop(holder.stdin.take());
    let mut cid = String::new();
    holder.stdout.take().expect("piped").read_to_string(&mut cid).expect("readable");
    assert!(holder.wait().expect("ends").success());
    // The empty file, by Kubo.
    assert_eq!(cid.trim(), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    node.ok(["pin", "ls"]);
}

#[test]
fn a_repository_of_kubo_is_left_untouched() {
    let node = Node::new();
    let kubo = node.work().join("kubo");
    fs::create_dir_all(kubo.join("blocks")).expect("folder");
    for (name, text) in [("version", "18\n"), ("config", "{}"), ("datastore_spec", "{}"), ("blocks/SHARDING", "x")] {
        fs::write(kubo.join(name), text).expect("write");
    }
    for args in [&["init"][..], &["pin", "ls"], &["config", "show"], &["repo", "gc"]] {
        let outcome = elsewhere(&node, &kubo, args);
        assert_eq!(outcome.status.code(), Some(1), "{args:?}");
        assert!(outcome.errors().contains("repository of Kubo") && outcome.errors().contains("dag export"));
    }
    let mut names: Vec<_> = fs::read_dir(&kubo).expect("folder").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["blocks", "config", "datastore_spec", "version"]);
}

#[test]
fn scripts_for_kubo_name_the_repository_their_way_and_its_own_is_passed_by() {
    let node = Node::new();
    let (dir, home) = (node.work().join("named"), node.work().join("home"));
    let init = || {
        let mut command = node.program().command(&dir);
        command.env_remove("CAIRN_PATH").env("IPFS_PATH", &dir).env("HOME", &home).args(["init", "--profile=test"]);
        process::run(&mut command, None).expect("the program can be started").text()
    };
    let said = init();
    assert!(said.trim_end().ends_with(dir.to_str().expect("UTF-8")), "{said}");
    fs::remove_dir_all(&dir).expect("removes");
    fs::create_dir_all(&dir).expect("makes");
    fs::write(dir.join("datastore_spec"), "{}").expect("writes");
    let said = init();
    assert!(said.trim_end().ends_with(home.join(".cairn").to_str().expect("UTF-8")), "{said}");
}

#[test]
fn keys_are_read_and_set_as_in_kubo() {
    let node = Node::new();
    for (args, why) in [
        (&["config", "Nope"][..], r#"failed to get config value: "Nope not found""#),
        (&["config", "Datastore.Nope"], r#"failed to get config value: "Datastore.Nope not found""#),
        (&["config", "Datastore.StorageMax.x"], r#""Datastore.StorageMax key is not a map""#),
        (&["config", "datastore.storagemax"], r#""datastore not found""#),
        (&["config", "Foo.Bar", "x"], "failed to set config value: Foo not found (maybe use --json?)"),
        (&["config", "Import.CidVersion", "1"], "Import.CidVersion is the string \"1\", but must be an integer"),
        (&["config", "--json", "Datastore.StorageMax", "nope"], "failed to unmarshal json."),
        (&["config", "Identity"], "cannot show or change private key through API"),
        (&["config", "identity.privkey", "x"], "cannot show or change private key through API"),
        (&["config", "Identity.PeerID", "foo"], "does not match the node's private key"),
        (&["config", "Pinning.RemoteServices"], "cannot show or change pinning services credentials"),
    ] {
        let before = fs::read(node.repo().join("config")).expect("there");
        let message = refused(&node, args);
        assert!(message.contains(why), "{args:?}: {message}");
        assert_eq!(fs::read(node.repo().join("config")).expect("there"), before, "{args:?}");
    }
    assert_eq!(node.ok(["config", "--json", "Datastore.StorageGCWatermark", "80"]), "");
    assert_eq!(node.ok(["config", "Datastore.StorageGCWatermark"]), "80");
    assert_eq!(node.ok(["config", "--bool", "Discovery.MDNS.Enabled", "true"]), "");
    assert_eq!(node.ok(["config", "Discovery"]), "{\n  \"MDNS\": {\n    \"Enabled\": true\n  }\n}");
    let own = node.ok(["config", "Identity.PeerID"]);
    assert_eq!(node.ok(["config", "Identity.PeerID", &own]), "");
    assert_eq!(
        node.ok(["--enc=json", "config", "Datastore.StorageMax", "7GB"]),
        r#"{"Key":"Datastore.StorageMax","Value":"7GB"}"#
    );
}

#[test]
fn a_wrong_configuration_is_named_and_can_be_mended() {
    let node = Node::new();
    let path = node.repo().join("config");
    let broken = fs::read_to_string(&path).expect("there").replace("\"10GB\"", "[1]");
    fs::write(&path, broken).expect("write");
    let message = refused(&node, &["pin", "ls"]);
    assert!(message.contains("Datastore.StorageMax is the list [1], but must be a size"), "{message}");
    node.ok(["config", "Datastore.StorageMax", "10GB"]);
    node.ok(["pin", "ls"]);
}

#[test]
fn showing_keeps_the_key_secret_and_replacing_keeps_the_key() {
    let node = Node::new();
    let shown: Value = serde_json::from_str(&node.ok(["config", "show"])).expect("JSON");
    assert!(shown["Identity"].get("PrivKey").is_none() && shown["Identity"]["PeerID"].is_string());
    let names: Vec<&String> = shown.as_object().expect("an object").keys().collect();
    assert!(names.is_sorted(), "{names:?}");
    let key = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON")["Identity"]["PrivKey"].clone();
    let before = key(&fs::read(node.repo().join("config")).expect("there"));
    let new = json!({"Identity": {"PeerID": "other"}, "Mine": {"z": 1, "a": 2}}).to_string();
    node.feed_bytes(["config", "replace", "-"], new.clone());
    let text = fs::read(node.repo().join("config")).expect("there");
    assert_eq!(key(&text), before);
    assert_eq!(serde_json::from_slice::<Value>(&text).expect("JSON")["Mine"], json!({"z": 1, "a": 2}));
    let file = node.file("keyed", new.replace("PeerID", "PrivKey"));
    let message = refused(&node, &["config", "replace", file.to_str().expect("UTF-8")]);
    assert!(message.contains("setting private key with API is not supported"), "{message}");
}

#[test]
fn an_edited_configuration_is_checked_before_it_counts() {
    let node = Node::new();
    let edit = |editor: &str| {
        let mut command = node.command(["config", "edit"]);
        process::run(command.env("EDITOR", editor), None).expect("the program can be started")
    };
    assert!(edit("").errors().contains("ENV variable $EDITOR not set"));
    assert!(edit("sed -i s/10GB/11GB/").status.success());
    assert_eq!(node.ok(["config", "Datastore.StorageMax"]), "11GB");
    assert!(edit("false").errors().contains("nothing was changed"));
    let message = edit("sed -i s/11GB/bunny/").errors();
    assert!(message.contains("nothing was changed") && message.contains("config-edit-"), "{message}");
    assert_eq!(node.ok(["config", "Datastore.StorageMax"]), "11GB");
}

#[test]
fn profiles_say_what_they_change_and_keep_a_copy() {
    let node = Node::new();
    let before = fs::read(node.repo().join("config")).expect("there");
    let dry = node.ok(["config", "profile", "apply", "unixfs-v1-2025", "--dry-run"]);
    assert!(dry.contains("+ Import.UnixFSChunker: \"size-1048576\""), "{dry}");
    assert_eq!(fs::read(node.repo().join("config")).expect("there"), before);
    assert_eq!(node.ok(["config", "profile", "apply", "unixfs-v1-2025"]), dry);
    let copies = fs::read_dir(node.repo()).expect("folder").flatten();
    let copy = copies.map(|e| e.path()).find(|p| p.to_string_lossy().contains("config-pre-unixfs-v1-2025-"));
    assert_eq!(fs::read(copy.expect("a copy")).expect("readable"), before);
    let event: Value =
        serde_json::from_str(&node.ok(["--enc=json", "config", "profile", "apply", "test"])).expect("JSON");
    assert!(event["OldCfg"]["Identity"].get("PrivKey").is_none() && event["NewCfg"]["Addresses"].is_object());
    assert!(refused(&node, &["config", "profile", "apply", "nope"]).contains("nope is not a profile"));
}

#[test]
fn version_and_commands_need_no_repository() {
    let node = Node::new();
    let nowhere = node.work().join("nowhere");
    let say = |args: &[&str]| elsewhere(&node, &nowhere, args).text();
    let number = say(&["version", "-n"]);
    assert_eq!(say(&["version"]), format!("cairn version {number}"));
    assert!(say(&["version", "--all"]).starts_with(&format!("Cairn version: {}", number.trim())));
    let info: Value = serde_json::from_str(&say(&["--enc=json", "version"])).expect("JSON");
    assert_eq!((info["Version"].as_str(), info["Repo"].as_str()), (Some(number.trim()), Some("1")));
    assert!(say(&["version", "deps"]).lines().any(|l| l.starts_with("rocksdb@")));
    let commands = say(&["commands"]);
    let lines: Vec<&str> = commands.lines().collect();
    assert!(lines.is_sorted() && lines[0] == "cairn" && lines.contains(&"cairn config profile apply"));
    assert!(say(&["commands", "-f"]).lines().any(|l| l == "cairn init --profile / cairn init -p"));
    let tree: Value = serde_json::from_str(&say(&["--enc=json", "commands"])).expect("JSON");
    assert_eq!(tree["Name"], "cairn");
    assert!(tree["Subcommands"][0]["Options"].is_array());
    for shell in ["bash", "zsh", "fish"] {
        let script = say(&["completions", shell]);
        assert!(script.contains("cairn") && script.len() > 1000);
        assert_eq!(script, say(&["commands", "completion", shell]));
    }
    let pages = node.work().join("man");
    say(&["commands", "man", pages.to_str().expect("UTF-8")]);
    assert!(fs::read_to_string(pages.join("cairn-config-profile-apply.1")).expect("a page").contains("dry"));
    assert!(!nowhere.exists());
}

#[test]
fn the_bash_completion_is_valid_bash() {
    let node = Node::new();
    let script = node.bytes(["completions", "bash"]);
    let mut bash = Command::new("bash");
    let outcome = process::run(bash.arg("-n"), Some(Box::new(Cursor::new(script)))).expect("bash is there");
    assert!(outcome.status.success(), "{}", outcome.errors());
}

/// Runs the program on processors that lack what it was built for. Needs qemu-user.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn an_old_processor_is_told_what_it_lacks() {
    const QEMU: &str = "qemu-x86_64";
    if Command::new(QEMU).arg("--version").output().is_err() {
        return cairn_tests::skip("qemu-user");
    }
    let node = Node::new();
    let program = node.command(["version"]).get_program().to_owned();
    let on = |processor: &str| {
        let mut command = Command::new(QEMU);
        process::run(command.args(["-cpu", processor]).arg(&program).arg("version"), None).expect("qemu starts")
    };
    for (processor, lacks) in
        [("core2duo", " avx2"), ("Nehalem", " fma"), ("max,-aes", " aes\n"), ("max,-bmi2", " bmi2\n")]
    {
        let outcome = on(processor);
        assert_eq!(outcome.status.code(), Some(1), "{processor}: {}", outcome.errors());
        let message = outcome.errors();
        assert!(message.starts_with("Error: this build of cairn needs") && message.contains(lacks), "{message}");
        assert_eq!(outcome.text(), "");
    }
    assert!(on("max").text().starts_with("cairn version"));
}
