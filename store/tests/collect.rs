//! Collections and pins, one after the other, on memory.

mod support;

use cairn_store::{
    Block, Cid,
    block::Prefix,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    fetch::{Deadline, Fetch, FetchError},
    gc::{self, Event, GcError},
    kv::{Durability, MemoryKv, Table},
    pin::{Found, Kind, PinError, PinMode, Pins, Progress, Which},
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use support::{leaf, missing, named, node, store, tree};

fn fixture() -> (Arc<KvBlocks>, Pins) {
    let blocks = store(Arc::new(MemoryKv::new()));
    let pins = Pins::new(Arc::clone(&blocks));
    (blocks, pins)
}

fn put(blocks: &KvBlocks, all: &[Block]) -> Cid {
    blocks.put_many(all, Durability::Synced).expect("puts");
    *all.last().expect("has a root").cid()
}

fn collect(blocks: &KvBlocks, pins: &Pins, roots: &[Cid]) -> Result<BTreeSet<Cid>, GcError> {
    let mut removed = BTreeSet::new();
    let roots = roots.to_vec();
    gc::collect(blocks, pins, &|| Ok(roots.clone()), &AtomicBool::new(false), &mut |event| {
        if let Event::Removed(cid) = event {
            assert!(removed.insert(cid), "{cid} was removed twice");
        }
    })?;
    assert_eq!(blocks.kv().scan(Table::Marks, &[], None).count(), 0, "marks are dropped");
    Ok(removed)
}

fn raw(block: &Block) -> Cid {
    Cid::new_v1(codec::RAW, *block.cid().hash())
}

#[test]
fn what_is_pinned_stays_and_the_rest_goes() {
    let (blocks, pins) = fixture();
    let (kept, junk) = (tree("kept"), tree("junk"));
    let root = put(&blocks, &kept);
    put(&blocks, &junk);
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    let removed = collect(&blocks, &pins, &[]).expect("collects");
    assert_eq!(removed, junk.iter().map(raw).collect());
    assert_eq!(missing(&blocks, &root), None);
    // And nothing is left to do.
    assert!(collect(&blocks, &pins, &[]).expect("collects").is_empty());
    pins.remove(&root, true).expect("unpins");
    assert_eq!(collect(&blocks, &pins, &[]).expect("collects"), kept.iter().map(raw).collect());
}

#[test]
fn a_direct_pin_keeps_one_block() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    pins.add_local(&root, PinMode::Direct, "").expect("pins");
    let removed = collect(&blocks, &pins, &[]).expect("collects");
    assert_eq!(removed.len(), all.len() - 1);
    assert!(blocks.has(root.hash()).expect("reads"));
}

#[test]
fn a_direct_pin_does_not_hide_a_recursive_one_of_the_same_block() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    let other_name = Cid::new_v1(codec::DAG_PB, *root.hash());
    let as_raw = Cid::new_v1(codec::RAW, *root.hash());
    pins.add_local(&other_name, PinMode::Direct, "").expect("pins");
    pins.add_local(&as_raw, PinMode::Recursive, "").expect("pins");
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    assert!(collect(&blocks, &pins, &[]).expect("collects").is_empty());
}

#[test]
fn extra_roots_keep_what_is_there() {
    let (blocks, pins) = fixture();
    let all = tree("mfs");
    let root = put(&blocks, &all);
    // One of the middle nodes is missing: what is below it is not known to be needed, and that is no error.
    let gone = &all[9];
    blocks.delete_many(&[*gone.cid().hash()]).expect("deletes");
    let removed = collect(&blocks, &pins, &[root]).expect("collects");
    assert_eq!(removed, all[..3].iter().map(raw).collect());
    assert!(blocks.has(all[12].cid().hash()).expect("reads"));
}

#[test]
fn a_missing_block_below_a_pin_stops_the_collection() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    put(&blocks, &tree("junk"));
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    for gone in &all[9..11] {
        blocks.delete_many(&[*gone.cid().hash()]).expect("deletes");
    }
    let before = blocks.list().count();
    let mut unreadable = BTreeSet::new();
    let ended = gc::collect(&blocks, &pins, &|| Ok(Vec::new()), &AtomicBool::new(false), &mut |event| {
        if let Event::Unreadable { cid, error } = event {
            assert!(error.to_string().contains("ipld: could not find"), "{error}");
            unreadable.insert(cid);
        }
    });
    assert!(matches!(ended, Err(GcError::Incomplete)), "{ended:?}");
    assert_eq!(unreadable, [*all[9].cid(), *all[10].cid()].into());
    assert_eq!(blocks.list().count(), before);
}

