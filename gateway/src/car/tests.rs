use super::*;
use cairn_store::{
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    car::CarReader,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    fetch::{FetchError, Offline},
    kv::{Durability, MemoryKv},
};
use futures::{TryStreamExt as _, stream::BoxStream};
use serde_json::Value;
use std::{collections::HashMap, io::Cursor};

/// CARs of Kubo 0.44: blocks, and for each request the root and the CIDs that were sent.
const KUBO: &str = include_str!("../../tests/vectors/car.json");

fn cid(text: &str) -> Cid {
    cairn_store::cid::parse(text).expect("a CID")
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn store(blocks: impl IntoIterator<Item = Block>) -> Arc<dyn Fetch> {
    let store = Arc::new(KvBlocks::open(Arc::new(MemoryKv::new())).expect("opens"));
    let blocks: Vec<Block> = blocks.into_iter().collect();
    store.put_many(&blocks, Durability::Buffered).expect("puts");
    Arc::new(Offline::new(store))
}

fn ask(query: &str) -> Result<CarAsk, CarParamError> {
    let pairs: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    CarAsk::parse(|name| pairs.get(name).copied(), |_| None)
}

/// Root, CIDs, and whether the stream broke off.
async fn fetch(source: &Arc<dyn Fetch>, path: &str, ask: CarAsk) -> Result<(String, Vec<String>, bool), ResolveError> {
    let mut segments = path.split('/').map(str::to_owned);
    let root = cid(&segments.next().expect("a root"));
    let segments: Vec<String> = segments.collect();
    let mut stream = open(Arc::clone(source), root, &segments, ask, None, false).await?;
    let (mut bytes, mut broken) = (Vec::new(), false);
    loop {
        match stream.try_next().await {
            Ok(Some(more)) => bytes.extend_from_slice(&more),
            Ok(None) => break,
            Err(_) => {
                broken = true;
                break;
            }
        }
    }
    let mut reader = CarReader::open(Cursor::new(bytes)).expect("a CAR");
    let root = reader.header().roots[0].to_string();
    let mut cids = Vec::new();
    while let Some(section) = reader.next_section().expect("whole sections") {
        Block::verify(section.cid, section.data).expect("the bytes of the CID");
        cids.push(section.cid.to_string());
    }
    Ok((root, cids, broken))
}

/// What differs from the answers of Kubo. It ends a stream that broke off as if it was whole, so that is not compared.
async fn compare(vectors: &Value) -> Vec<String> {
    let blocks: Vec<Block> = vectors["blocks"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|block| {
            let [name, hex] = [0, 1].map(|i| block[i].as_str().expect("a text"));
            Block::verify(cid(name), unhex(hex).into()).expect("verifies")
        })
        .collect();
    let names: Vec<String> = blocks.iter().map(|block| block.cid().to_string()).collect();
    let named = |list: &Value| -> Vec<&String> {
        let numbers = list.as_array().expect("a list").iter();
        numbers.map(|n| &names[usize::try_from(n.as_u64().expect("a number")).expect("small")]).collect()
    };
    let mut differences = Vec::new();
    for case in vectors["cases"].as_array().expect("cases") {
        let missing = named(&case["missing"]);
        let source = store(blocks.iter().filter(|block| !missing.contains(&&block.cid().to_string())).cloned());
        let (path, query) = (case["path"].as_str().expect("a path"), case["query"].as_str().expect("a query"));
        let ours = match ask(query).map(|ask| fetch(&source, path, ask)) {
            Err(_) => "400".to_owned(),
            Ok(answer) => match answer.await {
                Err(error) => format!("{error}"),
                Ok((root, cids, broken)) => {
                    assert!(!broken || !missing.is_empty(), "{path}?{query} broke off");
                    format!("{root} {cids:?}")
                }
            },
        };
        let kubo = match case["status"].as_u64() {
            Some(200) => format!("{} {:?}", case["root"].as_str().expect("a root"), named(&case["cids"])),
            other => other.unwrap_or_default().to_string(),
        };
        if ours != kubo {
            differences.push(format!("{path}?{query} without {missing:?}\n  ours {ours}\n  kubo {kubo}"));
        }
    }
    differences
}

#[tokio::test]
async fn cars_hold_the_blocks_of_kubos_in_the_same_order() {
    let vectors: Value = serde_json::from_str(KUBO).expect("json");
    assert!(vectors["cases"].as_array().expect("cases").len() > 120);
    let differences = compare(&vectors).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A source that notes what it is asked for, and can do without some blocks.
struct Noting {
    inner: Arc<dyn Fetch>,
    asked: parking_lot::Mutex<Vec<Cid>>,
}

#[async_trait::async_trait]
impl Fetch for Noting {
    async fn fetch(&self, cid: &Cid, deadline: Deadline) -> Result<Block, FetchError> {
        self.asked.lock().push(*cid);
        self.inner.fetch(cid, deadline).await
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        self.asked.lock().extend(&cids);
        self.inner.fetch_many(cids, deadline)
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.inner.has_local(cid).await
    }
}

fn raw(data: Vec<u8>) -> Block {
    Block::seal(Prefix::v1(codec::RAW), data.into()).expect("seals")
}

fn node(links: impl IntoIterator<Item = Cid>) -> Block {
    let links = links.into_iter().map(|cid| PbLink::new(cid, "", 0)).collect();
    Block::seal(Prefix::v1(codec::DAG_PB), PbNode { links, data: None }.encode()).expect("seals")
}

/// Each node links its child many times: 2^60 visits in 31 blocks.
fn explosion() -> (Arc<dyn Fetch>, Cid, usize) {
    let mut blocks = vec![raw(vec![7; 100])];
    for _ in 0..30 {
        let below = *blocks[blocks.len() - 1].cid();
        blocks.push(node([below; 4]));
    }
    let (root, len) = (*blocks[blocks.len() - 1].cid(), blocks.len());
    (store(blocks), root, len)
}

#[tokio::test]
async fn a_dag_that_expands_without_end_is_sent_only_as_it_is_read() {
    let (inner, root, len) = explosion();
    let noting = Arc::new(Noting { inner, asked: parking_lot::Mutex::default() });
    let source: Arc<dyn Fetch> = Arc::<Noting>::clone(&noting);
    let once = fetch(&source, &root.to_string(), CarAsk::default()).await.expect("is here");
    assert_eq!((once.1.len(), once.2), (len, false));

    noting.asked.lock().clear();
    let ask = CarAsk { dups: true, ..CarAsk::default() };
    let mut stream = open(source, root, &[], ask, None, false).await.expect("is here");
    for _ in 0..50 {
        let piece = stream.try_next().await.expect("goes on").expect("does not end");
        assert!(piece.len() < 2 * stream::PIECE, "{} bytes at once", piece.len());
    }
    drop(stream);
    // Each piece holds some hundred blocks; nobody reads them ahead by the thousand.
    let asked = noting.asked.lock().len();
    assert!(asked < 60 * stream::PIECE / 100, "{asked} blocks were read");
}

#[tokio::test]
async fn large_blocks_are_not_copied_and_small_ones_come_together() {
    let large = raw((0..200_000u32).map(|i| i as u8).collect());
    let small: Vec<Block> = (0..3000u32).map(|i| raw(i.to_be_bytes().to_vec())).collect();
    let root = node(small.iter().map(|block| *block.cid()).chain([*large.cid()]));
    let cid = *root.cid();
    let source = store(small.into_iter().chain([root, large.clone()]));
    let stream = open(source, cid, &[], CarAsk::default(), None, false).await.expect("is here");
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await.expect("streams");
    assert_eq!(pieces.last().expect("pieces").len(), large.data().len(), "the block alone");
    assert!(pieces.len() < 300, "{} pieces", pieces.len());
}

#[tokio::test]
async fn what_is_missing_fails_at_once_on_the_path_and_breaks_the_stream_below() {
    let (leaf, other) = (raw(vec![1; 10]), raw(vec![2; 10]));
    let root = node([*leaf.cid(), *other.cid()]);
    let source = store([root.clone(), leaf.clone()]);
    let (_, cids, broken) = fetch(&source, &root.cid().to_string(), CarAsk::default()).await.expect("begins");
    assert!(broken && cids == [root.cid().to_string(), leaf.cid().to_string()]);
    for path in [other.cid().to_string(), format!("{}/x", other.cid())] {
        let error = fetch(&source, &path, CarAsk::default()).await.expect_err("the first block is missing");
        assert!(matches!(error, ResolveError::Fetch(FetchError::NotFound(_))), "{error}");
    }
    let block = CarAsk { scope: Scope::Block, ..CarAsk::default() };
    assert!(!fetch(&source, &root.cid().to_string(), block).await.expect("begins").2);
}

#[tokio::test]
async fn parts_of_a_file_that_lie_about_their_size_break_the_stream() {
    let leaf = raw(vec![1; 10]);
    let file = |parts: &[(Cid, u64)]| {
        let size: u64 = parts.iter().map(|part| part.1).sum();
        let mut data = vec![8, 2, 0x18, size as u8];
        parts.iter().for_each(|part| data.extend([0x20, part.1 as u8]));
        let links = parts.iter().map(|part| PbLink::new(part.0, "", 0)).collect();
        Block::seal(Prefix::v1(codec::DAG_PB), PbNode { links, data: Some(data.into()) }.encode()).expect("seals")
    };
    let honest = file(&[(*leaf.cid(), 10), (*leaf.cid(), 10)]);
    let liar = file(&[(*honest.cid(), 15)]);
    let source = store([leaf, honest.clone(), liar.clone()]);
    let ask = CarAsk { scope: Scope::Entity, range: Some(ByteRange { from: 3, to: Some(12) }), ..CarAsk::default() };
    assert!(!fetch(&source, &honest.cid().to_string(), ask).await.expect("begins").2);
    assert!(fetch(&source, &liar.cid().to_string(), ask).await.expect("begins").2);
}

#[test]
fn parameters_are_read_as_in_kubo() {
    let all = CarAsk::default();
    let entity = CarAsk { scope: Scope::Entity, ..all };
    let range = |from, to| Ok(CarAsk { range: Some(ByteRange { from, to }), ..entity });
    for (query, want) in [
        ("", Ok(all)),
        ("dag-scope=all", Ok(all)),
        ("dag-scope=entity", Ok(entity)),
        ("dag-scope=block", Ok(CarAsk { scope: Scope::Block, ..all })),
        ("dag-scope=", Err("scope")),
        ("dag-scope=Entity", Err("scope")),
        ("car-dups=y", Ok(CarAsk { dups: true, ..all })),
        ("car-dups=n&car-order=dfs&car-version=1", Ok(all)),
        ("car-dups=&car-order=&car-version=", Ok(all)),
        ("car-order=unk", Ok(CarAsk { order: Order::Unknown, ..all })),
        ("car-dups=yes", Err("dups")),
        ("car-order=bfs", Err("order")),
        ("car-version=2", Err("version")),
        // By the specification a range implies the scope; beside another scope it is of no account.
        ("entity-bytes=0:*", range(0, None)),
        ("entity-bytes=0:*&dag-scope=all", Ok(all)),
        ("dag-scope=entity&entity-bytes=-5:7", range(-5, Some(7))),
        ("entity-bytes=7:7", range(7, Some(7))),
        ("entity-bytes=499:-1000", range(499, Some(-1000))),
        ("entity-bytes=8:7", Err("entity-bytes")),
        ("entity-bytes=-7:-8", Err("entity-bytes")),
        ("entity-bytes=-8:-7", range(-8, Some(-7))),
        ("entity-bytes=5", Err("entity-bytes")),
        ("entity-bytes=", Err("entity-bytes")),
        ("entity-bytes=1:2:3", Err("entity-bytes")),
        ("entity-bytes=*:5", Err("entity-bytes")),
        ("entity-bytes=a:5", Err("entity-bytes")),
        ("entity-bytes=9223372036854775807:*", range(i64::MAX, None)),
        ("entity-bytes=9223372036854775808:*", Err("entity-bytes")),
    ] {
        match (ask(query), want) {
            (Ok(ask), Ok(want)) => assert_eq!(ask, want, "{query}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{query}: {error}"),
            (got, _) => panic!("{query}: {got:?}"),
        }
    }
}

#[test]
fn the_query_comes_before_the_content_type() {
    let accept =
        |name: &str| [("version", "1"), ("order", "unk"), ("dups", "y")].iter().find(|p| p.0 == name).map(|p| p.1);
    let ask = |query: &'static [(&str, &str)]| {
        CarAsk::parse(|name| query.iter().find(|pair| pair.0 == name).map(|pair| pair.1), accept).expect("reads")
    };
    assert_eq!(ask(&[]).content_type(), "application/vnd.ipld.car; version=1; order=unk; dups=y");
    assert_eq!(ask(&[("car-dups", "n")]).content_type(), "application/vnd.ipld.car; version=1; order=unk; dups=n");
    let both = ask(&[("car-dups", "n"), ("car-order", "dfs")]);
    assert_eq!(both.content_type(), "application/vnd.ipld.car; version=1; order=dfs; dups=n");
    assert!(CarAsk::parse(|_| None, |name| (name == "version").then_some("2")).is_err());
}

#[test]
fn tags_differ_where_responses_do() {
    let (root, all) = (cid("bafkqaaa"), CarAsk::default());
    let entity = CarAsk { scope: Scope::Entity, ..all };
    let part = |from, to| CarAsk { range: Some(ByteRange { from, to }), ..entity };
    let asks = [
        all,
        entity,
        CarAsk { dups: true, ..all },
        CarAsk { order: Order::Unknown, ..all },
        part(0, None),
        part(0, Some(1)),
        part(1, Some(0)),
    ];
    let tags: std::collections::BTreeSet<String> =
        asks.iter().flat_map(|ask| ["a", "a/b"].map(|path| ask.etag(path, &root))).collect();
    assert_eq!(tags.len(), 2 * asks.len());
    assert!(tags.iter().all(|tag| tag.starts_with("W/\"bafkqaaa.car.") && tag.ends_with('"')));
}

#[test]
fn ranges_are_taken_within_a_file() {
    for (from, to, size, want) in [
        (0, None, 10, (0, u64::MAX)),
        (2, Some(4), 10, (2, 5)),
        (-3, None, 10, (7, u64::MAX)),
        (-30, Some(-3), 10, (0, 8)),
        (2, Some(-1), 10, (2, 10)),
        (5, Some(-40), 10, (5, 5)),
        (i64::MIN, Some(i64::MAX), u64::MAX, ((1 << 63) - 1, 1 << 63)),
        (0, Some(-1), u64::MAX, (0, u64::MAX)),
    ] {
        let got = ByteRange { from, to }.within(size);
        assert_eq!(got, want, "{from}:{to:?} of {size}");
    }
}
