//! Which peers a routing table takes: by the kind of their addresses, and by how many neighbours they share a
//! network with.
//!
//! An attacker makes peer ids for nothing but has to rent networks. Kubo's limits: at most 3 peers of one group in a
//! table and 2 of one group in a bucket; a group is a /16 of IPv4 (a /8 where one organisation got all of it before
//! CIDR), and in IPv6 an autonomous system. Here IPv6 groups are /32, the usual allocation of one provider and Kubo's
//! own fallback: a table of autonomous systems is megabytes that go stale.

use super::Net;
use crate::addr::{Scope, ip_of, is_local, is_relayed, scope};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

/// Longest address in bytes; longer ones are left out. A relayed one with two peer ids of RSA keys and a name has half
/// of this.
pub(crate) const MAX_ADDR: usize = 512;
/// Peers of one group in a table.
pub(crate) const MAX_PER_TABLE: usize = 3;
/// Peers of one group in a bucket.
pub(crate) const MAX_PER_BUCKET: usize = 2;
/// Peers of one group in a single answer to a walk; when there are more, all of that group are ignored.
const MAX_PER_ANSWER: usize = 3;

/// The /8 blocks of IPv4 that were given to one organisation each and that Kubo groups.
const LEGACY: [u8; 8] = [12, 17, 19, 38, 48, 53, 56, 73];

/// A group of networks that count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// An IPv4 network and how many bytes of it count.
    V4([u8; 2]),
    /// A legacy /8.
    Legacy(u8),
    /// An IPv6 /32.
    V6([u8; 4]),
}

/// The group of an address; `None` when it has no IP.
pub(crate) fn group(addr: &Multiaddr) -> Option<Group> {
    Some(match ip_of(addr)? {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            if LEGACY.contains(&a) { Group::Legacy(a) } else { Group::V4([a, b]) }
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.octets();
            Group::V6([a, b, c, d])
        }
    })
}

/// The groups of several addresses.
pub(crate) fn groups(addrs: &[Multiaddr]) -> HashSet<Group> {
    addrs.iter().filter_map(group).collect()
}

/// Whether one more peer of a group leaves a table as diverse as it has to be. `table` are the buckets and groups of
/// those in it.
pub(crate) fn admits<B: PartialEq>(table: impl Iterator<Item = (B, Vec<Group>)>, bucket: B, group: Group) -> bool {
    let (mut all, mut here) = (0, 0);
    for (at, _) in table.filter(|(_, theirs)| theirs.contains(&group)) {
        all += 1;
        here += usize::from(at == bucket);
    }
    all < MAX_PER_TABLE && here < MAX_PER_BUCKET
}

/// The peers of one answer without those of groups that it is too full of.
pub(crate) fn thin(peers: Vec<crate::routing::Provider>) -> Vec<crate::routing::Provider> {
    let mut members: HashMap<Group, HashSet<PeerId>> = HashMap::new();
    for peer in &peers {
        for group in groups(&peer.addrs) {
            members.entry(group).or_default().insert(peer.peer);
        }
    }
    members.retain(|_, peers| peers.len() > MAX_PER_ANSWER);
    let crowded: HashSet<PeerId> = members.into_values().flatten().collect();
    peers.into_iter().filter(|p| !crowded.contains(&p.peer)).collect()
}

/// The addresses that a DHT may know and dial: the public one's are public and not relayed, so that a stranger's
/// answer can't make a node scan its own network; the LAN's are private.
pub(crate) fn usable(net: Net, loopback: bool, addrs: impl IntoIterator<Item = Multiaddr>) -> Vec<Multiaddr> {
    addrs.into_iter().filter(|addr| is_usable(net, loopback, addr)).collect()
}

/// Whether [`usable`] keeps an address.
pub(crate) fn is_usable(net: Net, loopback: bool, addr: &Multiaddr) -> bool {
    let named = ip_of(addr).is_none() && net == Net::Wan;
    !is_relayed(addr) && !named && is_announced(net, loopback, addr)
}

