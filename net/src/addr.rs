//! Addresses: which network an address lies in, and masks over networks. Everything that judges addresses asks here.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A set of IP addresses: `/ip4/10.0.0.0/ipcidr/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mask {
    network: IpAddr,
    bits: u8,
}

/// A mask that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address mask such as /ip4/10.0.0.0/ipcidr/8")]
pub struct BadMask(String);

impl Mask {
    /// Whether an address is in the set.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                prefix(net.to_bits().into(), 32, self.bits) == prefix(ip.to_bits().into(), 32, self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                prefix(net.to_bits(), 128, self.bits) == prefix(ip.to_bits(), 128, self.bits)
            }
            _ => false,
        }
    }
}

/// The first `bits` of a number that is `width` bits wide.
fn prefix(value: u128, width: u8, bits: u8) -> u128 {
    value.checked_shr(u32::from(width - bits)).unwrap_or(0)
}

impl FromStr for Mask {
    type Err = BadMask;

    fn from_str(text: &str) -> Result<Self, BadMask> {
        let refuse = || BadMask(text.to_owned());
        let addr: Multiaddr = text.parse().map_err(|_| refuse())?;
        let parts: Vec<Protocol<'_>> = addr.iter().collect();
        match parts.as_slice() {
            [Protocol::Ip4(ip), Protocol::Ipcidr(bits)] if *bits <= 32 => {
                Ok(Self { network: IpAddr::V4(*ip), bits: *bits })
            }
            [Protocol::Ip6(ip), Protocol::Ipcidr(bits)] if *bits <= 128 => {
                Ok(Self { network: IpAddr::V6(*ip), bits: *bits })
            }
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpAddr::V4(ip) => write!(f, "/ip4/{ip}/ipcidr/{}", self.bits),
            IpAddr::V6(ip) => write!(f, "/ip6/{ip}/ipcidr/{}", self.bits),
        }
    }
}

/// The IP address that an address begins with; that of the relay when it is relayed.
pub fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    match addr.iter().find(|part| !matches!(part, Protocol::Ip6zone(_))) {
        Some(Protocol::Ip4(ip)) => Some(IpAddr::V4(ip)),
        Some(Protocol::Ip6(ip)) => Some(ip.to_canonical()),
        _ => None,
    }
}

/// Whether an address leads through a relay.
pub fn is_relayed(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether an address is one of the QUIC transport.
pub fn is_quic(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Quic | Protocol::QuicV1))
}

/// An address, and the peer it ends with, if any.
pub fn split_peer(addr: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut rest = addr.clone();
    match rest.pop() {
        Some(Protocol::P2p(peer)) => (rest, Some(peer)),
        _ => (addr.clone(), None),
    }
}

/// Where an address can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// From this machine.
    Loopback,
    /// From a network of somebody's own, or none at all.
    Private,
    /// From everywhere. So are names, which only DNS can judge.
    Public,
}

/// Where an address can be reached from.
pub fn scope(addr: &Multiaddr) -> Scope {
    match addr.iter().next() {
        Some(Protocol::Memory(_)) => Scope::Loopback,
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) if name == "localhost" => {
            Scope::Loopback
        }
        _ => ip_of(addr).map_or(Scope::Public, ip_scope),
    }
}

fn ip_scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Scope::Loopback,
        IpAddr::V4(ip) if v4_is_special(ip) => Scope::Private,
        IpAddr::V6(ip) if v6_is_special(ip) => Scope::Private,
        _ => Scope::Public,
    }
}

/// Whether an address is on this machine or on a local network, and not behind a relay.
pub fn is_near(addr: &Multiaddr) -> bool {
    let memory = matches!(addr.iter().next(), Some(Protocol::Memory(_)));
    !is_relayed(addr) && ip_of(addr).map_or(memory, is_local)
}

/// Whether an IP address is one that hosts of a local network, or of this machine, have.
pub fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || v4_is_carriers(ip),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// 100.64/10 is a carrier's side of a NAT.
fn v4_is_carriers(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    a == 100 && (64..128).contains(&b)
}

