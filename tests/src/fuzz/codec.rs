//! Codecs of blocks.

use bytes::Bytes;
use cairn_store::{
    Block, Cid, Multihash,
    block::Prefix,
    cid::codec,
    dag::{self, pb::PbNode},
    unixfs::{
        entity::{self, Entity},
        node::Data,
    },
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

/// What a node is read as does not contradict itself: sizes add up, and a shard has a link for each bit.
pub fn entity(data: &[u8]) {
    let Ok(block) = Block::seal(Prefix::V0, Bytes::copy_from_slice(data)) else { return };
    match entity::decode(&block) {
        Ok((_, Entity::File(file))) => {
            let parts: u128 = file.children.iter().map(|part| u128::from(part.size)).sum();
            assert_eq!(u128::from(file.size), file.data.len() as u128 + parts);
        }
        Ok((meta, Entity::Shard(shard))) => {
            assert!(shard.fanout.is_power_of_two() && (8..=1024).contains(&shard.fanout));
            assert_eq!(shard.slots.len(), shard.links.len());
            assert!(shard.slots.iter().all(|&slot| usize::from(slot) < shard.fanout));
            assert!(shard.slots.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(meta.mode.is_none_or(|mode| mode <= 0o7777));
        }
        Ok((_, Entity::Directory(_) | Entity::Symlink(_))) | Err(_) => {}
    }
}
