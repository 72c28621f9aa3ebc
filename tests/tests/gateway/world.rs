//! What the tables ask about: files and documents of our own importer, names by keys of the test, DAGs with holes, and
//! one daemon that serves them. It is made by exactly the commands of an operator.

use cairn_tests::{
    car::{Car, Dag},
    gateway::{self, Gateway},
    harness::Node,
    keystream,
    records::{Key, Record},
};
use cid::Cid;
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Content of `files/hello.txt`.
pub const HELLO: &str = "Hello, gateway!\n";
/// Content of `files/indexed/index.html`.
pub const INDEX: &str = "<!DOCTYPE html>\n<title>index</title>\n";
/// Content of `files/page.html`.
pub const PAGE: &str = "<!DOCTYPE html>\n<title>page</title>\n";
/// A drawing.
pub const SVG: &str = "<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"><circle r=\"1\"/></svg>\n";
/// The smallest picture.
pub const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\
\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";
/// Name of a file in `files/` that a page must escape.
pub const HOSTILE: &str = "\"><img src=x onerror=alert(1)>.txt";
/// Seconds since the epoch of the files in `dated/`, and the same as HTTP writes it.
pub const DATED: (u64, &str) = (1_700_000_000, "Tue, 14 Nov 2023 22:13:20 GMT");
/// Bytes of `files/sub/multi.bin` and of the files with holes: four leaves of 256 KiB.
pub const MULTI: usize = 1_000_000;
/// Bytes of a leaf.
pub const LEAF: usize = 262_144;
/// Entries of `hamt/`, besides the large one.
pub const ENTRIES: usize = 1200;
/// How long answers about [`World::site_key`] may be kept, in seconds.
pub const TTL: u64 = 3600;
/// Text in a document that a page must escape.
pub const SCRIPT: &str = "<script>window.alert('hacked')</script>";

/// Rules of host names.
const HOSTS: &str = r#"{
    "example.com": {"UseSubdomains": true, "Paths": ["/ipfs", "/ipns"]},
    "inline.test": {"UseSubdomains": true, "InlineDNSLink": true, "Paths": ["/ipfs", "/ipns"]},
    "only-ipfs.test": {"UseSubdomains": true, "Paths": ["/ipfs"]},
    "path.test": {"UseSubdomains": false, "Paths": ["/ipfs"]},
    "trustless.test": {"UseSubdomains": false, "Paths": ["/ipfs", "/ipns"], "DeserializedResponses": false},
    "trustless-sub.test": {"UseSubdomains": true, "Paths": ["/ipfs", "/ipns"], "DeserializedResponses": false},
    "dnslink-paths.test": {"NoDNSLink": false, "UseSubdomains": false, "Paths": ["/ipfs"]},
    "dnslink-only.test": {"NoDNSLink": false, "UseSubdomains": false, "Paths": []},
    "no-dnslink.test": {"NoDNSLink": true, "UseSubdomains": false, "Paths": []},
    "*.wild.test": {"UseSubdomains": true, "Paths": ["/ipfs"]},
    "*.*.deep.test": {"UseSubdomains": true, "Paths": ["/ipfs"]},
    "foo.bar-*-boo.mid.test": {"UseSubdomains": true, "Paths": ["/ipfs"]}
}"#;

