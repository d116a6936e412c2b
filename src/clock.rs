//! The time, injected: the only module that asks the operating system for it.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now, UTC. Somebody may set it, by hours and backwards: for records, never for what is a duration.
    fn now(&self) -> DateTime<Utc>;

    /// The time of day at which this process began, counted on by [`Clock::since_boot`]: it never jumps. For what is a
    /// duration and stands in the database, such as the end of a session.
    fn steady(&self) -> DateTime<Utc>;

    /// What the database's clock shows, from what it answered; a test sets its own.
    fn database_clock(&self, answered: DateTime<Utc>) -> DateTime<Utc> {
        answered
    }

    /// Time since the machine was started, with times of suspension: leases are counted on it. `Instant` stands still
    /// while a Linux machine is suspended, and the time of day may be set.
    fn since_boot(&self) -> Duration {
        #[cfg(target_os = "linux")]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
        // Elsewhere the monotonic clock goes on during suspension, or the machine is for development.
        #[cfg(not(target_os = "linux"))]
        const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(CLOCK);
        Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
    }
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// When this process first asked, by both clocks.
static BEGAN: LazyLock<(DateTime<Utc>, Duration)> = LazyLock::new(|| (SystemClock.now(), SystemClock.since_boot()));

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn steady(&self) -> DateTime<Utc> {
        let (time, at) = *BEGAN;
        time + TimeDelta::from_std(self.since_boot().saturating_sub(at)).unwrap_or_default()
    }
}

/// The clock of a node. Nodes share a database, so they share its clock: one whose own clock is off by hours writes the same
/// times as the others, and ends nobody's session. On SQLite there is one node, and its clock is its machine's.
pub struct NodeClock {
    own: Arc<dyn Clock>,
    follows_database: AtomicBool,
    /// What the own steady clock lacks, in milliseconds.
    correction: AtomicI64,
    is_off: AtomicBool,
    /// By how much the own clock was ahead of the own steady one when that was last looked at, in milliseconds.
    ahead: AtomicI64,
    /// When it was found that somebody had set the own clock, in milliseconds since boot; the largest number is never.
    found_set: AtomicU64,
}

impl NodeClock {
    /// From here on a node's own clock is wrong: machines whose time is kept differ by milliseconds.
    const OFF: TimeDelta = TimeDelta::minutes(5);

    /// How long a clock that somebody set is doubted.
    const TRUSTED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

    /// The clock of a node that knows of no other.
    pub fn new(own: Arc<dyn Clock>) -> Self {
        let (follows_database, is_off) = (AtomicBool::new(false), AtomicBool::new(false));
        let ahead = AtomicI64::new((own.now() - own.steady()).num_milliseconds());
        Self {
            own,
            follows_database,
            correction: AtomicI64::new(0),
            is_off,
            ahead,
            found_set: AtomicU64::new(u64::MAX),
        }
    }

    /// Goes by the database's clock from now on; by how much the machine's own is ahead of it, if it is wrong.
    pub fn follow(&self, answered: DateTime<Utc>) -> Option<TimeDelta> {
        let database = self.own.database_clock(answered);
        self.correction.store((database - self.own.steady()).num_milliseconds(), Ordering::Relaxed);
        self.follows_database.store(true, Ordering::Relaxed);
        let ahead = self.own.now() - database;
        let is_off = ahead.abs() > Self::OFF;
        self.is_off.store(is_off, Ordering::Relaxed);
        is_off.then_some(ahead)
    }

    /// Whether the machine's clock and the database's are far from each other. One of them is wrong, so nothing is purged.
    pub fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// The time by which what is old may be removed; none while it could be wrong, and what it calls old be not old at all: while
    /// this clock is off, or, where no database has a better one, for a day after somebody set it. Who set it may be wrong, and
    /// has that day to notice. With it comes by how much it was set, when that is new.
    pub fn believed(&self) -> (Option<DateTime<Utc>>, Option<TimeDelta>) {
        if self.follows_database.load(Ordering::Relaxed) {
            return ((!self.is_off()).then(|| self.steady()), None);
        }
        let since_boot = u64::try_from(self.since_boot().as_millis()).unwrap_or(u64::MAX);
        // One look at the time: it may be set at any moment.
        let now = self.own.now();
        let ahead = (now - self.own.steady()).num_milliseconds();
        let by = TimeDelta::milliseconds(ahead - self.ahead.swap(ahead, Ordering::Relaxed));
        if by.abs() > Self::OFF {
            self.found_set.store(since_boot, Ordering::Relaxed);
            return (None, Some(by));
        }
        let passed = since_boot.checked_sub(self.found_set.load(Ordering::Relaxed));
        let is_doubtful = passed.is_some_and(|passed| u128::from(passed) < Self::TRUSTED_AFTER.as_millis());
        ((!is_doubtful).then_some(now), None)
    }
}

// Also without the trait, for whoever has a `Site`.
impl NodeClock {
    /// See [`Clock::now`].
    pub fn now(&self) -> DateTime<Utc> {
        if self.follows_database.load(Ordering::Relaxed) { self.steady() } else { self.own.now() }
    }

    /// See [`Clock::steady`].
    pub fn steady(&self) -> DateTime<Utc> {
        self.own.steady() + TimeDelta::milliseconds(self.correction.load(Ordering::Relaxed))
    }

    /// See [`Clock::since_boot`].
    pub fn since_boot(&self) -> Duration {
        self.own.since_boot()
    }
}

impl Clock for NodeClock {
    fn now(&self) -> DateTime<Utc> {
        self.now()
    }

    fn steady(&self) -> DateTime<Utc> {
        self.steady()
    }

    fn since_boot(&self) -> Duration {
        self.since_boot()
    }
}

/// Stands still until a test sets it.
#[cfg(test)]
pub struct Hand(pub std::sync::Mutex<Duration>);

#[cfg(test)]
impl Hand {
    /// Some time after the machine was started.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Duration::from_secs(1_000).into()))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

#[cfg(test)]
impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn steady(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + self.since_boot()
    }

    fn since_boot(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}
