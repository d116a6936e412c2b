//! The index itself: the digest of a secret leads to its key, and the key to what a verification answers.
//!
//! Readers take no lock and wait for nobody. There is one writer at a time, the follower. Entries are never removed or
//! moved: a secret that ended stays, so that `REVOKED` and `ROTATED` can be told from `NOT_FOUND` without a database. What the
//! database does not have any more stays too, and is refused as if it were not there (`index/reload.rs`).

mod endings;
mod reload;
mod used;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    hint::black_box,
    sync::{Mutex, PoisonError, atomic::AtomicI64},
};

use chrono::{DateTime, Utc};

use super::{
    arena::Arena,
    dirty_list::{DirtyList, Mark},
    secret_entry::{GONE, LIVING, REPLACED, SecretEntry, words_of},
    slots::Slots,
    sync::{AtomicU32, OnceLock, Ordering},
    usage::{Caller, Usage},
};
use crate::domain::{
    key_record::{KeyRecord, SecretRecord},
    pepper::SecretDigest,
    verdict::{ID_CHARS, Verdict, VerifiedKey},
};

/// When a key ends, in Unix milliseconds; and three times that are none.
const NEVER: i64 = i64::MAX;
const REVOKED: i64 = i64::MIN;
/// The key changed, and its row cannot be read or is gone.
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
    /// Numbers that were given to organizations, to keys, and to secrets that lie apart. None is given twice, also when a
    /// writer ended before it had done everything: what it left behind would become a part of another key.
    organization_numbers: u32,
    keys: u32,
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
        // In this order: whoever finds a key that is refused no longer finds its secrets replaced that were replaced before.
        let ends_at = entry.ends_at.load(Ordering::Acquire);
        let verdict = match (secret.state.load(Ordering::Acquire), ends_at) {
            (GONE, _) | (_, UNREADABLE) => return Verdict::NotFound,
            (_, REVOKED) => Verdict::Revoked(key),
            (REPLACED, _) => Verdict::Rotated(key),
            (_, ends_at) if ends_at <= now.timestamp_millis() => Verdict::Expired(key),
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

    /// Takes over one secret of a key that it knows; the numbers of the key and the secret.
    fn put_secret(&self, key_id: &str, secret: &SecretRecord) -> Option<(u32, u32)> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.by_id.find(hash_of_id(key_id), |number| self.id_of(number) == Some(key_id))?;
        Some((number, self.put_secret_of(&mut writer, number, secret)))
    }

    fn put_secret_of(&self, writer: &mut Writer, key: u32, secret: &SecretRecord) -> u32 {
        let words = words_of(&secret.digest);
        let Some(number) = self.find_number(words) else {
            return self.add_secret(writer, words, key, secret.is_replaced);
        };
        if let Some(known) = self.secret(number) {
            known.state.store(if secret.is_replaced { REPLACED } else { LIVING }, Ordering::Release);
            stored();
        }
        number
    }

    /// Takes over a key as it now stands in the database. A name never changes.
    pub fn put(&self, record: &KeyRecord) {
        self.put_as(record, false);
    }

    /// The same; `without_secrets`: they are read later, and until then a key that is refused must stay so.
    fn put_as(&self, record: &KeyRecord, without_secrets: bool) -> Arrival {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = record.id.as_str();
        let hash = hash_of_id(id);
        let known = self.by_id.find(hash, |number| self.id_of(number) == Some(id));
        let number = known.unwrap_or_else(|| next(&mut writer.keys));
        let entry = self.keys.make(number);
        // What takes something away first, and what gives something back last.
        if record.is_revoked {
            entry.ends_at.store(REVOKED, Ordering::Release);
            stored();
        }
        for secret in record.secrets.iter().filter(|secret| secret.is_replaced) {
            if let Some(known) = self.find(words_of(&secret.digest)) {
                known.state.store(REPLACED, Ordering::Release);
                stored();
            }
        }
        let expires_at = record.expires_at.map_or(NEVER, |at| at.timestamp_millis());
        let is_refused = known.is_some() && matches!(entry.ends_at.load(Ordering::Relaxed), REVOKED | UNREADABLE);
        let comes_later = without_secrets && is_refused && !record.is_revoked;
        if !record.is_revoked && !comes_later {
            entry.ends_at.store(expires_at, Ordering::Release);
            stored();
        }
        if known.is_none() {
            let organization = record.organization_id.as_str();
            let of = self.organization(&mut writer, organization);
            entry.organization.store(of, Ordering::Relaxed);
            entry.number.store(record.number.0, Ordering::Relaxed);
            entry.words.get_or_init(|| format!("{id}{}", record.name).into());
            self.by_id.insert(hash, number, |number| self.hash_of_key(number));
        }
        // The living one first, so that it lies with its key.
        for secret in &record.secrets {
            self.put_secret_of(&mut writer, number, secret);
        }
        if comes_later { Arrival::Later(number, expires_at) } else { Arrival::Now(number) }
    }

    fn organization(&self, writer: &mut Writer, id: &str) -> u32 {
        if let Some(number) = writer.organizations.get(id) {
            return *number;
        }
        let number = next(&mut writer.organization_numbers);
        self.organizations.make(number).get_or_init(|| id.into());
        writer.organizations.insert(id.into(), number);
        number
    }

    /// Refuses a key that changed and cannot be read.
    pub fn refuse(&self, id: &str) {
        let number = self.by_id.find(hash_of_id(id), |number| self.id_of(number) == Some(id));
        if let Some(entry) = number.and_then(|number| self.keys.get(number)) {
            entry.ends_at.store(UNREADABLE, Ordering::Release);
        }
    }

    fn add_secret(&self, writer: &mut Writer, words: [u64; 4], key: u32, is_replaced: bool) -> u32 {
        let first = &self.keys.make(key).secret;
        // A digest of zeros is none: nobody finds what hashes to it.
        let (number, entry) = if first.has([0; 4]) {
            (key, first)
        } else {
            let number = next(&mut writer.apart);
            (APART + number, self.secrets.make(number))
        };
        entry.fill(words, key, is_replaced);
        self.by_digest.insert(words[0], number, |number| self.hash_of_secret(number));
        stored();
        number
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

/// What became of a key that was read: it is so now, or its end is to be stored once its secrets were read.
enum Arrival {
    Now(u32),
    Later(u32, i64),
}

/// A number that nobody has.
fn next(numbers: &mut u32) -> u32 {
    *numbers += 1;
    *numbers - 1
}

/// Here a reader may come between two things that are stored; a unit test does.
#[cfg(not(test))]
const fn stored() {}
#[cfg(test)]
use tests::stored;

fn hash_of_id(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
