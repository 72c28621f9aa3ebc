//! Names, numbers and what is said of them.

use crate::world::{World, dir, open, options, read, small, write};
use bytes::Bytes;
use cairn_store::{
    Block,
    block::Prefix,
    blockstore::Blockstore as _,
    cid::codec,
    hash::HashFn,
    kv::Durability,
    mfs::{Change, Cursor, Kind, MAX_NAME, MfsError, Naming, New, ROOT_INO, RenameMode},
    unixfs::{meta::FileMeta, node::Mtime, profile::Profile},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

const NEW: New = New { meta: FileMeta::NONE, naming: None, raw_leaves: None };
const NOW: Option<Mtime> = Some(Mtime { seconds: 1_700_000_000, nanos: 5 });

#[tokio::test]
async fn a_file_that_is_open_outlives_its_name() {
    let World { mfs, .. } = World::new(options(small())).await;
    let file = write(&mfs, ROOT_INO, "f", &[7; 100]).await;
    mfs.sync().await.expect("syncs");
    let inodes = mfs.stats().inodes;
    mfs.open_file(file.ino).expect("opens");
    mfs.unlink(ROOT_INO, b"f").await.expect("unlinks");
    mfs.forget(file.ino, 2);
    assert!(matches!(mfs.lookup(ROOT_INO, b"f").await, Err(MfsError::NotFound(_))));
    mfs.write(file.ino, 50, Bytes::from_static(b"still here")).await.expect("writes");
    mfs.sync().await.expect("syncs");
    let content = mfs.read(file.ino, 0, 1000).await.expect("reads");
    assert_eq!((content.len(), &content[50..60]), (100, &b"still here"[..]));
    // The name may be given to another.
    let other = write(&mfs, ROOT_INO, "f", b"other").await;
    assert!(other.ino > file.ino);
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"other");
    mfs.release(file.ino);
    assert!(matches!(mfs.read(file.ino, 0, 1).await, Err(MfsError::Stale(_))));
    assert!(matches!(mfs.attr(file.ino).await, Err(MfsError::Stale(_))));
    assert_eq!(mfs.stats().inodes, inodes);
    // What is replaced by a rename is as good as unlinked.
    mfs.open_file(other.ino).expect("opens");
    write(&mfs, ROOT_INO, "g", b"third").await;
    mfs.rename(ROOT_INO, b"g", ROOT_INO, b"f", RenameMode::Replace).await.expect("renames");
    assert_eq!(mfs.read(other.ino, 0, 10).await.expect("reads").as_ref(), b"other");
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"third");
}

#[tokio::test]
async fn nothing_is_made_in_a_directory_that_was_removed() {
    let World { mfs, .. } = World::new(options(small())).await;
    let gone = dir(&mfs, ROOT_INO, "d").await;
    mfs.rmdir(ROOT_INO, b"d").await.expect("removes");
    assert!(matches!(mfs.create(gone, b"f", NEW, true).await, Err(MfsError::NotFound(_))));
    assert!(matches!(mfs.mkdir(gone, b"e", NEW).await, Err(MfsError::NotFound(_))));
    write(&mfs, ROOT_INO, "f", b"x").await;
    assert!(matches!(mfs.rename(ROOT_INO, b"f", gone, b"f", RenameMode::Replace).await, Err(MfsError::NotFound(_))));
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"x");
    // Nor below one that was removed with all that is in it.
    let d = dir(&mfs, ROOT_INO, "d").await;
    let below = dir(&mfs, dir(&mfs, d, "e").await, "f").await;
    mfs.remove(ROOT_INO, b"d").await.expect("removes");
    assert!(matches!(mfs.create(below, b"f", NEW, true).await, Err(MfsError::NotFound(_))));
    assert!(matches!(mfs.rename(ROOT_INO, b"f", below, b"f", RenameMode::Replace).await, Err(MfsError::NotFound(_))));
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"x");
    // A whole tree that goes takes with it what nobody uses.
    let (d, before) = (dir(&mfs, ROOT_INO, "d").await, mfs.stats().inodes);
    for i in 0..10 {
        let below = dir(&mfs, d, &format!("{i}")).await;
        let file = write(&mfs, below, "f", b"x").await;
        mfs.forget(file.ino, 1);
        mfs.forget(below, 1);
    }
    assert_eq!(mfs.stats().inodes, before + 20);
    mfs.remove(ROOT_INO, b"d").await.expect("removes");
    assert_eq!(mfs.stats().inodes, before);
    mfs.forget(d, 1);
    assert_eq!(mfs.stats().inodes, before - 1);
}

