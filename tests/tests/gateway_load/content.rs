//! Hostile content through every form of response: DAGs without end, blocks that lie, and names that lead elsewhere.

use crate::world::{World, is_crash};
use bytes::Bytes;
use cairn_store::{
    Block, Cid,
    block::Prefix,
    cid::codec,
    dag::pb::{PbLink, PbNode},
    unixfs::node::{Data, Kind},
};
use cairn_tests::{
    car::Car,
    http::{Client, Request, Response},
    network::eventually,
};
use std::{collections::BTreeMap, io::Read as _, net::TcpStream, sync::OnceLock};

/// Levels of a DAG with two ways down from each: 2^48 paths.
const LEVELS: usize = 48;
/// What a client reads of an answer without end before it goes away.
const ENOUGH: u64 = 4 << 20;
/// Forms of responses, by their queries.
const FORMS: [&str; 14] = [
    "",
    "?format=raw",
    "?format=car",
    "?format=car&dag-scope=entity",
    "?format=car&dag-scope=block",
    "?format=car&dag-scope=entity&entity-bytes=1:1000000",
    "?format=car&dag-scope=entity&entity-bytes=-5:*",
    "?format=tar",
    "?format=dag-json",
    "?format=dag-cbor",
    "?format=json",
    "?format=cbor",
    "?format=ipns-record",
    "?download=true&filename=%0d%0aSet-Cookie:%20x=y%22",
];

/// Blocks that nobody's importer would make.
#[derive(Default)]
pub struct Maker(Vec<(Cid, Vec<u8>)>);

impl Maker {
    /// Puts what was made into a repository.
    pub fn import(&self, w: &World) {
        let narrow = |cid: &Cid| cid::Cid::try_from(cid.to_bytes()).expect("a CID");
        let blocks: Vec<_> = self.0.iter().map(|(cid, data)| (narrow(cid), data.clone())).collect();
        let path = w.gateway.node().file("hostile.car", Car::write(&[blocks[0].0], &blocks));
        w.gateway.node().ok(["dag", "import", "--pin-roots=false", path.to_str().expect("UTF-8")]);
    }

    /// A block.
    pub fn put(&mut self, codec: u64, data: impl Into<Bytes>) -> Cid {
        let block = Block::seal(Prefix::v1(codec), data.into()).expect("SHA-256 takes all");
        self.0.push((*block.cid(), block.data().to_vec()));
        *block.cid()
    }

    fn node(&mut self, data: &Data, links: Vec<PbLink>) -> Cid {
        self.put(codec::DAG_PB, PbNode { links, data: Some(data.encode().into()) }.encode())
    }

    /// A directory.
    pub fn directory(&mut self, entries: &[(&str, Cid)]) -> Cid {
        let links = entries.iter().map(|(name, cid)| PbLink::new(*cid, name.as_bytes().to_vec(), 1)).collect();
        self.node(&Data::new(Kind::Directory), links)
    }

    /// A file of parts, each with its size.
    pub fn file(&mut self, parts: &[(Cid, u64)], size: Option<u64>) -> Cid {
        let mut data = Data::new(Kind::File);
        data.filesize = size;
        data.blocksizes = parts.iter().map(|(_, size)| *size).collect();
        let links = parts.iter().map(|(cid, size)| PbLink::new(*cid, Bytes::new(), *size)).collect();
        self.node(&data, links)
    }

    fn shard(&mut self, bits: &[u8], fanout: u64, hash: u64, links: &[(&str, Cid)]) -> Cid {
        let mut data = Data::new(Kind::HamtShard);
        data.data = Some(Bytes::copy_from_slice(bits));
        data.fanout = Some(fanout);
        data.hash_type = Some(hash);
        let links = links.iter().map(|(name, cid)| PbLink::new(*cid, name.as_bytes().to_vec(), 1)).collect();
        self.node(&data, links)
    }

