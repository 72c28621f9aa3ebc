//! Directories that name two entries alike.

use crate::{
    core::Ground,
    support::{Folder, can_mount, settings},
};
use cairn_fuse::core::{Layout, Writable};
use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::Blockstore as _,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    mfs::ROOT_INO,
    unixfs::node::{Data, Kind},
};
use std::{fs, path::Path, time::Duration};

fn put(ground: &Ground, codec: u64, bytes: Vec<u8>) -> Cid {
    let block = Block::seal(Prefix::v1(codec), bytes.into()).expect("seals");
    ground.blocks.put(&block).expect("puts");
    *block.cid()
}

/// Names as they are listed, by order, with what is in each.
fn entries(dir: &Path) -> Vec<(String, String)> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("text");
    let mut names: Vec<String> = fs::read_dir(dir).expect("lists").map(name).collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(dir.join(name)).expect("reads"))).collect()
}

#[test]
fn both_trees_show_the_first_of_two_entries_of_one_name() {
    if !can_mount() {
        return;
    }
    let ground = Ground::new(4096);
    let links = [("b", "first"), ("a", "other"), ("b", "second, longer"), ("c", "last"), ("b", "third")];
    let links = links.map(|(name, bytes)| {
        let cid = put(&ground, codec::RAW, bytes.as_bytes().to_vec());
        PbLink::new(cid, bytes::Bytes::from_static(name.as_bytes()), bytes.len() as u64)
    });
    let node = PbNode { links: links.to_vec(), data: Some(Data::new(Kind::Directory).encode().into()) };
    let cid = put(&ground, codec::DAG_PB, node.encode().into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tree = runtime.block_on(ground.tree());
    runtime.block_on(tree.link_cid(ROOT_INO, b"twins", &cid)).expect("links");
    let writable = Writable { files: Some(tree), own: None };
    let folder = Folder::new(ground.sources(), writable, settings(Layout::All, Duration::from_secs(60)));
    let expected = [("a", "other"), ("b", "first"), ("c", "last")].map(|(name, bytes)| (name.into(), bytes.into()));
    for dir in [format!("ipfs/{cid}"), "files/twins".to_owned()] {
        assert_eq!(entries(&folder.path(&dir)), expected, "{dir}");
    }
    // A change is the end of those that nobody sees.
    fs::remove_file(folder.path("files/twins/b")).expect("removes");
    assert_eq!(entries(&folder.path("files/twins")), [expected[0].clone(), expected[2].clone()]);
}