/// A file with a hole.
#[derive(Debug, Clone)]
pub struct Holed {
    /// Its CID.
    pub cid: String,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

/// All of it.
#[derive(Debug)]
pub struct World {
    gateway: Gateway,
    added: BTreeMap<String, String>,
    /// The blocks of `files`, `hamt`, `inline` and the documents.
    pub dag: Dag,
    /// Documents by name: `dag-cbor`, `dag-json`, `cbor`, `json`.
    pub docs: BTreeMap<&'static str, String>,
    /// Their blocks.
    pub doc_blocks: BTreeMap<&'static str, Vec<u8>>,
    /// A file under its CID of version 0, and as version 1.
    pub v0: (String, String),
    /// A file whose CID is too long for a label in every base.
    pub too_long: String,
    /// A file of four leaves whose third is missing.
    pub holed: Holed,
    /// A directory whose file `absent.txt` is missing; `present.txt` is there.
    pub holed_dir: String,
    /// A sharded directory of which there is only what leads to one entry: its root, the entry's name and CID.
    pub holed_hamt: (String, String, String),
    /// A CID that nobody has.
    pub absent: String,
    /// The key of a name that points at `files`.
    pub site_key: Key,
    /// Of a name that points at a file, by a path.
    pub file_key: Key,
    /// Of a name that points at a path below [`World::site_key`].
    pub chain_key: Key,
    /// Of a name that points at a domain.
    pub domain_key: Key,
    /// Of a name with a record of version 2 only.
    pub v2_key: Key,
    /// Of a name whose record may be kept longer than it is valid.
    pub long_key: Key,
    /// Keys of names whose records are worth nothing, and what is wrong with them.
    pub bad_keys: Vec<(&'static str, Key)>,
    /// Records as they were put, by name.
    pub records: BTreeMap<String, Vec<u8>>,
}

impl World {
    /// The one of this run.
    pub fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::make)
    }

    fn make() -> Self {
        let node = gateway::node();
        node.ok(["config", "--json", "Gateway.PublicGateways", HOSTS]);
        let added = add_trees(&node);
        let (docs, doc_blocks) = add_docs(&node, &added);
        let (v0, too_long) = add_odd(&node);
        let mut dag = Dag::default();
        for root in [&added["files"], &added["hamt"], &added["inline"], &docs["dag-cbor"], &docs["dag-json"]] {
            dag.take(Car::read(&node.bytes(["dag", "export", root])).expect("what is exported is a CAR"));
        }
        let (holed, holed_dir, holed_hamt) = import_holed(&node);
        let map = map(&added);
        let map: Vec<(&str, &str)> = map.iter().map(|(name, path)| (name.as_str(), path.as_str())).collect();
        let mut world = Self {
            added,
            dag,
            docs,
            doc_blocks,
            v0,
            too_long,
            holed,
            holed_dir,
            holed_hamt,
            absent: cairn_tests::car::cid_of(0x55, b"nobody has this").to_string(),
            site_key: Key::new("site"),
            file_key: Key::new("file"),
            chain_key: Key::new("chain"),
            domain_key: Key::new("domain"),
            v2_key: Key::new("v2"),
            long_key: Key::new("long"),
            bad_keys: Vec::new(),
            records: BTreeMap::new(),
            gateway: Gateway::start(node, &map),
        };
        world.put_records();
        world
    }

    /// The daemon.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Where the gateway answers.
    pub fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// The node.
    pub fn node(&self) -> &Node {
        self.gateway.node()
    }

    /// The port of the gateway.
    pub fn port(&self) -> u16 {
        self.gateway.address.port()
    }

    /// The CID of something that was added.
    #[track_caller]
    pub fn cid(&self, path: &str) -> &str {
        self.added.get(path).map_or_else(|| panic!("nothing was added as {path:?}"), String::as_str)
    }

    /// The same to compute with.
    #[track_caller]
    pub fn parsed(&self, path: &str) -> Cid {
        parse(self.cid(path))
    }

    /// The content path of something that was added: the first name is the root. It is not encoded.
    #[track_caller]
    pub fn at(&self, path: &str) -> String {
        let (root, rest) = path.split_once('/').unwrap_or((path, ""));
        format!("/ipfs/{}{}{rest}", self.cid(root), if rest.is_empty() { "" } else { "/" })
    }

    /// What `X-Ipfs-Roots` must be for a path: the CID of each of its steps.
    #[track_caller]
    pub fn roots(&self, path: &str) -> String {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| self.cid(&path[..end])).collect::<Vec<_>>().join(",")
    }
}

