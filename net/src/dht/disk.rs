//! The tables on the disk: rows of [`Table::Net`], written behind.
//!
//! | Key | Value |
//! |---|---|
//! | `1 'p' net len(key) key peer` | since (u64 BE), then per address: length (u16 BE), bytes |
//! | `1 'v' net key` | since (u64 BE), value |
//!
//! Changes go through a bounded queue to a task that writes them in batches. When the disk can't keep up, changes are
//! dropped: the table in memory has them. What was not written, or was queued when the program ended, a restart does
//! not know, and publishers announce again within a day; what was not deleted it reads, and deletes when it is dead.

use super::{Net, Validator, key::Id, providers::Row};
use bytes::Bytes;
use cairn_store::kv::{Batch, Durability, Kv, Table, after_prefix};
use libp2p::{Multiaddr, PeerId};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Changes that wait for the disk; more are dropped.
const MAX_QUEUED: usize = 8192;
/// Changes in one batch.
const MAX_BATCH: usize = 1024;
/// How long the writer lets changes gather.
const GATHER: Duration = Duration::from_millis(200);
/// Rows read at a time when starting.
const MAX_RESTORED: usize = 1024;

enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
}

/// Where changes go.
#[derive(Clone)]
pub(crate) struct Journal {
    queue: Option<mpsc::Sender<Change>>,
}

impl Journal {
    /// A journal that forgets everything.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { queue: None }
    }

    /// A journal on tables. Its task ends when the last clone is dropped and the queue is written.
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Self {
        let (queue, changes) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(write(kv, changes));
        Self { queue: Some(queue) }
    }

    /// How many changes fit in the queue.
    pub(crate) fn room(&self) -> usize {
        self.queue.as_ref().map_or(usize::MAX, mpsc::Sender::capacity)
    }

    fn push(&self, change: Change) {
        if let Some(queue) = &self.queue
            && queue.try_send(change).is_err()
        {
            tracing::debug!("a record of the DHT is not written down: the disk is behind");
        }
    }

    pub(crate) fn add_provider(&self, net: Net, row: &Row) {
        self.push(Change::Put(provider_key(net, &row.key, &row.peer), encode_provider(row)));
    }

    pub(crate) fn remove_provider(&self, net: Net, key: &[u8], peer: &PeerId) {
        self.push(Change::Delete(provider_key(net, key, peer)));
    }

    pub(crate) fn put_value(&self, net: Net, key: &[u8], value: &[u8], since: u64) {
        let mut row = since.to_be_bytes().to_vec();
        row.extend_from_slice(value);
        self.push(Change::Put(value_key(net, key), row));
    }

    pub(crate) fn remove_value(&self, net: Net, key: &[u8]) {
        self.push(Change::Delete(value_key(net, key)));
    }
}

async fn write(kv: Arc<dyn Kv>, mut changes: mpsc::Receiver<Change>) {
    let mut gathered = Vec::new();
    while changes.recv_many(&mut gathered, MAX_BATCH).await > 0 {
        if gathered.len() < MAX_BATCH && !changes.is_closed() {
            tokio::time::sleep(GATHER).await;
            while gathered.len() < MAX_BATCH {
                let Ok(change) = changes.try_recv() else { break };
                gathered.push(change);
            }
        }
        let mut batch = Batch::new();
        for change in gathered.drain(..) {
            match change {
                Change::Put(key, value) => batch.put(Table::Net, key, value),
                Change::Delete(key) => batch.delete(Table::Net, key),
            }
        }
        let kv = Arc::clone(&kv);
        let written = tokio::task::spawn_blocking(move || kv.write(batch, Durability::Logged)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "records of the DHT could not be written down");
        }
    }
}

/// A value of an earlier run.
#[derive(Debug)]
pub(crate) struct RestoredValue {
    pub(crate) id: Id,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) since: u64,
    /// Until when it is valid, in Unix seconds; `None`: it is not, and its row should go.
    pub(crate) end: Option<u64>,
}

