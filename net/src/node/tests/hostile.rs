//! A peer that lies in `identify`, and one that does not stop talking.

use super::*;
use futures::{AsyncWriteExt as _, FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Stream, StreamProtocol, SwarmBuilder,
    core::{Endpoint, PeerRecord, transport::PortUse, upgrade::ReadyUpgrade},
    noise,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
    tcp, yamux,
};
use std::{
    convert::Infallible,
    task::{Context, Poll},
};

const IDENTIFY: StreamProtocol = StreamProtocol::new("/ipfs/id/1.0.0");
const PUSH: StreamProtocol = StreamProtocol::new("/ipfs/id/push/1.0.0");

/// A field of a protobuf message.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut buffer = unsigned_varint::encode::usize_buffer();
    [&[number << 3 | 2], unsigned_varint::encode::usize(value.len(), &mut buffer), value].concat()
}

/// A message of identify: key, addresses, signed record, agent.
fn message(keys: &Keypair, addrs: &[Multiaddr], record: Option<Vec<u8>>, agent: &str) -> Vec<u8> {
    let mut out = field(1, &keys.public().encode_protobuf());
    addrs.iter().for_each(|addr| out.extend(field(2, addr.as_ref())));
    out.extend(field(3, b"/ipfs/id/1.0.0"));
    out.extend(field(4, addr("/ip4/8.8.8.8/tcp/1").as_ref()));
    out.extend(field(6, agent.as_bytes()));
    out.extend(record.map(|record| field(8, &record)).unwrap_or_default());
    let mut buffer = unsigned_varint::encode::usize_buffer();
    [unsigned_varint::encode::usize(out.len(), &mut buffer), &out].concat()
}

/// Answers identify with these bytes, and pushes those, one after the other.
#[derive(Clone)]
struct Liar {
    answer: Vec<u8>,
    pushes: Vec<Vec<u8>>,
}

struct Handler {
    liar: Liar,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
}

fn say(mut stream: Stream, bytes: Vec<u8>) -> BoxFuture<'static, ()> {
    async move {
        let _ = stream.write_all(&bytes).await;
        let _ = stream.close().await;
    }
    .boxed()
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(IDENTIFY), ())
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Infallible>> {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        if self.running.is_empty() && !self.liar.pushes.is_empty() {
            let bytes = self.liar.pushes.remove(0);
            self.liar.answer = bytes;
            // The stream takes what is said next from `answer`.
            self.running.push(futures::future::ready(()).boxed());
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PUSH), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.running.push(say(protocol, self.liar.answer.clone()));
            }
            _ => {}
        }
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }
}

impl NetworkBehaviour for Liar {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler { liar: self.clone(), running: FuturesUnordered::new() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler { liar: self.clone(), running: FuturesUnordered::new() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// Lets a liar dial a node, and runs it.
async fn dial(node: &Node, keys: &Keypair, answer: Vec<u8>, pushes: Vec<Vec<u8>>) {
    let mut swarm = SwarmBuilder::with_existing_identity(keys.clone())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| Liar { answer, pushes })
        .expect("a behaviour")
        .build();
    swarm.dial(node.listeners().await.remove(0)).expect("dialed");
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
}

async fn victim() -> Node {
    start_at("/ip4/127.0.0.1/tcp/0").await
}

fn record(keys: &Keypair, addrs: Vec<Multiaddr>) -> Vec<u8> {
    PeerRecord::new(keys, addrs).expect("signed").into_signed_envelope().into_protobuf_encoding()
}

#[tokio::test]
async fn a_record_that_another_signed_is_not_believed() {
    let (node, liar, other) = (victim().await, Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let forged = record(&other, vec![addr("/ip4/127.0.0.1/tcp/666")]);
    let own = addr("/ip4/127.0.0.1/tcp/777");
    dial(&node, &liar, message(&liar, std::slice::from_ref(&own), Some(forged), "liar"), Vec::new()).await;
    assert_eq!(identified(&node).await.listen_addrs, std::slice::from_ref(&own));
    let known = node.known_addresses().await;
    assert!(!known.contains_key(&other.public().to_peer_id()), "{known:?}");
    assert_eq!(known.get(&liar.public().to_peer_id()), Some(&vec![own]));
}

#[tokio::test]
async fn whoever_shows_anothers_key_and_record_is_not_that_other() {
    let (node, liar, other) = (victim().await, Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let stolen = record(&other, vec![addr("/ip4/127.0.0.1/tcp/666")]);
    let first = message(&other, &[], Some(stolen), "thief");
    // What it says afterwards in its own name is heard, so the lie was, too.
    dial(&node, &liar, first, vec![message(&liar, &[], None, "honest")]).await;
    assert_eq!(identified(&node).await.agent, "honest");
    let known = node.known_addresses().await;
    assert!(!known.contains_key(&other.public().to_peer_id()), "{known:?}");
}

#[tokio::test]
async fn a_flood_of_pushes_is_bounded() {
    let (node, liar) = (victim().await, Keypair::generate_ed25519());
    let push = |i: usize| {
        let addrs: Vec<Multiaddr> = (0..60).map(|k| addr(&format!("/ip4/127.0.0.1/tcp/{}", i * 60 + k + 1))).collect();
        message(&liar, &addrs, None, &"x".repeat(1500))
    };
    let pushes = (0..200).map(push).collect();
    dial(&node, &liar, message(&liar, &[], None, "flood"), pushes).await;
    identified(&node).await;
    let honest = victim().await;
    connect(&honest, &node).await;
    honest.ping(node.peer_id()).await.expect("the node answers others");
    let peers = node.peers().await;
    let info = peers.iter().find(|info| info.peer == liar.public().to_peer_id()).expect("connected");
    assert!(info.listen_addrs.len() <= 32 && info.agent.chars().count() <= 128, "{info:?}");
    let known = node.known_addresses().await;
    assert!(known.values().all(|addrs| addrs.len() <= 16), "{known:?}");
}