/// Whether a peer may announce an address, for others to know: also one through a relay, and a name. What is behind
/// them decides whoever dials.
pub(crate) fn is_announced(net: Net, loopback: bool, addr: &Multiaddr) -> bool {
    if addr.len() > MAX_ADDR {
        return false;
    }
    let first = addr.iter().next();
    let named = matches!(first, Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)));
    match (net, ip_of(addr)) {
        (Net::Wan, ip) => (ip.is_some() || named) && scope(addr) == Scope::Public,
        (Net::Lan, Some(ip)) if ip.is_loopback() => loopback,
        (Net::Lan, Some(ip)) => is_local(ip),
        // Another node in this process is as near as loopback.
        (Net::Lan, None) => loopback && matches!(first, Some(Protocol::Memory(_))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Provider;

    fn addr(ip: &str) -> Multiaddr {
        let kind = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{kind}/{ip}/tcp/4001").parse().expect("an address")
    }

    #[test]
    fn public_and_private_addresses_go_to_their_own_table() {
        for public in ["1.2.3.4", "172.15.0.1", "100.128.0.1", "2a00::1"] {
            assert!(is_usable(Net::Wan, true, &addr(public)), "{public}");
            assert!(!is_usable(Net::Lan, true, &addr(public)), "{public}");
        }
        for private in ["10.1.1.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "169.254.0.1", "fe80::1", "fd00::1"] {
            assert!(!is_usable(Net::Wan, true, &addr(private)), "{private}");
            assert!(is_usable(Net::Lan, false, &addr(private)), "{private}");
        }
        for neither in ["0.0.0.0", "224.0.0.1", "192.0.2.1", "ff02::1", "2001:db8::1"] {
            assert!(!is_usable(Net::Wan, true, &addr(neither)), "{neither}");
        }
        assert!(!is_usable(Net::Wan, true, &addr("::ffff:10.0.0.1")), "an IPv4 address in IPv6 dress");
        assert!(is_usable(Net::Lan, true, &addr("127.0.0.1")) && !is_usable(Net::Lan, false, &addr("127.0.0.1")));
        let relayed = format!("/ip4/1.2.3.4/tcp/1/p2p/{}/p2p-circuit", PeerId::random()).parse().expect("an address");
        assert!(!is_usable(Net::Wan, true, &relayed));
        let name = "/dns4/example.com/tcp/1".parse().expect("an address");
        assert!(!is_usable(Net::Wan, true, &name));
    }

    #[test]
    fn relayed_addresses_and_names_are_announced_and_not_walked_to() {
        let relay = |ip: &str| format!("/ip4/{ip}/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        for (text, announced) in [
            (relay("1.2.3.4"), true),
            (relay("10.0.0.1"), false),
            ("/dns4/example.com/tcp/1".into(), true),
            ("/dns4/localhost/tcp/1".into(), false),
            (format!("/p2p/{}/p2p-circuit", PeerId::random()), false),
        ] {
            let addr: Multiaddr = text.parse().expect("an address");
            assert_eq!(is_announced(Net::Wan, false, &addr), announced, "{text}");
            assert!(!is_usable(Net::Wan, false, &addr), "{text}");
        }
        assert!(is_announced(Net::Lan, false, &relay("10.0.0.1").parse().expect("an address")));
        assert!(!is_announced(Net::Lan, false, &addr("1.2.3.4")));
    }

    #[test]
    fn a_group_gets_three_places_in_a_table_and_two_in_a_bucket() {
        let of = |ip: &str| group(&addr(ip)).expect("an IP");
        let table =
            |buckets: &[usize]| buckets.iter().map(|b| (*b, vec![of("1.2.200.1")])).collect::<Vec<_>>().into_iter();
        assert!(admits(table(&[]), 5, of("1.2.3.4")));
        assert!(admits(table(&[5, 6]), 5, of("1.2.3.4")));
        assert!(!admits(table(&[5, 5]), 5, of("1.2.3.4")), "two in this bucket");
        assert!(!admits(table(&[1, 2, 3]), 5, of("1.2.3.4")), "three in the table");
        assert!(admits(table(&[1, 2, 3]), 5, of("1.3.3.4")), "another /16");
    }

    #[test]
    fn groups_are_as_wide_as_kubos() {
        assert_eq!(group(&addr("17.1.2.3")), group(&addr("17.200.2.3")), "legacy /8");
        assert_ne!(group(&addr("1.1.2.3")), group(&addr("1.200.2.3")));
        assert_eq!(group(&addr("2a00:1:1::1")), group(&addr("2a00:1:ffff::1")));
        assert_eq!(group(&addr("::ffff:1.2.3.4")), group(&addr("1.2.9.9")));
    }

    #[test]
    fn an_answer_full_of_one_group_loses_it() {
        let peers: Vec<_> = (0..10u8)
            .map(|n| Provider {
                peer: PeerId::random(),
                addrs: vec![if n < 4 { addr("6.6.6.6") } else { addr(&format!("{}.1.1.1", 30 + n)) }],
            })
            .collect();
        assert_eq!(thin(peers.clone()), peers[4..]);
        assert_eq!(thin(peers[1..].to_vec()), peers[1..], "three are still diverse");
    }
}