/// IANA's registry of special-purpose addresses (RFC 6890), loopback aside.
fn v4_is_special(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || v4_is_carriers(ip)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn v6_is_special(ip: Ipv6Addr) -> bool {
    let head = ip.segments();
    // Global unicast is 2000::/3; inside of it, 2001:db8::/32 and 2001:2::/48 stand in documents and benchmarks.
    head[0] & 0xe000 != 0x2000 || (head[0] == 0x2001 && (head[1] == 0xdb8 || (head[1] == 2 && head[2] == 0)))
}

/// Whom connections of one address are counted with: the address itself, or the first 56 bits of an IPv6 address,
/// which is what a customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(u128, bool);

impl Origin {
    /// The origin of an IP address.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(ip.to_bits().into(), false),
            IpAddr::V6(ip) => Self(prefix(ip.to_bits(), 128, 56), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn masks_hold_what_lies_in_them() {
        let mask: Mask = "/ip4/10.0.0.0/ipcidr/8".parse().expect("a mask");
        assert!(mask.contains("10.255.0.1".parse().expect("an IP")));
        assert!(mask.contains("::ffff:10.1.2.3".parse().expect("an IP")), "a mapped address is the IPv4 address");
        assert!(!mask.contains("11.0.0.0".parse().expect("an IP")));
        assert_eq!(mask.to_string(), "/ip4/10.0.0.0/ipcidr/8");
        let all: Mask = "/ip6/::/ipcidr/0".parse().expect("a mask");
        assert!(all.contains("ffff::1".parse().expect("an IP")) && !all.contains("1.2.3.4".parse().expect("an IP")));
        let one: Mask = "/ip4/1.2.3.4/ipcidr/32".parse().expect("a mask");
        assert!(one.contains("1.2.3.4".parse().expect("an IP")) && !one.contains("1.2.3.5".parse().expect("an IP")));
    }

    #[test]
    fn other_texts_are_no_masks() {
        for text in
            ["", "10.0.0.0/8", "/ip4/10.0.0.0", "/ip4/10.0.0.0/ipcidr/33", "/ip4/10.0.0.0/tcp/1", "/ip6/::/ipcidr/129"]
        {
            assert!(text.parse::<Mask>().is_err(), "{text}");
        }
    }

    #[test]
    fn scopes_follow_the_registry() {
        for (text, want) in [
            ("/ip4/127.0.0.1/tcp/1", Scope::Loopback),
            ("/ip6/::1/udp/1/quic-v1", Scope::Loopback),
            ("/memory/1", Scope::Loopback),
            ("/ip4/192.168.1.1/tcp/1", Scope::Private),
            ("/ip4/100.64.0.1/tcp/1", Scope::Private),
            ("/ip4/0.0.0.0/tcp/1", Scope::Private),
            ("/ip6/fe80::1/tcp/1", Scope::Private),
            ("/ip6/2001:db8::1/tcp/1", Scope::Private),
            ("/ip4/1.1.1.1/tcp/1", Scope::Public),
            ("/ip6/2606:4700::1/tcp/1", Scope::Public),
            ("/dns4/example.com/tcp/1", Scope::Public),
        ] {
            assert_eq!(scope(&addr(text)), want, "{text}");
        }
    }

    #[test]
    fn neighbours_in_one_ipv6_network_have_one_origin() {
        let of = |text: &str| Origin::of(text.parse().expect("an IP"));
        assert_eq!(of("2001:470:1:2:3::1"), of("2001:470:1:2:ffff::9"));
        assert_eq!(of("2001:470:1:2::"), of("2001:470:1:ff::"));
        assert_ne!(of("2001:470:1:2::"), of("2001:470:1:102::"));
        assert_ne!(of("1.2.3.4"), of("1.2.3.5"));
        assert_eq!(of("1.2.3.4"), of("::ffff:1.2.3.4"));
    }
}
