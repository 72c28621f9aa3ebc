//! HTTP/2 without TLS, frame by frame: streams that are opened to be reset, heads without end, and windows that stay shut.

use crate::world::World;
use cairn_tests::network::eventually;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flags.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A GET, by the static table of HPACK; lengths stay below 127.
fn get(path: &str, authority: &str) -> Vec<u8> {
    let text = |index: u8, text: &str| {
        assert!(text.len() < 127, "one byte tells the length");
        [&[index, text.len() as u8], text.as_bytes()].concat()
    };
    [vec![0x82, 0x86], text(0x04, path), text(0x01, authority)].concat()
}

struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Opens one, with settings.
    fn open(w: &World, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(w.gateway.address).expect("the gateway listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a time");
        let mut connection = Self { stream };
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        assert!(connection.write(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()));
        connection
    }

    /// Whether it is still open for writing.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) => {
                assert!(error.kind() != ErrorKind::WouldBlock, "the server neither reads nor closes");
                false
            }
        }
    }

    /// The next frame: its type, flags, stream and payload; `None` at the end.
    fn read(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        if let Err(error) = self.stream.read_exact(&mut head) {
            assert!(error.kind() != ErrorKind::WouldBlock, "the server says nothing");
            return None;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(len <= 1 << 20, "a frame of {len} bytes");
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == SETTINGS && head[4] & ACK == 0 {
            self.write(&frame(SETTINGS, ACK, 0, &[]));
        }
        Some((head[3], head[4], stream, payload))
    }

    /// Reads until something comes; `None` at the end.
    fn until(&mut self, mut is_it: impl FnMut(u8, u8, u32) -> bool) -> Option<Vec<u8>> {
        loop {
            let (kind, flags, stream, payload) = self.read()?;
            if is_it(kind, flags, stream) {
                return Some(payload);
            }
        }
    }

    /// Whether it answers a ping, in a while.
    fn lives(&mut self) -> bool {
        self.write(&frame(PING, 0, 0, b"are you?"))
            && self.until(|kind, flags, _| kind == PING && flags & ACK != 0).is_some()
    }
}

#[test]
fn a_request_is_answered() {
    let w = World::shared();
    let mut connection = Connection::open(w, &[]);
    let head = get(&w.small, &w.gateway.address.to_string());
    assert!(connection.write(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)));
    let body = connection.until(|kind, _, stream| kind == 0 && stream == 1).expect("a body");
    assert_eq!(body, crate::world::SMALL.as_bytes());
}

/// Requests that are taken back at once (CVE-2023-44487).
#[test]
fn streams_that_are_reset_at_once_end_the_connection() {
    let w = World::shared();
    let head = get(&w.large, &w.gateway.address.to_string());
    let mut connection = Connection::open(w, &[]);
    let mut open = true;
    for stream in (1..200_000_u32).step_by(2) {
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        open = connection.write(&[frame(HEADERS, END_STREAM | END_HEADERS, stream, &head), reset].concat());
        if !open {
            break;
        }
    }
    // It was told to go away, or the connection is gone.
    assert!(!open || connection.until(|kind, _, _| kind == GOAWAY).is_some() || !connection.lives());
    w.is_well();
}

/// A head in frames without end (CVE-2024-27316).
#[test]
fn heads_in_frames_without_end_end_the_connection() {
    let w = World::shared();
    let mut connection = Connection::open(w, &[]);
    let head = get(&w.small, &w.gateway.address.to_string());
    assert!(connection.write(&frame(HEADERS, END_STREAM, 1, &head)));
    // A literal header that is not kept in a table, of 100 bytes, again and again.
    let line = [&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100);
    let sent = (0..10_000).take_while(|_| connection.write(&frame(CONTINUATION, 0, 1, &line))).count();
    assert!(sent < 10_000, "100 MB of a head were taken");
    w.is_well();
}

#[test]
fn floods_of_small_frames_are_no_burden() {
    let w = World::shared();
    for flood in [
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(0x42, 0, 0, b"unknown"),
    ] {
        let mut connection = Connection::open(w, &[]);
        // What it answers is not read. So it stops to read in turn, closes, or has taken it all.
        connection.stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a time");
        let piece = flood.repeat(1000);
        for _ in 0..1000 {
            if connection.stream.write_all(&piece).is_err() {
                break;
            }
        }
        w.is_well();
    }
}

/// Whoever opens no window for what was asked for takes no place from others for good: more such requests than the gateway
/// serves at once, over connections that are kept alive.
#[test]
fn windows_that_stay_shut_take_no_memory() {
    let w = World::with(|_| ());
    let head = get(&w.large, &w.gateway.address.to_string());
    // SETTINGS_INITIAL_WINDOW_SIZE.
    let mut connections: Vec<Connection> = (0..16).map(|_| Connection::open(&w, &[(4, 0)])).collect();
    for connection in &mut connections {
        for stream in (1..256_u32).step_by(2) {
            assert!(connection.write(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &head)));
        }
        assert!(connection.lives());
    }
    w.is_well();
    drop(connections);
    eventually("their places are free", || w.get(&w.large).status == 200);
}

/// The routing API is not content: a host that is an origin of its own has no such paths, in any version of HTTP.
#[test]
fn the_host_of_http2_counts() {
    let w = World::shared();
    let cid = w.folder.trim_start_matches("/ipfs/").trim_end_matches('/');
    let mut connection = Connection::open(w, &[]);
    let head = get("/plain.txt", &format!("{cid}.ipfs.localhost"));
    assert!(connection.write(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)));
    let body = connection.until(|kind, _, stream| kind == 0 && stream == 1).expect("a body");
    assert_eq!(body, b"plain.txt");
}

/// A tunnel in HTTP/2 would be a connection with as many streams, and each of these one again.
#[test]
fn http2_has_no_tunnels() {
    let w = World::shared();
    let mut connection = Connection::open(w, &[]);
    let authority = "example.com:80";
    let method = [&[0x02, 7][..], b"CONNECT"].concat();
    let head = [method, [&[0x01, authority.len() as u8], authority.as_bytes()].concat()].concat();
    assert!(connection.write(&frame(HEADERS, END_HEADERS, 1, &head)));
    let answer = connection.until(|kind, _, stream| (kind == HEADERS || kind == RST_STREAM) && stream == 1);
    // Index 8 of the static table is `:status: 200`.
    assert!(answer.is_some_and(|head| head.first() != Some(&0x88)), "a tunnel");
    w.is_well();
}
