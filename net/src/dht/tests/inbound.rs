//! A peer that opens more streams than a connection may have.

use super::nodes::{LIMIT, Node};
use crate::dht::{
    Mode, Net,
    message::{Kind, Message},
    serve::MAX_INBOUND,
};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{DeniedUpgrade, ReadyUpgrade},
    },
    noise,
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedOutbound},
    },
    tcp, yamux,
};
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Opens streams on each connection that it makes, and hands them out.
struct Opener {
    streams: usize,
    opened: mpsc::Sender<(usize, Stream)>,
}

struct OpenerHandler {
    left: std::ops::Range<usize>,
    opened: mpsc::Sender<(usize, Stream)>,
}

impl ConnectionHandler for OpenerHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = usize;

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, usize, Infallible>> {
        let Some(number) = self.left.next() else { return Poll::Pending };
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(Net::Lan.protocol()), number);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<DeniedUpgrade, ReadyUpgrade<StreamProtocol>, (), usize>) {
        if let ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) = event {
            self.opened.try_send((info, protocol)).expect("there is room");
        }
    }
}

impl NetworkBehaviour for Opener {
    type ConnectionHandler = OpenerHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Err(ConnectionDenied::new("it only dials"))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(OpenerHandler { left: 0..self.streams, opened: self.opened.clone() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn the_oldest_silent_stream_goes_for_a_new_one() {
    let server = Node::new(Mode::Server).await;
    let (opened, mut streams) = mpsc::channel(MAX_INBOUND + 1);
    let opener = Opener { streams: MAX_INBOUND + 1, opened };
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("noise")
        .with_behaviour(|_| opener)
        .expect("a behaviour")
        .build();
    swarm.dial(server.addr.clone()).expect("dials");
    let running = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let mut open: Vec<(usize, Stream)> = Vec::new();
    while open.len() <= MAX_INBOUND {
        open.push(tokio::time::timeout(LIMIT, streams.recv()).await.expect("in time").expect("a stream"));
    }
    // They come in the order in which they were opened. The newest is asked first: when it is answered, all were taken.
    let oldest = open[0].0;
    open.reverse();
    let expected: Vec<usize> = open.iter().map(|(number, _)| *number).filter(|number| *number != oldest).collect();
    let mut ping = Vec::new();
    Message::ask(Kind::Ping, b"k".to_vec()).encode(&mut ping);
    let mut answered = Vec::new();
    for (number, mut stream) in open {
        let exchange = async {
            stream.write_all(&ping).await?;
            stream.flush().await?;
            stream.read_exact(&mut vec![0; ping.len()]).await
        };
        if tokio::time::timeout(LIMIT, exchange).await.expect("in time").is_ok() {
            answered.push(number);
        }
    }
    assert_eq!(answered, expected);
    running.abort();
}