#[test]
fn a_session_keeps_what_it_wrote_and_what_it_found() {
    let (blocks, pins) = fixture();
    let old = leaf("was here");
    put(&blocks, std::slice::from_ref(&old));
    let stale = leaf("nobody wants this");
    put(&blocks, std::slice::from_ref(&stale));
    // So that the blocks above have an older stamp than the session's.
    collect_nothing(&blocks, &pins, &[*old.cid(), *stale.cid()]);
    let session = blocks.session();
    put(&blocks, &[leaf("new"), old.clone()]);
    assert_eq!(collect(&blocks, &pins, &[]).expect("collects"), [raw(&stale)].into());
    assert!(blocks.has(old.cid().hash()).expect("reads"));
    drop(session);
    assert_eq!(collect(&blocks, &pins, &[]).expect("collects").len(), 2);
}

fn collect_nothing(blocks: &KvBlocks, pins: &Pins, roots: &[Cid]) {
    assert!(collect(blocks, pins, roots).expect("collects").is_empty());
}

#[test]
fn an_interrupted_collection_is_gone_on_with() {
    let (blocks, pins) = fixture();
    // Long enough that the flag, set after the first report, stops it in the middle of marking.
    let mut chain = vec![leaf("end")];
    for _ in 0..5000 {
        chain.push(node(&[&chain[chain.len() - 1].clone()]));
    }
    let root = put(&blocks, &chain);
    put(&blocks, &tree("junk"));
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    let stop = AtomicBool::new(false);
    let mut first = 0;
    let ended = gc::collect(&blocks, &pins, &|| Ok(Vec::new()), &stop, &mut |event| {
        if let Event::Progress(progress) = event {
            first = progress.marked;
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(ended, Err(GcError::Stopped)), "{ended:?}");
    assert!(first > 1000);
    // A process that starts anew.
    let blocks = store(Arc::clone(blocks.kv()));
    let pins = Pins::new(Arc::clone(&blocks));
    let mut removed = 0;
    let done = gc::collect(&blocks, &pins, &|| Ok(Vec::new()), &AtomicBool::new(false), &mut |event| {
        removed += u64::from(matches!(event, Event::Removed(_)));
    })
    .expect("collects");
    assert_eq!((removed, missing(&blocks, &root)), (13, None));
    assert!(done.marked <= 5001 - first + 10, "{} after {first}", done.marked);
}

#[test]
fn an_unpin_makes_an_interrupted_collection_begin_anew() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    // Three batches of the sweep; it is stopped after the first, when everything is marked.
    let junk: Vec<Block> = (0..2500).map(|i| leaf(&format!("junk {i}"))).collect();
    put(&blocks, &junk);
    let stop = AtomicBool::new(false);
    let ended = gc::collect(&blocks, &pins, &|| Ok(Vec::new()), &stop, &mut |event| {
        if matches!(event, Event::Removed(_)) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(ended, Err(GcError::Stopped)), "{ended:?}");
    assert_eq!(blocks.list().count(), all.len() + 1500);
    pins.remove(&root, true).expect("unpins");
    let removed = collect(&blocks, &pins, &[]).expect("collects");
    assert_eq!(removed.len(), all.len() + 1500);
}

#[test]
fn marking_does_not_need_memory_for_a_wide_dag() {
    let (blocks, pins) = fixture();
    // More inner nodes below one node than may wait in memory, so that some wait in their work rows alone.
    let nodes: Vec<Block> = (0..70_000).map(|i| named(&format!("{i}"), &[])).collect();
    blocks.put_many(&nodes, Durability::Buffered).expect("puts");
    let root = node(&nodes.iter().collect::<Vec<_>>());
    put(&blocks, std::slice::from_ref(&root));
    put(&blocks, &[leaf("junk")]);
    pins.add_local(root.cid(), PinMode::Recursive, "").expect("pins");
    assert_eq!(collect(&blocks, &pins, &[]).expect("collects").len(), 1);
}

#[test]
fn adding_to_pins_follows_kubo() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    let pins = &pins;
    assert!(matches!(pins.remove(&root, true), Err(PinError::NotPinned)));
    pins.add_local(&root, PinMode::Direct, "a").expect("pins");
    pins.add_local(&root, PinMode::Recursive, "b").expect("replaces a direct pin");
    let refused = pins.add_local(&root, PinMode::Direct, "c").expect_err("is recursive");
    assert_eq!(refused.to_string(), format!("{root} already pinned recursively"));
    let refused = pins.remove(&root, false).expect_err("is recursive");
    assert_eq!(refused.to_string(), format!("{root} is pinned recursively"));
    assert_eq!(pins.get(&root).expect("reads").expect("is pinned").name, "b");
    pins.add_local(&root, PinMode::Recursive, "").expect("renames");
    assert_eq!(pins.get(&root).expect("reads").expect("is pinned").name, "");
    pins.remove(&root, true).expect("unpins");
    assert_eq!(pins.iter().count(), 0);
    let long = "x".repeat(256);
    assert!(matches!(pins.add_local(&root, PinMode::Direct, &long), Err(PinError::NameTooLong(256))));
}

#[test]
fn an_incomplete_dag_is_not_pinned() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    blocks.delete_many(&[*all[4].cid().hash()]).expect("deletes");
    match pins.add_local(&root, PinMode::Recursive, "") {
        Err(PinError::Missing(cid)) => assert_eq!(*cid, *all[4].cid()),
        other => panic!("{other:?}"),
    }
    assert_eq!(pins.iter().count(), 0);
    pins.add_local(&root, PinMode::Direct, "").expect("the root alone is here");
}

