//! Random DAGs, pins and changes of pins against a model that knows only "reachable".

mod support;

use cairn_store::{
    Block, Cid,
    blockstore::{Blockstore as _, KvBlocks},
    cid::codec,
    gc,
    kv::{Durability, MemoryKv},
    pin::{Kind, PinError, PinMode, Pins, Which},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicBool},
};
use support::{leaf, named, store};

/// What happens, in terms of the number of a block.
#[derive(Debug, Clone)]
enum Step {
    Pin(usize, bool),
    PinAsRaw(usize),
    Unpin(usize),
    Collect,
    /// A collection that is stopped somewhere.
    Stop(u16),
}

/// For each block the earlier blocks that it links to; none makes it a raw leaf.
fn dags() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(0..1000_usize, 0..4), 1..60)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..1000_usize, any::<bool>()).prop_map(|(n, r)| Step::Pin(n, r)),
        1 => (0..1000_usize).prop_map(Step::PinAsRaw),
        2 => (0..1000_usize).prop_map(Step::Unpin),
        1 => Just(Step::Collect),
        1 => (0..40_u16).prop_map(Step::Stop),
    ];
    prop::collection::vec(step, 1..25)
}

/// What should be.
#[derive(Default)]
struct Model {
    blocks: Vec<Block>,
    children: BTreeMap<Cid, Vec<Cid>>,
    pins: BTreeMap<Cid, PinMode>,
}

impl Model {
    fn new(shape: &[Vec<usize>]) -> Self {
        let mut model = Self::default();
        for (i, links) in shape.iter().enumerate() {
            let links: Vec<usize> = links.iter().filter(|_| i > 0).map(|l| l % i.max(1)).collect();
            let children: Vec<&Block> = links.iter().map(|l| &model.blocks[*l]).collect();
            let cids = children.iter().map(|b| *b.cid()).collect();
            let block = if links.is_empty() { leaf(&i.to_string()) } else { named(&i.to_string(), &children) };
            model.children.insert(*block.cid(), cids);
            model.blocks.push(block);
        }
        model
    }

    fn below(&self, root: &Cid) -> BTreeSet<Cid> {
        let mut all = BTreeSet::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            if all.insert(cid) {
                stack.extend(self.children.get(&cid).into_iter().flatten());
            }
        }
        all
    }

    /// Everything that the pins keep.
    fn live(&self) -> BTreeSet<Cid> {
        let below = |(cid, mode): (&Cid, &PinMode)| match mode {
            PinMode::Recursive => self.below(cid),
            PinMode::Direct => [*cid].into(),
        };
        self.pins.iter().flat_map(below).collect()
    }
}

fn collect(blocks: &KvBlocks, pins: &Pins, stop_after: Option<u16>) {
    let stop = AtomicBool::new(stop_after == Some(0));
    let mut events = 0;
    let _ = gc::collect(blocks, pins, &|| Ok(Vec::new()), &stop, &mut |_| {
        events += 1;
        stop.store(stop_after.is_some_and(|n| events >= n), std::sync::atomic::Ordering::Relaxed);
    });
}

fn hashes(cids: impl IntoIterator<Item = Cid>) -> BTreeSet<Vec<u8>> {
    cids.into_iter().map(|c| c.hash().to_bytes()).collect()
}

fn apply(step: &Step, model: &mut Model, blocks: &KvBlocks, pins: &Pins) -> Result<(), TestCaseError> {
    let nth = |n: &usize| *model.blocks[n % model.blocks.len()].cid();
    match step {
        Step::Pin(n, recursive) => {
            let mode = if *recursive { PinMode::Recursive } else { PinMode::Direct };
            pin(model, blocks, pins, nth(n), mode)?;
        }
        Step::PinAsRaw(n) => {
            let cid = Cid::new_v1(codec::RAW, *nth(n).hash());
            pin(model, blocks, pins, cid, PinMode::Recursive)?;
        }
        Step::Unpin(n) => {
            let cid = nth(n);
            prop_assert_eq!(pins.remove(&cid, true).is_ok(), model.pins.remove(&cid).is_some());
        }
        Step::Stop(after) => collect(blocks, pins, Some(*after)),
        Step::Collect => {
            collect(blocks, pins, None);
            let left = blocks.list().map(|b| b.expect("reads").0.to_bytes()).collect::<BTreeSet<_>>();
            prop_assert_eq!(left, hashes(model.live()));
            // Whatever was deleted is put again, for the steps to come.
            blocks.put_many(&model.blocks, Durability::Synced).expect("puts");
        }
    }
    Ok(())
}

fn pin(model: &mut Model, blocks: &KvBlocks, pins: &Pins, cid: Cid, mode: PinMode) -> Result<(), TestCaseError> {
    let needed = if mode == PinMode::Recursive { model.below(&cid) } else { [cid].into() };
    let here = needed.iter().all(|c| blocks.has(c.hash()).expect("reads"));
    match pins.add_local(&cid, mode, "") {
        Ok(_) => {
            prop_assert!(here);
            model.pins.insert(cid, mode);
        }
        Err(PinError::Missing(_)) => prop_assert!(!here),
        Err(PinError::AlreadyRecursive(_)) => {
            prop_assert_eq!((mode, model.pins.get(&cid)), (PinMode::Direct, Some(&PinMode::Recursive)));
        }
        Err(error) => return Err(TestCaseError::fail(error.to_string())),
    }
    Ok(())
}

/// The list and the answers for single blocks agree with the model.
fn assert_lists(model: &Model, pins: &Pins) -> Result<(), TestCaseError> {
    let mut listed = BTreeMap::new();
    pins.list::<PinError>(Which::All, "", &AtomicBool::new(false), &mut |found| {
        assert!(listed.insert(found.cid, found.kind).is_none(), "{} twice", found.cid);
        Ok(())
    })
    .expect("lists");
    prop_assert_eq!(listed.keys().copied().collect::<BTreeSet<_>>(), model.live());
    let asked: Vec<Cid> = model.blocks.iter().map(|b| *b.cid()).collect();
    for (cid, found) in asked.iter().zip(pins.find(&asked, Which::All, &AtomicBool::new(false)).expect("finds")) {
        let own = model.pins.get(cid).map(|mode| Kind::from(*mode));
        match (own, found.map(|f| f.kind)) {
            (Some(own), found) => prop_assert_eq!(found, Some(own)),
            (None, Some(Kind::Indirect(Some(via)))) => {
                prop_assert_eq!(model.pins.get(&via), Some(&PinMode::Recursive));
                prop_assert!(model.below(&via).contains(cid));
            }
            (None, None) => prop_assert!(!model.live().contains(cid)),
            (None, other) => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn exactly_what_is_reachable_stays(shape in dags(), steps in steps()) {
        let mut model = Model::new(&shape);
        let blocks = store(Arc::new(MemoryKv::new()));
        let pins = Pins::new(Arc::clone(&blocks));
        blocks.put_many(&model.blocks, Durability::Synced).expect("puts");
        for step in &steps {
            apply(step, &mut model, &blocks, &pins)?;
        }
        apply(&Step::Collect, &mut model, &blocks, &pins)?;
        assert_lists(&model, &pins)?;
    }
}
