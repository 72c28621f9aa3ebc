//! Peers and their addresses, as they are given and shown.

use crate::output::escape_control;
use anyhow::{Context as _, bail};
use cairn_store::{Cid, cid::codec};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use serde::Serialize;

/// A peer as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddrInfo {
    /// Where it can be reached.
    pub addrs: Vec<String>,
    /// Its name.
    #[serde(rename = "ID")]
    pub id: String,
}

impl AddrInfo {
    /// From a peer and its addresses.
    pub fn new(peer: &PeerId, addrs: &[Multiaddr]) -> Self {
        Self { addrs: addrs.iter().map(text).collect(), id: peer.to_string() }
    }
}

/// An address as it is shown: most come from strangers, and the names in them may hold control characters
/// (GHSA-r4gv-vj59-cccm).
pub fn text(addr: &Multiaddr) -> String {
    escape_control(&addr.to_string()).into_owned()
}

/// Most characters of what a stranger says of itself.
const MAX_CLAIM: usize = 128;

/// What a stranger said of itself, fit to be shown.
pub fn claim(text: &str) -> String {
    let end = text.char_indices().nth(MAX_CLAIM).map_or(text.len(), |(end, _)| end);
    escape_control(&text[..end]).into_owned()
}

/// Reads the name of a peer: base58, or a CID of a key in any base.
///
/// # Errors
/// When it is neither.
pub fn peer(text: &str) -> anyhow::Result<PeerId> {
    if let Ok(peer) = text.parse() {
        return Ok(peer);
    }
    let cid = Cid::try_from(text).ok().filter(|cid| cid.codec() == codec::LIBP2P_KEY);
    let bytes = cid.map(|cid| cid.hash().to_bytes());
    bytes.and_then(|bytes| PeerId::from_bytes(&bytes).ok()).with_context(|| format!("failed to parse peer ID {text:?}"))
}

/// Reads an address. `/ipfs/` is an old name of `/p2p/`.
///
/// # Errors
/// When it is none.
pub fn address(text: &str) -> anyhow::Result<Multiaddr> {
    let address = text.replace("/ipfs/", "/p2p/");
    address.parse().with_context(|| format!("failed to parse multiaddr {text:?}"))
}

/// An address in two parts: where, and who. The first is empty when the address only says who.
pub fn split(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.pop() {
        Some(Protocol::P2p(peer)) => (address, Some(peer)),
        Some(last) => (address.with(last), None),
        None => (address, None),
    }
}

/// Reads addresses that end with `/p2p/PEER`, and gives each peer once, in order.
///
/// # Errors
/// When one is no such address.
pub fn peers(texts: &[String]) -> anyhow::Result<Vec<(PeerId, Vec<Multiaddr>)>> {
    let mut peers: Vec<(PeerId, Vec<Multiaddr>)> = Vec::new();
    for text in texts {
        let (place, Some(peer)) = split(address(text)?) else {
            bail!("invalid p2p multiaddr: {text} does not end with /p2p/PEER")
        };
        let at = peers.iter().position(|(known, _)| *known == peer).unwrap_or_else(|| {
            peers.push((peer, Vec::new()));
            peers.len() - 1
        });
        if !place.is_empty() {
            peers[at].1.push(place);
        }
    }
    Ok(peers)
}

/// Reads who a command is about: a peer, or an address that ends with `/p2p/PEER`.
///
/// # Errors
/// When it is neither.
pub fn peer_or_address(text: &str) -> anyhow::Result<(PeerId, Option<Multiaddr>)> {
    if !text.contains('/') {
        return Ok((peer(text)?, None));
    }
    let (place, peer) = split(address(text)?);
    let peer = peer.with_context(|| format!("invalid p2p multiaddr: {text} does not end with /p2p/PEER"))?;
    Ok((peer, Some(place).filter(|place| !place.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWGkASHe7CTyQfEkq2f9sKvxnQKdsFaUGmPJDw1kBUjjou";

    #[test]
    fn a_peer_has_several_names() {
        let id = peer(PEER).expect("base58");
        let cid =
            Cid::new_v1(codec::LIBP2P_KEY, cairn_store::Multihash::from_bytes(&id.to_bytes()).expect("a multihash"));
        assert_eq!(peer(&cid.to_string()).expect("a CID"), id);
        for wrong in ["", "x", "bafkqaaa", "/p2p/x"] {
            peer(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn addresses_are_grouped_by_peer() {
        let other = "QmQPeNsJPyVWPFDVHb77w8G42Fvo15z4bG2X8D2GhfbSXc";
        let texts = [
            format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}"),
            format!("/p2p/{other}"),
            format!("/ip4/127.0.0.1/tcp/2/ipfs/{PEER}"),
            format!("/ip4/127.0.0.1/tcp/3/p2p/{other}/p2p-circuit/p2p/{PEER}"),
        ];
        let found = peers(&texts).expect("addresses");
        let lens: Vec<_> = found.iter().map(|(peer, addrs)| (peer.to_string(), addrs.len())).collect();
        assert_eq!(lens, [(PEER.to_owned(), 3), (other.to_owned(), 0)]);
        assert!(found[0].1[2].to_string().ends_with("/p2p-circuit"));
        for wrong in ["/ip4/127.0.0.1/tcp/1", "127.0.0.1", "/p2p/x", ""] {
            peers(&[wrong.to_owned()]).expect_err(wrong);
        }
    }

    #[test]
    fn a_peer_stands_alone_or_behind_an_address() {
        assert_eq!(peer_or_address(PEER).expect("a peer").1, None);
        assert_eq!(peer_or_address(&format!("/p2p/{PEER}")).expect("a peer").1, None);
        let (_, place) = peer_or_address(&format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}")).expect("an address");
        assert_eq!(place.map(|p| p.to_string()).as_deref(), Some("/ip4/127.0.0.1/tcp/1"));
        peer_or_address("/ip4/127.0.0.1/tcp/1").expect_err("nobody");
    }
}
