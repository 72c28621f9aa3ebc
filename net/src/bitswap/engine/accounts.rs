//! Loads the ledger at the start, and saves what changed now and then: a crash costs at most one interval of it.

use super::{super::ledger::Account, Shared};
use cairn_store::{
    StoreError,
    kv::{Batch, Durability, Kv, Table},
};
use libp2p::PeerId;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// Time between two savings.
const INTERVAL: Duration = Duration::from_secs(30);
/// Key of a row: version, `l`, the peer's id in its binary form.
const PREFIX: [u8; 2] = [1, b'l'];

fn key(peer: &PeerId) -> Vec<u8> {
    [&PREFIX[..], &peer.to_bytes()].concat()
}

/// All accounts that were saved, as many as are kept in memory.
fn load(kv: &dyn Kv) -> Vec<(PeerId, Account)> {
    let end = cairn_store::kv::after_prefix(&PREFIX);
    kv.scan(Table::Net, &PREFIX, end.as_deref())
        .take(super::super::ledger::MAX_ACCOUNTS)
        .filter_map(|row| {
            let (key, value) = row.ok()?;
            // A row that can't be read is an account that begins anew.
            Some((PeerId::from_bytes(key.get(PREFIX.len()..)?).ok()?, Account::decode(&value)?))
        })
        .collect()
}

fn save(kv: &dyn Kv, changed: &[(PeerId, Account)]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (peer, account) in changed {
        batch.put(Table::Net, key(peer), account.encode());
    }
    if batch.is_empty() { Ok(()) } else { kv.write(batch, Durability::Logged) }
}

pub(super) async fn run(shared: Weak<Shared>) {
    let Some(kv) = shared.upgrade().and_then(|s| s.kv.clone()) else { return };
    let reader = Arc::clone(&kv);
    let saved = tokio::task::spawn_blocking(move || load(reader.as_ref())).await.unwrap_or_default();
    if let Some(shared) = shared.upgrade() {
        let mut ledger = shared.ledger.lock();
        for (peer, account) in saved {
            ledger.load(peer, account);
        }
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(shared) = shared.upgrade() else { return };
        flush(&shared).await;
    }
}

/// Saves what changed.
pub(in super::super) async fn flush(shared: &Shared) {
    let Some(kv) = shared.kv.clone() else { return };
    let changed = shared.ledger.lock().take_changed();
    let saved = tokio::task::spawn_blocking(move || save(kv.as_ref(), &changed)).await;
    if let Ok(Err(error)) = saved {
        tracing::warn!(%error, "bitswap ledgers could not be saved");
    }
}
