//! Blocks over HTTP from trustless gateways, beside those over Bitswap (specs.ipfs.tech/http-gateways/trustless-gateway,
//! `application/vnd.ipld.raw`).
//!
//! A provider with an HTTP address is a peer like any other: it has a link whose other end is a task here, which makes a
//! GET of each want, a HEAD of a question who has a block (while it gives what it is asked for, it is taken to have the next
//! blocks too), and a block, HAVE or DONT_HAVE of each answer. So
//! windows, hedging, deduplication and the score of peers that send garbage are those of all peers.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | gateways at a time | [`MAX_GATEWAYS`] | further ones can't be reached |
//! | requests under way | [`GatewayConfig::workers`] over all | they wait |
//! | bytes of an answer | [`GatewayConfig::max_block`] | the gateway has failed |
//! | failures in a row, blocks in a row that it lacks | [`MAX_FAILURES`], [`MAX_LACKING`] | it is given up until a search finds it again |
//! | wants that wait | what is asked of a peer, see [`super::client`] | |

use super::{
    engine::PeerEvent,
    link::{Lane, LinkGuard, Links, Outgoing, WeakLane},
    message::{Entry, Message, Payload, Presence, Version, WantType, prefix_of},
};
use crate::addr::{Scope, scope};
use bytes::{Bytes, BytesMut};
use cairn_store::{Cid, block::MAX_BLOCK_SIZE};
use futures::{StreamExt as _, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use parking_lot::Mutex;
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, RETRY_AFTER},
};
use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

/// Gateways that are asked at a time.
const MAX_GATEWAYS: usize = 32;
/// Requests to one gateway at a time.
const AT_ONCE: usize = 16;
/// Failures in a row after which a gateway is given up.
const MAX_FAILURES: u32 = 3;
/// Blocks in a row that a gateway lacks, after which it is given up.
const MAX_LACKING: u32 = 100;
/// Time to connect, and for the first bytes of an answer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// How long a gateway that nothing is asked of is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Pause when a gateway says that it is busy, and the longest that it may ask for.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The empty identity block: answered by every gateway, from nothing.
const PROBE: &str = "bafkqaaa";
/// Ids of links to gateways begin here, far beyond those that a swarm gives to connections.
const FIRST_LINK: usize = usize::MAX / 2;

/// `HTTPRetrieval.*`.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// If there are any, only these hosts are asked. What stands here may be on this machine or the local network, and
    /// be asked without TLS.
    pub allow: HashSet<String>,
    /// These hosts are not asked.
    pub deny: HashSet<String>,
    /// Requests at a time, to all gateways.
    pub workers: usize,
    /// Bytes of a block at most.
    pub max_block: usize,
    /// Whether certificates are not checked: for tests.
    pub insecure: bool,
    /// What this node calls itself.
    pub agent: String,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            allow: HashSet::new(),
            deny: HashSet::new(),
            workers: 16,
            max_block: MAX_BLOCK_SIZE,
            insecure: false,
            agent: String::new(),
        }
    }
}

impl GatewayConfig {
    /// Where an address leads, if that is a gateway that may be asked. Without TLS, and to the local network, only what
    /// is allowed by name: addresses come from strangers.
    fn url(&self, addr: &Multiaddr) -> Option<Url> {
        let mut parts = addr.iter();
        let (host, public) = match parts.next()? {
            Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
                (name.to_string(), name != "localhost")
            }
            Protocol::Ip4(ip) => (ip.to_string(), scope(addr) == Scope::Public),
            Protocol::Ip6(ip) => (format!("[{ip}]"), scope(addr) == Scope::Public),
            _ => return None,
        };
        let Protocol::Tcp(port) = parts.next()? else { return None };
        let rest: Vec<_> = parts.collect();
        let scheme = match rest.as_slice() {
            [Protocol::Https] | [Protocol::Tls, Protocol::Http] | [Protocol::Tls, Protocol::Sni(_), Protocol::Http] => {
                "https"
            }
            [Protocol::Http] => "http",
            _ => return None,
        };
        let named = self.allow.contains(&host);
        let safe = named || (self.allow.is_empty() && public && scheme == "https");
        if !safe || self.deny.contains(&host) {
            return None;
        }
        Url::parse(&format!("{scheme}://{host}:{port}")).ok()
    }
}

