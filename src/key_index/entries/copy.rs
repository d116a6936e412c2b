//! Other entries with what is still of use. They take the place of these, and so memory is given back.

use std::sync::{Arc, PoisonError};

use super::{APART, Entries, Ordering, REPLACED, hash_of_id, put::next};
use crate::key_index::version::{FORGOTTEN, UNREADABLE};

/// As many as this must be of no use, or it would be done again and again for nothing.
const WORTH_IT: usize = if cfg!(test) { 8 } else { 4_096 };
/// Keys and secrets of a step: some milliseconds, for which a change has to wait.
const STEP: u32 = if cfg!(test) { 16 } else { 5_000 };

/// Entries that are to take the place of others.
pub struct Copying {
    pub entries: Arc<Entries>,
    /// How many numbers of keys and of secrets apart were looked at.
    keys: u32,
    apart: u32,
}

impl Copying {
    /// Begins with none.
    pub fn begin(from: &Entries) -> Self {
        let entries = Entries { generation: from.generation + 1, ..Entries::default() };
        entries.reserve(from.keys(), from.secrets());
        Self { entries: Arc::new(entries), keys: 0, apart: 0 }
    }

    /// Takes over some more; whether that was everything. What is put meanwhile must be put here too.
    pub fn go_on(&mut self, from: &Entries) -> bool {
        let (keys, apart) = from.made();
        for _ in 0..STEP {
            if self.keys < keys {
                self.entries.copy_key(from, self.keys);
                self.entries.copy_secret(from, self.keys);
                self.keys += 1;
            } else if self.apart < apart {
                self.entries.copy_secret(from, APART + self.apart);
                self.apart += 1;
            } else {
                return true;
            }
        }
        false
    }
}

impl Entries {
    /// How many were left before these.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How many numbers of keys and of secrets apart were given.
    pub fn made(&self) -> (u32, u32) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        (writer.keys, writer.apart)
    }

    /// Whether a quarter of what was made is of no use any more: keys that are forgotten, facts that do not hold, entries of
    /// secrets that wait for another one.
    pub fn is_wasteful(&self) -> bool {
        let (keys, apart) = self.made();
        let free = self.writer.lock().unwrap_or_else(PoisonError::into_inner).free_apart.len();
        let dead = self.forgotten_keys.load(Ordering::Relaxed) + self.facts.made() + free;
        dead >= WORTH_IT && dead * 4 >= keys as usize + apart as usize + self.facts.made()
    }

    fn copy_key(&self, from: &Self, number: u32) {
        let Some(entry) = from.keys.get(number) else { return };
        let Some(facts) = from.facts_of(entry).or(entry.facts.get()) else { return };
        // A writer that died halfway may have left one that nobody can find.
        let version = entry.version.get();
        if version == FORGOTTEN || from.number_of(facts.id()) != Some(number) {
            return;
        }
        let Some(organization) = from.organization_of(facts) else { return };
        let own = self.number_of(facts.id()).unwrap_or_else(|| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let organization = self.organization(&mut writer, &organization.id, || organization.clone());
            let own = next(&mut writer.keys);
            let copy = self.keys.make(own);
            copy.facts.get_or_init(|| facts.of_organization(organization));
            if version == UNREADABLE {
                copy.version.set(UNREADABLE);
            }
            self.by_id.insert(hash_of_id(facts.id()), own, |number| self.hash_of_key(number));
            own
        });
        if let Some(own) = self.keys.get(own) {
            own.usage.was_used_like(&entry.usage);
        }
    }

    /// A secret by its number in `by_digest`.
    fn copy_secret(&self, from: &Self, number: u32) {
        let Some((key, _, secret)) = from.key_with_secret(number).filter(|found| !found.2.is_empty()) else { return };
        let Some(own) = from.id_of(key).and_then(|id| self.number_of(id)) else { return };
        let words = secret.words();
        let is_replaced = secret.state_of(words) == Some(REPLACED);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.put_secret_of(&mut writer, own, words, is_replaced);
    }

    /// Takes over what is counted in others. Each count is taken out there and then added here, so it is nowhere twice, and
    /// nobody takes it out of both.
    pub fn take_over_usage(&self, from: &Self) {
        for number in from.take_used() {
            let Some(entry) = from.keys.get(number) else { continue };
            let (counts, last_used) = entry.usage.take(&from.refusals);
            let Some(own) = from.id_of(number).and_then(|id| self.number_of(id)) else { continue };
            let Some(own_entry) = self.keys.get(own) else { continue };
            own_entry.usage.was_used_like(&entry.usage);
            own_entry.usage.put_back(&self.refusals, &counts, last_used);
            self.used.mark(own, &own_entry.mark);
        }
    }
}
