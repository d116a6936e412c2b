//! The index itself: the digest of a secret leads to its key, and the key to what a verification answers.
//!
//! Readers take no lock and wait for nobody. There is one writer at a time, the follower. Entries are never removed or
//! moved: a secret that ended stays, so that `REVOKED` and `ROTATED` can be told from `NOT_FOUND` without a database.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    hint::black_box,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicI64},
};

use chrono::{DateTime, Utc};

use super::{
    arena::Arena,
    dirty_list::{DirtyList, Mark},
    secret_entry::{SecretEntry, words_of},
    slots::Slots,
    sync::{AtomicU32, OnceLock, Ordering},
    usage::{Caller, Usage},
};
use crate::domain::{
    ended_secret::Ending,
    key_record::{KeyNumber, KeyRecord, SecretRecord},
    pepper::SecretDigest,
    usage::UsageDelta,
    verdict::{ID_CHARS, Verdict, VerifiedKey},
};

/// When a key ends, in Unix milliseconds; and three times that are none.
const NEVER: i64 = i64::MAX;
const REVOKED: i64 = i64::MIN;
/// The key changed, and its row cannot be read.
const UNREADABLE: i64 = i64::MIN + 1;

/// Numbers in `by_digest` from here on are of secrets apart; the others are of keys, whose own secret it is.
const APART: u32 = 1 << 31;

/// Every key and secret of the installation.
pub struct KeyIndex {
    keys: Arena<KeyEntry>,
    /// What a key has beyond its first secret.
    secrets: Arena<SecretEntry>,
    organizations: Arena<OnceLock<Box<str>>>,
    by_digest: Slots,
    /// For the writer: it is told key ids.
    by_id: Slots,
    used: DirtyList,
    writer: Mutex<Writer>,
}

/// What only the writer knows.
#[derive(Default)]
struct Writer {
    /// Numbers of the organizations.
    organizations: HashMap<Box<str>, u32>,
    /// How many secrets lie apart.
    apart: u32,
}

/// Two cache lines side by side, which the processor fetches together: the first secret lies with its key, so that finding
/// one of a million keys waits twice for memory, for its slot and for this.
#[derive(Default)]
#[repr(C, align(128))]
struct KeyEntry {
    secret: SecretEntry,
    /// [`REVOKED`], [`UNREADABLE`], or when it expires.
    ends_at: AtomicI64,
    organization: AtomicU32,
    /// Whether it is among those that were used.
    mark: Mark,
    usage: Usage,
    /// Id and name in one piece.
    words: OnceLock<Box<str>>,
    /// What its usage is written by: [`KeyNumber`].
    number: AtomicI64,
}

const _: () = assert!(size_of::<KeyEntry>() == 128);

/// What was taken out of the index, so that it can be put back.
pub struct TakenUsage {
    /// Where each was.
    entries: Vec<u32>,
    /// A key that was used each.
    pub deltas: Arc<[UsageDelta]>,
}

impl Default for KeyIndex {
    fn default() -> Self {
        Self {
            keys: Arena::new(),
            secrets: Arena::new(),
            organizations: Arena::new(),
            by_digest: Slots::new(10),
            by_id: Slots::new(10),
            used: DirtyList::new(),
            writer: Mutex::default(),
        }
    }
}

impl KeyIndex {
    /// How many keys it knows, living or not.
    pub fn keys(&self) -> usize {
        self.by_id.len()
    }

    /// How many secrets it knows, living or not.
    pub fn secrets(&self) -> usize {
        self.by_digest.len()
    }

