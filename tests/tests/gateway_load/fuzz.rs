//! Mutations of requests, from a seed that is printed.

use crate::world::{World, is_crash};
use cairn_tests::http::{Client, Response};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// Requests that are tried.
const ROUNDS: usize = 3000;
/// Names of headers that the gateway reads.
const HEADERS: [&str; 16] = [
    "Host",
    "Accept",
    "Range",
    "If-Range",
    "If-None-Match",
    "If-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "Cache-Control",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Service-Worker",
    "Origin",
    "Accept-Encoding",
    "Content-Length",
    "Transfer-Encoding",
];
/// Parts of what stands in them, and in paths.
const WORDS: [&str; 44] = [
    "/ipfs/",
    "/ipns/",
    "..",
    "%2e%2e",
    "%2f",
    "%00",
    "%ff",
    "%",
    "//",
    "\\",
    "?format=",
    "car",
    "raw",
    "tar",
    "ipns-record",
    "dag-json",
    "&dag-scope=",
    "entity",
    "&entity-bytes=",
    "0:*",
    "-1:-1",
    "9223372036854775808",
    "18446744073709551616",
    "bytes=",
    "0-0",
    "-",
    ",",
    ";q=",
    "*",
    "\"",
    "W/\"",
    "application/vnd.ipld.car",
    "; version=2",
    "; dups=y",
    "text/html",
    "localhost",
    ".ipfs.localhost",
    ".ipns.",
    "--",
    "[::1]",
    ":99999",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "only-if-cached",
    "chunked",
];
/// Bytes that parsers trip over.
const ODD: &[u8] = b"\0\t\r\n \"%&'()*+,/:;<=>?@[\\]^`{|}~\x7f\x80\xc0\xff";

struct Mutator {
    rng: StdRng,
    paths: Vec<String>,
}

impl Mutator {
    fn words(&mut self, most: usize) -> String {
        let count = self.rng.random_range(0..=most);
        (0..count).filter_map(|_| WORDS.choose(&mut self.rng).copied()).collect()
    }

    fn target(&mut self) -> String {
        let path = self.paths.choose(&mut self.rng).cloned().unwrap_or_default();
        match self.rng.random_range(0..5) {
            0 => path,
            1 => path + &self.words(4),
            2 => self.words(6),
            3 => format!("http://{}{path}{}", self.words(2), self.words(2)),
            _ => format!("{path}?format={}", self.words(3)),
        }
    }

    /// A request, that is sometimes damaged byte by byte.
    fn request(&mut self) -> Vec<u8> {
        let method = *["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "CONNECT", "get", "PRI"]
            .choose(&mut self.rng)
            .unwrap_or(&"GET");
        let mut text = format!("{method} {} HTTP/1.1\r\nConnection: close\r\n", self.target());
        if self.rng.random_range(0..8) > 0 {
            text += "Host: localhost\r\n";
        }
        for _ in 0..self.rng.random_range(0..5) {
            let name = HEADERS.choose(&mut self.rng).copied().unwrap_or_default();
            text += &format!("{name}: {}\r\n", self.words(4));
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        if self.rng.random_bool(0.5) {
            for _ in 0..self.rng.random_range(1..6) {
                let at = self.rng.random_range(0..bytes.len());
                match self.rng.random_range(0..4) {
                    0 => bytes[at] = ODD[self.rng.random_range(0..ODD.len())],
                    1 => bytes.insert(at, ODD[self.rng.random_range(0..ODD.len())]),
                    2 => drop(bytes.remove(at)),
                    _ => bytes[at] ^= 1 << self.rng.random_range(0..8),
                }
            }
            // Its end is still told, so that nobody waits for the other.
            bytes.extend_from_slice(b"\r\n\r\n");
        }
        bytes
    }
}

/// What an answer must be whatever was asked.
fn wrong(response: &Response, method: &str) -> Option<&'static str> {
    let lacks = |name: &str| response.header(name).is_none();
    // Without a body nothing says whether it was a name.
    let unknown = method == "HEAD" && response.status == 500;
    if !unknown && is_crash(response) {
        Some("it broke")
    } else if response.status / 100 == 3 && response.status != 304 && lacks("location") {
        Some("a redirect to nowhere")
    } else if response.header("set-cookie").is_some() || response.header("x-injected").is_some() {
        Some("a header that a client wrote")
    } else if response.status == 206 && lacks("content-range") {
        Some("a part that does not say of what")
    } else {
        None
    }
}

#[test]
fn mutated_requests_are_answered_and_break_nothing() {
    let seed = std::env::var("CAIRN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("CAIRN_SEED={seed}");
    let w = World::shared();
    let pid = w.gateway.pid();
    let host = "localhost";
    let cid = w.small.trim_start_matches("/ipfs/");
    let paths = vec![
        w.small.clone(),
        w.folder.clone(),
        format!("{}plain.txt", w.folder),
        format!("/ipfs/{cid}?format=car"),
        format!("/ipns/{host}/"),
        "/".to_owned(),
        "/version".to_owned(),
    ];
    let mut mutator = Mutator { rng: StdRng::seed_from_u64(seed), paths };
    let mut answered = 0;
    for round in 0..ROUNDS {
        let request = mutator.request();
        let shown = || format!("seed {seed}, round {round}: {:?}", String::from_utf8_lossy(&request));
        let mut client: Client = w.connect();
        let _ = client.write(&request);
        // The side that sends is done: nothing is waited for that a damaged length announces.
        client.finish();
        let method = if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        match client.read(method) {
            Ok(response) => {
                answered += 1;
                if let Some(what) = wrong(&response, method) {
                    panic!("{what}: {}\n{}", shown(), response.describe());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer, no end: {}", shown()),
            Err(_) => {}
        }
        if round % 100 == 0 {
            w.is_well();
        }
    }
    println!("{answered} of {ROUNDS} were answered");
    assert!(answered > ROUNDS / 2, "most were not even read");
    assert_eq!(w.gateway.pid(), pid, "it is still the same process");
    w.is_well();
}
