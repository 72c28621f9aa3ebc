//! The Kademlia keyspace: 256-bit identifiers, their XOR distance, and prefixes.

use libp2p::{PeerId, kad};
use std::fmt;

/// Bits of an identifier.
pub(crate) const ID_BITS: usize = 256;

/// A point of the keyspace: the SHA-256 of a key's bytes or of a peer's id. Also used for a distance between two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; 32]);

impl Id {
    /// The point of a record's key (a multihash, `/ipns/…`, `/pk/…`) or of a raw peer id.
    pub(crate) fn of(key: &[u8]) -> Self {
        let key = kad::KBucketKey::new(key.to_vec());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(key.hashed_bytes());
        Self(bytes)
    }

    /// The point of a peer.
    pub(crate) fn of_peer(peer: &PeerId) -> Self {
        Self::of(&peer.to_bytes())
    }

    /// XOR distance.
    pub(crate) fn distance(&self, other: &Self) -> Self {
        let mut bytes = self.0;
        for (b, o) in bytes.iter_mut().zip(other.0) {
            *b ^= o;
        }
        Self(bytes)
    }

    /// Leading bits that both share.
    pub(crate) fn common_bits(&self, other: &Self) -> usize {
        let distance = self.distance(other);
        let zeros = distance.0.iter().take_while(|b| **b == 0).count();
        zeros * 8 + distance.0.get(zeros).map_or(0, |b| b.leading_zeros() as usize)
    }

    /// As a fraction of the keyspace in `0.0..1.0`. Exact to 53 bits, which tells apart more peers than there are.
    pub(crate) fn fraction(&self) -> f64 {
        (self.head() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The first 64 bits.
    pub(crate) fn head(&self) -> u64 {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(head)
    }

    fn bit(&self, at: usize) -> bool {
        self.0[at / 8] & (0x80 >> (at % 8)) != 0
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}…", self.head())
    }
}

/// All points that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Prefix {
    /// The bits, then zeros.
    start: Id,
    /// How many bits count.
    len: usize,
}

impl Prefix {
    /// The first `len` bits of a point.
    pub(crate) fn new(point: &Id, len: usize) -> Self {
        let len = len.min(ID_BITS);
        let mut bytes = point.0;
        for (at, byte) in bytes.iter_mut().enumerate() {
            let kept = len.saturating_sub(at * 8).min(8);
            *byte &= !(0xffu16 >> kept) as u8;
        }
        Self { start: Id(bytes), len }
    }

    /// How many bits it fixes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its first point.
    pub(crate) fn start(&self) -> Id {
        self.start
    }

    /// The first point after it; `None` at the end of the keyspace.
    pub(crate) fn end(&self) -> Option<Id> {
        let mut bytes = self.start.0;
        let mut at = self.len;
        while at > 0 {
            at -= 1;
            let mask = 0x80 >> (at % 8);
            bytes[at / 8] ^= mask;
            if bytes[at / 8] & mask != 0 {
                return Some(Id(bytes));
            }
        }
        None
    }

    /// Whether a point is inside.
    pub(crate) fn contains(&self, point: &Id) -> bool {
        self.start.common_bits(point) >= self.len
    }

    /// One bit shorter; itself when it is the whole keyspace.
    pub(crate) fn parent(&self) -> Self {
        Self::new(&self.start, self.len.saturating_sub(1))
    }

    /// The other child of its parent; itself when it is the whole keyspace.
    pub(crate) fn sibling(&self) -> Self {
        let mut start = self.start;
        if let Some(last) = self.len.checked_sub(1) {
            start.0[last / 8] ^= 0x80 >> (last % 8);
        }
        Self { start, len: self.len }
    }

    /// The bits as text, as `provide stat` shows them.
    pub(crate) fn bits(&self) -> String {
        (0..self.len).map(|at| if self.start.bit(at) { '1' } else { '0' }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_tile_the_keyspace() {
        for len in [0, 1, 3, 8, 13] {
            let mut start = Id([0; 32]);
            let mut count = 0u32;
            loop {
                let prefix = Prefix::new(&start, len);
                assert_eq!(prefix.start(), start, "a prefix begins where the last one ended");
                assert!(prefix.contains(&start));
                count += 1;
                match prefix.end() {
                    Some(end) => {
                        assert!(!prefix.contains(&end));
                        start = end;
                    }
                    None => break,
                }
            }
            assert_eq!(count, 1 << len);
        }
    }

    #[test]
    fn the_point_of_a_key_is_its_sha256() {
        // sha256("") from FIPS 180.
        assert_eq!(Id::of(b"").0[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        let a = Id([0; 32]);
        let mut b = a;
        b.0[1] = 0x10;
        assert_eq!(a.common_bits(&b), 11);
        assert_eq!(a.common_bits(&a), ID_BITS);
        let sibling = Prefix::new(&b, 12).sibling();
        assert!(sibling.contains(&a) && !sibling.contains(&b));
        assert_eq!(Prefix::new(&b, 12).bits(), "000000000001");
    }
}
