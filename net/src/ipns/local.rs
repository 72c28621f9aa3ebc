//! Records and public keys that this node published or was given, in the table `net`.
//!
//! | Key after the version | Value |
//! |---|---|
//! | `n`, `r`, the multihash of the name | the record, as its bytes |
//! | `n`, `k`, the multihash of the name | the public key, as libp2p's protobuf |
//!
//! There is one row for each name that a user of this node put or published: nothing that comes from the network by
//! itself is written here.

use super::Name;
use bytes::Bytes;
use cairn_store::{
    StoreError,
    kv::{Batch, Durability, Kv, Table},
};
use std::sync::Arc;

const VERSION: u8 = 1;
const KIND: u8 = b'n';

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// A signed record.
    Record,
    /// A public key.
    PublicKey,
}

/// The rows of names.
#[derive(Clone)]
pub(super) struct Local {
    kv: Arc<dyn Kv>,
}

impl Local {
    pub(super) fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv }
    }

    pub(super) async fn get(&self, row: Row, name: Name) -> Result<Option<Bytes>, StoreError> {
        self.blocking(move |kv| kv.get(Table::Net, &key(row, name))).await
    }

    /// On return it survives a power cut.
    pub(super) async fn put(&self, row: Row, name: Name, value: Bytes) -> Result<(), StoreError> {
        self.blocking(move |kv| {
            let mut batch = Batch::new();
            batch.put(Table::Net, key(row, name), value);
            kv.write(batch, Durability::Synced)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Kv) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let kv = Arc::clone(&self.kv);
        tokio::task::spawn_blocking(move || work(kv.as_ref()))
            .await
            .map_err(|e| StoreError::Backend(format!("a thread of the names died: {e}")))?
    }
}

fn key(row: Row, name: Name) -> Vec<u8> {
    let row = match row {
        Row::Record => b'r',
        Row::PublicKey => b'k',
    };
    [&[VERSION, KIND, row][..], &name.peer_id().to_bytes()].concat()
}
