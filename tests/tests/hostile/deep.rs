//! Depth without end, and few blocks with more paths than there is time.

use crate::world::{MAX_MEMORY, Maker, refuse, run};
use cairn_store::{
    Cid, Multihash,
    cid::codec,
    dag::pb::PbLink,
    unixfs::node::{Data, Kind},
};
use cairn_tests::harness::Node;

const DEPTH: usize = 100_000;

/// A directory in a directory, 100,000 times, with one file at the end.
fn deep_directory(node: &Node) -> Cid {
    let mut maker = Maker::new(node);
    let mut root = maker.raw(b"the end");
    for _ in 0..DEPTH {
        root = maker.directory(&[(b"d", root)]);
    }
    maker.import(node);
    root
}

/// A directory that holds another one twice, 64 times: 65 blocks, and 2^64 paths.
fn shared_directory(node: &Node) -> Cid {
    let mut maker = Maker::new(node);
    let mut root = maker.raw(b"x");
    for _ in 0..64 {
        root = maker.directory(&[(b"a", root), (b"b", root)]);
    }
    maker.import(node);
    root
}

#[test]
fn a_dag_100_000_deep_is_pinned_walked_and_exported() {
    let node = Node::new();
    let root = deep_directory(&node).to_string();
    assert!(run(&node, ["pin", "add", &root]).status.success());
    let refs = run(&node, ["refs", "-r", "-u", &root]);
    assert_eq!(refs.text().lines().count(), DEPTH, "{}", refs.errors());
    let car = run(&node, ["dag", "export", &root]);
    assert!(car.status.success() && car.stdout.len() > DEPTH * 50, "{}", car.errors());
    drop(car);
    assert!(run(&node, ["pin", "verify"]).status.success());
    assert!(run(&node, ["pin", "ls", "--type=indirect"]).status.success());
    assert!(run(&node, ["repo", "gc"]).status.success());
    assert!(run(&node, ["dag", "stat", "--progress=false", &root]).status.success());
}

#[test]
fn a_folder_100_000_deep_is_not_written_beyond_what_paths_allow() {
    let node = Node::new();
    let root = deep_directory(&node).to_string();
    // No file system has paths of 200,000 bytes: a refusal, or all of it.
    run(&node, ["get", "-o", "out", &root]);
    run(&node, ["get", "-a", "-o", "out.tar", &root]);
    run(&node, ["ls", &root]);
    run(&node, ["resolve", "-r", &format!("/ipfs/{root}/{}", "d/".repeat(50_000))]);
    // What was written can be removed again only by something that does not recurse.
    let _ = std::process::Command::new("rm").arg("-rf").arg(node.work().join("out")).status();
}

#[test]
fn a_file_100_000_deep_is_read_or_refused() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut root = maker.raw(b"the end");
    for _ in 0..DEPTH {
        root = maker.file(&[(root, 7)], Some(7));
    }
    maker.import(&node);
    let root = root.to_string();
    let cat = run(&node, ["cat", &root]);
    assert!(!cat.status.success() || cat.text() == "the end", "{:?}", cat.text());
    run(&node, ["get", "-o", "out", &root]);
    run(&node, ["ls", "-s", &root]);
}

#[test]
fn blocks_that_are_shared_2_to_the_64_times_are_counted_once() {
    let node = Node::new();
    let root = shared_directory(&node).to_string();
    assert!(run(&node, ["pin", "add", &root]).status.success());
    assert_eq!(run(&node, ["refs", "-r", "-u", &root]).text().lines().count(), 64);
    assert!(run(&node, ["dag", "export", &root]).stdout.len() < 16 << 10);
    assert!(run(&node, ["pin", "verify"]).status.success());
    assert!(run(&node, ["repo", "gc"]).status.success());
    let stat = run(&node, ["dag", "stat", "--progress=false", &root]);
    assert!(stat.status.success(), "{}", stat.errors());
}

#[test]
fn every_path_of_2_to_the_64_is_given_up_in_time() {
    let node = Node::new();
    let root = shared_directory(&node).to_string();
    // Nobody reads this much: the pipe is closed early, or the time runs out.
    let script = "exec \"$@\" | head -c 100000 | wc -c";
    let program = node.command(["refs", "-r", &root]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(node.work());
    let outcome = cairn_tests::process::run(&mut shell, None).expect("a shell is here");
    assert_eq!(outcome.text().trim(), "100000", "{}", outcome.errors());
    refuse(&node, ["--timeout=1s", "get", "-o", "out", &root]);
    refuse(&node, ["--timeout=1s", "get", "-a", "-o", "out.tar", &root]);
}

#[test]
fn a_file_of_2_to_the_62_bytes_is_read_where_it_is_asked_for() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut root = maker.raw(b"x");
    for level in 0..62u32 {
        let half = 1u64 << level;
        root = maker.file(&[(root, half), (root, half)], Some(2 * half));
    }
    // Two more levels are more than 64 bits can count.
    let mut over = root;
    for _ in 0..3 {
        over = maker.file(&[(over, u64::MAX / 2), (over, u64::MAX / 2), (over, 2)], None);
    }
    maker.import(&node);
    let offset = (1u64 << 61).to_string();
    let some = run(&node, ["cat", "-o", &offset, "-l", "1000", &root.to_string()]);
    assert_eq!(some.text(), "x".repeat(1000), "{}", some.errors());
    refuse(&node, ["cat", "-l", "10", &over.to_string()]);
}

