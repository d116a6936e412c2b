//! The index: the entries that everybody reads, and how others take their place.
//!
//! Where a quarter of the entries is of no use any more, the follower builds others, a step between any two looks at the database,
//! and has them take the place of these with one store. Whoever reads holds the entries that were there when it began. So
//! the old ones are fed like the new ones for as long as somebody reads them: nobody, however long it was stopped in between,
//! looks a key up in memory that does not know what a receipt was given for. What was still counted in them is taken over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use chrono::{DateTime, Utc};

use super::{
    entries::{self, Copying, Entries, Forgotten, Round, Rounds, TakenUsage},
    usage::Caller,
};
use crate::domain::{
    ended_secret::Ending,
    ids::KeyId,
    key_record::{KeyRecord, SecretRecord},
    pepper::SecretDigest,
    verdict::Verdict,
};

/// Every key and secret of the installation.
#[derive(Default)]
pub struct KeyIndex {
    current: ArcSwap<Entries>,
    /// Entries that others took the place of, as long as somebody has them.
    left: Mutex<Vec<Arc<Entries>>>,
    /// Entries that are to take the place of the current ones. Locked by whoever writes, all the time.
    next: Mutex<Option<Copying>>,
}

/// The entries, for one request. Nothing is locked by it.
pub struct Reading(Guard<Arc<Entries>>);

impl Reading {
    /// What is to be answered to this digest at this time; counts it.
    pub fn judge(&self, digest: &SecretDigest, now: DateTime<Utc>, caller: Caller<'_>) -> Verdict<'_> {
        self.0.judge(digest, now, caller)
    }

    /// Asks memory for what [`Reading::judge`] will read, without waiting for it: of many keys in a row the waits overlap.
    pub fn fetch(&self, digests: &[Option<SecretDigest>]) {
        self.0.fetch(digests);
    }
}

impl KeyIndex {
    /// The entries, to look keys up. To be given back soon: they stay in memory until then.
    pub fn read(&self) -> Reading {
        Reading(self.current.load())
    }

    /// How often other entries took the place of those before.
    pub fn generation(&self) -> u32 {
        self.current.load().generation()
    }

    /// How many keys it knows, living or not.
    pub fn keys(&self) -> usize {
        self.current.load().keys()
    }

    /// How many secrets it knows, living or not.
    pub fn secrets(&self) -> usize {
        self.current.load().secrets()
    }

    /// How this secret ended, as far as the index knows.
    pub fn ending_of(&self, digest: &SecretDigest) -> Option<Ending> {
        self.current.load().ending_of(digest)
    }

    /// Ends in this record what the index knows to have ended; how many secrets of it were alive again. For the writer.
    pub fn keep_ended(&self, record: &mut KeyRecord) -> usize {
        self.current.load().keep_ended(record)
    }

    /// Shows every secret that has ended and is not forgotten: the id of its key, its digest, and how. For the writer.
    pub fn each_ended(&self, each: impl FnMut(&str, SecretDigest, Ending)) {
        self.current.load().each_ended(each);
    }

    /// Makes room for so many in all, so that loading does not grow the tables again and again.
    pub fn reserve(&self, keys: usize, secrets: usize) {
        self.current.load().reserve(keys, secrets);
    }

    /// Takes over a key as it now stands in the database.
    pub fn put(&self, record: &KeyRecord) {
        self.feed(|entries| entries.put(record));
    }

    /// Refuses a key that changed and cannot be read.
    pub fn refuse(&self, id: &str) {
        self.feed(|entries| entries.refuse(id));
    }

    /// Forgets these keys, and of the others, which it has as they are recorded here, every secret that the record lacks. Looks at
    /// all secrets once, however many keys there are: a key does not know its secrets.
    pub fn forget(&self, gone: &[&str], fewer: &[&KeyRecord]) -> Forgotten {
        let mut forgotten = Forgotten::default();
        // The current ones come last.
        self.feed(|entries| forgotten = entries.forget(gone, fewer));
        forgotten
    }

    /// Shows what changed to all entries that somebody may look a key up in, now or later.
    fn feed(&self, mut each: impl FnMut(&Entries)) {
        let next = lock(&self.next);
        next.iter().for_each(|next| each(&next.entries));
        let left = lock(&self.left).clone();
        left.iter().for_each(|entries| each(entries));
        each(&self.current.load());
    }

    /// Begins to read everything. Nothing else may be put until its end.
    pub fn reload(&self) -> Reload {
        // A reload sees what was in memory and is not read; it does so once for those that are read.
        *lock(&self.next) = None;
        let left = lock(&self.left);
        let all = std::iter::once(self.current.load_full()).chain(left.iter().cloned());
        Reload(all.map(|entries| entries.reload()).collect())
    }

    /// Gives memory back, a step at a time; true when other entries have taken the place of the current ones. To be called again
    /// and again by the writer.
    pub fn tidy(&self) -> bool {
        let mut next = lock(&self.next);
        let unread = self.take_over_usage();
        let current = self.current.load_full();
        if next.is_none() && current.is_wasteful() {
            *next = Some(Copying::begin(&current));
        }
        let Some(copied) = next.take_if(|next| next.go_on(&current)) else { return false };
        let mut left = lock(&self.left);
        left.push(current);
        self.current.store(copied.entries);
        drop((next, left));
        // Last, and nobody waits for it: a million keys take a tenth of a second.
        drop(unread);
        true
    }

    /// Takes over what was counted in entries that others took the place of; those of them that nobody has any more.
    fn take_over_usage(&self) -> Vec<Arc<Entries>> {
        let mut left = lock(&self.left);
        let current = self.current.load();
        left.extract_if(.., |entries| {
            // Before: what somebody counts who then gives them back is taken over after.
            let is_unread = Arc::get_mut(entries).is_some();
            current.take_over_usage(entries);
            is_unread
        })
        .collect()
    }

    /// When this process last saw a key, which may not be written yet.
    pub fn last_seen(&self, id: &KeyId) -> Option<DateTime<Utc>> {
        let left = lock(&self.left);
        left.iter().map(|entries| entries.last_seen(id)).max().flatten().max(self.current.load().last_seen(id))
    }

    /// Takes whatever was counted since the last time.
    pub fn take_usage(&self) -> TakenUsage {
        self.take_due(&mut Rounds::default(), Round::All)
    }

    /// Takes what was counted since the last time and is due; the rest stays and is asked about again.
    pub fn take_due(&self, rounds: &mut Rounds, round: Round) -> TakenUsage {
        let left = lock(&self.left);
        left.iter().for_each(|entries| self.current.load().take_over_usage(entries));
        drop(left);
        self.current.load_full().take_due(rounds, round)
    }
}

/// One reading of everything; dropped before its end it has taken nothing away that the database still has.
pub struct Reload(Vec<entries::Reload>);

impl Reload {
    /// A key, without its secrets.
    pub fn key(&mut self, record: &KeyRecord) {
        self.0.iter_mut().for_each(|entries| entries.key(record));
    }

    /// A key that is there and cannot be read: it is refused, and not forgotten.
    pub fn refuse(&mut self, id: &str) {
        self.0.iter_mut().for_each(|entries| entries.refuse(id));
    }

    /// A secret of a key that was read before; how it ended, if it has.
    pub fn secret(&mut self, key_id: &str, secret: &SecretRecord) -> Option<Ending> {
        // The current ones come last.
        self.0.iter_mut().rev().map(|entries| entries.secret(key_id, secret)).last().flatten()
    }

    /// Everything was read: what was not is forgotten.
    pub fn finish(self) -> Forgotten {
        self.0.into_iter().rev().map(entries::Reload::finish).last().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
