//! A clock that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use keystead::clock::Clock;

/// 2026-11-23 06:11:00 UTC.
const START: i64 = 1_795_414_260_000;

pub struct TestClock {
    /// The time that passes.
    steady: AtomicI64,
    /// By how much the machine's clock is ahead of it.
    ahead: AtomicI64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { steady: AtomicI64::new(START), ahead: AtomicI64::new(0) }
    }
}

impl TestClock {
    /// Time passes.
    pub fn advance(&self, by: TimeDelta) {
        self.steady.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    /// Somebody sets the machine's clock; no time passes.
    pub fn set_ahead(&self, by: TimeDelta) {
        self.ahead.store(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.steady() + TimeDelta::milliseconds(self.ahead.load(Ordering::SeqCst))
    }

    fn steady(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.steady.load(Ordering::SeqCst)).expect("a test stays in this century")
    }

    /// The database's clock is right.
    fn database_clock(&self, _told: DateTime<Utc>) -> DateTime<Utc> {
        self.steady()
    }
}
