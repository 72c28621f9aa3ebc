//! Who gave how much to whom, and what share of a scarce uplink that earns. No I/O; times are seconds since 1970,
//! since accounts outlive the process.

use std::collections::{HashMap, HashSet};

/// Accounts that are kept. At the limit those that moved least are dropped, a quarter of them, on the disk too.
pub const MAX_ACCOUNTS: usize = 16_384;
/// Time in seconds after which what a peer gave counts half.
const HALF_LIFE: f64 = 24.0 * 3600.0;
/// Weight of a peer that gave nothing, next to 1 of a peer that gives as much as it takes.
pub const FLOOR: f64 = 0.2;
/// All peers that give nothing get at most this much together, next to 1 of all who give: otherwise a crowd of new
/// identities would take what contributors have earned.
const FLOOR_SHARE: f64 = 0.25;
/// Bytes that a newcomer takes before it can be told from a free rider, and that everybody is thought to have taken.
const GRACE: f64 = (1 << 20) as f64;

/// What one peer and this node gave each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Account {
    /// Bytes of blocks sent to it.
    pub sent: u64,
    /// Bytes of blocks that it sent and that were wanted.
    pub received: u64,
    /// Number of exchanges: messages with blocks, both ways.
    pub exchanges: u64,
    recent_sent: f64,
    recent_received: f64,
    updated: u64,
}

/// What `bitswap ledger` shows.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Receipt {
    /// The peer.
    pub peer: String,
    /// Bytes sent for each byte received.
    pub value: f64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub recv: u64,
    /// Exchanges.
    pub exchanged: u64,
}

impl Account {
    /// The row on the disk: version 1, three counters, two decayed ones, the time; all big-endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1];
        for n in [self.sent, self.received, self.exchanges] {
            out.extend_from_slice(&n.to_be_bytes());
        }
        for n in [self.recent_sent, self.recent_received] {
            out.extend_from_slice(&n.to_bits().to_be_bytes());
        }
        out.extend_from_slice(&self.updated.to_be_bytes());
        out
    }

    /// Reads what [`Account::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&1, rest) = bytes.split_first()? else { return None };
        let numbers: Vec<u64> =
            rest.chunks_exact(8).filter_map(|c| Some(u64::from_be_bytes(c.try_into().ok()?))).collect();
        let [sent, received, exchanges, recent_sent, recent_received, updated] = numbers.try_into().ok()?;
        let positive = |bits| Some(f64::from_bits(bits)).filter(|n| n.is_finite() && *n >= 0.0);
        let whole = rest.len() == 48;
        whole.then_some(())?;
        Some(Self {
            sent,
            received,
            exchanges,
            recent_sent: positive(recent_sent)?,
            recent_received: positive(recent_received)?,
            updated,
        })
    }

    fn decay(&mut self, now: u64) {
        let age = now.saturating_sub(self.updated) as f64;
        if age > 0.0 {
            let factor = 0.5f64.powf(age / HALF_LIFE);
            self.recent_sent *= factor;
            self.recent_received *= factor;
            self.updated = now;
        }
    }

    /// Notes bytes sent.
    pub fn on_sent(&mut self, bytes: u64, now: u64) {
        self.decay(now);
        self.sent = self.sent.saturating_add(bytes);
        self.recent_sent += bytes as f64;
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// Notes wanted bytes received.
    pub fn on_received(&mut self, bytes: u64, now: u64) {
        self.decay(now);
        self.received = self.received.saturating_add(bytes);
        self.recent_received += bytes as f64;
        self.exchanges = self.exchanges.saturating_add(1);
    }

    /// What it gave of late for each byte it took, at most 1.
    pub fn reciprocity(&self) -> f64 {
        (self.recent_received / (self.recent_sent + GRACE)).min(1.0)
    }

    /// As `bitswap ledger` shows it.
    pub fn receipt(&self, peer: String) -> Receipt {
        // The denominator is never zero, as in Kubo.
        let value = self.sent as f64 / (self.received as f64 + 1.0);
        Receipt { peer, value, sent: self.sent, recv: self.received, exchanged: self.exchanges }
    }
}

/// Weights of peers that compete for the uplink, in the order given: their reciprocity, or `None` for those who are
/// exempt. Exempt ones weigh 1.
pub fn weights(peers: &[Option<f64>]) -> Vec<f64> {
    let earned = |r: &Option<f64>| r.map_or(1.0, |r| FLOOR + (1.0 - FLOOR) * r);
    let is_floor = |r: &Option<f64>| r.is_some_and(|r| r < 0.05);
    let giving: f64 = peers.iter().filter(|r| !is_floor(r)).map(earned).sum();
    let takers = peers.iter().filter(|r| is_floor(r)).count();
    // Alone they share everything.
    let floor = if giving > 0.0 { (FLOOR_SHARE * giving / takers.max(1) as f64).min(FLOOR) } else { FLOOR };
    peers.iter().map(|r| if is_floor(r) { floor } else { earned(r) }).collect()
}

/// Accounts by peer, with those that changed since they were last saved.
#[derive(Debug)]
pub struct Ledger<P> {
    accounts: HashMap<P, Account>,
    changed: HashSet<P>,
    /// Dropped since: at most [`MAX_ACCOUNTS`]; rows of others stay until the next start finds them to be too many.
    gone: HashSet<P>,
}

