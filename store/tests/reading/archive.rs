//! Archives, read back by another implementation.

use super::world::World;
use cairn_store::unixfs::{
    archive::{ArchiveError, Options, write_plain, write_tar},
    meta::FileMeta,
    node::Mtime,
    profile::Profile,
};
use std::io::Read as _;

fn options() -> Options {
    Options { now: Some(Mtime { seconds: 1_700_000_000, nanos: 999_999_999 }), ..Options::default() }
}

#[tokio::test]
async fn an_archive_holds_what_the_directory_holds() {
    let world = World::new();
    let content: Vec<u8> = (0..5000).map(|i| (i % 251) as u8).collect();
    let meta = FileMeta { mode: Some(0o600), mtime: Some(Mtime { seconds: -5, nanos: 0 }) };
    let file = world.file(&Profile::cid_v1(), 700, &content, meta).cid;
    let long = "n".repeat(90);
    let deep = world.dir(&[(long.as_bytes(), file), ("ünï".as_bytes(), world.raw(b"u"))]);
    let target = "t".repeat(150);
    let root = world.dir(&[(b"d".repeat(60).as_slice(), deep), (b"link", world.symlink(target.as_bytes()))]);
    let mut tar = Vec::new();
    write_tar(world, &root, b"root", &mut tar, &options()).await.expect("writes");
    assert_eq!(tar.len() % 512, 0);
    let mut seen = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("reads");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("text");
        let mtime = entry
            .pax_extensions()
            .expect("records")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .find(|r| r.key() == Ok("mtime"))
            .map(|r| r.value().expect("text").to_owned());
        let link = entry.link_name_bytes().map(|l| l.len());
        seen.push((path, entry.header().mode().expect("mode"), bytes, link, mtime));
    }
    let d = "d".repeat(60);
    assert_eq!(
        seen,
        [
            ("root".to_owned(), 0o755, vec![], None, None),
            (format!("root/{d}"), 0o755, vec![], None, None),
            (format!("root/{d}/{long}"), 0o600, content, None, Some("-5".into())),
            (format!("root/{d}/ünï"), 0o644, b"u".to_vec(), None, None),
            ("root/link".to_owned(), 0o777, vec![], Some(150), None),
        ]
    );
    let mut archive = tar::Archive::new(tar.as_slice());
    let first = archive.entries().expect("a tar").next().expect("one").expect("good");
    assert_eq!(first.header().mtime().expect("a time"), 1_700_000_001, "rounded to the nearest second");
}

#[tokio::test]
async fn names_that_lead_out_are_refused() {
    for name in [&b".."[..], b".", b"", b"a/..", b"/", b"../x", b"a/../../x", b"n\0l", b"a/n\0l"] {
        let world = World::new();
        let root = world.dir(&[(name, world.raw(b"evil"))]);
        let written = write_tar(world, &root, b"root", &mut Vec::new(), &options()).await;
        assert!(matches!(written, Err(ArchiveError::BadName(_))), "{name:?}");
    }
}

#[tokio::test]
async fn names_that_stay_inside_are_packed_as_what_they_say() {
    for (name, expected) in [
        (&b"a/b"[..], "root/a/b"),
        (b"/etc", "root/etc"),
        (b"./x", "root/x"),
        (b"a/../x", "root/x"),
        (b"a/./b//c/..", "root/a/b"),
    ] {
        let world = World::new();
        let root = world.dir(&[(name, world.raw(b"fine"))]);
        let mut tar = Vec::new();
        write_tar(world, &root, b"root", &mut tar, &options()).await.expect("writes");
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<String> = archive
            .entries()
            .expect("a tar")
            .map(|entry| entry.expect("good").path().expect("a path").to_string_lossy().into_owned())
            .collect();
        assert_eq!(paths, ["root", expected]);
    }
}

#[tokio::test]
async fn only_a_file_is_written_plain() {
    let world = World::new();
    let mut out = Vec::new();
    write_plain(world.clone(), &world.raw(b"bytes"), &mut out, &options()).await.expect("writes");
    assert_eq!(out, b"bytes");
    for cid in [world.dir(&[]), world.symlink(b"x")] {
        let written = write_plain(world.clone(), &cid, &mut out, &options()).await;
        assert!(matches!(written, Err(ArchiveError::NotRegular)));
    }
}
