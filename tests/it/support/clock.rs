//! A clock that stands still until a test moves it.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    thread::ThreadId,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use keystead::clock::{Clock, SystemClock};

/// 2026-11-23 06:11:00 UTC.
const START: i64 = 1_795_414_260_000;

/// The time of day stands still. The time since boot goes on, for leases are renewed by real threads, until it is stopped.
pub struct TestClock {
    /// The time that passes.
    steady: AtomicI64,
    /// By how much the machine's clock is ahead of it.
    ahead: AtomicI64,
    /// The time since boot, once it is stopped, and what tests added to it.
    stopped: OnceLock<Duration>,
    added: AtomicI64,
    /// A thread, how often it may still look before its time since boot jumps, and by how much.
    jump: Mutex<Option<(ThreadId, u32, Duration)>>,
}

impl Default for TestClock {
    fn default() -> Self {
        let (ahead, stopped, added, jump) = Default::default();
        Self { steady: AtomicI64::new(START), ahead, stopped, added, jump }
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

    /// Stops the time since boot too, for tests of what is counted by it.
    pub fn stop(&self) {
        let _ = self.stopped.set(SystemClock.since_boot());
    }

    /// For this thread alone much time since boot passes after it has looked so often: as if it were paused there.
    pub fn pause_this_thread_after(&self, looks: u32, by: Duration) {
        *self.jump.lock().unwrap() = Some((std::thread::current().id(), looks, by));
    }

    /// Time passes, also since boot. A longer time than a lease ends it: `app.ready()` waits for the next one.
    pub fn pass(&self, by: TimeDelta) {
        self.advance(by);
        self.added.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
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

    fn since_boot(&self) -> Duration {
        let since_boot = self.stopped.get().copied().unwrap_or_else(|| SystemClock.since_boot());
        let since_boot = since_boot + Duration::from_millis(self.added.load(Ordering::SeqCst).unsigned_abs());
        match &mut *self.jump.lock().unwrap() {
            Some((thread, looks, by)) if *thread == std::thread::current().id() => {
                if *looks == 0 {
                    return since_boot + *by;
                }
                *looks -= 1;
                since_boot
            }
            _ => since_boot,
        }
    }
}