/// Reads a CID.
#[track_caller]
pub fn parse(cid: &str) -> Cid {
    cid.parse().unwrap_or_else(|e| panic!("{cid}: {e}"))
}

/// Name of an entry of `hamt/`.
pub fn entry(number: usize) -> String {
    format!("entry-{number:04}-{}", "x".repeat(200))
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("it lies in a directory")).expect("the directory is writable");
    fs::write(path, content).expect("the directory is writable");
}

fn files(dir: &Path) {
    for (name, content) in [
        ("hello.txt", HELLO),
        ("plain", "text whose name says nothing\n"),
        ("empty.txt", ""),
        ("page.html", PAGE),
        ("drawing.svg", SVG),
        ("drawing", SVG),
        ("data.json", "{\"a\": 1}\n"),
        ("style.css", "p { color: red }\n"),
        ("sw.js", "self.addEventListener('fetch', () => {});\n"),
        ("ünï cöde/ę/file-źł.txt", "unicode\n"),
        ("odd ?#%&+=.txt", "an odd name\n"),
        (HOSTILE, "hostile\n"),
        ("sub/ascii.txt", "ascii\n"),
        ("sub/deep/deeper.txt", "deeper\n"),
        ("indexed/index.html", INDEX),
        ("indexed/other.txt", "other\n"),
        ("ipfs/file.txt", "below ipfs\n"),
        ("ipns/file.txt", "below ipns\n"),
    ] {
        write(dir, name, content);
    }
    write(dir, "picture.png", PNG);
    write(dir, "picture", PNG);
    write(dir, "digits.txt", digits(1000));
    write(dir, "sub/multi.bin", keystream::bytes("multi", MULTI));
    for name in ["twice/a.bin", "twice/b.bin"] {
        write(dir, name, keystream::bytes("twice", 600_000));
    }
    symlink("hello.txt", dir.join("link")).expect("the file system has symlinks");
}

/// `0123456789012…`
pub fn digits(len: usize) -> String {
    (0..len).map(|i| char::from(b'0' + (i % 10) as u8)).collect()
}

/// Adds files with flags, and says the CID of each path.
fn add(node: &Node, flags: &[&str], dir: &str) -> BTreeMap<String, String> {
    let args = ["add", "-r"].iter().chain(flags).copied().chain(["--", dir]);
    let text = node.ok(args);
    let lines = text.lines().filter_map(|line| {
        let (cid, path) = line.strip_prefix("added ")?.split_once(' ')?;
        Some((path.strip_prefix(dir)?.trim_start_matches('/').to_owned(), cid.to_owned()))
    });
    lines.filter(|(path, _)| !path.is_empty()).collect()
}

fn add_trees(node: &Node) -> BTreeMap<String, String> {
    let all = node.work().join("all");
    files(&all.join("files"));
    for number in 0..ENTRIES {
        write(&all.join("hamt"), &entry(number), format!("entry {number}\n"));
    }
    write(&all.join("hamt"), "multi.bin", keystream::bytes("hamt", 600_000));
    crate::redirects::sites(&all);
    let mut added = add(node, &["--cid-version=1", "--raw-leaves"], "all");

    let dated = node.work().join("dates/dated");
    write(&dated, "file.txt", "dated\n");
    let time = UNIX_EPOCH + Duration::from_secs(DATED.0) + Duration::from_millis(500);
    for path in [dated.join("file.txt"), dated] {
        fs::File::open(&path).expect("it was just made").set_modified(time).expect("it is ours");
    }
    added.extend(add(node, &["--cid-version=1", "--raw-leaves=false", "--preserve-mtime"], "dates"));

    let inline = node.work().join("small/inline");
    write(&inline, "tiny.txt", "tiny\n");
    write(&inline, "large.bin", keystream::bytes("inline", 1000));
    added.extend(add(node, &["--cid-version=1", "--raw-leaves", "--inline"], "small"));
    added
}