/// Whether an address is one of HTTP, which no transport of the swarm takes.
pub(super) fn is_http(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Http | Protocol::Https))
}

/// Opens links to gateways.
pub(super) struct Gateways {
    config: Arc<GatewayConfig>,
    client: Client,
    /// Room for requests, and for gateways.
    requests: Arc<Semaphore>,
    room: Arc<Semaphore>,
    /// Those that are asked, or about to be: several searches find one gateway.
    open: Arc<Mutex<HashSet<PeerId>>>,
    links: Arc<Links>,
    /// Weak: the tasks that take what comes here own this.
    answers: WeakLane,
    peers: mpsc::WeakSender<PeerEvent>,
    next: AtomicUsize,
}

impl Gateways {
    /// `None` when no TLS can be had.
    pub(super) fn new(
        config: &GatewayConfig,
        links: Arc<Links>,
        answers: &Lane,
        peers: &mpsc::Sender<PeerEvent>,
    ) -> Option<Self> {
        // An error says that somebody has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(&config.agent)
            .connect_timeout(CONNECT_TIME)
            .read_timeout(ANSWER_TIME)
            .pool_idle_timeout(IDLE)
            // A gateway that is not where it says it is would lead elsewhere unchecked, and in circles.
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(config.insecure)
            .build();
        match client {
            Ok(client) => Some(Self {
                client,
                requests: Arc::new(Semaphore::new(config.workers.max(1))),
                room: Arc::new(Semaphore::new(MAX_GATEWAYS)),
                open: Arc::default(),
                config: Arc::new(config.clone()),
                links,
                answers: answers.weak(),
                peers: peers.downgrade(),
                next: AtomicUsize::new(0),
            }),
            Err(error) => {
                tracing::warn!(%error, "gateways can't be asked over HTTP");
                None
            }
        }
    }

    /// Begins to ask a gateway, if one of the addresses is one: `false` otherwise. The client hears of it as of any
    /// other peer.
    pub(super) fn connect(&self, peer: PeerId, addrs: &[Multiaddr]) -> bool {
        let Some((addr, base)) = addrs.iter().find_map(|addr| Some((addr, self.config.url(addr)?))) else {
            return false;
        };
        let (Ok(turn), Some(peers)) = (Arc::clone(&self.room).try_acquire_owned(), self.peers.upgrade()) else {
            return false;
        };
        if !self.open.lock().insert(peer) {
            return true;
        }
        let open = Arc::clone(&self.open);
        let gateway = Gateway {
            peer,
            base,
            client: self.client.clone(),
            requests: Arc::clone(&self.requests),
            max_block: self.config.max_block,
        };
        let connection = ConnectionId::new_unchecked(FIRST_LINK + self.next.fetch_add(1, Ordering::Relaxed));
        let (links, addr) = (Arc::clone(&self.links), addr.clone());
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let _turn = turn;
            let event = if gateway.answers().await {
                let _guard = LinkGuard { links: Arc::clone(&links), peer, connection };
                let (_, outgoing) = links.open(peer, connection, false);
                for event in [PeerEvent::Connected { peer, addr }, PeerEvent::Speaks(peer, Version::V1_2)] {
                    let _ = peers.send(event).await;
                }
                drop(links);
                gateway.run(outgoing, answers).await;
                PeerEvent::Disconnected(peer)
            } else {
                PeerEvent::DialFailed(peer)
            };
            open.lock().remove(&peer);
            let _ = peers.send(event).await;
        });
        true
    }
}

/// What a gateway said of a want.
enum Said {
    Block(Bytes),
    Has,
    Lacks,
    Busy(Duration),
    Failed(String),
}

