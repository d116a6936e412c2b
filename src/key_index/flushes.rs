//! The flushes of this process: each has a number, under which it is written once.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, MutexGuard};

use super::entries::Rounds;
use crate::domain::{
    ids::NodeId,
    usage::{FlushId, UsageDelta, verifications},
};

/// Keys of one flush: with the slowest database measured a tenth of what a statement may take (`docs/performance.md`).
const AT_ONCE: usize = 5_000;

/// Who writes, and how far.
pub struct Flushes {
    writer: Mutex<Writer>,
    /// Verifications that were taken out of the index, and neither written nor put back. Apart from the writer, so that it
    /// can be read when the writer is given up in the middle of a flush.
    unsettled: AtomicU64,
}

/// The one that writes now.
pub struct Writer {
    id: NodeId,
    last: i64,
    /// A flush whose COMMIT was not answered; it is sent again, as it was, before any other.
    pub in_doubt: Option<Flush>,
    /// When each key was written last.
    pub rounds: Rounds,
}

/// Counts that are written in one transaction, or not.
#[derive(Clone)]
pub struct Flush {
    /// By which the database knows whether they are.
    pub id: FlushId,
    /// When they were taken.
    pub at: DateTime<Utc>,
    taken: Arc<[UsageDelta]>,
    part: Range<usize>,
}

impl Flush {
    /// One a key.
    pub fn deltas(&self) -> &[UsageDelta] {
        self.taken.get(self.part.clone()).unwrap_or_default()
    }

    /// Where the first of them is among all that was taken.
    pub fn begins(&self) -> usize {
        self.part.start
    }

    /// Where the one after the last is.
    pub fn ends(&self) -> usize {
        self.part.end
    }
}

impl Flushes {
    /// A process that has written nothing.
    pub fn new(now: DateTime<Utc>) -> Self {
        let writer =
            Mutex::new(Writer { id: NodeId::generate(now), last: 0, in_doubt: None, rounds: Rounds::default() });
        Self { writer, unsettled: AtomicU64::new(0) }
    }

    /// Waits until nobody else writes.
    pub async fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().await
    }

    /// These were taken out of the index.
    pub fn taken(&self, deltas: &[UsageDelta]) {
        self.unsettled.fetch_add(verifications(deltas), Ordering::Relaxed);
    }

    /// These are written, or back in the index.
    pub fn settled(&self, deltas: &[UsageDelta]) {
        self.unsettled.fetch_sub(verifications(deltas), Ordering::Relaxed);
    }

    /// How many verifications were taken and are neither written nor back.
    pub fn unsettled(&self) -> u64 {
        self.unsettled.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// What was taken, from a place on, as one more flush; `None` when nothing is left.
    pub fn next(&mut self, taken: &Arc<[UsageDelta]>, from: usize, at: DateTime<Utc>) -> Option<Flush> {
        let part = from..taken.len().min(from.saturating_add(AT_ONCE));
        if part.is_empty() {
            return None;
        }
        // Never a number twice, also if what was under it was not written.
        self.last += 1;
        let id = FlushId { writer: self.id.clone(), number: self.last };
        Some(Flush { id, at, taken: Arc::clone(taken), part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key_record::KeyNumber;

    #[tokio::test]
    async fn what_was_taken_is_cut_into_flushes_with_numbers_of_their_own() {
        let delta = |number| UsageDelta { key: KeyNumber(number), counts: vec![("VALID", 1)], last_used: None };
        let taken: Arc<[UsageDelta]> = (0..12_000).map(delta).collect();
        let flushes = Flushes::new(DateTime::UNIX_EPOCH);
        let mut writer = flushes.lock().await;
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some(flush) = writer.next(&taken, from, DateTime::UNIX_EPOCH) {
            assert_eq!(flush.deltas()[0].key, KeyNumber(i64::try_from(from).unwrap()));
            assert_eq!(flush.begins(), from);
            from = flush.ends();
            parts.push((flush.id.number, flush.deltas().len()));
        }
        assert_eq!(parts, [(1, 5_000), (2, 5_000), (3, 2_000)]);
        assert!(writer.next(&Arc::default(), 0, DateTime::UNIX_EPOCH).is_none());
    }

    #[test]
    fn what_was_taken_is_unsettled_until_it_is_written_or_back() {
        let delta = |count| UsageDelta { key: KeyNumber(1), counts: vec![("VALID", count)], last_used: None };
        let flushes = Flushes::new(DateTime::UNIX_EPOCH);
        assert_eq!(flushes.unsettled(), 0);
        flushes.taken(&[delta(3), delta(4)]);
        flushes.taken(&[delta(5)]);
        assert_eq!(flushes.unsettled(), 12);
        flushes.settled(&[delta(3), delta(4)]);
        assert_eq!(flushes.unsettled(), 5);
    }
}
