//! What this node answers: from its tables and records, in the swarm's task, so nothing here is hashed, validated or
//! waited for but what [`super::serve`] did before.

use super::{
    Behaviour, Net, diversity,
    key::Id,
    message::{Kind, MAX_ADDRS, Message, encoded_len},
    query::lookup::K,
    serve::Question,
    table::{entry_of, nearest},
};
use crate::routing::Provider;
use libp2p::{Multiaddr, PeerId};
use std::collections::HashSet;

/// Bytes of the providers in one answer; the rest, of a list in random order, is left out. Many readers take no more
/// than 64 KiB.
const MAX_PROVIDER_BYTES: usize = 48 * 1024;

impl Behaviour {
    /// Answers, or drops the reply, which refuses.
    pub(super) fn answer(&mut self, question: Question) {
        let Question { net, from, message, id, end, reply } = question;
        if !self.served.contains(net) {
            return;
        }
        let answer = match message.kind {
            Kind::FindNode => Some(self.find_node(net, from, &message.key, &id)),
            Kind::GetValue => {
                let value = self.records(net).and_then(|records| records.value(&id));
                let record = value.map(|value| (message.key.clone(), value));
                Some(Message {
                    record,
                    closer: self.closer(net, &id, &from),
                    ..Message::ask(message.kind, message.key)
                })
            }
            Kind::GetProviders => {
                let providers = self.providers(net, &id);
                let closer = self.closer(net, &id, &from);
                Some(Message { closer, providers, ..Message::ask(message.kind, message.key) })
            }
            Kind::PutValue => {
                let (Some((key, value)), Some(records)) = (&message.record, self.records(net)) else { return };
                match records.put(&id, key, value, end) {
                    Ok(()) => Some(message),
                    Err(error) => return tracing::debug!(%from, %error, "a value"),
                }
            }
            Kind::AddProvider => {
                self.keep_provider(net, &id, message);
                None
            }
            Kind::Ping => return,
        };
        // The stream may have gone.
        let _ = reply.send(answer);
    }

    /// When there is no room it is not kept, and the sender goes on with its next.
    fn keep_provider(&mut self, net: Net, id: &Id, message: Message) {
        let loopback = self.loopback_on_lan;
        let Some(records) = self.records(net) else { return };
        for provider in message.providers {
            let addrs =
                provider.addrs.into_iter().filter(|addr| diversity::is_announced(net, loopback, addr)).collect();
            if let Err(error) = records.provide(id, &message.key, provider.peer, addrs) {
                tracing::debug!(from = %provider.peer, %error, "an announcement");
            }
        }
    }

    /// The peer itself first, where anything is known of it, even if it is this node, who asks, or no server.
    fn find_node(&mut self, net: Net, from: PeerId, key: &[u8], id: &Id) -> Message {
        let mut closer = self.closer(net, id, &from);
        if let Ok(target) = PeerId::from_bytes(key)
            && closer.first().is_none_or(|first| first.peer != target)
        {
            let addrs = self.known(net, &target);
            if !addrs.is_empty() {
                closer.insert(0, Provider { peer: target, addrs });
            }
        }
        Message { closer, ..Message::ask(Kind::FindNode, Vec::new()) }
    }

    fn closer(&mut self, net: Net, id: &Id, from: &PeerId) -> Vec<Provider> {
        let mut peers = self.inner.kad(net).map(|kad| nearest(kad, id, K + 1)).unwrap_or_default();
        peers.retain(|peer| peer.peer != *from);
        peers.truncate(K);
        peers
    }

    fn providers(&mut self, net: Net, id: &Id) -> Vec<Provider> {
        let rows = self.records(net).map(|records| records.providers_of(id)).unwrap_or_default();
        let mut providers = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            // Whoever is connected, and this node, are where they are now.
            let addrs = if row.addrs.is_empty() { self.known(net, &row.peer) } else { row.addrs };
            let provider = Provider { peer: row.peer, addrs };
            bytes += encoded_len(&provider);
            if bytes > MAX_PROVIDER_BYTES {
                break;
            }
            providers.push(provider);
        }
        providers
    }

    /// Where a peer is, as far as others in that network should know.
    fn known(&mut self, net: Net, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addrs = self.addresses_of(peer);
        if *peer == self.local {
            addrs.extend(self.own_addresses());
        } else if let Some(records) = self.records(net) {
            addrs.extend(records.addresses_of(peer));
        }
        if addrs.is_empty() {
            addrs = (self.book)(peer);
        }
        let mut seen = HashSet::new();
        addrs.retain(|addr| diversity::is_announced(net, self.loopback_on_lan, addr) && seen.insert(addr.clone()));
        addrs.truncate(MAX_ADDRS);
        addrs
    }

    /// Addresses of a peer that is connected, or in a table.
    pub(super) fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let mut addrs = self.connected.of(peer);
        for net in Net::ALL {
            addrs.extend(self.inner.kad(net).map(|kad| entry_of(kad, peer)).unwrap_or_default());
        }
        let mut seen = HashSet::new();
        addrs.retain(|addr| seen.insert(addr.clone()));
        addrs
    }

    #[cfg(test)]
    pub(super) fn table_addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        self.inner.kad(Net::Wan).map(|kad| entry_of(kad, peer)).unwrap_or_default()
    }
}
