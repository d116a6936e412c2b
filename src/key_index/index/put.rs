//! What the writer does: it takes over keys and secrets as they stand in the database, one store after another, in an order in
//! which no reader meets a key that ended as one that is good.

use std::sync::PoisonError;

use super::{APART, FORGOTTEN, KeyIndex, NEVER, Ordering, REVOKED, UNREADABLE, Writer, hash_of_id, words_of};
use crate::domain::key_record::{KeyRecord, SecretRecord};

impl KeyIndex {
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
        Some((number, self.put_secret_of(&mut writer, number, secret)))
    }

    fn put_secret_of(&self, writer: &mut Writer, key: u32, secret: &SecretRecord) -> u32 {
        let words = words_of(&secret.digest);
        let Some(number) = self.find_number(words) else {
            return self.add_secret(writer, words, key, secret.is_replaced);
        };
        if let Some(known) = self.secret(number) {
            known.set(secret.is_replaced);
            stored();
        }
        number
    }

    /// Takes over a key as it now stands in the database. A name never changes.
    pub fn put(&self, record: &KeyRecord) {
        self.put_as(record, false);
    }

    /// The same; `without_secrets`: they are read later, and until then a key that is refused must stay so.
    pub(super) fn put_as(&self, record: &KeyRecord, without_secrets: bool) -> Arrival {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = record.id.as_str();
        let hash = hash_of_id(id);
        let known = self.by_id.find(hash, |number| self.id_of(number) == Some(id));
        let number = known.unwrap_or_else(|| next(&mut writer.keys));
        let entry = self.keys.make(number);
        if entry.ends_at.load(Ordering::Relaxed) == FORGOTTEN {
            // It is back: another history, or a copy of the database.
            entry.ends_at.store(UNREADABLE, Ordering::Release);
            self.forgotten_keys.fetch_sub(1, Ordering::Relaxed);
        }
        // What takes something away first, and what gives something back last.
        if record.is_revoked {
            entry.ends_at.store(REVOKED, Ordering::Release);
            stored();
        }
        for secret in record.secrets.iter().filter(|secret| secret.is_replaced) {
            if let Some(known) = self.find(words_of(&secret.digest)) {
                known.set(true);
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
        if let Some(entry) = self.number_of(id).and_then(|number| self.keys.get(number)) {
            self.end_as(entry, UNREADABLE);
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

/// What became of a key that was read: it is so now, or its end is to be stored once its secrets were read.
pub(super) enum Arrival {
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
use super::tests::stored;
