//! What the server counts of itself, for `/metrics`.
//!
//! Counting must cost a verification next to nothing: every thread adds to cache lines of its own, without a lock and
//! without an allocation, and the text is put together when somebody asks for it. Without a listener nobody can ask: then
//! nothing is counted and no clock is read.
//!
//! Labels are words from this file, never anything that came with a request, and nobody's id.

mod histogram;
mod text;

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use crossbeam_utils::CachePadded;

pub use text::{CONTENT_TYPE, EncodeError, Gauges};

use crate::domain::code::Code;
use histogram::{Histogram, Reading};

/// The verification of a node without a lease, which has no verdict.
pub const NO_LEASE: usize = Code::COUNT;

/// What a verification can end with: the codes of verdicts, and [`NO_LEASE`].
const OUTCOMES: usize = Code::COUNT + 1;

/// Upper bounds of a verification, in nanoseconds.
const VERIFICATION: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000];

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Upper bounds of a request, in nanoseconds: a forward-auth takes microseconds, a page a millisecond, and a revocation may
/// wait for other nodes.
const REQUEST: [u64; 14] = [
    2_500,
    10 * MICROSECOND,
    25 * MICROSECOND,
    100 * MICROSECOND,
    250 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    10 * SECOND,
];

/// Upper bounds of what waits for a database or for other nodes, in nanoseconds. The longest lease is 300 seconds.
const WAIT: [u64; 14] = [
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    300 * SECOND,
];

/// What was asked for, as far as it may be a label: never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A gateway's question.
    ForwardAuth,
    /// `POST /v1/keys/verify`.
    Verify,
    /// HTML, or what is none of the others.
    Page,
    /// A file that belongs to a page.
    Static,
    /// Health, and what programs ask for in vain.
    Other,
}

/// In the order of [`Endpoint`].
const ENDPOINTS: [&str; 5] = ["forward_auth", "verify", "page", "static", "other"];
const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The counters of this server since it was started.
pub struct Metrics {
    /// One for each thread that answers; none when nothing is counted. Their number is a power of two.
    shards: Box<[CachePadded<Shard>]>,
    started_at: DateTime<Utc>,
    flushes: [AtomicU64; 2],
    flushed_keys: AtomicU64,
    flush: Histogram<{ WAIT.len() + 1 }>,
    receipt: Histogram<{ WAIT.len() + 1 }>,
}

/// What one thread counts; threads may share one, and only get slower by it.
#[derive(Default)]
struct Shard {
    /// By outcome. How many there were is the sum of the buckets: one addition less.
    verifications: [Histogram<{ VERIFICATION.len() + 1 }>; OUTCOMES],
    requests: [[Histogram<{ REQUEST.len() + 1 }>; STATUSES.len()]; ENDPOINTS.len()],
}

impl Metrics {
    /// Nothing counted yet; and never, when it is off.
    pub fn new(is_on: bool, started_at: DateTime<Utc>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = if is_on { threads.next_power_of_two() } else { 0 };
        Self {
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
            started_at,
            flushes: Default::default(),
            flushed_keys: AtomicU64::new(0),
            flush: Histogram::default(),
            receipt: Histogram::default(),
        }
    }

    /// Counts one verification: the number of its code, or [`NO_LEASE`]. How long it took is asked for only if it is
    /// counted.
    pub fn verified(&self, outcome: usize, took: impl FnOnce() -> Duration) {
        if let Some(histogram) = self.shard().and_then(|shard| shard.verifications.get(outcome)) {
            histogram.add(&VERIFICATION, took());
        }
    }

    /// Now, for [`Metrics::answered_since`]; `None` when nothing is counted.
    pub fn begin(&self) -> Option<Instant> {
        self.is_on().then(Instant::now)
    }

    /// Counts one request that is answered now.
    pub fn answered_since(&self, begun: Option<Instant>, endpoint: Endpoint, status: u16) {
        if let Some(begun) = begun {
            self.answered(begun.elapsed(), endpoint, status);
        }
    }

