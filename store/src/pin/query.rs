//! Listing pins, and finding out what keeps a block.

use super::{Pin, PinError, PinMode, Pins};
use crate::{
    Cid, Multihash,
    cid::codec,
    dag::{
        self,
        drain::drain,
        pile::Pile,
        seen::{Print, Seen},
    },
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::atomic::{AtomicBool, Ordering},
};

/// Recursive pins whose DAGs are walked together: enough to read them in parallel.
const ROOTS: usize = 4096;

/// Which pins are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Recursive pins.
    Recursive,
    /// Direct pins.
    Direct,
    /// Blocks below recursive pins that have no pin of their own.
    Indirect,
}

impl Which {
    fn includes(self, mode: PinMode) -> bool {
        match self {
            Self::All => true,
            Self::Recursive => mode == PinMode::Recursive,
            Self::Direct => mode == PinMode::Direct,
            Self::Indirect => false,
        }
    }

    fn indirect(self) -> bool {
        matches!(self, Self::All | Self::Indirect)
    }
}

/// How a block is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a recursive pin of its own.
    Recursive,
    /// By a direct pin of its own.
    Direct,
    /// By a recursive pin above it; which one, if that was asked.
    Indirect(Option<Cid>),
}

impl From<PinMode> for Kind {
    fn from(mode: PinMode) -> Self {
        match mode {
            PinMode::Recursive => Self::Recursive,
            PinMode::Direct => Self::Direct,
        }
    }
}

/// A pinned block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The block.
    pub cid: Cid,
    /// How it is pinned.
    pub kind: Kind,
    /// Name of its own pin; empty when it has none.
    pub name: String,
}

impl From<Pin> for Found {
    fn from(pin: Pin) -> Self {
        Self { cid: pin.cid, kind: pin.mode.into(), name: pin.name }
    }
}

impl Pins {
    /// Hands every pinned block to `emit`, once: recursive pins, direct pins, then what is pinned indirectly.
    /// With `name` only pins whose name contains it, which no indirect one has.
    ///
    /// Memory: about a byte for each block below a recursive pin, besides 36 MiB, and only if those are asked for.
    ///
    /// # Errors
    /// The first error of `emit`, of the store, or a block that is missing below a pin; [`PinError::Stopped`] once
    /// `stop` is set.
    pub fn list<E: From<PinError>>(
        &self,
        which: Which,
        name: &str,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let walks = which.indirect() && name.is_empty();
        let mut known = Seen::new();
        for mode in [PinMode::Recursive, PinMode::Direct] {
            if !walks && !which.includes(mode) {
                continue;
            }
            for pin in self.iter() {
                let pin = pin.map_err(PinError::from)?;
                if pin.mode != mode {
                    continue;
                }
                if walks {
                    known.insert(&pin.cid).map_err(PinError::from)?;
                }
                if which.includes(mode) && pin.name.contains(name) {
                    emit(pin.into())?;
                }
            }
        }
        if walks { self.list_indirect(&known, stop, emit) } else { Ok(()) }
    }

    fn list_indirect<E: From<PinError>>(
        &self,
        known: &Seen,
        stop: &AtomicBool,
        emit: &mut dyn FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        self.walk(known.sibling(), stop, |cid, print| {
            if known.contains_print(print).map_err(PinError::from)? {
                return Ok(());
            }
            emit(Found { cid: *cid, kind: Kind::Indirect(None), name: String::new() })
        })
    }

    /// Says how each of these blocks is pinned, in order; `None`: not at all, or not as asked.
    ///
    /// A pin of its own counts before one above it. DAGs are walked only for blocks without a pin of their own,
    /// and only until all of those are found.
    ///
    /// # Errors
    /// When the store fails, or a block is missing below a pin before all were found; [`PinError::Stopped`] once `stop`
    /// is set.
    pub fn find(&self, cids: &[Cid], which: Which, stop: &AtomicBool) -> Result<Vec<Option<Found>>, PinError> {
        let mut found = Vec::with_capacity(cids.len());
        // What is looked for below the pins.
        let mut wanted: HashMap<Cid, Option<Cid>> = HashMap::new();
        for cid in cids {
            let own = self.get(cid)?;
            let below = match &own {
                None => which.indirect(),
                // As in Kubo: a block with a direct pin may be indirect as well, one with a recursive pin not.
                Some(pin) => which == Which::Indirect && pin.mode == PinMode::Direct,
            };
            if below {
                wanted.insert(*cid, None);
            }
            found.push(own.filter(|pin| which.includes(pin.mode)).map(Found::from));
        }
        self.find_below(&mut wanted, stop, |cid| *cid)?;
        for (cid, found) in cids.iter().zip(&mut found) {
            if let (None, Some(Some(via))) = (&found, wanted.get(cid)) {
                *found = Some(Found { cid: *cid, kind: Kind::Indirect(Some(*via)), name: String::new() });
            }
        }
        Ok(found)
    }