#[tokio::test]
async fn a_rename_keeps_numbers_and_what_is_below() {
    let World { mfs, .. } = World::new(options(small())).await;
    let (a, b) = (dir(&mfs, ROOT_INO, "a").await, dir(&mfs, ROOT_INO, "b").await);
    let file = write(&mfs, a, "f", b"content").await;
    mfs.rename(ROOT_INO, b"a", b, b"c", RenameMode::NoReplace).await.expect("renames");
    assert_eq!(mfs.resolve(b"/b/c").await.expect("is there").ino(), a);
    assert_eq!(mfs.resolve(b"/b/c/f").await.expect("is there").ino(), file.ino);
    assert_eq!(mfs.lookup(a, b"..").await.expect("is there").ino, b);
    assert_eq!(mfs.lookup(a, b".").await.expect("is there").ino, a);
    mfs.write(file.ino, 0, Bytes::from_static(b"CON")).await.expect("writes");
    assert_eq!(read(&mfs, "b/c/f").await.expect("reads"), b"CONtent");
    for (from, name, to) in [(ROOT_INO, b"b", b), (ROOT_INO, b"b", a)] {
        let error = mfs.rename(from, name, to, b"x", RenameMode::Replace).await.expect_err("would be a loop");
        assert!(matches!(error, MfsError::Loop(_)), "{error}");
    }
    assert!(matches!(
        mfs.rename(ROOT_INO, b"b", ROOT_INO, b"..", RenameMode::Replace).await,
        Err(MfsError::Invalid(_))
    ));
}

#[tokio::test]
async fn names_that_no_path_leads_to_are_refused() {
    let World { mfs, .. } = World::new(options(small())).await;
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
        assert!(matches!(mfs.create(ROOT_INO, name, NEW, true).await, Err(MfsError::Invalid(_))));
        assert!(matches!(mfs.mkdir(ROOT_INO, name, NEW).await, Err(MfsError::Invalid(_))));
    }
    let long = vec![b'n'; MAX_NAME + 1];
    assert!(matches!(mfs.create(ROOT_INO, &long, NEW, true).await, Err(MfsError::TooLong(_))));
    mfs.create(ROOT_INO, &long[1..], NEW, true).await.expect("creates");
    mfs.create(ROOT_INO, b"\xff\xfe", NEW, true).await.expect("any bytes");
    assert!(matches!(mfs.symlink(ROOT_INO, b"l", &[b't'; 5000], NEW).await, Err(MfsError::TooLong(_))));
    assert!(matches!(mfs.write(ROOT_INO, 0, Bytes::new()).await, Err(MfsError::IsDir(_))));
    let file = write(&mfs, ROOT_INO, "f", b"x").await;
    assert!(matches!(mfs.write(file.ino, u64::MAX, Bytes::from_static(b"x")).await, Err(MfsError::TooLarge)));
    assert!(matches!(mfs.readlink(file.ino).await, Err(MfsError::NotSymlink(_))));
    assert!(matches!(mfs.list(file.ino, &Cursor::START, 1).await, Err(MfsError::NotDir(_))));
    assert_eq!(read(&mfs, "/f").await.expect("reads"), b"x");
}