fn listed(pins: &Pins, which: Which, name: &str) -> Vec<Found> {
    let mut found = Vec::new();
    pins.list::<PinError>(which, name, &AtomicBool::new(false), &mut |f| {
        found.push(f);
        Ok(())
    })
    .expect("lists");
    found
}

#[test]
fn pins_are_listed_once_by_their_strongest_kind() {
    let (blocks, pins) = fixture();
    let shared = leaf("shared");
    let inner = node(&[&shared]);
    let (one, two) = (named("1", &[&inner, &shared]), named("2", &[&inner]));
    for b in [&shared, &inner, &one, &two] {
        put(&blocks, std::slice::from_ref(b));
    }
    pins.add_local(one.cid(), PinMode::Recursive, "the one").expect("pins");
    pins.add_local(two.cid(), PinMode::Recursive, "").expect("pins");
    pins.add_local(inner.cid(), PinMode::Direct, "in the middle").expect("pins");
    let kinds = |which, name| {
        let mut all: Vec<_> = listed(&pins, which, name).into_iter().map(|f| (f.cid, f.kind)).collect();
        all.sort_by_key(|(cid, _)| *cid);
        all
    };
    let sorted = |mut all: Vec<(Cid, Kind)>| {
        all.sort_by_key(|(cid, _)| *cid);
        all
    };
    let (o, t) = ((*one.cid(), Kind::Recursive), (*two.cid(), Kind::Recursive));
    let (i, s) = ((*inner.cid(), Kind::Direct), (*shared.cid(), Kind::Indirect(None)));
    assert_eq!(kinds(Which::All, ""), sorted(vec![o, t, i, s]));
    assert_eq!(kinds(Which::Recursive, ""), sorted(vec![o, t]));
    assert_eq!(kinds(Which::Direct, ""), vec![i]);
    assert_eq!(kinds(Which::Indirect, ""), vec![s]);
    assert_eq!(kinds(Which::All, "the"), sorted(vec![o, i]));
    assert_eq!(kinds(Which::Indirect, "the"), vec![]);
}

#[test]
fn what_keeps_a_block_is_found_in_the_order_asked() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    let stranger = leaf("not below the pin");
    pins.add_local(&root, PinMode::Recursive, "n").expect("pins");
    pins.add_local(all[9].cid(), PinMode::Direct, "").expect("pins");
    let asked = [*all[0].cid(), root, *stranger.cid(), *all[9].cid()];
    let kinds = |which| -> Vec<Option<Kind>> {
        pins.find(&asked, which, &AtomicBool::new(false))
            .expect("finds")
            .into_iter()
            .map(|f| f.map(|f| f.kind))
            .collect()
    };
    let via = Some(Kind::Indirect(Some(root)));
    assert_eq!(kinds(Which::All), [via, Some(Kind::Recursive), None, Some(Kind::Direct)]);
    assert_eq!(kinds(Which::Indirect), [via, None, None, via]);
    assert_eq!(kinds(Which::Direct), [None, None, None, Some(Kind::Direct)]);
    assert_eq!(kinds(Which::Recursive), [None, Some(Kind::Recursive), None, None]);
}

#[test]
fn what_keeps_a_block_is_found_without_reading_everything() {
    let (blocks, pins) = fixture();
    let all = tree("t");
    let root = put(&blocks, &all);
    pins.add_local(&root, PinMode::Recursive, "").expect("pins");
    // A node that the search would stumble over if it went on after it has found what it looks for.
    blocks.delete_many(&[*all[10].cid().hash()]).expect("deletes");
    let found =
        pins.find(&[*all[9].cid(), root], Which::All, &AtomicBool::new(false)).expect("does not read the missing node");
    assert!(found.iter().all(Option::is_some));
    assert!(matches!(pins.find(&[*leaf("x").cid()], Which::All, &AtomicBool::new(false)), Err(PinError::Missing(_))));
}

