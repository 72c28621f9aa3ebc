//! Questions of others: the streams that they open, and the rules of an answer (libp2p/specs, kad-dht, "RPC messages").
//!
//! Each stream is served in its connection's task: it reads one message, hashes the key and validates what is to be
//! kept, asks [`super::Behaviour`] through a bounded channel for what only the swarm knows (the table, the records),
//! and writes the answer before it reads the next message. So a peer waits for its own answers, the swarm neither
//! hashes nor validates for strangers, and when it has much to do, all streams wait.
//!
//! A message that breaks a rule resets its stream, as Kubo does.
//!
//! | Bound | At the limit |
//! |---|---|
//! | [`MAX_INBOUND`] streams of a connection | the oldest that says nothing is reset, else the new one |
//! | [`MAX_QUESTION`] bytes of a message | the stream is reset |
//! | [`IDLE`] between messages | the stream is reset |
//! | [`ANSWER_TIMEOUT`] to take an answer | the stream is reset |
//! | [`MAX_QUESTIONS`] that wait for the swarm | streams wait |

use super::{
    Clock, Net, Validator,
    key::Id,
    message::{Kind, Message},
    providers,
    records::{RecordError, check_value},
    wire::{WireError, read_message},
};
use futures::{
    AsyncWriteExt as _, FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use libp2p::{
    PeerId, Stream, StreamProtocol,
    core::{InboundUpgrade, UpgradeInfo},
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Ready,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Context,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Inbound streams of one connection.
pub(crate) const MAX_INBOUND: usize = 32;
/// Largest question in bytes. The largest that is asked in earnest is an IPNS record of 10 KiB.
pub(crate) const MAX_QUESTION: usize = 64 * 1024;
/// How long a stream may take from one message to the end of the next: as in Kubo.
const IDLE: Duration = Duration::from_secs(60);
/// How long a peer may take to read an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions of all streams that wait for the swarm.
pub(super) const MAX_QUESTIONS: usize = 256;

/// In which networks others may ask this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    /// The public one.
    pub(crate) wan: bool,
    /// The local one.
    pub(crate) lan: bool,
}

impl Served {
    pub(crate) fn contains(self, net: Net) -> bool {
        match net {
            Net::Wan => self.wan,
            Net::Lan => self.lan,
        }
    }
}

/// What a stream asks of the swarm.
pub(crate) struct Question {
    /// On which DHT.
    pub(crate) net: Net,
    /// Who wants to know.
    pub(crate) from: PeerId,
    /// The message. A record in it was validated.
    pub(crate) message: Message,
    /// The point of its key.
    pub(crate) id: Id,
    /// Until when a value to keep is valid, in Unix seconds.
    pub(crate) end: u64,
    /// The answer, `None` when the message is one that has none. Dropped: the message is refused.
    pub(crate) reply: oneshot::Sender<Option<Message>>,
}

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) validator: Arc<dyn Validator>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) refused: Refused,
}

/// Inbound messages refused since the start, of each DHT.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused(Arc<[AtomicU64; 2]>);

impl Refused {
    fn add(&self, net: Net) {
        self.0[usize::from(net == Net::Lan)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, net: Net) -> u64 {
        self.0[usize::from(net == Net::Lan)].load(Ordering::Relaxed)
    }
}

/// The protocols on which a connection is asked.
#[derive(Debug, Clone)]
pub struct Listen(Vec<StreamProtocol>);

impl UpgradeInfo for Listen {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Listen {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        std::future::ready(Ok((stream, protocol)))
    }
}

/// The inbound streams of one connection.
pub(crate) struct Inbound {
    desk: Desk,
    peer: PeerId,
    served: Served,
    running: FuturesUnordered<Abortable<BoxFuture<'static, ()>>>,
    /// The oldest first.
    open: VecDeque<Open>,
}

struct Open {
    net: Net,
    /// Whether its next message has not begun; gone with the stream.
    silent: Weak<AtomicBool>,
    end: AbortHandle,
}

impl Inbound {
    pub(crate) fn new(desk: Desk, peer: PeerId, served: Served) -> Self {
        Self { desk, peer, served, running: FuturesUnordered::new(), open: VecDeque::new() }
    }