#[test]
fn a_node_with_a_hundred_thousand_links_to_one_block_is_walked_once() {
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let leaf = maker.raw(b"x");
    let mut root = leaf;
    for _ in 0..20 {
        let mut links = vec![(root, 0)];
        links.resize(40_000, (leaf, 0));
        let mut data = Data::new(Kind::File);
        data.blocksizes = vec![0; links.len()];
        root = maker.file(&links, None);
    }
    maker.import(&node);
    let root = root.to_string();
    let refs = run(&node, ["refs", "-r", "-u", &root]);
    // `refs` prints in the order of the links, which it keeps: it may refuse at its bound, but not lie.
    let all = refs.status.success() && refs.text().lines().count() == 20;
    assert!(all || refs.errors().contains("links"), "{}", refs.errors());
    assert!(run(&node, ["pin", "add", &root]).status.success());
    assert!(run(&node, ["dag", "export", &root]).status.success());
}

#[test]
fn nodes_with_a_quarter_of_a_million_links_are_read_one_at_a_time() {
    // The shortest link there is, 262,000 times in each of 24 blocks of 2 MiB: 600 MiB if all were decoded at once.
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let empty = Cid::new_v1(codec::RAW, Multihash::wrap(0, &[]).expect("an identity hash"));
    let many = vec![PbLink { cid: empty, name: None, tsize: None }; 262_000];
    let nodes: Vec<PbLink> = (0..24u64)
        .map(|i| {
            let data = Data { filesize: Some(i), ..Data::new(Kind::File) };
            PbLink { cid: maker.node(&data, many.clone()), name: None, tsize: None }
        })
        .collect();
    let root = maker.node(&Data::new(Kind::File), nodes).to_string();
    maker.import(&node);
    assert!(run(&node, ["pin", "add", &root]).status.success());
    assert!(run(&node, ["pin", "verify"]).status.success());
    assert!(run(&node, ["pin", "ls", "--type=indirect"]).status.success());
    assert!(run(&node, ["repo", "gc"]).status.success());
}

/// A name that holds its own bytes, and costs whoever makes it nothing.
fn identity(codec: u64, bytes: &[u8]) -> PbLink {
    let cid = Cid::new_v1(codec, Multihash::wrap(0, bytes).expect("an identity hash"));
    PbLink { cid, name: None, tsize: None }
}

#[test]
fn seven_million_names_without_blocks_are_listed_once_each() {
    // 7.6 million names in 45 blocks of 2 MiB: 400 MiB if all were kept in a table.
    const BLOCKS: u32 = 45;
    const NAMES: u32 = 170_000;
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut nodes = Vec::new();
    for block in 0..BLOCKS {
        let names = (0..NAMES).map(|i| identity(codec::RAW, &(block * NAMES + i).to_be_bytes())).collect();
        nodes.push(PbLink { cid: maker.node(&Data::new(Kind::File), names), name: None, tsize: None });
    }
    let root = maker.node(&Data::new(Kind::File), nodes).to_string();
    maker.import(&node);
    assert!(run(&node, ["pin", "add", &root]).status.success());
    assert!(run(&node, ["pin", "verify"]).status.success());
    // The list is longer than the test's own memory may be.
    let program = node.command(["pin", "ls", "--type=indirect", "-q"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$@\" | wc -l", "sh"]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(node.work());
    let listed = cairn_tests::process::run(&mut shell, None).expect("a shell is here");
    assert_eq!(listed.text().trim(), (BLOCKS * (NAMES + 1)).to_string(), "{}", listed.errors());
    assert!(listed.usage.peak_rss < MAX_MEMORY, "it took {} bytes", listed.usage.peak_rss);
}

#[test]
fn siblings_that_wait_on_a_long_way_down_do_not_pile_up_in_memory() {
    // 12 levels, each with 200,000 nodes that are to be read after those below: 400 MiB if all waited in memory.
    let node = Node::new();
    let mut maker = Maker::new(&node);
    let mut root = maker.raw(b"the end");
    for _ in 0..12 {
        let mut links = vec![identity(codec::DAG_PB, &[]); 200_000];
        links.push(PbLink { cid: root, name: None, tsize: None });
        root = maker.node(&Data::new(Kind::File), links);
    }
    maker.import(&node);
    assert!(run(&node, ["pin", "add", &root.to_string()]).status.success());
    assert!(run(&node, ["pin", "verify"]).status.success());
    assert!(run(&node, ["pin", "ls", "--type=indirect"]).status.success());
    assert!(run(&node, ["repo", "gc"]).status.success());
}