#[test]
fn verify_names_what_is_bad_below_each_pin() {
    let (blocks, pins) = fixture();
    let (good, bad) = (tree("good"), tree("bad"));
    let (good_root, bad_root) = (put(&blocks, &good), put(&blocks, &bad));
    let outer = node(&[bad.last().expect("has a root"), good.last().expect("has a root")]);
    put(&blocks, std::slice::from_ref(&outer));
    for cid in [&good_root, &bad_root, outer.cid()] {
        pins.add_local(cid, PinMode::Recursive, "").expect("pins");
    }
    blocks.delete_many(&[*bad[0].cid().hash(), *bad[10].cid().hash()]).expect("deletes");
    let expected: BTreeSet<Cid> = [*bad[0].cid(), *bad[10].cid()].into();
    let mut seen = 0;
    pins.verify::<PinError>(&AtomicBool::new(false), &mut |status| {
        seen += 1;
        let found: BTreeSet<Cid> = status.bad.iter().map(|b| b.cid).collect();
        assert_eq!(found, if status.cid == good_root { BTreeSet::new() } else { expected.clone() });
        Ok(())
    })
    .expect("verifies");
    assert_eq!(seen, 3);
}

/// What another node has, as the network would give it: stored here before it is handed out.
struct Elsewhere {
    there: Arc<KvBlocks>,
    here: Arc<KvBlocks>,
}

#[async_trait::async_trait]
impl Fetch for Elsewhere {
    async fn fetch(&self, cid: &Cid, _: Deadline) -> Result<Block, FetchError> {
        let block = self.there.get(cid)?.ok_or_else(|| FetchError::NotFound(Box::new(*cid)))?;
        self.here.put_many(std::slice::from_ref(&block), Durability::Buffered)?;
        Ok(block)
    }

    fn fetch_many(&self, cids: Vec<Cid>, deadline: Deadline) -> BoxStream<'_, Result<Block, FetchError>> {
        stream::iter(cids).then(move |cid| async move { self.fetch(&cid, deadline).await }).boxed()
    }

    async fn has_local(&self, cid: &Cid) -> Result<bool, FetchError> {
        Ok(self.here.has(cid.hash())?)
    }
}

#[tokio::test]
async fn what_is_not_here_is_fetched() {
    let ((here, pins), (there, _)) = (fixture(), fixture());
    let all = tree("t");
    let root = put(&there, &all);
    put(&here, &all[..5]);
    let fetch: Arc<dyn Fetch> = Arc::new(Elsewhere { there: Arc::clone(&there), here: Arc::clone(&here) });
    let last = std::sync::Mutex::new(Progress::default());
    let report = |p| *last.lock().expect("is not poisoned") = p;
    pins.add(Arc::clone(&fetch), &root, PinMode::Recursive, "", &report).await.expect("pins");
    assert_eq!(missing(&here, &root), None);
    let bytes = all.iter().map(|b| b.data().len() as u64).sum();
    assert_eq!(*last.lock().expect("is not poisoned"), Progress { nodes: 13, bytes });
    // What nobody has is named, and the pin that is there stays.
    let other = tree("other");
    put(&there, &other);
    there.delete_many(&[*other[4].cid().hash()]).expect("deletes");
    let to = other.last().expect("has a root").cid();
    match pins.update(fetch, &root, to, true).await {
        Err(PinError::Missing(cid)) => assert_eq!(*cid, *other[4].cid()),
        ended => panic!("{ended:?}"),
    }
    assert_eq!(pins.iter().map(|p| p.expect("reads").cid).collect::<Vec<_>>(), [root]);
}

#[test]
fn identity_nodes_keep_what_they_link_to() {
    let (blocks, pins) = fixture();
    let kept = leaf("x");
    let inner = node(&[&kept]);
    let prefix = Prefix { version: cid::Version::V1, codec: codec::DAG_PB, hash: cairn_store::hash::HashFn::IDENTITY };
    let root = Block::seal(prefix, inner.data().clone()).expect("fits");
    put(&blocks, &[kept.clone(), leaf("junk")]);
    pins.add_local(root.cid(), PinMode::Recursive, "").expect("pins");
    assert_eq!(collect(&blocks, &pins, &[]).expect("collects").len(), 1);
    assert!(blocks.has(kept.cid().hash()).expect("reads"));
}
