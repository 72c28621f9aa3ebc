//! Which peers a routing table takes: by the kind of their addresses, and by how many neighbours they share a
//! network with.
//!
//! An attacker makes peer ids for nothing but has to rent networks. Kubo's limits: at most 3 peers of one group in a
//! table and 2 of one group in a bucket; a group is a /16 of IPv4 (a /8 where one organisation got all of it before
//! CIDR), and in IPv6 an autonomous system. Here IPv6 groups are /32, the usual allocation of one provider and Kubo's
//! own fallback: a table of autonomous systems is megabytes that go stale.

use super::Net;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

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
    Some(match ip(addr)? {
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

fn groups(addrs: &[Multiaddr]) -> HashSet<Group> {
    addrs.iter().filter_map(group).collect()
}

/// Whether one more peer with these addresses leaves a table as diverse as it has to be. `table` are the addresses
/// and buckets of those in it.
pub(crate) fn admits<'a, B: PartialEq>(
    table: impl Iterator<Item = (B, Vec<&'a Multiaddr>)>,
    bucket: B,
    addrs: &[Multiaddr],
) -> bool {
    let wanted = groups(addrs);
    if wanted.is_empty() {
        return false;
    }
    let mut counts: HashMap<Group, (usize, usize)> = HashMap::new();
    for (at, theirs) in table {
        let theirs: HashSet<Group> = theirs.into_iter().filter_map(group).collect();
        for shared in theirs.intersection(&wanted) {
            let count = counts.entry(*shared).or_default();
            count.0 += 1;
            count.1 += usize::from(at == bucket);
        }
    }
    counts.values().all(|(all, here)| *all < MAX_PER_TABLE && *here < MAX_PER_BUCKET)
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
    if addr.iter().any(|p| matches!(p, Protocol::P2pCircuit)) {
        return false;
    }
    match net {
        Net::Wan => ip(addr).is_some_and(is_public),
        Net::Lan => match ip(addr) {
            Some(ip) if ip.is_loopback() => loopback,
            Some(ip) => is_private(ip),
            // Another node in this process: as near as loopback.
            None => loopback && matches!(addr.iter().next(), Some(Protocol::Memory(_))),
        },
    }
}

fn ip(addr: &Multiaddr) -> Option<IpAddr> {
    match addr.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        // An IPv4 address in IPv6 dress is in the IPv4 group and no more public for it.
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
        _ => None,
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !is_private4(ip) && !is_unroutable4(ip),
        // 2000::/3 is all that has been handed out; the documentation's part of it is nobody's.
        IpAddr::V6(ip) => is_global6(ip) && ip.segments()[..2] != [0x2001, 0x0db8],
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private4(ip),
        IpAddr::V6(ip) => !is_global6(ip) && !ip.is_multicast() && !ip.is_unspecified(),
    }
}

fn is_private4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    // 100.64/10 is a carrier's side of a NAT.
    ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
}

fn is_unroutable4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    a == 0 || a >= 224 || ip.is_documentation() || (a == 198 && (18..20).contains(&b)) || (a, b, c) == (192, 0, 0)
}

fn is_global6(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xe000 == 0x2000
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
    fn a_group_gets_three_places_in_a_table_and_two_in_a_bucket() {
        let here = [addr("1.2.3.4")];
        let near = addr("1.2.200.1");
        let table = |buckets: &[usize]| buckets.iter().map(|b| (*b, vec![&near])).collect::<Vec<_>>().into_iter();
        assert!(admits(table(&[]), 5, &here));
        assert!(admits(table(&[5, 6]), 5, &here));
        assert!(!admits(table(&[5, 5]), 5, &here), "two in this bucket");
        assert!(!admits(table(&[1, 2, 3]), 5, &here), "three in the table");
        assert!(admits(table(&[1, 2, 3]), 5, &[addr("1.3.3.4")]), "another /16");
        assert!(!admits(table(&[]), 5, &["/dns4/a.b/tcp/1".parse().expect("an address")]), "no group, no place");
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
