//! One connection's streams.
//!
//! Messages come in on streams that the peer opens and keeps open, and go out on one stream of our own. It is opened
//! when the peer is known to speak Bitswap, at the latest with the first message, so that neither question nor answer
//! waits for a round trip of negotiation; and again when it breaks. A handler hands messages to the engine and takes them from
//! it directly, so that the swarm's task carries none of them, and reads no more while the engine is busy: the peer's
//! own flow control then holds it back.
//!
//! | What | Bound | At the bound |
//! |---|---|---|
//! | inbound streams, and what they hold | see [`super::inbox`] | |
//! | messages read and not yet taken by the engine | one | no stream of the connection is read |
//! | attempts to send a message | [`MAX_ATTEMPTS`] | it is dropped, and the engine told |

use super::{
    codec::MessageWriter,
    inbox::Inbox,
    link::{Inbound, Lane, Link, LinkGuard, Outgoing},
    message::{Message, Version},
};
use futures::future::{Ready, ready};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound, ProtocolsChange},
    },
};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// Times that a message is tried on a fresh stream.
pub const MAX_ATTEMPTS: u32 = 3;
/// Messages read from one connection before other work of its task gets a turn.
const READ_TURN: usize = 32;

/// Names of the protocol, best first.
pub const PROTOCOLS: [StreamProtocol; 4] = [
    StreamProtocol::new("/ipfs/bitswap/1.2.0"),
    StreamProtocol::new("/ipfs/bitswap/1.1.0"),
    StreamProtocol::new("/ipfs/bitswap/1.0.0"),
    StreamProtocol::new("/ipfs/bitswap"),
];

/// What a protocol's name says of its peers.
pub fn version_of(protocol: &StreamProtocol) -> Version {
    match protocol.as_ref() {
        "/ipfs/bitswap/1.2.0" => Version::V1_2,
        "/ipfs/bitswap/1.1.0" => Version::V1_1,
        _ => Version::V1_0,
    }
}

/// Negotiates any version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Protocols;

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::array::IntoIter<StreamProtocol, 4>;

    fn protocol_info(&self) -> Self::InfoIter {
        PROTOCOLS.into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = (Stream, Version);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, version_of(&protocol))))
    }
}

enum Outbound {
    Closed,
    Opening,
    Open(Box<MessageWriter<Stream>>, Version),
    /// The peer speaks none of the versions.
    Unsupported,
}

impl Outbound {
    /// Whether a stream is to be opened now.
    fn open(&mut self) -> bool {
        let closed = matches!(self, Self::Closed);
        if closed {
            *self = Self::Opening;
        }
        closed
    }
}

/// Where messages go that were read. What peers want goes a way of its own: a flood of wants must not hold up blocks.
#[derive(Clone)]
pub(super) struct Lanes {
    /// Wants and cancels.
    pub(super) wants: Lane,
    /// Blocks and presences.
    pub(super) answers: Lane,
}

/// The streams of one connection.
pub struct Handler {
    guard: LinkGuard,
    link: Arc<Link>,
    inbox: Inbox<Stream>,
    lanes: Lanes,
    /// Read, and waiting for room in the engine.
    read: Option<(Message, usize)>,
    outgoing: mpsc::Receiver<Outgoing>,
    outbound: Outbound,
    /// Being sent, and how often that was tried.
    sending: Option<(Outgoing, u32)>,
    /// Whether `sending` was given to the present stream.
    started: bool,
    /// Whether a stream is to be opened before there is anything to send.
    early: bool,
}

impl Handler {
    pub(super) fn new(guard: LinkGuard, link: Arc<Link>, outgoing: mpsc::Receiver<Outgoing>, lanes: Lanes) -> Self {
        Self {
            inbox: Inbox::new(link.peer),
            guard,
            link,
            lanes,
            read: None,
            outgoing,
            outbound: Outbound::Closed,
            sending: None,
            started: false,
            early: false,
        }
    }