    /// What is to be answered to this digest at this time; counts it.
    pub fn judge(&self, digest: &SecretDigest, now: DateTime<Utc>, caller: Caller<'_>) -> Verdict<'_> {
        let words = words_of(digest);
        let Some(number) = self.find_number(words) else { return Verdict::NotFound };
        let Some((number, entry, secret)) = self.key_with_secret(number) else { return Verdict::NotFound };
        let Some(key) = self.key_of(entry) else { return Verdict::NotFound };
        let verdict = match entry.ends_at.load(Ordering::Acquire) {
            REVOKED => Verdict::Revoked(key),
            UNREADABLE => return Verdict::NotFound,
            _ if secret.is_replaced.load(Ordering::Acquire) != 0 => Verdict::Rotated(key),
            ends_at if ends_at <= now.timestamp_millis() => Verdict::Expired(key),
            _ => Verdict::Valid(key),
        };
        entry.usage.count(verdict.number(), now, caller);
        self.used.mark(number, &entry.mark);
        verdict
    }

    /// Asks memory for what [`KeyIndex::judge`] will read, without waiting for it: of many keys in a row the waits overlap.
    pub fn fetch(&self, digests: &[Option<SecretDigest>]) {
        let digests = || digests.iter().flatten().map(words_of);
        digests().for_each(|words| self.by_digest.touch(words[0]));
        digests().for_each(|words| {
            black_box(self.find(words).is_some());
        });
    }

    fn find(&self, words: [u64; 4]) -> Option<&SecretEntry> {
        self.secret(self.find_number(words)?)
    }

    fn find_number(&self, words: [u64; 4]) -> Option<u32> {
        self.by_digest.find(words[0], |number| self.secret(number).is_some_and(|secret| secret.has(words)))
    }

    /// The key with this secret, and its number; a secret that lies with its key need not be asked whose it is.
    fn key_with_secret(&self, number: u32) -> Option<(u32, &KeyEntry, &SecretEntry)> {
        if number < APART {
            return self.keys.get(number).map(|key| (number, key, &key.secret));
        }
        let secret = self.secrets.get(number - APART)?;
        let number = secret.key.load(Ordering::Relaxed);
        Some((number, self.keys.get(number)?, secret))
    }

    /// The secret with this number in `by_digest`.
    fn secret(&self, number: u32) -> Option<&SecretEntry> {
        if number < APART { self.keys.get(number).map(|key| &key.secret) } else { self.secrets.get(number - APART) }
    }

    fn key_of<'a>(&'a self, entry: &'a KeyEntry) -> Option<VerifiedKey<'a>> {
        let organization_id = self.organizations.get(entry.organization.load(Ordering::Relaxed))?.get()?;
        Some(VerifiedKey::new(entry.words.get()?, organization_id))
    }

    /// Makes room for so many in all, so that loading does not grow the tables again and again.
    pub fn reserve(&self, keys: usize, secrets: usize) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.by_id.reserve(keys.saturating_sub(self.keys()), |number| self.hash_of_key(number));
        self.by_digest.reserve(secrets.saturating_sub(self.secrets()), |number| self.hash_of_secret(number));
    }