fn add_docs(
    node: &Node,
    added: &BTreeMap<String, String>,
) -> (BTreeMap<&'static str, String>, BTreeMap<&'static str, Vec<u8>>) {
    let hello = &added["files/hello.txt"];
    let leaf = node.feed_bytes(["dag", "put"], format!(r#"{{"hello": {{"/": "{hello}"}}}}"#));
    let linked = format!(
        r#"{{"bytes": {{"/": {{"bytes": "AQID"}}}}, "dir": {{"/": "{}"}}, "leaf": {{"/": "{leaf}"}}, "list": [1, 2],
            "nested": {{"deep": {{"/": "{hello}"}}}}, "number": 7, "text": "{SCRIPT}"}}"#,
        added["files/sub"]
    );
    let mut docs = BTreeMap::from([("leaf", leaf)]);
    for (name, document) in
        [("dag-cbor", &*linked), ("dag-json", &*linked), ("cbor", r#"{"a": [1, 2]}"#), ("json", r#"{"a": [1, 2]}"#)]
    {
        docs.insert(name, node.feed_bytes(["dag", "put", &format!("--store-codec={name}")], document));
    }
    let blocks = docs.iter().map(|(name, cid)| (*name, node.bytes(["block", "get", cid]))).collect();
    (docs, blocks)
}

fn add_odd(node: &Node) -> ((String, String), String) {
    let file = node.file("old", "an old CID\n");
    let old = node.add(&["--cid-version=0"], &file);
    let hash = *parse(&old).hash();
    let new = Cid::new_v1(0x70, hash).to_string();
    let long = node.add(&["--cid-version=1", "--raw-leaves", "--hash=sha2-512"], &file);
    ((old, new), long)
}

/// Files that are added elsewhere; here come CARs of them in which blocks are left out.
fn import_holed(node: &Node) -> (Holed, String, (String, String, String)) {
    let maker = gateway::node();
    let export = |cid: &str| Car::read(&maker.bytes(["dag", "export", cid])).expect("what is exported is a CAR");
    let import = |name: &str, blocks: &[(Cid, Vec<u8>)]| {
        let path = node.file(name, Car::write(&[blocks[0].0], blocks));
        node.ok(["dag", "import", "--pin-roots=false", path.to_str().expect("UTF-8")]);
    };
    let flags = ["-r", "--cid-version=1", "--raw-leaves"];

    let bytes = keystream::bytes("holed", MULTI);
    let cid = maker.add(&flags, &maker.file("holed.bin", &bytes));
    let mut car = export(&cid);
    car.blocks.remove(3);
    import("holed.car", &car.blocks);
    let holed = Holed { cid, bytes };

    let dir = maker.work().join("holed");
    write(&dir, "absent.txt", "this is not there\n");
    write(&dir, "present.txt", "this is there\n");
    let holed_dir = maker.add(&flags, &dir);
    let mut car = export(&holed_dir);
    car.blocks.retain(|(_, data)| data != b"this is not there\n");
    import("holed-dir.car", &car.blocks);

    let dir = maker.work().join("holed-hamt");
    for number in 0..ENTRIES {
        write(&dir, &entry(number), format!("holed entry {number}\n"));
    }
    let root = maker.add(&flags, &dir);
    let car = export(&root);
    let mut dag = Dag::default();
    dag.take(car.clone());
    let way = dag.walk(&parse(&root), &[&entry(7)], cairn_tests::car::Scope::Block).expect("it was just added");
    let blocks: Vec<_> = car.blocks.into_iter().filter(|(cid, _)| way.contains(cid)).collect();
    import("holed-hamt.car", &blocks);
    (holed, holed_dir, (root, entry(7), way[way.len() - 1].to_string()))
}

/// A chain of so many domains.
const CHAIN: usize = 40;

/// Where the domains of the test lead.
fn map(added: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let (files, site) = (&added["files"], &added["site"]);
    let mut map: Vec<(String, String)> = [
        ("dnslink.test", format!("/ipfs/{files}")),
        ("dnslink.long-name.test", format!("/ipfs/{files}")),
        (&*too_long_domain(), format!("/ipfs/{files}")),
        ("file.test", format!("/ipfs/{files}/hello.txt")),
        ("a.chain.test", "/ipns/b.chain.test/sub".to_owned()),
        ("b.chain.test", format!("/ipfs/{files}")),
        ("a.loop.test", "/ipns/b.loop.test".to_owned()),
        ("b.loop.test", "/ipns/a.loop.test".to_owned()),
        ("key.test", format!("/ipns/{}", Key::new("site").name())),
        ("site.test", format!("/ipfs/{site}")),
        ("dnslink-paths.test", format!("/ipfs/{files}")),
        ("dnslink-only.test", format!("/ipfs/{files}")),
        ("no-dnslink.test", format!("/ipfs/{files}")),
        ("trustless.test", format!("/ipfs/{files}")),
        ("gone.test", format!("/ipfs/{}", cairn_tests::car::cid_of(0x55, b"nobody has this"))),
    ]
    .map(|(name, path)| (name.to_owned(), path))
    .to_vec();
    for at in 0..CHAIN {
        let next = if at + 1 == CHAIN { format!("/ipfs/{files}") } else { format!("/ipns/c{}.long.test", at + 1) };
        map.push((format!("c{at}.long.test"), next));
    }
    map
}

/// A domain whose inlined form is longer than a label may be.
pub fn too_long_domain() -> String {
    format!("dnslink.too-long.{}.{}.test", "f".repeat(30), "g".repeat(30))
}

impl World {
    fn put_records(&mut self) {
        let ttl = Duration::from_secs(TTL);
        let (files, hello) = (self.cid("files").to_owned(), self.at("files/hello.txt"));
        let good = [
            (&self.site_key, Record::new(format!("/ipfs/{files}"), ttl)),
            (&self.file_key, Record::new(hello.clone(), Duration::from_secs(60))),
            (&self.chain_key, Record::new(format!("/ipns/{}/sub", self.site_key.name()), ttl)),
            (&self.domain_key, Record::new("/ipns/dnslink.test", ttl)),
            (&self.v2_key, Record { v1: false, ..Record::new(hello.clone(), ttl) }),
            (&self.long_key, Record::new(hello.clone(), Duration::from_secs(86_400 * 30))),
        ];
        let mut records = BTreeMap::new();
        for (key, record) in good {
            let bytes = key.sign(&record);
            self.put_record(key, &bytes).unwrap_or_else(|e| panic!("{record:?}: {e}"));
            records.insert(key.name(), bytes);
        }
        let mut bad = Vec::new();
        for what in ["version 1 only", "a broken signature", "fields that differ", "its end in the past"] {
            let key = Key::new(what);
            let mut record = Record::new(hello.clone(), ttl);
            match what {
                "version 1 only" => record.v2 = false,
                "its end in the past" => record.end = SystemTime::now() - Duration::from_secs(60),
                _ => {}
            }
            let mut bytes = key.sign(&record);
            match what {
                // The last byte belongs to the document that is signed.
                "a broken signature" => *bytes.last_mut().expect("bytes") ^= 1,
                // The value stands first.
                "fields that differ" => bytes[10] ^= 1,
                _ => {}
            }
            // Kubo takes whatever it is given and does not use it; to refuse it is no fault either.
            let _ = self.put_record(&key, &bytes);
            bad.push((what, key));
        }
        (self.records, self.bad_keys) = (records, bad);
    }

    fn put_record(&self, key: &Key, bytes: &[u8]) -> Result<(), String> {
        let file = self.node().file("record", bytes);
        let file = file.to_str().expect("UTF-8");
        let outcome = self.node().run(["routing", "put", "--allow-offline", &format!("/ipns/{}", key.name()), file]);
        if outcome.status.success() { Ok(()) } else { Err(outcome.errors()) }
    }
}
