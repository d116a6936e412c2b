//! A histogram of durations: two additions each, and no more.

use std::{
    iter::Sum,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// One bucket more than there are upper bounds: for what is longer than the last.
pub struct Histogram<const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    /// Nanoseconds; enough for 584 years.
    sum_ns: AtomicU64,
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum_ns: AtomicU64::new(0) }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// Counts a duration; `bounds` are the upper bounds in nanoseconds, ascending and the same each time.
    pub fn add(&self, bounds: &[u64], took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // From the shortest: what happens most often is found first.
        let bucket = bounds.iter().position(|bound| ns <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// What was counted until now.
    pub fn read(&self) -> Reading {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Reading { counts, sum_ns: self.sum_ns.load(Ordering::Relaxed) }
    }
}

/// A histogram as it was at one time. The sum may be some additions ahead of the counts, or behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// For each bucket those in it, and not those in shorter ones.
    pub counts: Vec<u64>,
    /// All durations together, in nanoseconds.
    pub sum_ns: u64,
}

impl Reading {
    /// How many there were in all.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Sum for Reading {
    fn sum<I: Iterator<Item = Self>>(readings: I) -> Self {
        let add = |mut sum: Self, other: Self| {
            sum.counts.resize(sum.counts.len().max(other.counts.len()), 0);
            sum.counts.iter_mut().zip(other.counts).for_each(|(own, more)| *own += more);
            sum.sum_ns = sum.sum_ns.wrapping_add(other.sum_ns);
            sum
        };
        readings.fold(Self::default(), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_longer_to_the_last() {
        let histogram = Histogram::<3>::default();
        for ns in [0, 10, 11, 20, 21, u64::MAX / 2] {
            histogram.add(&[10, 20], Duration::from_nanos(ns));
        }
        let read = histogram.read();
        assert_eq!(read, Reading { counts: vec![2, 2, 2], sum_ns: 62 + u64::MAX / 2 });
        assert_eq!([read.clone(), Reading::default()].into_iter().sum::<Reading>(), read);
    }
}
