use super::*;
use crate::{Block, block::Prefix, blockstore::Blockstore as _, cid::codec};
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt as _;

fn config() -> Config {
    let identity = Identity::generate();
    Config::defaults(&identity.peer_id(), &identity.private_key().expect("encodes"))
}

fn refusal(result: Result<Repo, RepoError>) -> RepoError {
    result.err().expect("must be refused")
}

#[test]
fn what_was_stored_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("a/b");
    let repo = Repo::open_or_init(&path).expect("made");
    assert!(repo.is_new());
    let block = Block::seal(Prefix::v1(codec::RAW), Bytes::from_static(b"hello")).expect("sealed");
    repo.blocks().put(&block).expect("stored");
    let peer = repo.config().get_str("Identity.PeerID").expect("string").map(str::to_owned);
    drop(repo);
    let repo = Repo::open_or_init(&path).expect("opened");
    assert!(!repo.is_new());
    assert_eq!(repo.blocks().get(block.cid()).expect("read"), Some(block));
    assert_eq!(repo.config().get_str("Identity.PeerID").expect("string").map(str::to_owned), peer);
    assert_eq!(Identity::of(&repo.config()).expect("valid").peer_id(), peer.expect("set"));
    for (name, mode) in [("", 0o700), ("config", 0o600)] {
        assert_eq!(fs::metadata(path.join(name)).expect("there").permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(fs::read_to_string(path.join("version")).expect("version"), "cairn 1\n");
}

#[test]
fn a_second_opener_is_told_who_holds_it() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let repo = Repo::open_or_init(dir.path()).expect("made");
    let message = refusal(Repo::open(dir.path())).to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    let changed = Location::new(dir.path()).change_config(|_| Ok::<_, RepoError>(()));
    assert!(matches!(changed, Err(RepoError::InUse { .. })), "the configuration is locked too");
    Location::new(dir.path()).read_config().expect("but readable");
    drop(repo);
    Repo::open(dir.path()).expect("free again");
}

#[test]
fn a_second_init_is_refused_in_kubos_words() {
    let dir = tempfile::tempdir().expect("temporary folder");
    drop(Repo::init(dir.path(), config()).expect("made"));
    let before = fs::read(dir.path().join("config")).expect("config");
    let message = refusal(Repo::init(dir.path(), config())).to_string();
    assert!(message.contains("configuration file already exists!\nReinitializing would overwrite your keys"));
    assert_eq!(fs::read(dir.path().join("config")).expect("config"), before);
}

#[test]
fn no_repository_is_not_made_by_opening() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let message = refusal(Repo::open(dir.path())).to_string();
    assert!(message.contains("cairn init"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).expect("folder").count(), 0);
}

/// Every state that a crash during `init` can leave: a prefix of what it makes, in its order.
#[test]
fn an_init_that_was_cut_short_is_taken_up_again() {
    for cut in 0..=4 {
        let dir = tempfile::tempdir().expect("temporary folder");
        let steps: [&dyn Fn(&Path); 4] = [
            &|p| fs::write(p.join("repo.lock"), "1\n").expect("write"),
            &|p| fs::write(p.join("version"), "cairn 1\n").expect("write"),
            &|p| drop(open_kv(p).expect("database")),
            &|p| fs::write(p.join(".tmp-x"), "{").expect("write"),
        ];
        steps.iter().take(cut).for_each(|step| step(dir.path()));
        let repo = Repo::open_or_init(dir.path()).unwrap_or_else(|e| panic!("after {cut} steps: {e}"));
        assert!(repo.is_new());
        drop(repo);
        Repo::open(dir.path()).expect("whole now");
    }
}

