//! What the tests of the DHT share.

use crate::dht::{Clock, Validator};
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that stands where it was put.
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn at(now: u64) -> Self {
        Self(AtomicU64::new(now))
    }

    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Under `/ipns/` takes values of digits, of which the greater is the better.
pub(crate) struct Newest;

impl Validator for Newest {
    fn validate(&self, key: &[u8], value: &[u8], _: u64) -> Result<(), String> {
        let good = key.starts_with(b"/ipns/") && value.iter().all(u8::is_ascii_digit);
        good.then_some(()).ok_or_else(|| "not digits".to_owned())
    }

    fn end(&self, _: &[u8], _: &[u8]) -> u64 {
        u64::MAX
    }

    fn is_better(&self, _: &[u8], first: &[u8], second: &[u8]) -> bool {
        first > second
    }
}

/// Takes every value; the longer is the better.
pub(crate) struct Anything;

impl Validator for Anything {
    fn validate(&self, _: &[u8], _: &[u8], _: u64) -> Result<(), String> {
        Ok(())
    }

    fn end(&self, _: &[u8], _: &[u8]) -> u64 {
        u64::MAX
    }

    fn is_better(&self, _: &[u8], first: &[u8], second: &[u8]) -> bool {
        first.len() > second.len()
    }
}
