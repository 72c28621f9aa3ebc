//! What one peer wants, and the answers that wait for it.

use super::{
    super::message::{Entry, Presence, WantType},
    sends_block,
};
use cairn_store::{Cid, Multihash};
use std::collections::{BTreeMap, HashMap};

/// What came of a new entry.
pub(super) enum Inserted {
    /// It is new; it may have taken the place of another.
    New(Option<Multihash>),
    /// It was there, and no answer waits that would do: more is wanted than before, or it is asked once more.
    Unanswered,
    /// It was there, and its answer waits to be sent.
    Queued,
    /// There is no room.
    Refused,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Block { cid: Cid, size: u64 },
    Presence { cid: Cid, presence: Presence },
}

impl Answer {
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Block { size, .. } => Some(*size),
            Self::Presence { .. } => None,
        }
    }
}

struct Want {
    cid: Cid,
    priority: i32,
    kind: WantType,
    send_dont_have: bool,
    /// Place among the answers.
    queued: Option<Place>,
    /// Place among all wants, for finding the least one.
    rank: (i32, u64),
}

/// Answers by urgency: what is not a block first, then greater priorities, then older ones.
type Place = (bool, i64, u64);

/// What one peer wants.
#[derive(Default)]
pub(super) struct Wants {
    by_hash: HashMap<Multihash, Want>,
    ranks: BTreeMap<(i32, std::cmp::Reverse<u64>), Multihash>,
    answers: BTreeMap<Place, Answer>,
    pending: u64,
    next: u64,
}

impl Wants {
    pub(super) fn contains(&self, hash: &Multihash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// Whether there is nothing to send.
    pub(super) fn is_quiet(&self) -> bool {
        self.answers.is_empty()
    }

    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending
    }

    pub(super) fn cids(&self) -> Vec<Cid> {
        let mut cids: Vec<Cid> = self.by_hash.values().map(|w| w.cid).collect();
        cids.sort_unstable();
        cids
    }

    pub(super) fn insert(&mut self, entry: &Entry, max: usize) -> Inserted {
        let hash = *entry.cid.hash();
        self.raise(&hash, entry.priority);
        if let Some(want) = self.by_hash.get_mut(&hash) {
            let more =
                entry.want > want.kind || (entry.send_dont_have && !want.send_dont_have) || want.cid != entry.cid;
            // A want for the block is not weakened by a question.
            want.kind = want.kind.max(entry.want);
            want.send_dont_have |= entry.send_dont_have;
            want.cid = entry.cid;
            return if more || want.queued.is_none() { Inserted::Unanswered } else { Inserted::Queued };
        }
        let mut evicted = None;
        if self.by_hash.len() >= max {
            let least = self.ranks.first_key_value().map(|((priority, _), hash)| (*priority, *hash));
            match least {
                Some((priority, least)) if priority < entry.priority => {
                    self.remove(&least);
                    evicted = Some(least);
                }
                _ => {
                    self.refuse(entry, max);
                    return Inserted::Refused;
                }
            }
        }
        self.next += 1;
        let rank = (entry.priority, self.next);
        self.ranks.insert((rank.0, std::cmp::Reverse(rank.1)), hash);
        let want = Want {
            cid: entry.cid,
            priority: entry.priority,
            kind: entry.want,
            send_dont_have: entry.send_dont_have,
            queued: None,
            rank,
        };
        self.by_hash.insert(hash, want);
        Inserted::New(evicted)
    }

    /// Gives a want a higher priority, and its answer the place that goes with it.
    fn raise(&mut self, hash: &Multihash, priority: i32) {
        let Some(want) = self.by_hash.get_mut(hash).filter(|want| want.priority < priority) else { return };
        self.ranks.remove(&(want.rank.0, std::cmp::Reverse(want.rank.1)));
        want.priority = priority;
        want.rank.0 = priority;
        self.ranks.insert((priority, std::cmp::Reverse(want.rank.1)), *hash);
        if let Some(place) = &mut want.queued
            && let Some(answer) = self.answers.remove(place)
        {
            place.1 = -i64::from(priority);
            self.answers.insert(*place, answer);
        }
    }

    /// Tells the peer that it will not get a block, as if it were not here, so that it can ask others.
    fn refuse(&mut self, entry: &Entry, max: usize) {
        if entry.send_dont_have && self.answers.len() < 2 * max {
            self.next += 1;
            let answer = Answer::Presence { cid: entry.cid, presence: Presence::DontHave };
            self.answers.insert((false, -i64::from(entry.priority), self.next), answer);
        }
    }

    pub(super) fn remove(&mut self, hash: &Multihash) -> Option<Multihash> {
        let want = self.by_hash.remove(hash)?;
        self.ranks.remove(&(want.rank.0, std::cmp::Reverse(want.rank.1)));
        self.unqueue(want.queued);
        Some(*hash)
    }

    fn unqueue(&mut self, place: Option<Place>) {
        if let Some(answer) = place.and_then(|place| self.answers.remove(&place)) {
            self.pending -= answer.size().unwrap_or(0);
        }
    }

    pub(super) fn clear(&mut self) -> Vec<Multihash> {
        self.ranks.clear();
        self.answers.clear();
        self.pending = 0;
        self.by_hash.drain().map(|(hash, _)| hash).collect()
    }

    /// Queues the answer to a want, given the block's size, if it is here. `asked`: the peer waits for one even if
    /// it is not.
    pub(super) fn answer(&mut self, hash: &Multihash, size: Option<u64>, replace_size: u64, asked: bool) {
        let Some(want) = self.by_hash.get_mut(hash) else { return };
        let cid = want.cid;
        if !asked && want.queued.is_some_and(|(block, ..)| block) {
            // Told of it twice.
            return;
        }
        let answer = match size {
            Some(size) if sends_block(want.kind, size, replace_size) => Answer::Block { cid, size },
            Some(_) => Answer::Presence { cid, presence: Presence::Have },
            // The block may have come since it was looked up, and be queued.
            None if asked && want.send_dont_have && want.queued.is_none() => {
                Answer::Presence { cid, presence: Presence::DontHave }
            }
            None => return,
        };
        self.next += 1;
        let place = (answer.size().is_some(), -i64::from(want.priority), self.next);
        let before = want.queued.replace(place);
        self.unqueue(before);
        self.pending += answer.size().unwrap_or(0);
        self.answers.insert(place, answer);
    }

    pub(super) fn peek(&self) -> Option<&Answer> {
        self.answers.first_key_value().map(|(_, answer)| answer)
    }

    /// Takes the most urgent answer. A want is done with once its block is sent, and stays after a presence: the
    /// block may come later, or be wanted.
    pub(super) fn pop(&mut self) -> Option<Answer> {
        let (place, answer) = self.answers.pop_first()?;
        self.pending -= answer.size().unwrap_or(0);
        match &answer {
            Answer::Block { cid, .. } => {
                if let Some(want) = self.by_hash.remove(cid.hash()) {
                    self.ranks.remove(&(want.rank.0, std::cmp::Reverse(want.rank.1)));
                }
            }
            Answer::Presence { cid, presence } => {
                let Some(want) = self.by_hash.get_mut(cid.hash()).filter(|w| w.queued == Some(place)) else {
                    return Some(answer);
                };
                want.queued = None;
                // It was told that the block is here: it knows what to ask. If it has asked already, that is looked up.
                if *presence == Presence::Have
                    && want.kind == WantType::Have
                    && let Some(want) = self.by_hash.remove(cid.hash())
                {
                    self.ranks.remove(&(want.rank.0, std::cmp::Reverse(want.rank.1)));
                }
            }
        }
        Some(answer)
    }
}
