//! Rows of the address book in table `net` (`docs/FORMAT.md`).

use super::{Entry, Known, book};
use bytes::Bytes;
use cairn_store::{
    StoreError,
    blockstore::KEY_VERSION,
    kv::{Batch, Durability, Kv, Table, after_prefix},
};
use libp2p::{Multiaddr, PeerId};
use std::sync::Arc;
use tokio::{sync::mpsc, task::JoinHandle};

/// Second byte of each key.
const KIND: u8 = b'a';
/// Changes that wait to be written. The event loop does not wait: what does not fit is tried again a minute later.
const QUEUE: usize = 4;

/// Changes of rows: the new one, or `None` to remove it.
pub type Changes = Vec<(PeerId, Option<Entry>)>;

fn key(peer: &PeerId) -> Vec<u8> {
    [&[KEY_VERSION, KIND], peer.to_bytes().as_slice()].concat()
}

fn encode(entry: &Entry) -> Bytes {
    let mut out = Vec::new();
    let number = |out: &mut Vec<u8>, value: u64| {
        let mut buffer = unsigned_varint::encode::u64_buffer();
        out.extend_from_slice(unsigned_varint::encode::u64(value, &mut buffer));
    };
    number(&mut out, entry.connected);
    for known in &entry.addrs {
        number(&mut out, known.heard);
        number(&mut out, known.addr.len() as u64);
        out.extend_from_slice(known.addr.as_ref());
    }
    out.into()
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    let (connected, mut rest) = unsigned_varint::decode::u64(bytes).ok()?;
    let mut addrs = Vec::new();
    while !rest.is_empty() && addrs.len() < book::MAX_ADDRS {
        let (heard, after) = unsigned_varint::decode::u64(rest).ok()?;
        let (length, after) = unsigned_varint::decode::usize(after).ok()?;
        let (addr, after) = after.split_at_checked(length)?;
        rest = after;
        // An address of a protocol that this version does not know is left out.
        if let Ok(addr) = Multiaddr::try_from(addr.to_vec()) {
            addrs.push(Known { addr, heard, failures: 0, proven: true });
        }
    }
    Some(Entry { addrs, connected })
}

/// Reads all rows, the latest first. A row that can't be read is left out: it costs a dial. Blocks on the disk.
///
/// # Errors
/// When the table can't be read.
pub fn load(kv: &dyn Kv) -> Result<Vec<(PeerId, Entry)>, StoreError> {
    let prefix = [KEY_VERSION, KIND];
    let mut rows = Vec::new();
    for row in kv.scan(Table::Net, &prefix, after_prefix(&prefix).as_deref()) {
        let (key, value) = row?;
        let peer = PeerId::from_bytes(&key[prefix.len()..]).ok();
        rows.extend(peer.zip(decode(&value)));
    }
    rows.sort_unstable_by_key(|(_, entry)| std::cmp::Reverse(entry.connected));
    Ok(rows)
}

/// Writes changes. Blocks on the disk.
fn store(kv: &dyn Kv, changes: Changes) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (peer, entry) in changes {
        match entry {
            Some(entry) => batch.put(Table::Net, key(&peer), encode(&entry)),
            None => batch.delete(Table::Net, key(&peer)),
        }
    }
    // Losing the last of them costs a dial.
    if batch.is_empty() { Ok(()) } else { kv.write(batch, Durability::Logged) }
}

/// Starts the task that writes; it ends when the sender is dropped and all is written.
pub fn writer(kv: Arc<dyn Kv>) -> (mpsc::Sender<Changes>, JoinHandle<()>) {
    let (sender, mut receiver) = mpsc::channel::<Changes>(QUEUE);
    let task = tokio::spawn(async move {
        while let Some(changes) = receiver.recv().await {
            let kv = Arc::clone(&kv);
            match tokio::task::spawn_blocking(move || store(kv.as_ref(), changes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "addresses of peers were not saved"),
                Err(error) => tracing::warn!(%error, "addresses of peers were not saved"),
            }
        }
    });
    (sender, task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cairn_store::kv::MemoryKv;

    fn entry(ports: std::ops::Range<u16>) -> Entry {
        let addrs = ports.map(|port| Known {
            addr: format!("/ip4/1.2.3.4/tcp/{port}").parse().expect("an address"),
            heard: 1 << 33,
            failures: 0,
            proven: true,
        });
        Entry { addrs: addrs.collect(), connected: 1_800_000_000 }
    }

    #[test]
    fn rows_read_back_and_are_removed() {
        let kv = MemoryKv::new();
        let (one, two) = (PeerId::random(), PeerId::random());
        store(&kv, vec![(one, Some(entry(1..4))), (two, Some(entry(4..5)))]).expect("written");
        let mut rows = load(&kv).expect("read");
        rows.sort_by_key(|(_, entry)| entry.addrs.len());
        assert_eq!(rows, [(two, entry(4..5)), (one, entry(1..4))]);
        store(&kv, vec![(one, None)]).expect("written");
        assert_eq!(load(&kv).expect("read").len(), 1);
    }

    #[test]
    fn damaged_rows_are_left_out() {
        let kv = MemoryKv::new();
        let good = encode(&entry(1..3));
        for cut in 1..good.len() {
            let _ = decode(&good[..cut]);
        }
        let mut batch = Batch::new();
        batch.put(Table::Net, key(&PeerId::random()), vec![0x80; 20]);
        batch.put(Table::Net, vec![KEY_VERSION, KIND, 1, 2, 3], good.clone());
        batch.put(Table::Net, vec![KEY_VERSION, KIND + 1], good);
        kv.write(batch, Durability::Logged).expect("written");
        assert!(load(&kv).expect("read").is_empty());
    }
}
