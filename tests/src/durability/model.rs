//! What the repository must hold, from what was begun and what was acknowledged.

use crate::keystream;
use std::collections::{BTreeMap, BTreeSet};

/// One file of a DAG: how to reach it from the root, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Nothing, or `/` and a name.
    pub suffix: String,
    /// Seed of its bytes.
    pub seed: String,
    /// Their number.
    pub len: usize,
}

/// The files of a DAG: one without a name, or some in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(pub Vec<Part>);

impl Content {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.0.iter().any(|p| !p.suffix.is_empty())
    }

    /// Bytes in all files.
    pub fn len(&self) -> usize {
        self.0.iter().map(|p| p.len).sum()
    }

    /// Whether no file holds any byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All files' bytes, one after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|p| keystream::bytes(&p.seed, p.len)).collect()
    }
}

/// Whether an object is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It was acknowledged.
    Yes,
    /// It never was, or its removal was acknowledged.
    No,
    /// A command that changes it was begun and not acknowledged.
    Maybe,
}

/// What is known of an object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its files.
    pub content: Content,
    /// Whether it is pinned.
    pub pin: Pin,
    /// Whether it was acknowledged as stored and no collection has begun since, so that it must be here even
    /// without a pin.
    pub stored: bool,
}

/// A command that changes the repository.
#[derive(Debug, Clone)]
pub enum Op {
    /// Adds files, pinned or not.
    Add {
        /// The files.
        content: Content,
        /// Whether they are pinned.
        pin: bool,
    },
    /// Pins an object that is stored.
    PinAdd(String),
    /// Removes a pin.
    PinRm(String),
    /// Collects garbage.
    Gc,
    /// Imports a CAR file whose root is known.
    Import {
        /// Its root.
        root: String,
        /// The files below it.
        content: Content,
        /// Whether the root is pinned.
        pin: bool,
    },
}

/// The notes: objects by CID, and the command that is running.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// All objects that were ever acknowledged, or that a running command may bring.
    pub objects: BTreeMap<String, Object>,
    /// New content of a running `add`: its CID is not known before it is printed.
    pub coming: Option<Content>,
}

impl Model {
    /// Notes that a command is about to run.
    pub fn begin(&mut self, op: &Op) {
        self.coming = None;
        match op {
            Op::Add { content, pin } => {
                let known = self.objects.values_mut().find(|o| o.content == *content);
                match known {
                    Some(object) if *pin && object.pin == Pin::No => object.pin = Pin::Maybe,
                    Some(_) => {}
                    None if *pin => self.coming = Some(content.clone()),
                    None => {}
                }
            }
            Op::PinAdd(cid) | Op::PinRm(cid) => self.set_pin(cid, Pin::Maybe),
            Op::Gc => self.objects.values_mut().filter(|o| o.pin != Pin::Yes).for_each(|o| o.stored = false),
            Op::Import { root, content, pin } => {
                let fresh = || Object { content: content.clone(), pin: Pin::No, stored: false };
                let object = self.objects.entry(root.clone()).or_insert_with(fresh);
                if *pin && object.pin == Pin::No {
                    object.pin = Pin::Maybe;
                }
            }
        }
    }

    /// Notes that a command was acknowledged; `cid` is what an `add` printed.
    pub fn acknowledge(&mut self, op: &Op, cid: &str) {
        self.coming = None;
        let (cid, content, pin) = match op {
            Op::Add { content, pin } => (cid, content, *pin),
            Op::Import { root, content, pin } => (root.as_str(), content, *pin),
            Op::PinAdd(cid) => return self.set_pin(cid, Pin::Yes),
            Op::PinRm(cid) => return self.set_pin(cid, Pin::No),
            Op::Gc => return,
        };
        let fresh = || Object { content: content.clone(), pin: Pin::No, stored: true };
        let object = self.objects.entry(cid.to_owned()).or_insert_with(fresh);
        object.stored = true;
        if pin {
            object.pin = Pin::Yes;
        }
    }

