//! Reading every key again into an index that may hold keys and secrets which the database does not have any more.

use std::{collections::HashMap, sync::PoisonError};

use super::{APART, GONE, KeyIndex, Ordering, UNREADABLE, endings::ending, put::Arrival};
use crate::domain::{
    ended_secret::Ending,
    key_record::{KeyRecord, SecretRecord},
};

/// One reading of everything; dropped before its end it has taken nothing away that the database still has.
pub struct Reload<'a> {
    index: &'a KeyIndex,
    /// Of what was in memory before, by number: whether it was read.
    keys: Seen,
    first_secrets: Seen,
    secrets_apart: Seen,
    /// When keys end that were refused until now. They stay refused until all their secrets were read: one of these may have
    /// been replaced meanwhile.
    revived: HashMap<u32, i64>,
}

/// What was in memory and not in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Keys that are not found any more.
    pub keys: usize,
    /// Secrets that are not found any more, with those of such keys.
    pub secrets: usize,
}

impl KeyIndex {
    /// Begins to read everything.
    pub fn reload(&self) -> Reload<'_> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Reload {
            index: self,
            keys: Seen::none_of(writer.keys),
            first_secrets: Seen::none_of(writer.keys),
            secrets_apart: Seen::none_of(writer.apart),
            revived: HashMap::new(),
        }
    }
}

impl Reload<'_> {
    /// A key, without its secrets.
    pub fn key(&mut self, record: &KeyRecord) {
        match self.index.put_as(record, true) {
            Arrival::Now(number) => self.keys.see(number),
            Arrival::Later(number, ends_at) => {
                self.keys.see(number);
                self.revived.insert(number, ends_at);
            }
        }
    }

    /// A secret of a key that was read before; how it ended, if it has.
    pub fn secret(&mut self, key_id: &str, secret: &SecretRecord) -> Option<Ending> {
        let (key, number) = self.index.put_secret(key_id, secret)?;
        if number < APART {
            self.first_secrets.see(number);
        } else {
            self.secrets_apart.see(number - APART);
        }
        let is_revived = self.revived.contains_key(&key);
        if is_revived { ending(false, secret.is_replaced) } else { self.index.ending_in(key, secret.is_replaced) }
    }

    /// Everything was read: what was not is refused from now on.
    pub fn finish(self) -> Forgotten {
        let index = self.index;
        let mut forgotten = Forgotten { keys: 0, secrets: 0 };
        for number in self.keys.unseen() {
            let Some(entry) = index.keys.get(number).filter(|entry| entry.words.get().is_some()) else { continue };
            entry.ends_at.store(UNREADABLE, Ordering::Release);
            // Its number may be another key's by now, to whom these uses would be ascribed.
            let _ = entry.usage.take();
            forgotten.keys += 1;
        }
        let first = self.first_secrets.unseen().filter_map(|number| Some(&index.keys.get(number)?.secret));
        let apart = self.secrets_apart.unseen().filter_map(|number| index.secrets.get(number));
        for secret in first.chain(apart).filter(|secret| !secret.has([0; 4])) {
            secret.state.store(GONE, Ordering::Release);
            forgotten.secrets += 1;
        }
        for (number, ends_at) in self.revived {
            if let Some(entry) = index.keys.get(number) {
                entry.ends_at.store(ends_at, Ordering::Release);
            }
        }
        forgotten
    }
}

/// A bit a number.
struct Seen {
    bits: Vec<u64>,
    count: u32,
}

impl Seen {
    fn none_of(count: u32) -> Self {
        Self { bits: vec![0; (count as usize).div_ceil(64)], count }
    }

    /// Numbers that were made after the beginning were not in memory before.
    fn see(&mut self, number: u32) {
        if let Some(word) = self.bits.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn unseen(&self) -> impl Iterator<Item = u32> {
        (0..self.count).filter(|number| self.bits[*number as usize / 64] & (1 << (number % 64)) == 0)
    }
}