struct Gateway {
    peer: PeerId,
    base: Url,
    client: Client,
    requests: Arc<Semaphore>,
    max_block: usize,
}

impl Gateway {
    fn url(&self, cid: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/ipfs/{cid}"));
        url.set_query(Some("format=raw"));
        url
    }

    async fn ask(&self, method: Method, cid: &str) -> reqwest::Result<Response> {
        self.client.request(method, self.url(cid)).header(ACCEPT, "application/vnd.ipld.raw").send().await
    }

    /// Whether it is a gateway. Over TLS it has to speak HTTP/2: a connection for each block would be too slow.
    async fn answers(&self) -> bool {
        for method in [Method::HEAD, Method::GET] {
            match self.ask(method, PROBE).await {
                Ok(answer) if self.base.scheme() == "https" && answer.version() < reqwest::Version::HTTP_2 => {
                    return false;
                }
                Ok(answer) if answer.status().is_success() => return true,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(peer = %self.peer, %error, "a gateway can't be reached");
                    return false;
                }
            }
        }
        false
    }

    /// Asks it for what is wanted, until nothing is for a while or it fails.
    async fn run(&self, mut outgoing: mpsc::Receiver<Outgoing>, answers: WeakLane) {
        let mut waiting: VecDeque<Entry> = VecDeque::new();
        let mut running = FuturesUnordered::new();
        let (mut failures, mut lacking) = (0, 0);
        let mut gives = false;
        let mut pause: Option<tokio::time::Instant> = None;
        loop {
            // Who gave the last block probably has the next one too: a question for each would double the requests. If
            // it does not after all, that shows when it is asked for the block.
            for cid in answered(&mut waiting, gives) {
                let presences = vec![(cid, Presence::Have)];
                answers.send(self.peer, Message { presences, ..Message::default() }).await;
            }
            while running.len() < AT_ONCE
                && pause.is_none()
                && let Some(entry) = waiting.pop_front()
            {
                running.push(async move { (self.fetch(&entry).await, entry) });
            }
            let until = pause.unwrap_or_else(|| tokio::time::Instant::now() + IDLE);
            tokio::select! {
                message = outgoing.recv() => match message {
                    Some(message) => {
                        take(&mut waiting, &message.message.wants);
                        message.sent();
                    }
                    None => return,
                },
                Some((said, entry)) = running.next() => {
                    let mut message = Message::default();
                    let lacks = matches!(said, Said::Lacks);
                    match &said {
                        Said::Block(_) => gives = true,
                        Said::Lacks | Said::Failed(_) => gives = false,
                        Said::Has | Said::Busy(_) => {}
                    }
                    match said {
                        Said::Block(data) => {
                            message.blocks.extend(prefix_of(&entry.cid).map(|prefix| Payload { prefix, data }));
                        }
                        Said::Has => message.presences.push((entry.cid, Presence::Have)),
                        Said::Lacks => message.presences.push((entry.cid, Presence::DontHave)),
                        Said::Busy(time) => {
                            waiting.push_front(entry);
                            pause = Some(tokio::time::Instant::now() + time);
                            failures += 1;
                        }
                        Said::Failed(error) => {
                            tracing::debug!(peer = %self.peer, error, "a gateway failed");
                            message.presences.push((entry.cid, Presence::DontHave));
                            failures += 1;
                        }
                    }
                    if !message.blocks.is_empty() || lacks {
                        failures = 0;
                    }
                    lacking = if lacks { lacking + 1 } else { 0 };
                    if !message.is_empty() {
                        answers.send(self.peer, message).await;
                    }
                    if failures >= MAX_FAILURES || lacking >= MAX_LACKING {
                        return;
                    }
                }
                () = tokio::time::sleep_until(until), if running.is_empty() || pause.is_some() => {
                    if pause.take().is_none() && waiting.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    async fn fetch(&self, entry: &Entry) -> Said {
        // Nothing is closed while requests wait.
        let _slot = self.requests.acquire().await;
        let method = if entry.want == WantType::Have { Method::HEAD } else { Method::GET };
        let answer = match self.ask(method.clone(), &entry.cid.to_string()).await {
            Ok(answer) => answer,
            Err(error) => return Said::Failed(error.to_string()),
        };
        let status = answer.status();
        match status {
            StatusCode::OK if method == Method::HEAD => Said::Has,
            StatusCode::OK => self.body(answer).await,
            StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::FORBIDDEN
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Said::Lacks,
            _ if status.is_redirection() => Said::Lacks,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let seconds = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                Said::Busy(seconds.map_or(PAUSE, Duration::from_secs).min(MAX_PAUSE))
            }
            // The gateway is well, but did not get the block in time.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Said::Lacks,
            _ => Said::Failed(status.to_string()),
        }
    }

    async fn body(&self, mut answer: Response) -> Said {
        let mut data = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) if data.len() + piece.len() <= self.max_block => data.extend_from_slice(&piece),
                Ok(Some(_)) => return Said::Failed(format!("an answer of more than {} bytes", self.max_block)),
                Ok(None) => return Said::Block(data.freeze()),
                Err(error) => return Said::Failed(error.to_string()),
            }
        }
    }
}

