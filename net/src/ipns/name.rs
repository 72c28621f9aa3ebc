//! The name of a key: the multihash of its public half, which small keys are inlined in.

use super::RecordError;
use cairn_store::{Cid, cid::codec};
use libp2p::{PeerId, identity::PublicKey};
use multibase::Base;
use std::fmt;

/// What a routing key begins with.
const PREFIX: &[u8] = b"/ipns/";
/// Multihash code of a name that holds its key.
const IDENTITY: u64 = 0;

/// An IPNS name: the same thing as a peer ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(PeerId);

impl Name {
    /// Reads what a user wrote: a peer ID in base58, or a CID of codec `libp2p-key` in any base, with or without
    /// `/ipns/` before it.
    ///
    /// # Errors
    /// [`RecordError::Name`].
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let text = text.strip_prefix("/ipns/").unwrap_or(text);
        let refuse = |why: String| RecordError::Name(format!("failed to parse peer ID: {why}"));
        if text.starts_with("Qm") || text.starts_with('1') {
            return text.parse().map(Self).map_err(|e: libp2p::identity::ParseError| refuse(e.to_string()));
        }
        let cid = cairn_store::cid::parse(text).map_err(|e| refuse(format!("invalid cid: {}", e.reason)))?;
        if cid.codec() != codec::LIBP2P_KEY {
            return Err(refuse(format!("can't convert CID of type 0x{:x} to a peer ID", cid.codec())));
        }
        Self::from_bytes(&cid.hash().to_bytes())
    }

    /// From the bytes of the multihash.
    ///
    /// # Errors
    /// [`RecordError::Name`] when they are not that of a peer ID.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        PeerId::from_bytes(bytes).map(Self).map_err(|e| RecordError::Name(e.to_string()))
    }

    /// From the key under which routing keeps its record: `/ipns/` and the bytes of the multihash.
    ///
    /// # Errors
    /// [`RecordError::Name`].
    pub fn from_routing_key(key: &[u8]) -> Result<Self, RecordError> {
        let bytes = key.strip_prefix(PREFIX).ok_or_else(|| RecordError::Name("not an IPNS routing key".into()))?;
        Self::from_bytes(bytes)
    }

    /// The key under which routing keeps its record.
    pub fn routing_key(&self) -> Vec<u8> {
        [PREFIX, &self.0.to_bytes()].concat()
    }

    /// The same name as a peer ID.
    pub fn peer_id(&self) -> PeerId {
        self.0
    }

    /// The public key, for a name that holds it.
    pub fn public_key(&self) -> Option<PublicKey> {
        let hash = self.0.as_ref();
        (hash.code() == IDENTITY).then(|| PublicKey::try_decode_protobuf(hash.digest()).ok()).flatten()
    }

    /// As a CID of version 1.
    pub fn cid(&self) -> Cid {
        let bytes = [&[1, codec::LIBP2P_KEY as u8][..], &self.0.to_bytes()].concat();
        // A peer ID is a multihash of at most 44 bytes.
        cairn_store::cid::from_bytes(&bytes).unwrap_or_default()
    }

    /// As a CID in that base; without one as a peer ID in base58.
    pub fn in_base(&self, base: Option<Base>) -> String {
        base.and_then(|base| self.cid().to_string_of_base(base).ok()).unwrap_or_else(|| self.0.to_base58())
    }
}

impl From<PeerId> for Name {
    fn from(peer: PeerId) -> Self {
        Self(peer)
    }
}

/// As a CID in base36: `k51…`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_base(Some(Base::Base36Lower)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One key of each kind, as Kubo 0.44 lists them in each base.
    const FORMS: [[&str; 4]; 3] = [
        [
            "k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k",
            "12D3KooWABqi1pVjfMwtWhP8o6zULkzH9FCqoYH87hbctZUbS92j",
            "bafzaajaiaejcabmakxvaz2xfl5fwoi3yybvvrumuhx2zeh6sq7mrmbju6fouempm",
            "z5AanNVJCxnFCrntYySiNeHWEJTpnSci4iUY9nNx2xWUHQh8P3SpqEK",
        ],
        [
            "k2k4r8phop4x2pzuzhbh92kyw60nqfzg3f4chrmnd6roiu3e52ce73m3",
            "QmejzUye8XT9vnbqcYWsaBGXj6NUPLskRdGgmGXt82FFy4",
            "bafzbeihtww2sd2yubtvb4ffjibuwfb3f3hr4nntkkgmieqx4gbushwxmbm",
            "zdvgqHpKfBHjTEscRiq7LEHyQQ4dtgHMvfmQCuaifrG8SNocn",
        ],
        [
            "kzwfwjn5ji4puonrlpp7mth5jm6ilgo4zbmmuyxpjh02h9ryxcnfr2d9x2r08dm",
            "16Uiu2HAm8tpuB5Ch7unUQiAmgSogpn4EWsQ1mRBuSwci5U9DALNM",
            "bafzaajiiaijccawidszlw3loa3qidwc5dhatforbpcnf76lvd7w2qpdkfxo4wx55ni",
            "zKPJ7QRXxW7mHPcR6ZVtQz5xMBYm6aCcs2JXcwRVG12aJBPR5R9DKmWR",
        ],
    ];

    #[test]
    fn all_forms_of_a_name_are_read_and_written() {
        for forms in FORMS {
            let name = Name::parse(forms[0]).expect("base36");
            assert!(forms.iter().all(|form| Name::parse(form).as_ref() == Ok(&name)));
            assert_eq!(Name::parse(&format!("/ipns/{}", forms[1])).as_ref(), Ok(&name));
            let bases = [Some(Base::Base36Lower), None, Some(Base::Base32Lower), Some(Base::Base58Btc)];
            assert_eq!(bases.map(|base| name.in_base(base)), forms);
            assert_eq!(Name::from_routing_key(&name.routing_key()).as_ref(), Ok(&name));
            // Only a hash is known of an RSA key.
            assert_eq!(name.public_key().is_none(), forms[1].starts_with("Qm"));
        }
    }

    #[test]
    fn what_is_no_key_is_no_name() {
        for text in [
            "",
            "example.com",
            "bafkqaaa",
            "QmNope",
            "12D3KooW",
            // A CID of another codec.
            "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
            "/ipfs/k51qzi5uqu5dgbiwzq7pw7fsi09jk9yctjd2xkn5e0zr67w9jppehc13y0i86k",
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        for key in [&b"/ipns/"[..], b"/pk/x", b"/ipns/xyz", b""] {
            assert!(Name::from_routing_key(key).is_err(), "{key:?}");
        }
    }
}
