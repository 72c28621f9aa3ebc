//! Loads the ledger at the start, and saves what changed now and then: a crash costs at most one interval of it.

use super::{
    super::ledger::{Account, Ledger},
    Shared,
};
use cairn_store::{
    StoreError,
    kv::{Batch, Durability, Kv, Table},
};
use libp2p::PeerId;
use std::{sync::Weak, time::Duration};

/// Time between two savings.
const INTERVAL: Duration = Duration::from_secs(30);
/// Key of a row: version, `l`, the peer's id in its binary form.
const PREFIX: [u8; 2] = [1, b'l'];

fn key(peer: &PeerId) -> Vec<u8> {
    [&PREFIX[..], &peer.to_bytes()].concat()
}

/// All accounts that were saved, or those of them that moved most.
fn load(kv: &dyn Kv) -> Ledger<PeerId> {
    let end = cairn_store::kv::after_prefix(&PREFIX);
    let mut ledger = Ledger::default();
    for (key, value) in kv.scan(Table::Net, &PREFIX, end.as_deref()).filter_map(Result::ok) {
        // A row that can't be read is an account that begins anew.
        let peer = key.get(PREFIX.len()..).and_then(|bytes| PeerId::from_bytes(bytes).ok());
        if let (Some(peer), Some(account)) = (peer, Account::decode(&value)) {
            ledger.load(peer, account);
        }
    }
    ledger
}

fn save(kv: &dyn Kv, changed: &[(PeerId, Option<Account>)]) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    for (peer, account) in changed {
        match account {
            Some(account) => batch.put(Table::Net, key(peer), account.encode()),
            None => batch.delete(Table::Net, key(peer)),
        }
    }
    if batch.is_empty() { Ok(()) } else { kv.write(batch, Durability::Logged) }
}

pub(super) async fn run(shared: Weak<Shared>) {
    let Some(kv) = shared.upgrade().and_then(|s| s.kv.clone()) else { return };
    // IMPORTANT: nothing is held while it waits, or the tables would stay open after the node's end.
    let saved = tokio::task::spawn_blocking(move || load(kv.as_ref())).await.unwrap_or_default();
    if let Some(shared) = shared.upgrade() {
        shared.ledger.lock().merge(saved);
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