    fn symlink(&mut self, target: &str) -> Cid {
        let mut data = Data::new(Kind::Symlink);
        data.data = Some(Bytes::copy_from_slice(target.as_bytes()));
        self.node(&data, Vec::new())
    }

    /// Something on top of itself, again and again.
    fn tower(&mut self, floor: Cid, levels: usize, mut next: impl FnMut(&mut Self, usize, Cid) -> Cid) -> Cid {
        (0..levels).fold(floor, |below, level| next(self, level, below))
    }
}

fn files(maker: &mut Maker) -> BTreeMap<&'static str, Cid> {
    let leaf = maker.put(codec::RAW, vec![7; 1 << 10]);
    let absent =
        Block::seal(Prefix::v1(codec::RAW), Bytes::from_static(b"nobody has this")).expect("SHA-256 takes all");
    let double = maker.tower(leaf, LEVELS, |maker, level, below| {
        let half = 1024 << level;
        maker.file(&[(below, half), (below, half)], Some(2 * half))
    });
    let empty = maker.tower(leaf, LEVELS, |maker, _, below| maker.file(&[(below, 0), (below, 0)], Some(0)));
    let deep = maker.tower(leaf, 2000, |maker, _, below| maker.file(&[(below, 1024)], Some(1024)));
    let dir = maker.directory(&[("x", leaf)]);
    BTreeMap::from([
        ("a file of 2^58 bytes", double),
        ("a file whose parts are said to be empty", empty),
        ("a file 2,000 levels deep", deep),
        ("a file that is longer than its parts", maker.file(&[(leaf, 1024)], Some(1 << 40))),
        ("a file whose part is shorter than declared", maker.file(&[(leaf, 1 << 40)], Some(1 << 40))),
        ("a file whose part is longer than declared", maker.file(&[(leaf, 1)], Some(1))),
        ("a file with more sizes than 64 bits count", maker.file(&[(leaf, u64::MAX), (leaf, u64::MAX)], None)),
        ("a file with a directory for a part", maker.file(&[(dir, 5)], Some(5))),
        ("a file whose first part is missing", maker.file(&[(*absent.cid(), 15), (leaf, 1024)], Some(1039))),
        ("a file of 40,000 parts", maker.file(&vec![(leaf, 1024); 40_000], Some(40_000 << 10))),
    ])
}

fn folders(maker: &mut Maker) -> BTreeMap<&'static str, Cid> {
    let leaf = maker.put(codec::RAW, b"leaf".to_vec());
    let absent = Block::seal(Prefix::v1(codec::RAW), Bytes::from_static(b"nor this")).expect("SHA-256 takes all");
    let double = maker.tower(leaf, LEVELS, |maker, _, below| maker.directory(&[("a", below), ("b", below)]));
    let deep = maker.tower(leaf, 2000, |maker, _, below| maker.directory(&[("d", below)]));
    let shards = maker.tower(leaf, 200, |maker, _, below| maker.shard(&[1], 8, 0x22, &[("0", below)]));
    let symlink = maker.symlink("../../../../etc/passwd");
    let index = maker.symlink("javascript:alert(1)");
    BTreeMap::from([
        ("a folder with 2^48 paths", double),
        ("a folder 2,000 levels deep", deep),
        ("shards 200 levels deep", shards),
        ("a shard of no width", maker.shard(&[], 0, 0x22, &[])),
        ("a shard of endless width", maker.shard(&[0xff; 8], u64::MAX, 0x22, &[("0x", leaf)])),
        ("a shard of another hash", maker.shard(&[1], 256, 0x99, &[("00x", leaf)])),
        ("a shard whose bits lie", maker.shard(&[0xff; 32], 256, 0x22, &[("00x", leaf)])),
        ("a shard with short names", maker.shard(&[1], 256, 0x22, &[("", leaf)])),
        ("names that lead out", maker.directory(&[("../../evil", leaf), ("x", leaf)])),
        ("absolute names", maker.directory(&[("/etc/passwd", leaf)])),
        ("names of dots", maker.directory(&[("..", leaf), (".", leaf)])),
        ("an empty name", maker.directory(&[("", leaf)])),
        ("one name twice", maker.directory(&[("x", leaf), ("x", symlink)])),
        ("a name with a zero", maker.directory(&[("a\0b", leaf)])),
        ("a name of 100,000 bytes", maker.directory(&[(&"n".repeat(100_000), leaf)])),
        ("scripts as names", maker.directory(&[("\"><script>alert(1)</script>", leaf), ("javascript:alert(1)", leaf)])),
        ("directions in names", maker.directory(&[("\u{202e}gpj.exe", leaf), ("a\r\nSet-Cookie: x=y", leaf)])),
        ("an index that is a symlink", maker.directory(&[("index.html", index)])),
        ("an index that is missing", maker.directory(&[("index.html", *absent.cid())])),
        ("a symlink that leads out", symlink),
    ])
}

