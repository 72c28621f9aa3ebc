//! Codecs of blocks.

use bytes::Bytes;
use cairn_store::{
    Block, Cid, Multihash,
    block::Prefix,
    cid::codec,
    dag::{self, CodecError, Ipld, cbor, json, pb::PbNode},
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
    let Ok(node) = PbNode::decode(&bytes) else {
        return assert!(links.is_err(), "links were found in what is no node");
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

/// What was decoded is encoded to something that decodes to the same value; its links are those that a walk
/// finds. The encoding never changes again.
pub fn dag_cbor(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Some((value, encoded)) = value(&bytes, codec::DAG_CBOR, cbor::decode, cbor::encode) else { return };
    let again = cbor::decode(&encoded).expect("what was encoded decodes");
    assert_eq!(plain(again.clone(), false), plain(value, false));
    assert_eq!(cbor::encode(&again).as_ref(), Ok(&encoded));
}

/// As for dag-cbor, but for floats without a fraction: as in Kubo they are written as integers.
pub fn dag_json(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let Some((value, encoded)) = value(&bytes, codec::DAG_JSON, json::decode, json::encode) else { return };
    same_in_json(value, &encoded);
}

fn value(
    bytes: &Bytes,
    code: u64,
    decode: fn(&Bytes) -> Result<Ipld, CodecError>,
    encode: fn(&Ipld) -> Result<Bytes, CodecError>,
) -> Option<(Ipld, Bytes)> {
    let links = dag::links(&name(code), bytes);
    let value = decode(bytes).ok()?;
    assert_eq!(links.expect("a value has links"), links_of(&value));
    // Some maps look like links in dag-json, and have no form there.
    let encoded = encode(&value).ok()?;
    Some((value, encoded))
}

/// Links in order. A tree is at most as deep as its decoder lets it be.
fn links_of(value: &Ipld) -> Vec<Cid> {
    match value {
        Ipld::Link(cid) => vec![**cid],
        Ipld::List(values) => values.iter().flat_map(links_of).collect(),
        Ipld::Map(entries) => entries.iter().flat_map(|(_, value)| links_of(value)).collect(),
        _ => Vec::new(),
    }
}

/// The same value with the names of each map sorted by their bytes and, if `whole`, integers for floats that
/// are whole numbers.
fn plain(value: Ipld, whole: bool) -> Ipld {
    match value {
        Ipld::List(values) => Ipld::List(values.into_iter().map(|value| plain(value, whole)).collect()),
        Ipld::Map(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(name, value)| (name, plain(value, whole))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Ipld::Map(entries)
        }
        Ipld::Float(float) if whole && float.fract() == 0.0 && float.abs() < 1e21 => Ipld::Int(float as i128),
        // The digits of such a float beyond its 53 bits are zeros: read as an integer they differ.
        Ipld::Int(int) if whole => Ipld::Int(int as f64 as i128),
        other => other,
    }
}

/// A value that both formats can hold survives the way through the other one.
pub fn dag_cbor_to_json(data: &[u8]) {
    let Ok(value) = cbor::decode(&Bytes::copy_from_slice(data)) else { return };
    let Ok(text) = json::encode(&value) else { return };
    same_in_json(value, &text);
}

fn same_in_json(value: Ipld, text: &Bytes) {
    match json::decode(text) {
        Ok(again) => assert_eq!(plain(again, true), plain(value, true), "{}", String::from_utf8_lossy(text)),
        Err(error) => assert!(has_unreadable_float(&value), "what was encoded does not decode: {error}"),
    }
}

/// Kubo writes floats below 10^21 as integers, and reads none that is over 64 bits: between the two lie blocks
/// that can be written and not read.
fn has_unreadable_float(value: &Ipld) -> bool {
    match value {
        Ipld::Float(float) => (2f64.powi(63)..1e21).contains(&float.abs()),
        Ipld::List(values) => values.iter().any(has_unreadable_float),
        Ipld::Map(entries) => entries.iter().any(|(_, value)| has_unreadable_float(value)),
        _ => false,
    }
}
