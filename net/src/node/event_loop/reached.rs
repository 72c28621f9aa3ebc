//! Addresses that others reached this node at.

use crate::node::addr::{Scope, ip_of, scope};
use libp2p::Multiaddr;
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Addresses that are known; beyond, the one that was seen longest ago is forgotten.
const MAX_ADDRS: usize = 16;
/// An address whose IP no peer has seen this node at for so long is announced no more, until one sees it there again.
const UNSEEN: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Address {
    seen: Instant,
    announced: bool,
    /// Somebody else says how long it holds: the configuration, or the router.
    lasts: bool,
}

/// Addresses that others confirmed, relayed ones left out. A peer can lie itself into one, and networks change: so they
/// hold only while peers go on seeing the node there.
#[derive(Debug, Default)]
pub struct Reached(HashMap<Multiaddr, Address>);

impl Reached {
    /// An address was confirmed. Answers which one is forgotten for it: that is to be taken from the swarm.
    pub fn confirmed(&mut self, addr: &Multiaddr, lasts: bool, now: Instant) -> Option<Multiaddr> {
        let known = self.0.entry(addr.clone()).or_insert(Address { seen: now, announced: true, lasts });
        (known.seen, known.announced) = (now, true);
        if self.0.len() <= MAX_ADDRS {
            return None;
        }
        let others = self.0.iter().filter(|(other, _)| *other != addr);
        let oldest = others.min_by_key(|(_, known)| (known.lasts, known.seen)).map(|(addr, _)| addr.clone())?;
        self.0.remove(&oldest);
        Some(oldest)
    }

    /// The router, or the configuration, answers for an address.
    pub fn keep(&mut self, addr: &Multiaddr) {
        if let Some(known) = self.0.get_mut(addr) {
            known.lasts = true;
        }
    }

    /// An address holds no more.
    pub fn expired(&mut self, addr: &Multiaddr) {
        self.0.remove(addr);
    }

    /// Takes the IP addresses that connected peers see this node at. Answers what changes: addresses that are to be
    /// announced again (`true`) or no more.
    pub fn observed(&mut self, ips: &HashSet<IpAddr>, now: Instant) -> Vec<(Multiaddr, bool)> {
        let mut changes = Vec::new();
        for (addr, known) in self.0.iter_mut().filter(|(_, known)| !known.lasts) {
            if ip_of(addr).is_some_and(|ip| ips.contains(&ip.to_canonical())) {
                known.seen = now;
            }
            let holds = now.saturating_duration_since(known.seen) < UNSEEN;
            if holds != known.announced {
                known.announced = holds;
                changes.push((addr.clone(), holds));
            }
        }
        changes
    }

    /// Whether one of them can be reached from everywhere.
    pub fn is_public(&self) -> bool {
        self.0.iter().any(|(addr, known)| known.announced && scope(addr) == Scope::Public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    fn ips(texts: &[&str]) -> HashSet<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an IP")).collect()
    }

    #[test]
    fn an_address_holds_while_somebody_sees_the_node_there() {
        let (mut reached, start) = (Reached::default(), Instant::now());
        let (home, mapped) = (addr("/ip4/8.8.8.8/tcp/1"), addr("/ip4/9.9.9.9/tcp/1"));
        reached.confirmed(&home, false, start);
        assert!(reached.is_public());
        assert!(reached.observed(&ips(&["8.8.8.8"]), start + UNSEEN).is_empty());
        assert!(reached.observed(&ips(&["1.1.1.1"]), start + UNSEEN * 2 - Duration::from_secs(1)).is_empty());
        assert_eq!(reached.observed(&ips(&["1.1.1.1"]), start + UNSEEN * 2), [(home.clone(), false)]);
        assert!(!reached.is_public());
        assert_eq!(reached.observed(&ips(&["8.8.8.8"]), start + UNSEEN * 3), [(home, true)], "back again");
        reached.confirmed(&mapped, false, start);
        reached.keep(&mapped);
        assert!(reached.observed(&ips(&["8.8.8.8"]), start + UNSEEN * 3).is_empty(), "the router says how long");
    }

    #[test]
    fn only_so_many_are_believed() {
        let (mut reached, start) = (Reached::default(), Instant::now());
        let fixed = addr("/ip4/8.8.8.8/tcp/1");
        reached.confirmed(&fixed, true, start);
        let at = |i: usize| (addr(&format!("/ip4/9.9.9.9/tcp/{i}")), start + Duration::from_secs(i as u64));
        let forgotten: Vec<_> = (1..100).filter_map(|i| reached.confirmed(&at(i).0, false, at(i).1)).collect();
        assert_eq!((reached.0.len(), &forgotten[0]), (MAX_ADDRS, &at(1).0));
        assert!(!forgotten.contains(&fixed));
    }

    #[test]
    fn being_reached_on_the_lan_is_not_being_reached() {
        let mut reached = Reached::default();
        reached.confirmed(&addr("/ip4/192.168.1.5/tcp/1"), false, Instant::now());
        reached.confirmed(&addr("/ip4/127.0.0.1/tcp/1"), false, Instant::now());
        assert!(!reached.is_public());
    }
}