#[tokio::test]
async fn times_and_permissions_are_kept_where_they_are_stored() {
    let mut world = World::new(options(Profile::unixfs_v0_2015())).await;
    let mfs = &world.mfs;
    let plain = write(mfs, ROOT_INO, "plain", b"x").await;
    assert_eq!(plain.meta, FileMeta::NONE);
    let old = Some(Mtime { seconds: 5, nanos: 0 });
    let timed = New { meta: FileMeta { mode: Some(0o640), mtime: old }, ..NEW };
    let file = mfs.create(ROOT_INO, b"timed", timed, true).await.expect("creates");
    assert_eq!(file.meta.mtime, old);
    // A time that is there is kept up to date; nothing else is added.
    mfs.write(file.ino, 0, Bytes::from_static(b"x")).await.expect("writes");
    assert_eq!(mfs.attr(file.ino).await.expect("is there").meta, FileMeta { mode: Some(0o640), mtime: NOW });
    let change = Change { mode: Some(0o104_755), mtime: old, ..Change::default() };
    for ino in [file.ino, dir(mfs, ROOT_INO, "d").await] {
        let attr = mfs.set_attr(ino, change).await.expect("changes");
        assert_eq!(attr.meta, FileMeta { mode: Some(0o4755), mtime: old });
    }
    let link = mfs.symlink(ROOT_INO, b"l", b"target", NEW).await.expect("makes");
    let attr = mfs.set_attr(link.ino, change).await.expect("changes");
    assert_eq!(attr.meta, FileMeta { mode: None, mtime: old });
    let changed = Change { mode: Some(0), ..Change::default() };
    assert_eq!(mfs.set_attr(plain.ino, changed).await.expect("changes").meta.mode, None);
    mfs.sync().await.expect("syncs");
    world = world.after_power_cut(options(Profile::unixfs_v0_2015())).await;
    for (path, mode) in [("timed", Some(0o4755)), ("d", Some(0o4755)), ("l", None)] {
        let held = world.mfs.resolve(path.as_bytes()).await.expect("is there");
        assert_eq!(held.attr().meta, FileMeta { mode, mtime: old }, "{path}");
    }
}

#[tokio::test]
async fn a_stamping_view_notes_times_as_a_file_system_does() {
    let World { mfs: plain, .. } = World::new(options(small())).await;
    let mfs = plain.stamping();
    let d = mfs.mkdir(ROOT_INO, b"d", NEW).await.expect("makes");
    let old = Change { mtime: Some(Mtime { seconds: 5, nanos: 0 }), ..Change::default() };
    assert_eq!(d.meta.mtime, NOW);
    mfs.set_attr(d.ino, old).await.expect("changes");
    let file = mfs.create(d.ino, b"f", NEW, true).await.expect("makes");
    assert_eq!((file.meta.mtime, mfs.attr(d.ino).await.expect("is there").meta.mtime), (NOW, NOW));
    mfs.set_attr(file.ino, old).await.expect("changes");
    mfs.write(file.ino, 0, Bytes::from_static(b"x")).await.expect("writes");
    assert_eq!(mfs.attr(file.ino).await.expect("is there").meta.mtime, NOW);
    mfs.set_attr(file.ino, old).await.expect("changes");
    mfs.set_attr(file.ino, Change { size: Some(0), ..Change::default() }).await.expect("changes");
    assert_eq!(mfs.attr(file.ino).await.expect("is there").meta.mtime, NOW);
    for change in ["unlink", "rename"] {
        mfs.set_attr(d.ino, old).await.expect("changes");
        match change {
            "rename" => mfs.rename(d.ino, b"g", ROOT_INO, b"h", RenameMode::Replace).await.expect("renames"),
            _ => {
                write(&mfs, d.ino, "g", b"x").await;
                mfs.set_attr(d.ino, old).await.expect("changes");
                mfs.unlink(d.ino, b"f").await.expect("unlinks");
            }
        }
        assert_eq!(mfs.attr(d.ino).await.expect("is there").meta.mtime, NOW, "{change}");
    }
    // Permissions of zero can't be stored; they hold as long as the entry is in memory.
    let mode = |mode| Change { mode: Some(mode), ..Change::default() };
    for ino in [file.ino, d.ino] {
        assert_eq!(mfs.set_attr(ino, mode(0o640)).await.expect("changes").meta.mode, Some(0o640));
        assert_eq!(mfs.set_attr(ino, mode(0)).await.expect("changes").meta.mode, Some(0));
        mfs.sync().await.expect("syncs");
        assert_eq!(mfs.attr(ino).await.expect("is there").meta.mode, Some(0));
        assert_eq!(mfs.set_attr(ino, mode(0o400)).await.expect("changes").meta.mode, Some(0o400));
    }
    let closed = New { meta: FileMeta { mode: Some(0), ..FileMeta::NONE }, ..NEW };
    assert_eq!(mfs.create(ROOT_INO, b"closed", closed, true).await.expect("makes").meta.mode, Some(0));
    // Through the other view of the same tree nothing of that happens.
    let other = dir(&plain, ROOT_INO, "e").await;
    assert_eq!(write(&plain, other, "f", b"x").await.meta, FileMeta::NONE);
    assert_eq!(plain.attr(other).await.expect("is there").meta, FileMeta::NONE);
}

