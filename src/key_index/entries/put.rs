//! What the writer does: it takes over keys and secrets as they stand in the database, one store after another, in an order in
//! which no reader meets a key that ended as one that is good.

use std::sync::PoisonError;

use super::{APART, Entries, Facts, KeyEntry, OrganizationFacts, Writer, hash_of_id, words_of};
use crate::{
    domain::key_record::{KeyRecord, SecretRecord},
    key_index::version::UNREADABLE,
};

impl Entries {
    /// Makes room for so many in all, so that loading does not grow the tables again and again.
    pub fn reserve(&self, keys: usize, secrets: usize) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.by_id.reserve(keys.saturating_sub(self.keys()), |number| self.hash_of_key(number));
        self.by_digest.reserve(secrets.saturating_sub(self.secrets()), |number| self.hash_of_secret(number));
    }

    /// Takes over one secret of a key that it knows; the numbers of the key and the secret.
    pub(super) fn put_secret(&self, key_id: &str, secret: &SecretRecord) -> Option<(u32, u32)> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.number_of(key_id)?;
        Some((number, self.put_secret_of(&mut writer, number, words_of(&secret.digest), secret.is_replaced)))
    }

    /// Takes over one secret of a key; its number.
    pub(super) fn put_secret_of(&self, writer: &mut Writer, key: u32, words: [u64; 4], is_replaced: bool) -> u32 {
        let Some(number) = self.find_number(words) else {
            return self.add_secret(writer, words, key, is_replaced);
        };
        if let Some(known) = self.secret(number) {
            known.set(is_replaced);
            stored();
        }
        number
    }

    /// Takes over a key as it now stands in the database.
    pub fn put(&self, record: &KeyRecord) {
        self.put_as(record, false);
    }

    /// The same; `without_secrets`: they are read later, and until then nobody may pass who could not before.
    pub(super) fn put_as(&self, record: &KeyRecord, without_secrets: bool) -> Arrival {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = record.id.as_str();
        let hash = hash_of_id(id);
        let known = self.by_id.find(hash, |number| self.id_of(number) == Some(id));
        let number = known.unwrap_or_else(|| next(&mut writer.keys));
        let entry = self.keys.make(number);
        let organization_id = record.organization_id.as_str();
        let of = self.organization(&mut writer, organization_id, || OrganizationFacts { id: organization_id.into() });
        let facts = Facts::of(record, of);
        // What takes something away first, and what gives something back last.
        for secret in record.secrets.iter().filter(|secret| secret.is_replaced) {
            if let Some(known) = self.find(words_of(&secret.digest)) {
                known.set(true);
                stored();
            }
        }
        if without_secrets && known.is_some() && !facts.only_take_from(self.facts_of(entry)) {
            return Arrival::Later(number, facts);
        }
        self.hold(entry, facts);
        if known.is_none() {
            self.by_id.insert(hash, number, |number| self.hash_of_key(number));
        }
        // The living one first, so that it lies with its key.
        for secret in &record.secrets {
            self.put_secret_of(&mut writer, number, words_of(&secret.digest), secret.is_replaced);
        }
        Arrival::Now(number)
    }

    /// From now on these are the facts of a key.
    pub(super) fn hold(&self, entry: &KeyEntry, facts: Facts) {
        self.turn(entry, self.facts.add(&entry.facts, &entry.version, facts));
        stored();
    }

    /// The number of this organization, which has these facts if it is new.
    pub(super) fn organization(&self, writer: &mut Writer, id: &str, facts: impl FnOnce() -> OrganizationFacts) -> u32 {
        if let Some(number) = writer.organizations.get(id) {
            return *number;
        }
        let number = next(&mut writer.organization_numbers);
        let entry = self.organizations.make(number);
        entry.version.set(self.organization_facts.add(&entry.facts, &entry.version, facts()));
        writer.organizations.insert(id.into(), number);
        number
    }

    /// Refuses a key that changed and cannot be read.
    pub fn refuse(&self, id: &str) {
        if let Some(entry) = self.number_of(id).and_then(|number| self.keys.get(number)) {
            self.turn(entry, UNREADABLE);
        }
    }

    pub(super) fn number_of(&self, id: &str) -> Option<u32> {
        self.by_id.find(hash_of_id(id), |number| self.id_of(number) == Some(id))
    }

    fn add_secret(&self, writer: &mut Writer, words: [u64; 4], key: u32, is_replaced: bool) -> u32 {
        let first = &self.keys.make(key).secret;
        let (number, entry) = if first.is_empty() {
            (key, first)
        } else {
            let number = writer.free_apart.pop().unwrap_or_else(|| next(&mut writer.apart));
            (APART + number, self.secrets.make(number))
        };
        entry.fill(words, key, is_replaced);
        self.by_digest.insert(words[0], number, |number| self.hash_of_secret(number));
        stored();
        number
    }
}

/// What became of a key that was read: it is so now, or its facts are to hold once its secrets were read.
pub(super) enum Arrival {
    Now(u32),
    Later(u32, Facts),
}

/// A number that nobody has.
pub(super) fn next(numbers: &mut u32) -> u32 {
    *numbers += 1;
    *numbers - 1
}

/// Here a reader may come between two things that are stored; a unit test does.
#[cfg(not(test))]
const fn stored() {}
#[cfg(test)]
use super::tests::stored;