    /// Hands the message that was read to the engine, its wants first.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((message, len)) = &mut self.read {
            let asks = !message.wants.is_empty() || message.full;
            let lane = if asks { &mut self.lanes.wants } else { &mut self.lanes.answers };
            let Some(permit) = ready!(lane.poll_room(*len, cx)) else {
                self.read = None;
                break;
            };
            let part = if asks {
                let (wants, full) = (std::mem::take(&mut message.wants), std::mem::take(&mut message.full));
                Message { wants, full, ..Message::default() }
            } else {
                std::mem::take(message)
            };
            let more = !message.is_empty();
            // A message counts with its last part.
            let len = if more { 0 } else { *len };
            lane.send(Inbound { peer: self.link.peer, message: part, len, permit });
            if !more {
                self.read = None;
            }
        }
        Poll::Ready(())
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) {
        for _ in 0..READ_TURN {
            if self.poll_deliver(cx).is_pending() {
                return;
            }
            match self.inbox.poll_next(cx) {
                Poll::Ready(read) => self.read = Some(read),
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Sends what the engine gave. `true`: a stream has to be opened.
    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.sending.is_none() {
                match self.outgoing.poll_recv(cx) {
                    Poll::Ready(Some(message)) => {
                        self.sending = Some((message, 0));
                        self.started = false;
                    }
                    Poll::Ready(None) | Poll::Pending => return false,
                }
            }
            match &mut self.outbound {
                Outbound::Unsupported => self.sending = None,
                Outbound::Opening => return false,
                Outbound::Closed => {
                    self.outbound = Outbound::Opening;
                    return true;
                }
                Outbound::Open(writer, version) => {
                    if !self.started
                        && let Some((outgoing, _)) = &self.sending
                    {
                        writer.start(outgoing.message.encode(*version));
                        self.started = true;
                    }
                    match writer.poll_flush(cx) {
                        Poll::Pending => return false,
                        Poll::Ready(Ok(())) => {
                            if let Some((outgoing, _)) = self.sending.take() {
                                outgoing.sent();
                            }
                        }
                        Poll::Ready(Err(error)) => {
                            tracing::debug!(peer = %self.link.peer, %error, "a bitswap stream broke");
                            self.retry();
                        }
                    }
                }
            }
        }
    }

    /// After a stream broke: the message goes out on a fresh one.
    fn retry(&mut self) {
        self.outbound = Outbound::Closed;
        self.started = false;
        if let Some((_, attempts)) = &mut self.sending {
            *attempts += 1;
            if *attempts >= MAX_ATTEMPTS {
                self.sending = None;
            }
        }
    }

    fn add_inbound(&mut self, mut stream: Stream) {
        // Which connections are kept is for the connection manager to say: see `Keep`.
        stream.ignore_for_keep_alive();
        self.inbox.add(stream);
    }
}

impl Drop for Handler {
    /// What was not sent yet goes over another connection, if there is one.
    fn drop(&mut self) {
        self.guard.close();
        self.outgoing.close();
        let sending = self.sending.take().map(|(outgoing, _)| outgoing);
        let rest = std::iter::from_fn(|| self.outgoing.try_recv().ok());
        for outgoing in sending.into_iter().chain(rest) {
            if self.guard.links.send(&self.link.peer, outgoing).is_err() {
                // What is lost is asked for again once it is late.
                break;
            }
        }
    }
}

/// What a handler tells the behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The peer's version, from a stream that was opened.
    Speaks(Version),
    /// The peer does not speak Bitswap.
    Unsupported,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Report;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        SubstreamProtocol::new(Protocols, ())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Protocols, (), Report>> {
        if let Some(report) = self.link.take_report() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        self.poll_inbound(cx);
        let wanted = self.poll_outbound(cx);
        if wanted || (std::mem::take(&mut self.early) && self.outbound.open()) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Protocols, ()),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Protocols, Protocols>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.add_inbound(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (mut stream, version),
                ..
            }) => {
                stream.ignore_for_keep_alive();
                self.outbound = Outbound::Open(Box::new(MessageWriter::new(stream)), version);
                self.link.report(Report::Speaks(version));
            }
            ConnectionEvent::DialUpgradeError(failed) => match failed.error {
                StreamUpgradeError::NegotiationFailed => {
                    self.outbound = Outbound::Unsupported;
                    self.link.report(Report::Unsupported);
                }
                StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => self.retry(),
                StreamUpgradeError::Apply(never) => match never {},
            },
            // A peer that learns to speak Bitswap later on is asked again.
            ConnectionEvent::RemoteProtocolsChange(change) => {
                let ProtocolsChange::Added(added) = change else { return };
                let Some(version) = added.filter(|p| PROTOCOLS.contains(p)).map(version_of).max() else { return };
                if matches!(self.outbound, Outbound::Unsupported) {
                    self.outbound = Outbound::Closed;
                }
                self.early = true;
                self.link.report(Report::Speaks(version));
            }
            _ => {}
        }
    }
}