    /// What to listen for.
    pub(crate) fn listen(&self) -> Listen {
        Listen(Net::ALL.into_iter().filter(|net| self.served.contains(*net)).map(Net::protocol).collect())
    }

    /// Serves these networks from now on; streams of others are reset.
    pub(crate) fn serve(&mut self, served: Served) {
        self.served = served;
        for open in self.open.iter().filter(|open| !served.contains(open.net)) {
            open.end.abort();
        }
    }

    pub(crate) fn accept(&mut self, (stream, protocol): (Stream, StreamProtocol)) {
        let served = Net::ALL.into_iter().find(|net| net.protocol() == protocol && self.served.contains(*net));
        let Some(net) = served else { return };
        self.open.retain(|open| !open.end.is_aborted() && open.silent.strong_count() > 0);
        if self.open.len() >= MAX_INBOUND {
            let is_silent = |open: &Open| open.silent.upgrade().is_some_and(|silent| silent.load(Ordering::Relaxed));
            let Some(oldest) = self.open.iter().position(is_silent) else { return };
            if let Some(open) = self.open.remove(oldest) {
                open.end.abort();
            }
        }
        let silent = Arc::new(AtomicBool::new(true));
        let (end, registration) = AbortHandle::new_pair();
        self.open.push_back(Open { net, silent: Arc::downgrade(&silent), end });
        let serving = serve(stream, self.desk.clone(), net, self.peer, silent).boxed();
        self.running.push(Abortable::new(serving, registration));
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        while let std::task::Poll::Ready(Some(_)) = self.running.poll_next_unpin(cx) {}
    }
}

async fn serve(mut stream: Stream, desk: Desk, net: Net, peer: PeerId, silent: Arc<AtomicBool>) {
    loop {
        silent.store(true, Ordering::Relaxed);
        let read = read_message(&mut stream, MAX_QUESTION, || silent.store(false, Ordering::Relaxed));
        let message = match tokio::time::timeout(IDLE, read).await {
            Ok(Ok(Some(message))) => message,
            // The peer has said all.
            Ok(Ok(None)) => {
                let _ = tokio::time::timeout(ANSWER_TIMEOUT, stream.close()).await;
                return;
            }
            // A stream that is dropped open is reset.
            Ok(Err(WireError::Malformed(error))) => {
                tracing::debug!(%peer, %error, "a question that can't be read");
                return desk.refused.add(net);
            }
            Ok(Err(_)) | Err(_) => return,
        };
        let answer = match answer(&desk, net, peer, message).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%peer, net = net.name(), %error, "an inbound message");
                return desk.refused.add(net);
            }
        };
        let Some(answer) = answer else { continue };
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        let write = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if !matches!(tokio::time::timeout(ANSWER_TIMEOUT, write).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The answer to a message; an error refuses it.
async fn answer(desk: &Desk, net: Net, from: PeerId, mut message: Message) -> Result<Option<Message>, RecordError> {
    let invalid = |reason: &str| Err(RecordError::Invalid(reason.into()));
    // Nobody's peers are passed on unread in an echo.
    message.closer.clear();
    let mut end = 0;
    match message.kind {
        Kind::Ping => return Ok(Some(Message { providers: Vec::new(), ..message })),
        _ if message.key.is_empty() => return invalid("there is no key"),
        Kind::FindNode | Kind::GetValue => {}
        Kind::GetProviders | Kind::AddProvider if message.key.len() > providers::MAX_KEY => {
            return invalid("the key is longer than 80 bytes");
        }
        Kind::GetProviders => {}
        Kind::AddProvider => {
            message.providers.retain(|provider| provider.peer == from && !provider.addrs.is_empty());
            message.providers.truncate(1);
            if message.providers.is_empty() {
                return invalid("it names no provider, or another than who sent it, or no address");
            }
        }
        Kind::PutValue => match &message.record {
            Some((key, value)) if *key == message.key => {
                end = check_value(&*desk.validator, key, value, desk.clock.now())?;
                message.providers.clear();
            }
            _ => return invalid("there is no record, or one of another key"),
        },
    }
    let (reply, answer) = oneshot::channel();
    let question = Question { net, from, id: Id::of(&message.key), message, end, reply };
    if desk.questions.send(question).await.is_err() {
        return invalid("this node is shutting down");
    }
    answer.await.map_err(|_| RecordError::Invalid("it is not kept".into()))
}