    /// Says what keeps the block of each multihash, under whatever CID it is pinned or linked to, in order; `None`:
    /// nothing does. For whoever removes blocks, which the store knows by multihash only.
    ///
    /// Reads all pins, and walks DAGs as [`Pins::find`] does.
    ///
    /// # Errors
    /// As [`Pins::find`].
    pub fn keepers(&self, hashes: &[Multihash], stop: &AtomicBool) -> Result<Vec<Option<Found>>, PinError> {
        let mut below: HashMap<Multihash, Option<Cid>> = hashes.iter().map(|hash| (*hash, None)).collect();
        let mut own: HashMap<Multihash, Found> = HashMap::new();
        for pin in self.iter() {
            let pin = pin?;
            if below.remove(pin.cid.hash()).is_some() {
                own.insert(*pin.cid.hash(), pin.into());
            }
        }
        self.find_below(&mut below, stop, |cid| *cid.hash())?;
        let keeper = |hash: &Multihash| {
            let above = || {
                let via = below.get(hash).copied().flatten()?;
                let cid = Cid::new_v1(codec::RAW, *hash);
                Some(Found { cid, kind: Kind::Indirect(Some(via)), name: String::new() })
            };
            own.get(hash).cloned().or_else(above)
        };
        Ok(hashes.iter().map(keeper).collect())
    }

    fn find_below<K: Eq + Hash>(
        &self,
        wanted: &mut HashMap<K, Option<Cid>>,
        stop: &AtomicBool,
        key: impl Fn(&Cid) -> K,
    ) -> Result<(), PinError> {
        let mut left = wanted.len();
        if left == 0 {
            return Ok(());
        }
        let ended = self.walk_each(stop, |root, cid| {
            if let Some(via @ None) = wanted.get_mut(&key(cid)) {
                *via = Some(*root);
                left -= 1;
            }
            if left == 0 { Err(Walk::Enough) } else { Ok(()) }
        });
        match ended {
            Ok(()) | Err(Walk::Enough) => Ok(()),
            Err(Walk::Failed(error)) => Err(error),
        }
    }

    /// Hands every block below recursive pins to `on`, once.
    fn walk<E: From<PinError>>(
        &self,
        mut visited: Seen,
        stop: &AtomicBool,
        mut on: impl FnMut(&Cid, Print) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut roots = self.iter();
        loop {
            let mut stack = Pile::new();
            for pin in roots.by_ref() {
                let pin = pin.map_err(PinError::from)?;
                if pin.mode == PinMode::Recursive && !dag::is_leaf(&pin.cid) && fresh(&mut visited, &pin)? {
                    stack.push(pin.cid).map_err(PinError::from)?;
                }
                if stack.len() == ROOTS {
                    break;
                }
            }
            if stack.is_empty() {
                return Ok(());
            }
            self.below(&mut stack, &mut visited, stop, &mut on)?;
        }
    }

    /// As [`Pins::walk`], one pin after the other, saying below which pin each block was found.
    fn walk_each<E: From<PinError>>(
        &self,
        stop: &AtomicBool,
        mut on: impl FnMut(&Cid, &Cid) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut visited = Seen::new();
        for pin in self.iter() {
            let pin = pin.map_err(PinError::from)?;
            if pin.mode == PinMode::Recursive && !dag::is_leaf(&pin.cid) && fresh(&mut visited, &pin)? {
                self.below(&mut Pile::of(pin.cid), &mut visited, stop, |cid, _| on(&pin.cid, cid))?;
            }
        }
        Ok(())
    }

    fn below<E: From<PinError>>(
        &self,
        stack: &mut Pile,
        visited: &mut Seen,
        stop: &AtomicBool,
        mut on: impl FnMut(&Cid, Print) -> Result<(), E>,
    ) -> Result<(), E> {
        let ended = drain(self.blocks.as_ref(), stack, |_, links, stack| {
            if stop.load(Ordering::Relaxed) {
                return Err(End::Walk(PinError::Stopped));
            }
            for link in links.map_err(PinError::from)? {
                let print = visited.print(&link);
                if visited.insert_print(print).map_err(PinError::from)? {
                    on(&link, print).map_err(End::Caller)?;
                    if !dag::is_leaf(&link) {
                        stack.push(link).map_err(PinError::from)?;
                    }
                }
            }
            Ok(())
        });
        ended.map_err(|end| match end {
            End::Caller(error) => error,
            End::Walk(error) => error.into(),
        })
    }
}

fn fresh(visited: &mut Seen, pin: &Pin) -> Result<bool, PinError> {
    Ok(visited.insert(&pin.cid)?)
}

/// Why a walk ended early.
enum End<E> {
    Caller(E),
    Walk(PinError),
}

impl<E, W: Into<PinError>> From<W> for End<E> {
    fn from(error: W) -> Self {
        Self::Walk(error.into())
    }
}

/// How a search below pins ends early.
enum Walk {
    Enough,
    Failed(PinError),
}

impl From<PinError> for Walk {
    fn from(error: PinError) -> Self {
        Self::Failed(error)
    }
}
