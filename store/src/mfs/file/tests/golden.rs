//! CIDs that Kubo 0.44 gave: to `files write` where its trees are those of `add`, which is with raw leaves, and to `add`
//! everywhere.

use super::*;
use crate::unixfs::node::Mtime;

/// The default, with raw leaves.
fn v0_raw() -> Profile {
    Profile { raw_leaves: true, ..Profile::unixfs_v0_2015() }
}

fn written(store: &Store, profile: &Profile, pieces: &[(u64, &[u8])]) -> File {
    let mut file = File::empty(profile, FileMeta::NONE);
    for (at, data) in pieces {
        store.write(&mut file, *at, data);
    }
    file
}

#[test]
fn files_written_have_kubos_cids() {
    let store = Store::default();
    let v0 = Profile::unixfs_v0_2015();
    let v1 = Profile::cid_v1();
    for (profile, len, cid) in [
        (v0, 0, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
        (v0, 1000, "QmY6cMGhVA6ZvZLMUkKmrB72HxJLjjZ1RUC3ozXqtwgRZR"),
        (v0, 262_144, "QmWxjhaAPh9jrrn5DSw2H4JVaaQm9MFxW4BZhKmAQW1MuZ"),
        (v0, 262_145, "QmRgtwbXggavetMfK8BMgJxAZ3GoXKvw9FDAiLEj8Rn52K"),
        (v0, 1_000_000, "Qmb1MAWgwrtSkk62ZD7AjDVUQ4YKnatcfyyLKhUBNNC8mU"),
        (v0_raw(), 262_145, "QmbvJGVQj6YC6k55J7ocqzKxY3NyGShd2CfNZiSgZqp5oU"),
        (v0_raw(), 1_000_000, "QmXKigo6zVk363ChTAffWUdpeDGu8GRuQJGnU5yntDDPsV"),
        (v1, 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (v1, 1, "bafkreiazou5jw5ubwnqqjqpxtx6iu2q6ztairogh2kidurdnqfuu2l5tve"),
        (v1, 1000, "bafkreifwxvuqbl7ew3wialts7y5azwqvlcy7ziqqfyb7giq3ypbwnrhbiu"),
        (v1, 262_144, "bafkreibnzwicr2i4spxmzf3wwdutevlmcxcw6qeuv2cshfeua3bdjhoza4"),
        (v1, 262_145, "bafybeigjy2igrnhtkeze26fvazsdnr5g7njwe55ivyvw6ue2i7p3l6ukv4"),
        (v1, 1_000_000, "bafybeiefpqmuuccntiefq2aqahox4zkq4ijav3pfmhxyisdwl5nqbefvja"),
        (v1, 46_000_000, "bafybeiam6alrbpcfglmbaps7beviyx7hvitnaafzlcvbygzyakbiaov7na"),
    ] {
        let content = pattern(1, len);
        let mut file = written(&store, &profile, &[(0, &content)]);
        assert_eq!(store.seal(&mut file).cid.to_string(), cid, "{len} bytes");
        // The same from its second half on, so that the first was a hole.
        let (first, second) = content.split_at(len / 2);
        let mut file = written(&store, &profile, &[(first.len() as u64, second), (0, first)]);
        assert_eq!(store.seal(&mut file).cid.to_string(), cid, "{len} bytes, backwards");
    }
}

#[test]
fn files_changed_in_the_middle_have_kubos_cids() {
    let store = Store::default();
    for (profile, cid) in [
        (Profile::cid_v1(), "bafybeie6f4kyc3fsjfuwujbhmjusjkzwfmp7lvnvz65j4ic3t2us52dgoe"),
        (v0_raw(), "QmYz8mSqY1jWpQiErR25ppioSZLACZRD2HyQdmsDxL21Wg"),
    ] {
        let mut file = written(&store, &profile, &[(0, &pattern(1, 1_000_000))]);
        let root = store.seal(&mut file);
        let mut file = store.open(&profile, &root.cid);
        store.write(&mut file, 300_000, &pattern(1, 1000));
        assert_eq!(store.seal(&mut file).cid.to_string(), cid);
    }
    // What Kubo adds after the end is not in the last leaf, so this one is `add`'s.
    let mut file = written(&store, &Profile::cid_v1(), &[(0, &pattern(1, 1_000_000))]);
    store.write(&mut file, 300_000, &pattern(1, 1000));
    store.write(&mut file, 1_000_000, &pattern(1, 1000));
    let cid = "bafybeifkkxst4xbiel66khz4qjvx7pqxshp7iclkfnvqwt4vg6ysmgmtx4";
    assert_eq!(store.seal(&mut file).cid.to_string(), cid);
}

#[test]
fn metadata_is_in_the_root_as_add_has_it() {
    let store = Store::default();
    let profile = Profile { raw_leaves: false, ..Profile::cid_v1() };
    let mut file = written(&store, &profile, &[(0, &pattern(1, 1000))]);
    store.seal(&mut file);
    file.set_meta(FileMeta { mode: Some(0o644), mtime: None });
    let root = store.seal(&mut file);
    assert_eq!(root.cid.to_string(), "bafybeibk4cn5vij4sbav3vmctihx3kfpv5wsnxhqrz2725r5jam75fr6qu");
    let mtime = Some(Mtime { seconds: 1_700_000_000, nanos: 5 });
    let mut file = store.open(&profile, &root.cid);
    assert_eq!(file.meta(), FileMeta { mode: Some(0o644), mtime: None });
    file.set_meta(FileMeta { mode: Some(0), mtime });
    let root = store.seal(&mut file);
    assert_eq!(store.open(&profile, &root.cid).meta(), FileMeta { mode: None, mtime });
}

/// A file goes on as it is, whatever the profile of the tree says.
#[test]
fn the_kind_of_a_file_is_kept() {
    let store = Store::default();
    for (own, other) in [(v0_raw(), Profile::unixfs_v0_2015()), (Profile::cid_v1(), Profile::unixfs_v0_2015())] {
        for (own, other) in [(own, other), (other, own)] {
            let content = pattern(7, 600_000);
            let root = store.add(&own, FileMeta::NONE, &content[..300_000]);
            let mut file = store.open(&other, &root.cid);
            store.write(&mut file, 300_000, &content[300_000..]);
            if own.cid_version != other.cid_version || own.raw_leaves {
                assert_eq!(store.seal(&mut file), store.add(&own, FileMeta::NONE, &content), "{own:?}");
            }
        }
    }
}
