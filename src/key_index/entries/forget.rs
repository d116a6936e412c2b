//! Forgetting what the database does not have any more: it is refused as if it had never been there, and no digest of it stays in
//! memory. Of a key the entry stays, with its id and name, which a reader may have been lent; it serves again if the key comes back.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use super::{APART, Entries, FORGOTTEN, KeyEntry, Ordering, Writer, words_of};
use crate::domain::key_record::KeyRecord;

/// What was in memory and not in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Keys that are not found any more.
    pub keys: usize,
    /// Secrets that are not found any more, with those of such keys.
    pub secrets: usize,
}

/// The writer, while it forgets.
pub(super) struct Forgetting<'a> {
    index: &'a Entries,
    writer: MutexGuard<'a, Writer>,
    forgotten: Forgotten,
}

impl Entries {
    /// Forgets these keys, and of the others, which it has as they are recorded here, every secret that the record lacks. Looks at
    /// all secrets once, however many keys there are: a key does not know its secrets.
    pub fn forget(&self, gone: &[&str], fewer: &[&KeyRecord]) -> Forgotten {
        let mut kept: HashMap<u32, Vec<[u64; 4]>> = HashMap::new();
        let mut forgetting = self.forgetting();
        for id in gone {
            if let Some(number) = self.number_of(id) {
                forgetting.key(number);
                kept.insert(number, Vec::new());
            }
        }
        for record in fewer {
            if let Some(number) = self.number_of(record.id.as_str()) {
                kept.insert(number, record.secrets.iter().map(|secret| words_of(&secret.digest)).collect());
            }
        }
        if kept.is_empty() {
            return forgetting.done();
        }
        let firsts = kept.keys().copied();
        let apart = (0..forgetting.writer.apart).map(|number| APART + number);
        for number in firsts.chain(apart) {
            let Some((key, _, secret)) = self.key_with_secret(number) else { continue };
            if kept.get(&key).is_some_and(|kept| !kept.iter().any(|words| secret.has(*words))) {
                forgetting.secret(number);
            }
        }
        forgetting.done()
    }

    pub(super) fn forgetting(&self) -> Forgetting<'_> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Forgetting { index: self, writer, forgotten: Forgotten::default() }
    }

    /// Lets other facts of a key hold, or none.
    pub(super) fn turn(&self, entry: &KeyEntry, version: u32) {
        match (entry.version.set(version) == FORGOTTEN, version == FORGOTTEN) {
            (false, true) => self.forgotten_keys.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.forgotten_keys.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Forgetting<'_> {
    /// A key, without its secrets.
    pub fn key(&mut self, number: u32) {
        let Some(entry) = self.index.keys.get(number).filter(|entry| entry.facts.get().is_some()) else { return };
        if entry.version.get() == FORGOTTEN {
            return;
        }
        self.index.turn(entry, FORGOTTEN);
        // Its number may be another key's by now, to whom these uses would be ascribed.
        let _ = entry.usage.take(&self.index.refusals);
        self.forgotten.keys += 1;
    }

    /// A secret, by its number in `by_digest`.
    pub fn secret(&mut self, number: u32) {
        let Some(secret) = self.index.secret(number).filter(|secret| !secret.is_empty()) else { return };
        self.index.by_digest.remove(secret.hash(), number);
        secret.empty();
        if let Some(apart) = number.checked_sub(APART) {
            self.writer.free_apart.push(apart);
        }
        self.forgotten.secrets += 1;
    }

    pub fn done(self) -> Forgotten {
        self.forgotten
    }
}