#[tokio::test]
async fn new_entries_are_named_as_their_directory() {
    let profile = Profile::unixfs_v0_2015();
    let World { mfs, blocks, disk } = World::new(options(profile)).await;
    let v1 = Naming { version: cid::Version::V1, hash: HashFn::from_name("sha2-512").expect("known") };
    let d = mfs.mkdir(ROOT_INO, b"d", New { naming: Some(v1), ..NEW }).await.expect("makes");
    let below = dir(&mfs, d.ino, "below").await;
    let file = write(&mfs, below, "f", b"x").await;
    let wrapped = mfs.create(below, b"g", New { raw_leaves: Some(false), ..NEW }, true).await.expect("creates");
    let top = write(&mfs, ROOT_INO, "f", b"x").await;
    mfs.sync().await.expect("syncs");
    let cid = async |ino| mfs.attr(ino).await.expect("is there").cid.expect("is sealed");
    for (ino, code) in
        [(d.ino, codec::DAG_PB), (below, codec::DAG_PB), (file.ino, codec::RAW), (wrapped.ino, codec::DAG_PB)]
    {
        let cid = cid(ino).await;
        assert_eq!((cid.version(), cid.hash().code(), cid.codec()), (v1.version, v1.hash.code(), code));
    }
    assert_eq!(cid(top.ino).await.version(), cid::Version::V0);
    assert_eq!(cid(ROOT_INO).await.version(), cid::Version::V0);
    // `files chcid`.
    let change =
        Change { naming: Some(Naming { version: cid::Version::V0, hash: HashFn::SHA2_256 }), ..Change::default() };
    mfs.set_attr(d.ino, change).await.expect("changes");
    assert!(matches!(mfs.set_attr(file.ino, change).await, Err(MfsError::NotDir(_))));
    mfs.sync().await.expect("syncs");
    assert_eq!(cid(d.ino).await.version(), cid::Version::V0);
    assert_eq!(cid(below).await.version(), cid::Version::V1);
    // The root is named as the profile says, from the next change on.
    drop(mfs);
    let mfs = open(&blocks, options(Profile::cid_v1())).await.expect("opens");
    assert_eq!(mfs.stats().dirty_inodes, 0);
    write(&mfs, ROOT_INO, "new", b"x").await;
    let root = mfs.sync().await.expect("syncs");
    assert_eq!(root.version(), cid::Version::V1);
    drop(disk);
}

