//! What the tests ask about, and what must hold after each attack.

use cairn_tests::{
    gateway::{self, Gateway},
    harness::Node,
    http::{Client, Request, Response, send},
    keystream, process,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Content of the small file.
pub const SMALL: &str = "small\n";
/// Bytes of the large file: more than sockets hold.
pub const LARGE: usize = 24 << 20;
/// Memory that a daemon may not pass, whatever is thrown at it, in bytes.
pub const MAX_MEMORY: u64 = 640 << 20;
/// Descriptors that the tests leave to everything else.
const RESERVE: u64 = 512;

/// A daemon with a small file, a large one and a folder.
#[derive(Debug)]
pub struct World {
    /// The daemon.
    pub gateway: Gateway,
    /// Path of the small file.
    pub small: String,
    /// Path of the large file.
    pub large: String,
    /// Path of the folder, with its last slash.
    pub folder: String,
}

impl World {
    /// One that is shared by tests whose attacks are small.
    pub fn shared() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self::with(|_| ()))
    }

    /// One of its own, whose node was prepared.
    pub fn with(prepare: impl FnOnce(&Node)) -> Self {
        let node = gateway::node();
        prepare(&node);
        let flags = ["-r", "--cid-version=1", "--raw-leaves"];
        let add = |path: &std::path::Path| node.add(&flags, path);
        let small = add(&node.file("small.txt", SMALL));
        let large = add(&node.file("large.bin", keystream::bytes("large", LARGE)));
        let dir = node.work().join("folder");
        std::fs::create_dir(&dir).expect("the directory is writable");
        for name in ["<script>alert(1)<", "a&b\"c'.txt", "plain.txt"] {
            std::fs::write(dir.join(name), name).expect("the directory is writable");
        }
        let folder = add(&dir);
        let gateway = Gateway::start(node, &[]);
        Self {
            gateway,
            small: format!("/ipfs/{small}"),
            large: format!("/ipfs/{large}"),
            folder: format!("/ipfs/{folder}/"),
        }
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Response {
        send(self.gateway.address, request).unwrap_or_else(|e| panic!("{request:?}: {e}"))
    }

    /// Gets a path.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.ask(&Request::new("GET", target))
    }

    /// Writes bytes as they are on a connection of its own, and reads an answer; `None` if the connection is closed without
    /// one.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Option<Response> {
        let mut client = self.connect();
        // A server may refuse before it has read everything.
        let _ = client.write(bytes);
        client.read("GET").ok()
    }

    /// A connection.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.gateway.address).expect("the gateway listens")
    }

    /// What must hold after an attack: others are served, and memory stayed within its bound.
    #[track_caller]
    pub fn is_well(&self) {
        let response = self.get(&self.small);
        assert_eq!((response.status, response.text().as_str()), (200, SMALL), "{}", response.describe());
        let errors = self.gateway.errors();
        assert!(!errors.contains("panicked"), "{errors}");
        let peak = process::memory(self.gateway.pid(), "VmHWM:");
        assert!(peak < MAX_MEMORY, "the daemon took {} MiB", peak >> 20);
    }
}

/// Whether an answer comes from a program that broke: statuses for what it lacks or can't get are none, and names that can't
/// be resolved are 500 in this protocol.
pub fn is_crash(response: &Response) -> bool {
    let name = response.text().contains("failed to resolve /ipns/");
    response.status >= 500 && ![501, 502, 504].contains(&response.status) && !(response.status == 500 && name)
}

/// As many of `wanted` clients as this process may have descriptors for, and the right to have them alone.
pub fn crowd(wanted: usize) -> (usize, MutexGuard<'static, ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = if raised.is_ok() { limit.maximum } else { limit.current };
    let room = current.map_or(u64::MAX, |current| current.saturating_sub(RESERVE));
    let clients = wanted.min(usize::try_from(room).unwrap_or(usize::MAX));
    if clients < wanted {
        println!("{clients} clients in place of {wanted}: the limit on open files");
    }
    (clients, alone)
}
