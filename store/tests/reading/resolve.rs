//! Paths, and lists of references.

use super::world::{World, sharded};
use cairn_store::{
    cid::codec,
    dag::{
        self,
        ipld::Ipld,
        pb::{PbLink, PbNode},
    },
    fetch::Fetch,
    names::NoNames,
    path::Path,
    refs::{Options, Refs},
    resolve::{Resolved, resolve, resolve_block},
    unixfs::{FileReader, meta::FileMeta},
};
use std::sync::Arc;

async fn at(world: &Arc<World>, path: String) -> Result<Resolved, String> {
    let fetch: Arc<dyn Fetch> = world.clone();
    resolve(&fetch, &NoNames, &Path::parse(&path).expect("a path"), None).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn paths_cross_directories_shards_links_and_values() {
    let world = World::new();
    let file = world.raw(b"hello");
    let entries: Vec<_> = (0..100).map(|i| (format!("e{i}"), file)).collect();
    let shards = world.directory(&sharded(8), &entries, FileMeta::NONE);
    let plain = PbNode { links: vec![PbLink::new(shards, "named", 0)], data: None };
    let plain = world.block(codec::DAG_PB, plain.encode());
    let value = Ipld::Map(vec![("list".into(), Ipld::List(vec![Ipld::Int(7), Ipld::Link(Box::new(plain))]))]);
    let cbor = world.block(codec::DAG_CBOR, dag::encode(&value, codec::DAG_CBOR).expect("encodes"));
    let root = world.dir(&[(b"value", cbor), (b"file", file)]);
    let found = at(&world, format!("{root}/value/list/1/named/e42")).await.expect("resolves");
    assert_eq!((found.cid, found.remainder.len()), (file, 0));
    let inside = at(&world, format!("{root}/value/list/0")).await.expect("resolves");
    assert_eq!((inside.cid, inside.remainder), (cbor, vec!["list".to_owned(), "0".to_owned()]));
    let absent = at(&world, format!("{root}/value/list/1/named/nope")).await.expect_err("absent");
    assert_eq!(absent, format!("no link named \"nope\" under {shards}"));
    let below_file = at(&world, format!("{root}/file/x")).await.expect_err("a file has no entries");
    assert_eq!(below_file, format!("no link named \"x\" under {file}"));
    let ipld = at(&world, format!("/ipld/{root}/Links/0/Hash/list/1")).await.expect("resolves");
    assert_eq!(ipld.cid, plain);
    let name = at(&world, "/ipns/example.com/x".into()).await.expect_err("offline");
    assert!(name.contains("example.com") && name.contains("offline"), "{name}");
}

#[tokio::test]
async fn a_file_is_not_read_from_inside_a_value() {
    let world = World::new();
    let value = Ipld::Map(vec![("a".into(), Ipld::Int(1))]);
    let cbor = world.block(codec::DAG_CBOR, dag::encode(&value, codec::DAG_CBOR).expect("encodes"));
    let fetch: Arc<dyn Fetch> = world;
    let path = Path::parse(&format!("{cbor}/a")).expect("a path");
    let error = resolve_block(&fetch, &NoNames, &path, None).await.expect_err("inside a block");
    assert!(error.to_string().contains("inside the block"), "{error}");
    assert!(FileReader::open(fetch, &cbor, None).await.is_err());
}

async fn refs(world: &Arc<World>, root: &cairn_store::Cid, unique: bool, max_depth: Option<u32>) -> Vec<String> {
    let mut refs = Refs::new(world.clone(), Options { unique, max_depth, deadline: None });
    refs.start(root).await.expect("starts");
    let mut out = Vec::new();
    while let Some(edge) = refs.next().await.expect("lists") {
        out.push(String::from_utf8(edge.name.to_vec()).expect("text"));
    }
    out
}

#[tokio::test]
async fn references_come_depth_first() {
    let world = World::new();
    let leaf = world.raw(b"leaf");
    let low = world.dir(&[(b"l", leaf)]);
    let mid = world.dir(&[(b"low", low), (b"x", leaf)]);
    let root = world.dir(&[(b"a", mid), (b"b", mid), (b"c", low)]);
    assert_eq!(refs(&world, &root, false, Some(1)).await, ["a", "b", "c"]);
    let all = ["a", "low", "l", "x", "b", "low", "l", "x", "c", "l"];
    assert_eq!(refs(&world, &root, false, None).await, all);
    assert_eq!(refs(&world, &root, true, None).await, ["a", "low", "l"]);
    assert_eq!(refs(&world, &root, false, Some(2)).await, ["a", "low", "x", "b", "low", "x", "c", "l"]);
    assert_eq!(refs(&world, &root, false, Some(0)).await, [""; 0]);
}

#[tokio::test]
async fn a_chain_of_100000_blocks_is_listed() {
    let world = World::new();
    let mut cid = world.dir(&[]);
    for _ in 0..100_000 {
        cid = world.dir(&[(b"d", cid)]);
    }
    assert_eq!(refs(&world, &cid, true, None).await.len(), 100_000);
}