#[tokio::test]
async fn what_is_no_unixfs_is_listed_and_can_be_moved_and_removed() {
    let World { mfs, blocks, .. } = World::new(options(small())).await;
    let other = Block::seal(Prefix::v1(codec::DAG_CBOR), Bytes::from_static(&[0xa0])).expect("seals");
    blocks.put_many(std::slice::from_ref(&other), Durability::Synced).expect("puts");
    assert!(matches!(mfs.link_cid(ROOT_INO, b"x", other.cid()).await, Err(MfsError::NotUnixfs(_))));
    // In a directory that somebody else made it may be.
    let mut foreign = cairn_store::unixfs::directory::DirBuilder::new(&small(), FileMeta::NONE);
    foreign.add("cbor", other.cid(), 1).expect("adds");
    foreign.add("lost", &cairn_store::Cid::new_v1(codec::RAW, *other.cid().hash()), 1).expect("adds");
    let mut out = Vec::new();
    let root = foreign.finish(&mut out).expect("builds");
    blocks.put_many(&out, Durability::Synced).expect("puts");
    mfs.link_cid(ROOT_INO, b"d", &root.cid).await.expect("links");
    let d = mfs.resolve(b"/d").await.expect("is there");
    let listed = mfs.list(d.ino(), &Cursor::START, 10).await.expect("lists");
    let known: Vec<_> = listed.iter().map(|entry| (entry.name.as_ref(), entry.kind)).collect();
    assert!(known.contains(&(b"cbor", None)) && known.contains(&(b"lost", Some(Kind::File))), "{known:?}");
    assert!(matches!(mfs.resolve(b"/d/cbor").await, Err(MfsError::NotUnixfs(_))));
    mfs.rename(d.ino(), b"cbor", ROOT_INO, b"moved", RenameMode::Replace).await.expect("renames");
    assert!(matches!(mfs.unlink(ROOT_INO, b"moved").await, Err(MfsError::NotUnixfs(_))));
    mfs.remove(ROOT_INO, b"moved").await.expect("removes");
    assert!(matches!(mfs.remove(ROOT_INO, b"moved").await, Err(MfsError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_exchange_is_one_step_for_whoever_looks() {
    let World { mfs, .. } = World::new(options(small())).await;
    let d = dir(&mfs, ROOT_INO, "d").await;
    write(&mfs, ROOT_INO, "f", b"one").await;
    write(&mfs, d, "g", b"two").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (other, stopped) = (mfs.clone(), stop.clone());
    let reader = tokio::spawn(async move {
        let mut seen = 0;
        while !stopped.load(Ordering::Relaxed) {
            let both = [read(&other, "/f").await.expect("is there"), read(&other, "/d/g").await.expect("is there")];
            assert!(both.iter().all(|content| content == b"one" || content == b"two"));
            seen += 1;
            tokio::task::yield_now().await;
        }
        seen
    });
    for i in 0..500 {
        mfs.rename(ROOT_INO, b"f", d, b"g", RenameMode::Exchange).await.expect("exchanges");
        // A file that is moved over another: whoever reads finds one of them.
        write(&mfs, ROOT_INO, "new", if i % 2 == 0 { b"one" } else { b"two" }).await;
        mfs.rename(ROOT_INO, b"new", ROOT_INO, b"f", RenameMode::Replace).await.expect("replaces");
    }
    stop.store(true, Ordering::Relaxed);
    reader.await.expect("no reader found anything else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_many_append_is_all_there() {
    let World { mfs, .. } = World::new(options(small())).await;
    let file = write(&mfs, ROOT_INO, "log", b"").await;
    let writers: Vec<_> = (0..8u8)
        .map(|writer| {
            let mfs = mfs.clone();
            tokio::spawn(async move {
                for i in 0..50u8 {
                    mfs.append(file.ino, Bytes::from(vec![writer, i, writer])).await.expect("appends");
                    if i % 10 == writer {
                        mfs.sync().await.expect("syncs");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("appends all");
    }
    let content = read(&mfs, "/log").await.expect("reads");
    let mut next = [0; 8];
    for piece in content.chunks(3) {
        assert_eq!(piece[0], piece[2]);
        assert_eq!(piece[1], next[usize::from(piece[0])]);
        next[usize::from(piece[0])] += 1;
    }
    assert_eq!(next, [50; 8]);
}

#[tokio::test]
async fn entries_that_nobody_uses_leave_the_memory() {
    let World { mfs, .. } = World::new(options(Profile::cid_v1())).await;
    // More than may be idle.
    for i in 0..20_000 {
        let made = mfs.create(ROOT_INO, format!("{i}").as_bytes(), NEW, true).await.expect("creates");
        mfs.forget(made.ino, 1);
    }
    assert!(mfs.stats().inodes > 20_000);
    mfs.sync().await.expect("syncs");
    let inodes = mfs.stats().inodes;
    assert!(inodes <= 8193, "{inodes}");
    // They are found again.
    assert_eq!(mfs.resolve(b"/17").await.expect("is there").attr().size, 0);
}
