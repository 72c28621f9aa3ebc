//! Where blocks and names come from, with the patience of a mount.

use cairn_store::{
    Block, Cid,
    fetch::{Deadline, Fetch, FetchError},
    names::Names,
};
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// Sources of blocks and names.
#[derive(Clone)]
pub struct Sources {
    /// Makes a source of blocks for one tree; it may go to the network.
    pub session: Arc<dyn Fn() -> Arc<dyn Fetch> + Send + Sync>,
    /// What can be had without asking anybody else.
    pub local: Arc<dyn Fetch>,
    /// Names: IPNS keys and DNSLink domains.
    pub names: Arc<dyn Names>,
}

impl Sources {
    /// A mount of what is here: it never asks anybody else for blocks.
    pub fn local(blocks: Arc<dyn Fetch>, names: Arc<dyn Names>) -> Self {
        let session = Arc::clone(&blocks);
        Self { session: Arc::new(move || Arc::clone(&session)), local: blocks, names }
    }
}

/// Blocks that are kept at most, in bytes: nodes of directories and roots of files, which are asked for again and again.
const SHELF_BYTES: usize = 16 << 20;
/// Larger blocks hold content, which the kernel keeps.
const MAX_SHELVED: usize = 64 << 10;

/// Values that were used lately, up to a weight. What was not used while half of it was filled anew is dropped.
pub(super) struct Recent<K, V> {
    generations: Mutex<Generations<K, V>>,
    max: usize,
}

struct Generations<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), weight: 0 };
        Self { generations: Mutex::new(generations), max }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.generations.lock();
        if let Some((value, _)) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = generations.old.remove(key)?;
        let answer = value.clone();
        generations.insert(key.clone(), value, weight, self.max);
        Some(answer)
    }

    pub(super) fn put(&self, key: K, value: V, weight: usize) {
        self.generations.lock().insert(key, value, weight, self.max);
    }

    pub(super) fn remove(&self, key: &K) {
        let mut generations = self.generations.lock();
        generations.old.remove(key);
        if let Some((_, weight)) = generations.young.remove(key) {
            generations.weight -= weight;
        }
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, weight: usize, max: usize) {
        if self.weight + weight > max / 2 && !self.young.is_empty() {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        if let Some((_, before)) = self.young.insert(key, (value, weight)) {
            self.weight -= before;
        }
    }
}

/// Small blocks that were used lately.
pub(super) type Shelf = Recent<Cid, Block>;

pub(super) fn shelf() -> Arc<Shelf> {
    Arc::new(Shelf::new(SHELF_BYTES))
}

/// A source for which each question has the same time, whenever it is asked. Streams of blocks have none: whoever reads
/// from one knows when it began to wait.
pub(super) struct Patient {
    pub(super) inner: Arc<dyn Fetch>,
    pub(super) patience: Duration,
    pub(super) shelf: Arc<Shelf>,
}

#[async_trait::async_trait]
impl Fetch for Patient {
    async fn fetch(&self, cid: &Cid, _: Deadline) -> Result<Block, FetchError> {
        if let Some(block) = self.shelf.get(cid) {
            return Ok(block);
        }
        let block = self.inner.fetch(cid, Some(Instant::now() + self.patience)).await?;
        if block.data().len() <= MAX_SHELVED {
            self.shelf.put(*cid, block.clone(), block.data().len());
        }
        Ok(block)
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        self.inner.fetch_many(cids, deadline)
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        self.inner.has_local(cid).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_weight_is_bounded() {
        let recent: Recent<u32, u32> = Recent::new(100);
        for key in 0..1000 {
            recent.put(key, key, 10);
            assert_eq!(recent.get(&0), Some(0), "{key}: it was asked for all the time");
            let generations = recent.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 10, "{key}");
        }
        assert_eq!(recent.get(&1), None);
        recent.remove(&0);
        assert_eq!(recent.get(&0), None);
        recent.put(5000, 1, 1000);
        assert_eq!(recent.get(&5000), Some(1), "one value is always kept");
    }
}
