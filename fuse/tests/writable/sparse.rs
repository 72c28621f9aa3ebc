//! Holes, room, and copies that take none.

use crate::{
    core::Ground,
    support::{Folder, can_mount, noise, settings},
};
use cairn_fuse::core::{Errno as Code, Found, Layout, ROOT, Writable};
use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::Blockstore as _,
    cid::codec,
    unixfs::{
        layout::LayoutBuilder,
        leaf::{self, Leaf},
        meta::FileMeta,
    },
};
use rustix::{
    fs::{SeekFrom, copy_file_range, seek},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    time::Duration,
};

const CHUNK: u64 = 4096;

fn mount(ground: &Ground) -> Folder {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let files = Some(runtime.block_on(ground.tree()));
    Folder::new(ground.sources(), Writable { files, own: None }, settings(Layout::All, Duration::from_secs(60)))
}

fn add(ground: &Ground, bytes: &[u8]) -> Cid {
    let mut out = Vec::new();
    let mut layout = LayoutBuilder::new(&ground.profile);
    for chunk in bytes.chunks(CHUNK as usize) {
        let data = leaf::encode(&ground.profile, bytes::Bytes::copy_from_slice(chunk));
        let block = ground.profile.seal_leaf(data).expect("seals");
        layout.push(Leaf { block, file_size: chunk.len() as u64 }, &mut out).expect("a node");
    }
    let root = layout.finish(FileMeta::NONE, &mut out).expect("a root");
    out.iter().for_each(|block| ground.blocks.put(block).expect("puts"));
    root.cid
}

#[test]
fn holes_take_no_room_and_are_found() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(CHUNK as usize);
    let folder = mount(&ground);
    let path = folder.path("files/sparse");
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).expect("opens");
    let file = open();
    file.set_len(1 << 40).expect("grows");
    assert_eq!((file.metadata().expect("stat").len(), file.metadata().expect("stat").blocks()), (1 << 40, 0));
    file.write_at(b"needle", 1 << 30).expect("writes");
    for round in 0..2 {
        let file = open();
        assert_eq!(file.metadata().expect("stat").blocks(), CHUNK / 512, "{round}");
        for (from, found) in [
            (SeekFrom::Data(0), Ok(1 << 30)),
            (SeekFrom::Data((1 << 30) + 3), Ok((1 << 30) + 3)),
            (SeekFrom::Hole((1 << 30) + 3), Ok((1 << 30) + CHUNK)),
            (SeekFrom::Hole(7), Ok(7)),
            (SeekFrom::Data((1 << 30) + CHUNK), Err(Errno::NXIO)),
            (SeekFrom::Hole(1 << 40), Err(Errno::NXIO)),
        ] {
            assert_eq!(seek(&file, from), found, "{from:?}");
        }
        file.sync_all().expect("syncs");
    }
    let room = rustix::fs::statvfs(folder.root()).expect("statvfs");
    assert_eq!((room.f_files, room.f_ffree), ((10 << 30) / 4096, (4 << 30) / 4096));
}

#[test]
fn content_that_never_changes_is_all_bytes() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(CHUNK as usize);
    let cid = add(&ground, &[0; 5 * CHUNK as usize]);
    let folder = mount(&ground);
    let file = File::open(folder.path(&format!("ipfs/{cid}"))).expect("opens");
    assert_eq!(seek(&file, SeekFrom::Data(5)), Ok(5));
    assert_eq!(seek(&file, SeekFrom::Hole(5)), Ok(5 * CHUNK));
    assert_eq!(seek(&file, SeekFrom::Hole(5 * CHUNK)), Err(Errno::NXIO));
    assert_eq!(seek(&file, SeekFrom::Data(5 * CHUNK)), Err(Errno::NXIO));
}

#[test]
fn what_is_copied_out_of_ipfs_is_taken_by_reference() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(CHUNK as usize);
    let bytes = noise(300_000, 9);
    let cid = add(&ground, &bytes);
    let odd = Block::seal(Prefix::v1(codec::DAG_CBOR), vec![0x83, 1, 2, 3].into()).expect("seals");
    ground.blocks.put(&odd).expect("puts");
    let before = ground.blocks.list().count();
    let folder = mount(&ground);
    // The kernel would copy byte by byte where this is refused.
    let copied = folder.block_on(async {
        let fs = &folder.fs;
        let number = async |parent: u64, name: &str| match fs.lookup(parent, name.as_bytes()).await? {
            Found::Entry(entry) => Ok(entry.attr.ino),
            Found::Nothing(_) => Err(Code::ENOENT),
        };
        let (ipfs, files) = (number(ROOT, "ipfs").await?, number(ROOT, "files").await?);
        let from = fs.open(number(ipfs, &cid.to_string()).await?, false).await?;
        let (_, to) = fs.create(files, b"core", 0o644, true).await?;
        fs.copy_file_range((from.handle, 0), (to.handle, 0), 1 << 30).await
    });
    assert_eq!(copied, Ok(bytes.len() as u64));
    let from = File::open(folder.path(&format!("ipfs/{cid}"))).expect("opens");
    let to = File::create(folder.path("files/copy")).expect("creates");
    let copied = copy_file_range(&from, None, &to, None, 1 << 30).expect("copies");
    assert_eq!(copied, bytes.len());
    let mut name = [0; 100];
    // That seals it.
    rustix::fs::fgetxattr(&to, c"user.ipfs.cid", &mut name[..]).expect("has a name");
    assert_eq!(ground.blocks.list().count(), before + 1, "but for a root with a time, nothing was stored");
    assert_eq!(fs::read(folder.path("files/copy")).expect("reads"), bytes);
    // What is no file of UnixFS is copied byte by byte.
    fs::copy(folder.path(&format!("ipfs/{}", odd.cid())), folder.path("files/odd")).expect("copies");
    assert_eq!(fs::read(folder.path("files/odd")).expect("reads"), odd.data()[..]);
}