    /// Takes over one secret of a key that it knows; how it ended, if it has.
    pub fn put_secret(&self, key_id: &str, secret: &SecretRecord) -> Option<Ending> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.by_id.find(hash_of_id(key_id), |number| self.id_of(number) == Some(key_id))?;
        self.put_secret_of(&mut writer, number, secret);
        let is_revoked = self.keys.get(number)?.ends_at.load(Ordering::Relaxed) == REVOKED;
        ending(is_revoked, secret.is_replaced)
    }

    /// How this secret ended, as far as the index knows.
    pub fn ending_of(&self, digest: &SecretDigest) -> Option<Ending> {
        let (_, entry, secret) = self.key_with_secret(self.find_number(words_of(digest))?)?;
        ending(entry.ends_at.load(Ordering::Acquire) == REVOKED, secret.is_replaced.load(Ordering::Acquire) != 0)
    }

    fn put_secret_of(&self, writer: &mut Writer, key: u32, secret: &SecretRecord) {
        let words = words_of(&secret.digest);
        match self.find(words) {
            Some(known) => known.is_replaced.store(secret.is_replaced.into(), Ordering::Release),
            None => self.add_secret(writer, words, key, secret.is_replaced),
        }
    }

    /// Takes over a key as it now stands in the database. A name never changes.
    pub fn put(&self, record: &KeyRecord) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = record.id.as_str();
        let hash = hash_of_id(id);
        let known = self.by_id.find(hash, |number| self.id_of(number) == Some(id));
        let number = known.unwrap_or_else(|| self.by_id.len() as u32);
        let entry = self.keys.make(number);
        let expires_at = record.expires_at.map_or(NEVER, |at| at.timestamp_millis());
        // What takes something away first.
        entry.ends_at.store(if record.is_revoked { REVOKED } else { expires_at }, Ordering::Release);
        for secret in &record.secrets {
            if let Some(known) = self.find(words_of(&secret.digest)) {
                known.is_replaced.store(secret.is_replaced.into(), Ordering::Release);
            }
        }
        if known.is_none() {
            let organization = record.organization_id.as_str();
            let next = writer.organizations.len() as u32;
            let of = *writer.organizations.entry(organization.into()).or_insert_with(|| {
                self.organizations.make(next).get_or_init(|| organization.into());
                next
            });
            entry.organization.store(of, Ordering::Relaxed);
            entry.number.store(record.number.0, Ordering::Relaxed);
            entry.words.get_or_init(|| format!("{id}{}", record.name.as_str()).into());
            self.by_id.insert(hash, number, |number| self.hash_of_key(number));
        }
        // The living one first, so that it lies with its key.
        for secret in &record.secrets {
            self.put_secret_of(&mut writer, number, secret);
        }
    }

    /// Refuses a key that changed and cannot be read.
    pub fn refuse(&self, id: &str) {
        let number = self.by_id.find(hash_of_id(id), |number| self.id_of(number) == Some(id));
        if let Some(entry) = number.and_then(|number| self.keys.get(number)) {
            entry.ends_at.store(UNREADABLE, Ordering::Release);
        }
    }

    fn add_secret(&self, writer: &mut Writer, words: [u64; 4], key: u32, is_replaced: bool) {
        let first = &self.keys.make(key).secret;
        // A digest of zeros is none: nobody finds what hashes to it.
        let (number, entry) = if first.has([0; 4]) {
            (key, first)
        } else {
            writer.apart += 1;
            (APART + writer.apart - 1, self.secrets.make(writer.apart - 1))
        };
        entry.fill(words, key, is_replaced);
        self.by_digest.insert(words[0], number, |number| self.hash_of_secret(number));
    }

    /// Takes what was counted since the last time.
    pub fn take_usage(&self) -> TakenUsage {
        let mut entries = Vec::new();
        let mark_of = |number| self.keys.get(number).map(|entry: &KeyEntry| &entry.mark);
        self.used.take(mark_of, |number| entries.push(number));
        // In the order in which they lie in memory, and mostly in the database too.
        entries.sort_unstable();
        let mut taken = TakenUsage { entries: Vec::with_capacity(entries.len()), deltas: Arc::default() };
        let deltas = entries.into_iter().filter_map(|number| {
            let entry = self.keys.get(number)?;
            let (counts, last_used) = entry.usage.take();
            if counts.is_empty() {
                return None;
            }
            taken.entries.push(number);
            Some(UsageDelta { key: KeyNumber(entry.number.load(Ordering::Relaxed)), counts, last_used })
        });
        taken.deltas = deltas.collect::<Vec<_>>().into();
        taken
    }

    /// Puts back what could not be written, from a place on; the next [`KeyIndex::take_usage`] gives it again.
    pub fn put_usage_back(&self, taken: &TakenUsage, from: usize) {
        for (&number, delta) in taken.entries.iter().zip(taken.deltas.iter()).skip(from) {
            if let Some(entry) = self.keys.get(number) {
                entry.usage.put_back(&delta.counts, delta.last_used.clone());
                self.used.mark(number, &entry.mark);
            }
        }
    }

    fn id_of(&self, number: u32) -> Option<&str> {
        self.keys.get(number)?.words.get()?.get(..ID_CHARS)
    }

    fn hash_of_key(&self, number: u32) -> u64 {
        self.id_of(number).map_or(0, hash_of_id)
    }

    fn hash_of_secret(&self, number: u32) -> u64 {
        self.secret(number).map_or(0, |secret| secret.hash())
    }
}

fn ending(is_revoked: bool, is_replaced: bool) -> Option<Ending> {
    // With its key every secret of it is revoked, also one that had been replaced.
    if is_revoked { Some(Ending::Revoked) } else { is_replaced.then_some(Ending::Rotated) }
}

fn hash_of_id(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