    fn set_pin(&mut self, cid: &str, pin: Pin) {
        if let Some(object) = self.objects.get_mut(cid) {
            object.pin = pin;
        }
    }

    /// Compares with the recursive pins that were found. The content in `coming` and the pins in doubt are
    /// settled by them. Pins of unknown CIDs are given back: one may be that of the content that was coming.
    ///
    /// # Errors
    /// What was lost, or came back.
    pub fn settle(&mut self, found: &BTreeSet<String>) -> Result<Vec<String>, String> {
        let mut wrong = Vec::new();
        for (cid, object) in &mut self.objects {
            match (object.pin, found.contains(cid)) {
                (Pin::Yes, false) => wrong.push(format!("the acknowledged pin of {cid} is lost")),
                (Pin::No, true) => wrong.push(format!("the removed pin of {cid} is back")),
                (Pin::Maybe, true) => object.pin = Pin::Yes,
                (Pin::Maybe, false) => object.pin = Pin::No,
                (Pin::Yes, true) | (Pin::No, false) => {}
            }
            // A pin that is seen promises its blocks, acknowledged or not.
            object.stored |= object.pin == Pin::Yes;
        }
        let unknown = found.iter().filter(|c| !self.objects.contains_key(*c)).cloned().collect();
        if wrong.is_empty() { Ok(unknown) } else { Err(wrong.join("; ")) }
    }

    /// Takes in the content that was coming, found pinned as `cid`.
    pub fn arrived(&mut self, cid: String) {
        if let Some(content) = self.coming.take() {
            self.objects.insert(cid, Object { content, pin: Pin::Yes, stored: true });
        }
    }

    /// Objects that must be here with all their bytes.
    pub fn owed(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter().filter(|(_, o)| o.stored)
    }

    /// Forgets objects that nobody owes anything, down to `keep` of them.
    pub fn forget(&mut self, keep: usize) {
        let gone: Vec<String> =
            self.objects.iter().filter(|(_, o)| !o.stored && o.pin == Pin::No).map(|(c, _)| c.clone()).collect();
        for cid in gone.into_iter().skip(keep) {
            self.objects.remove(&cid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(seed: &str) -> Content {
        Content(vec![Part { suffix: String::new(), seed: seed.into(), len: 1 }])
    }

    fn added(seed: &str) -> (Model, Op) {
        let mut model = Model::default();
        let op = Op::Add { content: content(seed), pin: true };
        model.begin(&op);
        (model, op)
    }

    #[test]
    fn a_lost_pin_is_noticed_once_acknowledged() {
        let (mut model, op) = added("a");
        assert!(model.clone().settle(&BTreeSet::new()).is_ok());
        model.acknowledge(&op, "A");
        assert!(model.clone().settle(&BTreeSet::from(["A".into()])).is_ok());
        assert!(model.settle(&BTreeSet::new()).is_err());
    }

    #[test]
    fn a_removed_pin_may_not_come_back() {
        let (mut model, op) = added("a");
        model.acknowledge(&op, "A");
        let remove = Op::PinRm("A".into());
        model.begin(&remove);
        assert!(model.clone().settle(&BTreeSet::new()).is_ok());
        assert!(model.clone().settle(&BTreeSet::from(["A".into()])).is_ok());
        model.acknowledge(&remove, "");
        assert!(model.settle(&BTreeSet::from(["A".into()])).is_err());
    }

    #[test]
    fn an_unpinned_object_is_owed_until_a_collection_begins() {
        let mut model = Model::default();
        let op = Op::Add { content: content("a"), pin: false };
        model.begin(&op);
        model.acknowledge(&op, "A");
        assert_eq!(model.owed().count(), 1);
        model.begin(&Op::Gc);
        assert_eq!(model.owed().count(), 0);
    }

    #[test]
    fn a_pin_of_something_unknown_is_given_back() {
        let (mut model, _) = added("a");
        assert_eq!(model.settle(&BTreeSet::from(["X".into()])), Ok(vec!["X".to_owned()]));
        model.arrived("X".into());
        assert!(model.settle(&BTreeSet::new()).is_err());
    }
}
