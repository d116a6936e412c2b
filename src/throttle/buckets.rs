//! Buckets of tries, in memory that is bounded.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many tries a bucket holds, and how fast they come back.
#[derive(Clone, Copy)]
pub struct Quota {
    pub tries: u32,
    pub one_every: Duration,
}

/// Buckets that one kind may have; about 4 MB. More than are wanted: wrong tries come back in minutes, and the threads
/// that hash passwords let a few ten thousand happen in that time.
const CAPACITY: usize = 100_000;
/// Below this nobody looks for buckets that are full again.
const SMALL: usize = 1024;

/// For each key the time (since boot) at which its bucket is full again; a full bucket has no entry.
#[derive(Default)]
pub struct Buckets(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    full_at: HashMap<u64, Duration>,
    /// How many entries there may be before the next look for full ones.
    sweep_at: usize,
}

impl Buckets {
    /// Takes a try.
    ///
    /// # Errors
    /// The time to wait for the next one, when there is none.
    pub fn take(&self, key: u64, quota: Quota, now: Duration) -> Result<(), Duration> {
        let mut inner = self.lock();
        let full_at = inner.full_at.get(&key).map_or(now, |&full_at| full_at.max(now));
        let wait = full_at.saturating_sub(now + quota.one_every * (quota.tries - 1));
        if !wait.is_zero() {
            return Err(wait);
        }
        inner.make_room(now);
        inner.full_at.insert(key, full_at + quota.one_every);
        Ok(())
    }

    /// Puts a try back.
    pub fn give_back(&self, key: u64, quota: Quota, now: Duration) {
        let mut inner = self.lock();
        if let Some(full_at) = inner.full_at.get_mut(&key) {
            *full_at = full_at.saturating_sub(quota.one_every);
            if *full_at <= now {
                inner.full_at.remove(&key);
            }
        }
    }

    /// Forgets buckets that are full again.
    pub fn purge(&self, now: Duration) {
        self.lock().purge(now);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().full_at.len()
    }
}

impl Inner {
    /// Only now and then: each entry is looked at a bounded number of times before it goes.
    fn make_room(&mut self, now: Duration) {
        if self.full_at.len() >= self.sweep_at.max(SMALL) {
            self.purge(now);
            if self.full_at.len() >= CAPACITY {
                self.forget_the_fullest();
            }
            self.sweep_at = (2 * self.full_at.len()).min(CAPACITY);
        }
    }

    fn purge(&mut self, now: Duration) {
        self.full_at.retain(|_, full_at| *full_at > now);
        self.full_at.shrink_to(2 * self.full_at.len());
    }

    /// A quarter of the entries, those that miss the fewest tries. Whoever fills the memory with buckets to have one
    /// forgotten has to empty all others further than that one, and gets back less than was spent. To count nothing more
    /// would give them tries without end, and to refuse whoever is new would lock everybody out.
    fn forget_the_fullest(&mut self) {
        let mut times: Vec<Duration> = self.full_at.values().copied().collect();
        let (_, &mut limit, _) = times.select_nth_unstable(CAPACITY / 4);
        self.full_at.retain(|_, full_at| *full_at > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { tries: 10, one_every: Duration::from_secs(30) };
    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn memory_is_bounded_and_the_emptiest_buckets_are_kept() {
        let buckets = Buckets::default();
        for _ in 0..10 {
            buckets.take(u64::MAX, QUOTA, NOW).unwrap();
        }
        for key in 0..3 * CAPACITY as u64 {
            buckets.take(key, QUOTA, NOW).unwrap();
            assert!(buckets.len() <= CAPACITY);
        }
        assert!(buckets.take(u64::MAX, QUOTA, NOW).is_err(), "a flood of others empties no bucket's memory");
    }

    #[test]
    fn when_nothing_is_full_again_a_quarter_makes_room() {
        let buckets = Buckets::default();
        for key in 0..CAPACITY as u64 {
            buckets.take(key, QUOTA, NOW + Duration::from_nanos(key)).unwrap();
        }
        assert_eq!(buckets.len(), CAPACITY);
        buckets.take(u64::MAX, QUOTA, NOW).unwrap();
        assert_eq!(buckets.len(), CAPACITY - CAPACITY / 4);
    }

    #[test]
    fn buckets_that_are_full_again_make_room_by_themselves() {
        let buckets = Buckets::default();
        for key in 0..100 * SMALL as u64 {
            // Ten a second: three hundred are not full at any time.
            buckets.take(key, QUOTA, NOW + Duration::from_millis(100 * key)).unwrap();
            assert!(buckets.len() <= SMALL);
        }
    }

    #[test]
    fn a_try_that_is_given_back_leaves_nothing() {
        let buckets = Buckets::default();
        for key in 0..10 {
            buckets.take(key, QUOTA, NOW).unwrap();
            buckets.give_back(key, QUOTA, NOW);
        }
        assert_eq!(buckets.len(), 0);
    }

    #[test]
    fn a_purge_keeps_what_is_not_full_yet() {
        let buckets = Buckets::default();
        for _ in 0..10 {
            buckets.take(1, QUOTA, NOW).unwrap();
        }
        buckets.take(2, QUOTA, NOW).unwrap();
        // To the moment: the second one is full again just now.
        buckets.purge(NOW + Duration::from_secs(30));
        assert_eq!(buckets.len(), 1);
        buckets.purge(NOW);
        assert_eq!(buckets.take(1, QUOTA, NOW), Err(Duration::from_secs(30)));
    }
}
