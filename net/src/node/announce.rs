//! What a node says of its own addresses.

use super::addr::{Mask, ip_of, is_relayed, split_peer};
use libp2p::Multiaddr;
use std::collections::BTreeSet;

/// An address that is never announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Never {
    /// All of a network.
    Network(Mask),
    /// This one.
    Address(Multiaddr),
}

/// What is announced (`Addresses.Announce`, `AppendAnnounce`, `NoAnnounce`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announce {
    /// These, and not what the node listens on or was seen at. Empty: those.
    pub instead: Vec<Multiaddr>,
    /// These too.
    pub besides: Vec<Multiaddr>,
    /// None of these, wherever they come from.
    pub never: Vec<Never>,
}

impl Announce {
    /// Whether an address that the node listens on, or was seen at, may be announced.
    pub fn allows(&self, addr: &Multiaddr) -> bool {
        let addr = split_peer(addr).0;
        if self.is_never(&addr) {
            return false;
        }
        self.instead.is_empty() || self.fixed().any(|fixed| *fixed == addr)
    }

    fn is_never(&self, addr: &Multiaddr) -> bool {
        self.never.iter().any(|never| match never {
            // A relayed address begins with the relay's IP, which is not ours to hide.
            Never::Network(mask) => !is_relayed(addr) && ip_of(addr).is_some_and(|ip| mask.contains(ip)),
            Never::Address(never) => split_peer(never).0 == *addr,
        })
    }

    /// What is announced wherever the node listens.
    pub fn fixed(&self) -> impl Iterator<Item = &Multiaddr> {
        self.instead.iter().chain(&self.besides).filter(|addr| !self.is_never(&split_peer(addr).0))
    }

    /// All that is announced, given what the node listens on and was seen at; each once.
    pub fn all<'a>(&'a self, own: impl IntoIterator<Item = &'a Multiaddr>) -> Vec<Multiaddr> {
        let own = own.into_iter().filter(|addr| self.allows(addr));
        let all: BTreeSet<Multiaddr> = own.chain(self.fixed()).map(|addr| split_peer(addr).0).collect();
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn all(announce: &Announce, own: &[&str]) -> Vec<String> {
        let own: Vec<Multiaddr> = own.iter().map(|text| addr(text)).collect();
        let mut all: Vec<String> = announce.all(&own).iter().map(ToString::to_string).collect();
        all.sort_unstable();
        all
    }

    const OWN: [&str; 2] = ["/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"];

    #[test]
    fn lists_replace_append_and_forbid() {
        assert_eq!(all(&Announce::default(), &OWN), OWN);
        let besides = Announce { besides: vec![addr("/dns4/a.example/tcp/2")], ..Announce::default() };
        assert_eq!(all(&besides, &OWN).len(), 3);
        let instead = Announce { instead: vec![addr("/dns4/a.example/tcp/2")], ..besides.clone() };
        assert_eq!(all(&instead, &OWN), ["/dns4/a.example/tcp/2"]);
        let never = Announce {
            never: vec![
                Never::Network("/ip4/10.0.0.0/ipcidr/8".parse().expect("a mask")),
                Never::Address(addr("/dns4/a.example/tcp/2")),
            ],
            ..besides
        };
        assert_eq!(all(&never, &OWN), ["/ip4/8.8.8.8/tcp/1"]);
    }

    #[test]
    fn a_relayed_address_is_not_hidden_by_its_relays_network() {
        let never = Announce {
            never: vec![Never::Network("/ip4/10.0.0.0/ipcidr/8".parse().expect("a mask"))],
            ..Announce::default()
        };
        let relayed = "/ip4/10.0.0.9/tcp/1/p2p/12D3KooWFEXt93LX275oAyAgugXNiFc8pp6cfnoUqZ34vPdhVuFV/p2p-circuit";
        assert_eq!(all(&never, &[relayed]), [relayed]);
    }
}