/// Rows of an earlier run, hashed and validated.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) providers: Vec<(Id, Row)>,
    pub(crate) values: Vec<RestoredValue>,
}

/// Reads the rows of one DHT in parts and hands each to `take`, until it says no. Rows that can't be read are skipped:
/// they are copies of what others have.
pub(crate) fn restore(
    kv: &dyn Kv,
    net: Net,
    validator: &dyn Validator,
    now: u64,
    mut take: impl FnMut(Restored) -> bool,
) {
    for kind in *b"pv" {
        let prefix = [1, kind, net.byte()];
        let mut part = Restored::default();
        for row in kv.scan(Table::Net, &prefix, after_prefix(&prefix).as_deref()) {
            let Ok((key, value)) = row else { break };
            let rest = &key[prefix.len()..];
            match kind {
                b'p' => part.providers.extend(decode_provider(rest, &value).map(|row| (Id::of(&row.key), row))),
                _ => part.values.extend(decode_value(rest, &value).map(|(key, value, since)| {
                    let end = validator.validate(&key, &value, now).is_ok().then(|| validator.end(&key, &value));
                    RestoredValue { id: Id::of(&key), key, value, since, end }
                })),
            }
            if part.providers.len() + part.values.len() >= MAX_RESTORED && !take(std::mem::take(&mut part)) {
                return;
            }
        }
        if !take(part) {
            return;
        }
    }
}

fn provider_key(net: Net, key: &[u8], peer: &PeerId) -> Vec<u8> {
    let mut row = vec![1, b'p', net.byte(), u8::try_from(key.len()).unwrap_or(u8::MAX)];
    row.extend_from_slice(key);
    row.extend_from_slice(&peer.to_bytes());
    row
}

fn value_key(net: Net, key: &[u8]) -> Vec<u8> {
    let mut row = vec![1, b'v', net.byte()];
    row.extend_from_slice(key);
    row
}

fn encode_provider(row: &Row) -> Vec<u8> {
    let mut out = row.since.to_be_bytes().to_vec();
    for addr in row.addrs.iter().take(super::providers::MAX_ADDRS) {
        if let Ok(len) = u16::try_from(addr.len()) {
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(addr.as_ref());
        }
    }
    out
}

fn decode_provider(key: &[u8], value: &Bytes) -> Option<Row> {
    let (len, rest) = key.split_first()?;
    let (key, peer) = rest.split_at_checked(usize::from(*len))?;
    let peer = PeerId::from_bytes(peer).ok()?;
    let (since, mut rest) = value.split_first_chunk::<8>()?;
    let mut addrs = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (addr, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        addrs.push(Multiaddr::try_from(addr.to_vec()).ok()?);
        rest = tail;
    }
    Some(Row { key: key.to_vec(), peer, addrs, since: u64::from_be_bytes(*since) })
}

fn decode_value(key: &[u8], row: &Bytes) -> Option<(Vec<u8>, Vec<u8>, u64)> {
    let (since, value) = row.split_first_chunk::<8>()?;
    Some((key.to_vec(), value.to_vec(), u64::from_be_bytes(*since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let row = Row {
            key: b"\x12\x20key".to_vec(),
            peer: PeerId::random(),
            addrs: vec!["/ip4/1.2.3.4/tcp/1".parse().expect("one"), "/ip6/::1/udp/2/quic-v1".parse().expect("two")],
            since: 77,
        };
        let key = provider_key(Net::Wan, &row.key, &row.peer);
        assert_eq!(decode_provider(&key[3..], &encode_provider(&row).into()), Some(row));
        for len in 0..12 {
            // Cut or foreign rows are skipped.
            let _ = decode_provider(&key[3..3 + len], &Bytes::from_static(b"12345678\0"));
        }
        assert_eq!(decode_value(b"/ipns/x", &Bytes::from_static(b"short")), None);
    }
}
