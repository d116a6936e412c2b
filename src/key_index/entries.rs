//! The entries of the index: the digest of a secret leads to its key, and the key to what a verification answers.
//!
//! Readers take no lock and wait for nobody. There is one writer at a time, the follower. Entries never move. A secret that
//! ended stays, so that `REVOKED` and `ROTATED` can be told from `NOT_FOUND` without a database. A secret that the database does
//! not have any more leaves memory, and its entry serves for another one; of a key remains what names it (`forget.rs`), until
//! all entries are left for new ones (`copy.rs`).

mod copy;
mod due;
mod endings;
mod forget;
mod put;
mod reload;
mod used;

pub use copy::Copying;
pub use due::{Round, Rounds};
pub use forget::Forgotten;
pub use reload::Reload;
pub use used::TakenUsage;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    hint::black_box,
    sync::{Mutex, atomic::AtomicUsize},
};

use chrono::{DateTime, Utc};

use super::{
    arena::Arena,
    dirty_list::{DirtyList, Mark},
    facts::{Facts, OrganizationFacts},
    refusals::Refusals,
    secret_entry::{GONE, REPLACED, SecretEntry},
    slots::Slots,
    sync::{OnceLock, Ordering},
    usage::{Caller, Usage},
    version::{FORGOTTEN, Version},
    versions::Versions,
};
use crate::domain::{
    pepper::SecretDigest,
    verdict::{Verdict, VerifiedKey},
};

/// Numbers in `by_digest` from here on are of secrets apart; the others are of keys, whose own secret it is.
const APART: u32 = 1 << 31;

/// Every key and secret of the installation.
pub struct Entries {
    /// How many were left before these.
    generation: u32,
    keys: Arena<KeyEntry>,
    /// What a key has beyond its first secret.
    secrets: Arena<SecretEntry>,
    organizations: Arena<OrganizationEntry>,
    /// What became true of keys and organizations after they were first put.
    facts: Versions<Facts>,
    organization_facts: Versions<OrganizationFacts>,
    refusals: Refusals,
    by_digest: Slots,
    /// For the writer, which knows keys by their ids.
    by_id: Slots,
    used: DirtyList,
    /// How many of the keys are [`FORGOTTEN`].
    forgotten_keys: AtomicUsize,
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
    /// Of secrets that lie apart and were forgotten: their entries are empty.
    free_apart: Vec<u32>,
}

/// Two cache lines side by side, which the processor fetches together: the first secret lies with its key, so that finding
/// one of a million keys waits twice for memory, for its slot and for this.
#[derive(Default)]
#[repr(C, align(128))]
struct KeyEntry {
    secret: SecretEntry,
    /// Which facts hold.
    version: Version,
    /// Whether it is among those that were used.
    mark: Mark,
    usage: Usage,
    /// The first that were put; the id in them never changes.
    facts: OnceLock<Facts>,
}

const _: () = assert!(size_of::<KeyEntry>() == 128);

/// An organization, for all its keys at once.
#[derive(Default)]
struct OrganizationEntry {
    version: Version,
    facts: OnceLock<OrganizationFacts>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            generation: 0,
            keys: Arena::new(),
            secrets: Arena::new(),
            organizations: Arena::new(),
            facts: Versions::new(),
            organization_facts: Versions::new(),
            refusals: Refusals::new(),
            by_digest: Slots::new(10),
            by_id: Slots::new(10),
            used: DirtyList::new(),
            forgotten_keys: AtomicUsize::new(0),
            writer: Mutex::default(),
        }
    }
}

impl Entries {
    /// How many keys it knows, living or not.
    pub fn keys(&self) -> usize {
        self.by_id.len().saturating_sub(self.forgotten_keys.load(Ordering::Relaxed))
    }

    /// How many secrets it knows, living or not.
    pub fn secrets(&self) -> usize {
        self.by_digest.len()
    }

    /// What is to be answered to this digest at this time; counts it.
    pub fn judge(&self, digest: &SecretDigest, now: DateTime<Utc>, caller: Caller<'_>) -> Verdict<'_> {
        let words = words_of(digest);
        let Some(number) = self.find_number(words) else { return Verdict::NOT_FOUND };
        let Some((number, entry, secret)) = self.key_with_secret(number) else { return Verdict::NOT_FOUND };
        // In this order: whoever finds the facts of a moment no longer finds its secrets living that were replaced before.
        let Some(facts) = self.facts_of(entry) else { return Verdict::NOT_FOUND };
        let Some(organization) = self.organization_of(facts) else { return Verdict::NOT_FOUND };
        // Last, for the entry may be another secret's by now.
        let Some(state) = secret.state_of(words).filter(|state| *state != GONE) else { return Verdict::NOT_FOUND };
        let code = facts.judge(state == REPLACED, now.timestamp_millis());
        entry.usage.count(&self.refusals, code, now, caller);
        self.used.mark(number, &entry.mark);
        Verdict::of(VerifiedKey::new(facts.words(), &organization.id), code)
    }

    /// Asks memory for what [`Entries::judge`] will read, without waiting for it: of many keys in a row the waits overlap.
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
        let number = secret.key();
        Some((number, self.keys.get(number)?, secret))
    }

    /// The secret with this number in `by_digest`.
    fn secret(&self, number: u32) -> Option<&SecretEntry> {
        if number < APART { self.keys.get(number).map(|key| &key.secret) } else { self.secrets.get(number - APART) }
    }

    /// What is true of this key, if that is known.
    fn facts_of<'a>(&'a self, entry: &'a KeyEntry) -> Option<&'a Facts> {
        self.facts.get(&entry.facts, &entry.version)
    }

    fn organization_of(&self, facts: &Facts) -> Option<&OrganizationFacts> {
        let entry = self.organizations.get(facts.organization)?;
        self.organization_facts.get(&entry.facts, &entry.version)
    }

    fn id_of(&self, number: u32) -> Option<&str> {
        Some(self.keys.get(number)?.facts.get()?.id())
    }

    fn hash_of_key(&self, number: u32) -> u64 {
        self.id_of(number).map_or(0, hash_of_id)
    }

    fn hash_of_secret(&self, number: u32) -> u64 {
        self.secret(number).map_or(0, |secret| secret.hash())
    }
}

/// A digest is as random as any hash of it.
fn words_of(digest: &SecretDigest) -> [u64; 4] {
    let (words, _) = digest.0.as_chunks::<8>();
    std::array::from_fn(|n| words.get(n).map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

fn hash_of_id(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
