//! The lease: until when this node may answer from memory.
//!
//! Whoever answers asks the lease *before* looking a key up. The other way round, a node that was paused in between could
//! have looked before it caught up, and asked after.

use std::time::Duration;

use super::sync::{AtomicU64, Ordering};

/// Until when this node may answer, in time since the machine was started, with times of suspension.
pub struct Lease {
    /// Nanoseconds; 0 is never.
    until: AtomicU64,
    is_enforced: bool,
}

impl Lease {
    /// Not held. One that is not enforced counts as held all the time: for the test that shows what it is for.
    pub fn new(is_enforced: bool) -> Self {
        Self { until: AtomicU64::new(0), is_enforced }
    }

    /// Whether it is held now.
    pub fn is_held(&self, since_boot: Duration) -> bool {
        // Acquire: whoever sees a lease sees the changes that were applied before it was extended.
        nanoseconds(since_boot) < self.until.load(Ordering::Acquire) || !self.is_enforced
    }

    /// How long it will still be held.
    pub fn remaining(&self, since_boot: Duration) -> Duration {
        let until = Duration::from_nanos(self.until.load(Ordering::Acquire));
        until.saturating_sub(since_boot)
    }

    /// Holds it until then, and no longer if it was held for longer.
    pub fn hold_until(&self, since_boot: Duration) {
        self.until.store(nanoseconds(since_boot), Ordering::Release);
    }

    /// Gives it up at once.
    pub fn give_up(&self) {
        self.until.store(0, Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