fn others(maker: &mut Maker) -> BTreeMap<&'static str, Cid> {
    let mut junk = |codec: u64, data: &[u8]| maker.put(codec, data.to_vec());
    let deep = [[0x81_u8].repeat(100_000), vec![0x00]].concat();
    let deep_json = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    BTreeMap::from([
        ("no dag-pb", junk(codec::DAG_PB, b"\xff\xff\xff\xff")),
        ("dag-pb without data", junk(codec::DAG_PB, b"")),
        ("no UnixFS", junk(codec::DAG_PB, b"\x0a\x03\xff\xff\xff")),
        ("UnixFS of no kind", junk(codec::DAG_PB, b"\x0a\x02\x08\x63")),
        ("no dag-cbor", junk(codec::DAG_CBOR, b"\xff")),
        ("dag-cbor with a length beyond it", junk(codec::DAG_CBOR, b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("dag-cbor with a list beyond it", junk(codec::DAG_CBOR, b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("dag-cbor 100,000 levels deep", junk(codec::DAG_CBOR, &deep)),
        ("dag-json 100,000 levels deep", junk(codec::DAG_JSON, deep_json.as_bytes())),
        ("json 100,000 levels deep", junk(0x0200, deep_json.as_bytes())),
        ("no dag-json", junk(codec::DAG_JSON, b"{\"a\":")),
        (
            "dag-json with a script",
            junk(codec::DAG_JSON, br#"{"<script>alert(1)</script>":"<img src=x onerror=alert(1)>"}"#),
        ),
        ("a codec that nobody here reads", junk(0x78, b"x")),
    ])
}

/// The shared world with all of it imported.
fn made() -> (&'static World, &'static BTreeMap<&'static str, Cid>) {
    static MADE: OnceLock<BTreeMap<&'static str, Cid>> = OnceLock::new();
    let w = World::shared();
    let all = MADE.get_or_init(|| {
        let mut maker = Maker::default();
        let mut all = files(&mut maker);
        all.extend(folders(&mut maker));
        maker.import(w);
        let mut malformed = Maker::default();
        all.extend(others(&mut malformed));
        // Nothing looks into these.
        for (cid, data) in &malformed.0 {
            let path = w.gateway.node().file("block", data);
            let codec = format!("--cid-codec=0x{:x}", cid.codec());
            let put = w.gateway.node().ok(["block", "put", &codec, path.to_str().expect("UTF-8")]);
            assert_eq!(put, cid.to_string());
        }
        all
    });
    (w, all)
}

/// Reads no more than a client wants, then goes away: the head, and what came of the rest.
fn some(w: &World, request: &Request) -> String {
    let mut stream = TcpStream::connect(w.gateway.address).expect("the gateway listens");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("a time");
    std::io::Write::write_all(&mut stream, request.encode(w.gateway.address).as_bytes()).expect("it is connected");
    let mut bytes = Vec::new();
    match stream.take(ENOUGH).read_to_end(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("{request:?} hangs"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Each answer ends by itself, breaks off, or goes on for as long as somebody reads it; 500 says that content is malformed.
#[test]
fn hostile_content_in_every_form_is_answered() {
    let (w, all) = made();
    for (what, cid) in all {
        for form in FORMS {
            for (path, accept) in [("", "*/*"), ("", "text/html"), ("/a/b", "text/html"), ("/x", "*/*")] {
                let target = format!("/ipfs/{cid}{path}{form}");
                let answer = some(w, &Request::new("GET", &target).with("Accept", accept));
                let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
                let status: u16 =
                    status.and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("{what}: {target}: {answer:.200}"));
                assert!(status != 503 && status < 505, "{what}: {target}: {answer:.200}");
                let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
                assert!(!head.contains("\r\nset-cookie"), "{what}: {target}: {head}");
            }
        }
        w.is_well();
    }
}

/// Ranges of a file of 2^58 bytes are read where they are.
#[test]
fn ranges_of_files_without_end_are_read_where_they_are() {
    let (w, all) = made();
    let target = format!("/ipfs/{}", all["a file of 2^58 bytes"]);
    for range in
        ["bytes=0-9", "bytes=100000000000-100000000009", "bytes=-10", "bytes=288230376151711730-288230376151711739"]
    {
        let response = w.ask(&Request::new("GET", &target).with("Range", range));
        assert_eq!((response.status, response.body.as_slice()), (206, [7; 10].as_slice()), "{range}");
    }
    let at = |range: &str| some(w, &Request::new("GET", &target).with("Range", range));
    assert!(at("bytes=288230376151711744-").starts_with("HTTP/1.1 416"));
    // What makes no sense is refused or ignored.
    for range in
        ["bytes=9-0", "bytes=18446744073709551616-", "bytes=--1", "x", &format!("bytes={}", "0-1,".repeat(3000))]
    {
        let answer = at(range);
        let status = answer.get(..12).unwrap_or_default();
        assert!(
            ["HTTP/1.1 200", "HTTP/1.1 206", "HTTP/1.1 400", "HTTP/1.1 416"].contains(&status),
            "{range:.100}: {answer:.200}"
        );
    }
    w.is_well();
}

/// With duplicates a CAR of 49 blocks has no end. Its client goes away, and the server stops as well: there is room for
/// others, however often that happens.
#[test]
fn archives_without_end_are_given_up_with_their_clients() {
    let (w, all) = made();
    let endless = ["a folder with 2^48 paths", "a file of 2^58 bytes"].map(|what| all[what]);
    for _ in 0..20 {
        for cid in endless {
            for form in ["?format=car&car-dups=y", "?format=tar"] {
                let mut answer = String::new();
                eventually("there is room", || {
                    answer = some(w, &Request::new("GET", format!("/ipfs/{cid}{form}")));
                    !answer.starts_with("HTTP/1.1 429")
                });
                assert!(answer.starts_with("HTTP/1.1 200"), "{cid}{form}: {answer:.200}");
            }
        }
    }
    let accept = "application/vnd.ipld.car; dups=y; order=dfs";
    let answer = some(w, &Request::new("GET", format!("/ipfs/{}", endless[0])).with("Accept", accept));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("dups=y"), "{answer:.500}");
    // Without them it has an end.
    let car = w.get(&format!("/ipfs/{}?format=car", endless[0]));
    assert_eq!(Car::read(&car.body).expect("a whole CAR").blocks.len(), LEVELS + 1);
    w.is_well();
}

/// No archive has an entry that an unpacker would write elsewhere.
#[test]
fn archives_hold_no_names_that_lead_out() {
    let (w, all) = made();
    for what in ["names that lead out", "absolute names", "names of dots", "an empty name", "a name with a zero"] {
        let response = w.get(&format!("/ipfs/{}?format=tar", all[what]));
        let mut archive = tar::Archive::new(response.body.as_slice());
        let Ok(entries) = archive.entries() else { continue };
        for entry in entries.map_while(Result::ok) {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let leads_out = path.starts_with('/') || path.split('/').any(|name| name == "..") || path.contains('\0');
            assert!(!leads_out, "{what}: {path:?}");
        }
        let refused = response.status != 200 || !response.whole;
        assert!(refused || !what.contains("lead out"), "{what}: it is cut off, or refused");
    }
    w.is_well();
}

/// What must hold of every page: the policy forbids scripts, and nothing of what strangers wrote is markup.
#[track_caller]
fn is_safe_page(what: &str, response: &Response) {
    if !response.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        return;
    }
    let policy =
        response.joined("content-security-policy").unwrap_or_else(|| panic!("{what}: {}", response.describe()));
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{what}: {policy}");
    let text = response.text();
    // A page has at most one script, its own, which is known by its hash.
    let own = text.find("<script>//").and_then(|from| Some(from..from + text[from..].find("</script>")?));
    let lower =
        own.map_or_else(|| text.clone(), |own| text[..own.start].to_owned() + &text[own.end..]).to_ascii_lowercase();
    for markup in ["<script", "<img", "<iframe", "onerror=\"", "href=\"javascript:", "href='javascript:", "<svg onload"]
    {
        assert!(!lower.contains(markup), "{what}: {markup} in {text}");
    }
}

#[test]
fn pages_show_what_strangers_wrote_as_text() {
    let (w, all) = made();
    let browser = |target: &str| w.ask(&Request::new("GET", target).with("Accept", "text/html"));
    for what in ["scripts as names", "directions in names", "dag-json with a script", "an index that is a symlink"] {
        for end in ["", "/", "/?sort=%22%3E%3Cscript%3E&order=%3Cscript%3E&view=%22%3E%3Cimg%20src=x%3E"] {
            let response = browser(&format!("/ipfs/{}{end}", all[what]));
            is_safe_page(&format!("{what}{end}"), &response);
        }
    }
    is_safe_page("the folder", &browser(&w.folder));
    let root = w.folder.trim_end_matches('/');
    for evil in [
        "<script>alert(1)</script>",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
        "'-alert(1)-'",
        "%26lt;script%26gt;",
        "%3Csvg%20onload=alert(1)%3E",
        "javascript:alert(1)",
    ] {
        for target in [
            format!("{root}/{evil}"),
            format!("/ipfs/{evil}"),
            format!("/ipns/{evil}"),
            format!("/{evil}"),
            format!("/?uri={evil}"),
            format!("/?open={evil}"),
            format!("{root}/?format={evil}"),
            format!("{root}/?filename={evil}.html&format=raw"),
            format!("{}?filename={evil}.html", w.small),
        ] {
            let response = browser(&target);
            assert!(!is_crash(&response), "{target}: {}", response.describe());
            if response.status != 200 {
                is_safe_page(&target, &response);
            }
            let named = response.header("content-disposition").unwrap_or_default();
            assert!(!named.contains("><"), "{target}: {named}");
        }
        let host = evil.replace(['<', '>', '(', ')', '/', '\''], "");
        let response = w.ask(&Request::new("GET", "/").host(&host).with("Accept", "text/html"));
        is_safe_page(&host, &response);
    }
    w.is_well();
}

/// A name of an IPNS key or a domain that nobody has, again and again: each is looked up, and none is kept for ever.
#[test]
fn many_names_that_do_not_exist_are_no_burden() {
    let w = World::shared();
    let mut client: Client = w.connect();
    for number in 0..500 {
        let target = format!("/ipns/no-such-{number}.invalid/");
        let response = client.send(&Request { keep: true, ..Request::new("GET", target) }).expect("an answer");
        assert!((400..505).contains(&response.status) && response.status != 503, "{}", response.describe());
    }
    w.is_well();
}