    /// Counts one request that took so long.
    pub fn answered(&self, took: Duration, endpoint: Endpoint, status: u16) {
        let class = match status {
            ..300 => 0,
            300..400 => 1,
            400..500 => 2,
            500.. => 3,
        };
        let Some(shard) = self.shard() else { return };
        if let Some(histogram) = shard.requests.get(endpoint as usize).and_then(|by_status| by_status.get(class)) {
            histogram.add(&REQUEST, took);
        }
    }

    /// Counts one flush of usage that asked the database.
    pub fn flushed(&self, keys: usize, took: Duration, is_ok: bool) {
        if !self.is_on() {
            return;
        }
        self.flush.add(&WAIT, took);
        let [ok, error] = &self.flushes;
        if is_ok {
            ok.fetch_add(1, Ordering::Relaxed);
            self.flushed_keys.fetch_add(keys as u64, Ordering::Relaxed);
        } else {
            error.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts how long a revocation or a rotation waited until it was true on every node.
    pub fn received(&self, took: Duration) {
        if self.is_on() {
            self.receipt.add(&WAIT, took);
        }
    }

    /// Everything as Prometheus' text.
    ///
    /// # Errors
    /// [`EncodeError`], which would be a mistake in this module.
    pub fn text(&self, gauges: &Gauges) -> Result<String, EncodeError> {
        text::encode(self, gauges)
    }

    fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    fn shard(&self) -> Option<&Shard> {
        let last = self.shards.len().checked_sub(1)?;
        self.shards.get(thread_number() & last).map(|shard| &**shard)
    }

    fn verifications(&self, outcome: usize) -> Reading {
        self.shards.iter().filter_map(|shard| shard.verifications.get(outcome)).map(Histogram::read).sum()
    }

    fn requests(&self, endpoint: usize, class: usize) -> Reading {
        let of = |shard: &'_ CachePadded<Shard>| Some(shard.requests.get(endpoint)?.get(class)?.read());
        self.shards.iter().filter_map(of).sum()
    }
}

/// Counts up from 0 over the threads of this process that have asked for theirs.
fn thread_number() -> usize {
    const NONE: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(NONE) };
    }
    let number = NUMBER.get();
    if number != NONE {
        return number;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NUMBER.set(number);
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let metrics = Metrics::new(true, DateTime::UNIX_EPOCH);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| metrics.verified(0, || Duration::from_nanos(400))));
            }
        });
        let read = metrics.verifications(0);
        assert_eq!((read.count(), read.counts[1], read.sum_ns), (80_000, 80_000, 32_000_000));
        assert_eq!(metrics.verifications(NO_LEASE).count(), 0);
    }

    #[test]
    fn without_a_listener_no_clock_is_read() {
        let metrics = Metrics::new(false, DateTime::UNIX_EPOCH);
        assert!(metrics.begin().is_none());
        metrics.verified(0, || unreachable!("nobody can see how long it took"));
    }

    #[test]
    fn a_status_is_counted_in_its_class() {
        let metrics = Metrics::new(true, DateTime::UNIX_EPOCH);
        for status in [101, 200, 204, 303, 400, 499, 503] {
            metrics.answered(Duration::ZERO, Endpoint::Other, status);
        }
        let counts = [0, 1, 2, 3].map(|class| metrics.requests(Endpoint::Other as usize, class).count());
        assert_eq!(counts, [3, 1, 2, 1]);
    }

    #[test]
    fn bounds_ascend_and_every_endpoint_has_its_word() {
        for bounds in [&VERIFICATION[..], &REQUEST, &WAIT] {
            assert!(bounds.is_sorted_by(|a, b| a < b), "{bounds:?}");
        }
        assert_eq!(ENDPOINTS.get(Endpoint::Other as usize), Some(&"other"));
        assert_eq!(ENDPOINTS.get(Endpoint::ForwardAuth as usize), Some(&"forward_auth"));
    }
}
