//! What goes into the log because of strangers: not more than a disk can take, and some things once.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// How many lines at once.
const BURST: u64 = 200;
/// One more after so many milliseconds: 20 a second, which is half a gigabyte a day at most.
const INTERVAL: u64 = 50;

/// How often it is said that there is no room for connections, in seconds.
const ROOM: u64 = 600;

/// What was said, and how much. Without locks.
#[derive(Debug, Default)]
pub struct Notices {
    /// When all lines that were written would have been written one by one, in milliseconds (the generic cell rate
    /// algorithm, ITU-T I.371).
    written_until: AtomicU64,
    left_out: AtomicU64,
    has_logged_forwarding: AtomicBool,
    has_logged_path: AtomicBool,
    /// When the lack of room was logged last, in seconds since boot and one more; 0 is never.
    room_logged_at: AtomicU64,
}

impl Notices {
    /// Whether another line about a request may be written. After some that might not, says how many those were.
    pub fn may_write(&self, since_boot: Duration) -> bool {
        let now = u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX);
        let next = |until: u64| {
            let next = until.max(now) + INTERVAL;
            (next - now <= BURST * INTERVAL).then_some(next)
        };
        if self.written_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if self.left_out.load(Ordering::Relaxed) > 0 {
            let lines = self.left_out.swap(0, Ordering::Relaxed);
            tracing::warn!(lines, "lines about requests were left out: there were too many at once");
        }
        true
    }

    /// Whether the lack of room for connections is to be logged now: not again within ten minutes.
    pub fn should_log_room(&self, since_boot: Duration) -> bool {
        let now = since_boot.as_secs() + 1;
        let logged = self.room_logged_at.load(Ordering::Relaxed);
        (logged == 0 || now >= logged + ROOM)
            && self.room_logged_at.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it was logged already that a forwarded address is not believed.
    pub fn has_logged_forwarding(&self) -> bool {
        self.has_logged_forwarding.load(Ordering::Relaxed)
    }

    /// Whether it is to be logged now that a forwarded address is not believed: true for the first caller alone.
    pub fn should_log_forwarding(&self) -> bool {
        !self.has_logged_forwarding.swap(true, Ordering::Relaxed)
    }

    /// Whether it is to be logged now that a gateway puts its client's path behind ours: true for the first caller alone.
    pub fn should_log_path(&self) -> bool {
        !self.has_logged_path.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_there_is_no_room_is_said_again_after_ten_minutes() {
        let notices = Notices::default();
        let said: Vec<bool> =
            [0, 0, 599, 600, 601, 1_200].map(|at| notices.should_log_room(Duration::from_secs(at))).into();
        assert_eq!(said, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_burst_and_then_twenty_a_second() {
        let notices = Notices::default();
        let written = |at: u64| (0..1_000).filter(|_| notices.may_write(Duration::from_millis(at))).count();
        assert_eq!(written(1_000_000), 200);
        assert_eq!(written(1_000_000), 0);
        assert_eq!(written(1_001_000), 20);
        assert_eq!(written(2_000_000), 200);
    }
}