#[test]
fn a_repository_of_kubo_is_refused_and_left_untouched() {
    let marks: [&[(&str, &str)]; 4] = [
        &[("version", "18\n"), ("config", "{}"), ("datastore_spec", "{}")],
        &[("config", "{\"Datastore\": {}}"), ("datastore_spec", "{}")],
        &[("version", "10"), ("config", "{}")],
        &[("blocks/SHARDING", "/repo/flatfs/shard/v1/next-to-last/2\n")],
    ];
    for files in marks {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, text).expect("write");
        }
        let before = listing(dir.path());
        for result in [Repo::open(dir.path()), Repo::open_or_init(dir.path()), Repo::init(dir.path(), config())] {
            let message = refusal(result).to_string();
            assert!(message.contains("Kubo") && message.contains("ipfs dag export"), "{message}");
        }
        // The lock of a refused `init` is the only thing that may be new.
        let after: Vec<_> = listing(dir.path()).into_iter().filter(|(name, _)| !name.ends_with("repo.lock")).collect();
        assert_eq!(before, after);
    }
}

fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).expect("file")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn damaged_and_newer_repositories_are_refused() {
    let cases = [
        ("version", Some("cairn 2\n"), "newer cairn"),
        ("version", Some("bunny"), "holds \"bunny\""),
        ("version", None, "no file `version`"),
        ("config", Some("{"), "JSON"),
        ("config", Some(r#"{"Datastore": {"StorageMax": 1.5}}"#), "Datastore.StorageMax is 1.5, but must be a size"),
    ];
    for (name, text, why) in cases {
        let dir = tempfile::tempdir().expect("temporary folder");
        drop(Repo::open_or_init(dir.path()).expect("made"));
        match text {
            Some(text) => fs::write(dir.path().join(name), text).expect("write"),
            None => fs::remove_file(dir.path().join(name)).expect("remove"),
        }
        let message = refusal(Repo::open_or_init(dir.path())).to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_folder_with_other_files_is_not_taken_unasked() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::write(dir.path().join("holiday.jpg"), "x").expect("write");
    assert!(refusal(Repo::open_or_init(dir.path())).to_string().contains("holiday.jpg"));
    Repo::init(dir.path(), config()).expect("but when asked");
}

#[test]
fn the_configuration_may_be_elsewhere() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let inside = Location::new(dir.path().join("r")).with_config_file(Path::new("mine"));
    assert_eq!(inside.config_file(), dir.path().join("r/mine"));
    let outside = Location::new(dir.path().join("r")).with_config_file(&dir.path().join("mine"));
    drop(Repo::init(outside.clone(), config()).expect("made"));
    assert!(dir.path().join("mine").exists() && !dir.path().join("r/config").exists());
    Repo::open(outside).expect("opened");
}

#[test]
fn changes_of_the_configuration_are_all_or_nothing() {
    let dir = tempfile::tempdir().expect("temporary folder");
    drop(Repo::open_or_init(dir.path()).expect("made"));
    let location = Location::new(dir.path());
    let before = location.read_config().expect("readable");
    let refused: Result<(), RepoError> = location.change_config(|c| {
        c.set("Datastore.StorageMax", "1GB".into())?;
        Err(RepoError::Key("no".into()))
    });
    assert!(refused.is_err());
    assert_eq!(location.read_config().expect("readable"), before);
    let copy = location.back_up_config("pre-test").expect("copied");
    location.change_config(|c| Ok::<_, RepoError>(c.apply("test")?)).expect("applied");
    assert_eq!(Config::load(&copy).expect("readable"), before);
    assert_eq!(fs::metadata(&copy).expect("there").permissions().mode() & 0o777, 0o600);
    assert_ne!(location.read_config().expect("readable"), before);
}

#[test]
fn limits_are_read_from_the_configuration() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let mut config = config();
    config.set("Datastore.StorageMax", "1GiB".into()).expect("size");
    config.set("Datastore.StorageGCWatermark", 50.into()).expect("percent");
    let repo = Repo::init(dir.path(), config.clone()).expect("made");
    assert_eq!(repo.storage_max().expect("size"), 1 << 30);
    assert_eq!(repo.gc_watermark().expect("size"), 1 << 29);
    config.set("Datastore.StorageGCWatermark", 101.into()).expect("an integer");
    let repo = Repo::init(&dir.path().join("2"), config).expect("made");
    assert!(repo.gc_watermark().is_err());
}