/// Takes wants and cancels. Requests that are under way are not broken off: that would cost the connection.
fn take(waiting: &mut VecDeque<Entry>, wants: &[Entry]) {
    for entry in wants {
        let known = |kept: &Entry, cid: &Cid| kept.cid.hash() == cid.hash();
        waiting.retain(|kept| !known(kept, &entry.cid));
        if !entry.cancel {
            waiting.push_back(entry.clone());
        }
    }
}

/// Takes out the questions that are answered without asking, if the gateway `gives` what it is asked for.
fn answered(waiting: &mut VecDeque<Entry>, gives: bool) -> Vec<Cid> {
    let mut cids = Vec::new();
    if gives {
        waiting.retain(|entry| {
            let asks = entry.want == WantType::Have;
            cids.extend(asks.then_some(entry.cid));
            !asks
        });
    }
    cids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_hosts_with_tls_are_asked_unless_they_are_allowed() {
        let config = |allow: &[&str], deny: &[&str]| {
            let set = |list: &[&str]| list.iter().map(|host| (*host).to_owned()).collect();
            GatewayConfig { allow: set(allow), deny: set(deny), ..GatewayConfig::default() }
        };
        let url = |config: &GatewayConfig, addr: &str| {
            config.url(&addr.parse().expect("an address")).map(|url| url.to_string())
        };
        let any = config(&[], &[]);
        for (addr, expected) in [
            ("/dns4/example.com/tcp/443/tls/http", Some("https://example.com/")),
            ("/dns/example.com/tcp/8443/https", Some("https://example.com:8443/")),
            ("/dns6/example.com/tcp/443/tls/sni/example.com/http", Some("https://example.com/")),
            ("/ip4/8.8.8.8/tcp/443/https", Some("https://8.8.8.8/")),
            ("/ip6/2606:4700::1/tcp/443/https", Some("https://[2606:4700::1]/")),
            ("/dns4/example.com/tcp/80/http", None),
            ("/dns4/localhost/tcp/443/https", None),
            ("/ip4/127.0.0.1/tcp/5001/http", None),
            ("/ip4/192.168.1.1/tcp/443/https", None),
            ("/ip4/8.8.8.8/tcp/4001", None),
            ("/ip4/8.8.8.8/tcp/443/tls/ws", None),
            ("/ip4/8.8.8.8/udp/443/quic-v1", None),
        ] {
            assert_eq!(url(&any, addr).as_deref(), expected, "{addr}");
        }
        let one = config(&["192.168.1.1"], &[]);
        assert_eq!(url(&one, "/ip4/192.168.1.1/tcp/8080/http").as_deref(), Some("http://192.168.1.1:8080/"));
        assert_eq!(url(&one, "/dns4/example.com/tcp/443/https"), None);
        assert_eq!(url(&config(&["a.example"], &["a.example"]), "/dns4/a.example/tcp/443/https"), None);
    }
}