impl<P> Default for Ledger<P> {
    fn default() -> Self {
        Self { accounts: HashMap::new(), changed: HashSet::new(), gone: HashSet::new() }
    }
}

impl<P: Copy + Eq + std::hash::Hash + Ord> Ledger<P> {
    /// An account as it was saved. What happened meanwhile is added.
    pub fn load(&mut self, peer: P, saved: Account) {
        self.make_room();
        self.gone.remove(&peer);
        let entry = self.accounts.entry(peer).or_default();
        entry.sent = entry.sent.saturating_add(saved.sent);
        entry.received = entry.received.saturating_add(saved.received);
        entry.exchanges = entry.exchanges.saturating_add(saved.exchanges);
        entry.recent_sent += saved.recent_sent;
        entry.recent_received += saved.recent_received;
        entry.updated = entry.updated.max(saved.updated);
    }

    /// The account of a peer.
    pub fn account(&self, peer: &P) -> Account {
        self.accounts.get(peer).copied().unwrap_or_default()
    }

    /// Notes bytes sent.
    pub fn on_sent(&mut self, peer: P, bytes: u64, now: u64) {
        self.make_room();
        self.accounts.entry(peer).or_default().on_sent(bytes, now);
        self.changed.insert(peer);
    }

    /// Notes wanted bytes received.
    pub fn on_received(&mut self, peer: P, bytes: u64, now: u64) {
        self.make_room();
        self.accounts.entry(peer).or_default().on_received(bytes, now);
        self.changed.insert(peer);
    }

    /// Adds all that was loaded elsewhere.
    pub fn merge(&mut self, loaded: Self) {
        for (peer, account) in loaded.accounts {
            self.load(peer, account);
        }
        self.gone.extend(loaded.gone.into_iter().filter(|peer| !self.accounts.contains_key(peer)));
    }

    /// Drops the accounts that moved least, a quarter of them, when there are too many.
    fn make_room(&mut self) {
        if self.accounts.len() < MAX_ACCOUNTS {
            return;
        }
        let mut by_size: Vec<(u64, P)> =
            self.accounts.iter().map(|(p, a)| (a.sent.saturating_add(a.received), *p)).collect();
        by_size.sort_unstable();
        for (_, peer) in by_size.into_iter().take(MAX_ACCOUNTS / 4) {
            self.accounts.remove(&peer);
            self.changed.remove(&peer);
            if self.gone.len() < MAX_ACCOUNTS {
                self.gone.insert(peer);
            }
        }
    }

    /// Accounts that changed since this was last asked; `None`: it was dropped.
    pub fn take_changed(&mut self) -> Vec<(P, Option<Account>)> {
        let changed = std::mem::take(&mut self.changed).into_iter().chain(std::mem::take(&mut self.gone));
        changed.map(|peer| (peer, self.accounts.get(&peer).copied())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_rider_among_contributors_weighs_a_quarter_or_less_and_alone_everything() {
        for contributors in 1..20 {
            let mut peers = vec![Some(1.0); contributors];
            peers.push(Some(0.0));
            let w = weights(&peers);
            assert!(w[contributors] <= 0.25 * w[0] && w[contributors] > 0.0, "{w:?}");
        }
        assert_eq!(weights(&[Some(0.0)]), [FLOOR]);
        // A crowd of identities gets no more together than a fifth.
        let mut crowd = vec![Some(0.0); 100];
        crowd.push(Some(1.0));
        let w = weights(&crowd);
        assert!(w[..100].iter().sum::<f64>() <= 0.2 * w.iter().sum::<f64>() + 1e-9);
    }

    #[test]
    fn of_too_many_accounts_those_that_moved_least_go_on_the_disk_too() {
        let mut ledger = Ledger::default();
        for peer in 0..=MAX_ACCOUNTS {
            ledger.on_received(peer, peer as u64 + 1, 1_000);
        }
        let changed = ledger.take_changed();
        let (kept, gone): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, account)| account.is_some());
        assert_eq!((kept.len(), gone.len()), (MAX_ACCOUNTS + 1 - MAX_ACCOUNTS / 4, MAX_ACCOUNTS / 4));
        assert!(gone.iter().all(|(peer, _)| *peer < MAX_ACCOUNTS / 4));
        assert!(ledger.take_changed().is_empty());
        let mut all = Ledger::default();
        all.on_sent(7, 5, 1_000);
        all.merge(ledger);
        assert_eq!((all.account(&7).sent, all.account(&MAX_ACCOUNTS).received), (5, MAX_ACCOUNTS as u64 + 1));
    }

    #[test]
    fn accounts_survive_the_disk_and_decay() {
        let mut a = Account::default();
        a.on_received(50 << 20, 1_000);
        a.on_sent(25 << 20, 1_000);
        assert_eq!(Account::decode(&a.encode()), Some(a));
        assert_eq!(Account::decode(&a.encode()[1..]), None);
        assert!(a.reciprocity() > 0.99);
        a.on_sent(500 << 20, 1_000 + 10 * 24 * 3600);
        assert!(a.reciprocity() < 0.01, "{a:?}");
        let r = a.receipt("p".into());
        assert_eq!((r.sent, r.recv, r.exchanged), (525 << 20, 50 << 20, 3));
    }
}
