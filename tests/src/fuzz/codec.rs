//! Codecs of blocks.

use bytes::Bytes;
use cairn_store::{
    Cid, Multihash,
    cid::codec,
    dag::{self, pb::PbNode},
    unixfs::node::Data,
};

/// A name for bytes whose hash does not matter.
fn name(codec: u64) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &[0; 32]).expect("32 bytes fit"))
}

/// What was decoded is encoded to something that decodes to the same; links agree with it; nothing is larger
/// in memory than its encoding lets it be.
pub fn dag_pb(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let links = dag::links(&name(codec::DAG_PB), &bytes);
    let node = match PbNode::decode(&bytes) {
        Ok(node) => node,
        Err(_) => return assert!(links.is_err(), "links were found in what is no node"),
    };
    let cids: Vec<Cid> = node.links.iter().map(|link| link.cid).collect();
    assert_eq!(links.expect("a node has links"), cids);
    // Key, length, key, length and the shortest CID, of four bytes.
    assert!(8 * cids.len() <= data.len(), "{} links in {} bytes", cids.len(), data.len());
    let encoded = node.encode();
    assert_eq!(encoded.len(), node.encoded_len());
    assert_eq!(PbNode::decode(&encoded).expect("what was encoded decodes"), node);
    // Data before links is the one form that is read and not written; otherwise only varints may have been
    // longer than needed.
    assert!(encoded.len() <= data.len(), "{} bytes became {}", data.len(), encoded.len());
}

/// As for dag-pb.
pub fn unixfs(data: &[u8]) {
    let Ok(message) = Data::decode(&Bytes::copy_from_slice(data)) else { return };
    assert!(message.blocksizes.len() <= data.len());
    let encoded = Bytes::from(message.encode());
    assert_eq!(Data::decode(&encoded).expect("what was encoded decodes"), message);
    assert_eq!(Data::decode(&encoded).expect("as above").encode(), encoded);
}
