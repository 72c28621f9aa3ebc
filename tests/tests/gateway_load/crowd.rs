//! Many clients at once: those that never finish, those that do not read, and those that are simply too many.

use crate::{
    content::Maker,
    world::{MAX_MEMORY, SMALL, World, crowd},
};
use cairn_tests::{
    http::{Client, Request},
    network::eventually,
    process,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Barrier,
    task::JoinSet,
};

/// Memory that a thousand slow readers may need, in bytes. `make bench` measures it; here is room for an allocator that keeps
/// more on machines with many cores.
const SLOW_MEMORY: u64 = 256 << 20;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads").block_on(work)
}

/// Reads the head of an answer, and not a byte of what a client would have to take after it.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

fn request(address: SocketAddr, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_thousand_clients_that_never_finish_their_requests_leave_others_served() {
    let (clients, _alone) = crowd(1000);
    let w = World::with(|_| ());
    let begin = format!("GET {} HTTP/1.1\r\nHost: x\r\nX-Slow: ", w.small);
    let mut slow: Vec<Client> = (0..clients).map(|_| w.connect()).collect();
    for (at, client) in slow.iter_mut().enumerate() {
        // Each is stuck at another place; some say nothing.
        client.write(&begin[..at % begin.len()]).expect("it is connected");
    }
    for round in 0..20 {
        for client in slow.iter_mut().skip(round).step_by(20) {
            // Whether it was sent away meanwhile is another matter.
            let _ = client.write("x");
        }
        w.is_well();
    }
}

/// A request's head has 30 s, whatever part of it came, and however often another byte comes.
#[test]
fn who_does_not_finish_a_request_in_time_is_sent_away() {
    let w = World::shared();
    let host = w.gateway.address;
    let mut again = w.connect();
    let answered = again.send(&Request { keep: true, ..Request::new("GET", &w.small) }).expect("an answer");
    assert_eq!(answered.text(), SMALL);
    let mut waiting: Vec<(&str, Client)> = [
        ("nothing", ""),
        ("half of HTTP/2's preface", "PRI * HTTP/2.0\r\n"),
        ("half a first line", "GET /ip"),
        ("half a head", &format!("GET / HTTP/1.1\r\nHost: {host}\r\n")),
    ]
    .map(|(name, begin)| {
        let mut client = w.connect();
        client.write(begin).expect("it is connected");
        (name, client)
    })
    .into();
    waiting.push(("nothing after an answer", again));
    let mut tunnel = w.connect();
    let connect = Request { keep: true, ..Request::new("CONNECT", "example.com:80").host("example.com:80") };
    assert_eq!(tunnel.send(&connect).expect("an answer").status, 200);
    waiting.push(("nothing in a tunnel", tunnel));
    for (name, mut client) in waiting {
        // An answer such as 408 before it is no harm.
        let _ = client.read("GET");
        assert!(client.closed().unwrap_or_else(|e| panic!("{name}: not closed: {e}")), "{name}");
    }
}

#[test]
fn ten_thousand_requests_are_answered_or_turned_away() {
    let (clients, _alone) = crowd(10_000);
    let w = World::with(|_| ());
    let text = request(w.gateway.address, &w.large);
    let address = w.gateway.address;
    let answers = run(async {
        let mut set = JoinSet::new();
        // Whoever is answered stays, without reading, until all have heard something.
        let all = Arc::new(Barrier::new(clients));
        for _ in 0..clients {
            let (text, all) = (text.clone(), Arc::clone(&all));
            set.spawn(async move {
                let mut stream = TcpStream::connect(address).await.ok();
                let mut answer = None;
                if let Some(stream) = &mut stream {
                    let _ = stream.write_all(text.as_bytes()).await;
                    answer = head(stream).await;
                }
                let stays = answer.as_ref().is_some_and(|head| head.starts_with("http/1.1 200"));
                drop(stream.take_if(|_| !stays));
                all.wait().await;
                answer
            });
        }
        set.join_all().await
    });
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for answer in &answers {
        let status = answer.as_ref().map_or("none", |head| head.split(' ').nth(1).unwrap_or_default());
        *count.entry(status.to_owned()).or_default() += 1;
        if let Some(head) = answer.as_ref().filter(|_| status == "429") {
            assert!(head.contains("\r\nretry-after: "), "{head}");
        }
    }
    let peak = process::memory(w.gateway.pid(), "VmHWM:");
    println!("{count:?}, {} MiB", peak >> 20);
    assert!(count.keys().all(|status| status == "200" || status == "429"), "{count:?}");
    assert!(clients < 5000 || count.contains_key("429"), "{count:?}");
    assert!(peak < MAX_MEMORY, "the daemon took {} MiB", peak >> 20);
    eventually("others are served", || w.get(&w.large).status == 200);
    w.is_well();
}

#[test]
fn a_thousand_slow_readers_take_little_memory() {
    let (clients, _alone) = crowd(1000);
    let w = World::with(|_| ());
    let text = request(w.gateway.address, &w.large);
    let peak = run(async {
        let mut readers = Vec::new();
        for _ in 0..clients {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(16 << 10).expect("a size");
            let mut stream = socket.connect(w.gateway.address).await.expect("it listens");
            stream.write_all(text.as_bytes()).await.expect("it is connected");
            readers.push(stream);
        }
        for round in 0..8 {
            for stream in &mut readers {
                let mut buffer = vec![0; 16 << 10];
                assert!(stream.read(&mut buffer).await.is_ok_and(|n| n > 0), "round {round}");
            }
            tokio::task::block_in_place(|| w.is_well());
        }
        process::memory(w.gateway.pid(), "VmHWM:")
    });
    println!("{} MiB", peak >> 20);
    assert!(peak < SLOW_MEMORY, "the daemon took {} MiB", peak >> 20);
}

/// What takes many links to find one's way through, and answers that are much longer than what they are made of.
#[test]
fn slow_readers_of_what_has_many_links_take_little_memory() {
    let (clients, _alone) = crowd(300);
    for (what, accept) in
        [("a file of many parts", "*/*"), ("a folder of many entries", "text/html"), ("long names", "text/html")]
    {
        let w = World::with(|_| ());
        let mut maker = Maker::default();
        let leaf = maker.put(0x55, vec![7; 64 << 10]);
        let root = match what {
            "a file of many parts" => maker.file(&vec![(leaf, 64 << 10); 38_000], Some(38_000 * (64 << 10))),
            "long names" => {
                let names: Vec<String> = (0..1000).map(|at| format!("{at:04}{}", "\u{1}".repeat(1900))).collect();
                maker.directory(&names.iter().map(|name| (name.as_str(), leaf)).collect::<Vec<_>>())
            }
            _ => {
                let names: Vec<String> = (0..34_000).map(|at| format!("{at:07}")).collect();
                maker.directory(&names.iter().map(|name| (name.as_str(), leaf)).collect::<Vec<_>>())
            }
        };
        maker.import(&w);
        let text = format!("GET /ipfs/{root}/ HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n\r\n", w.gateway.address);
        let peak = run(async {
            let mut readers = Vec::new();
            for _ in 0..clients {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.set_recv_buffer_size(16 << 10).expect("a size");
                let mut stream = socket.connect(w.gateway.address).await.expect("it listens");
                stream.write_all(text.as_bytes()).await.expect("it is connected");
                readers.push(stream);
            }
            for round in 0..2 {
                for stream in &mut readers {
                    let mut buffer = vec![0; 8 << 10];
                    assert!(stream.read(&mut buffer).await.is_ok_and(|n| n > 0), "{what}: round {round}");
                }
                tokio::task::block_in_place(|| w.is_well());
            }
            process::memory(w.gateway.pid(), "VmHWM:")
        });
        println!("{what}: {} MiB", peak >> 20);
        assert!(peak < SLOW_MEMORY, "{what}: the daemon took {} MiB", peak >> 20);
    }
}

/// One connection of many archives takes not all that there is room for.
#[test]
fn archives_that_are_not_read_any_more_give_their_room_back() {
    let w = World::with(|_| ());
    for round in 0..100 {
        let mut client = w.connect();
        let format = if round % 2 == 0 { "car" } else { "tar" };
        let target = format!("{}?format={format}", w.large);
        let request = Request { keep: true, ..Request::new("GET", target) };
        client.write(request.encode(w.gateway.address)).expect("it is connected");
        drop(client);
    }
    eventually("there is room for an archive", || w.get(&format!("{}?format=tar", w.small)).status == 200);
    w.is_well();
}
