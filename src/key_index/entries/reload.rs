//! Reading every key again into an index that may hold keys and secrets which the database does not have any more.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::{APART, Entries, Facts, endings::ending, forget::Forgotten, put::Arrival};
use crate::domain::{
    ended_secret::Ending,
    key_record::{KeyRecord, SecretRecord},
};

/// One reading of everything; dropped before its end it has taken nothing away that the database still has.
pub struct Reload {
    index: Arc<Entries>,
    /// Of what was in memory before, by number: whether it was read.
    keys: Seen,
    first_secrets: Seen,
    secrets_apart: Seen,
    /// Facts by which somebody may pass who could not before, by the numbers of their keys. They do not hold until all secrets
    /// were read: one may have been replaced meanwhile.
    revived: HashMap<u32, Facts>,
}

impl Entries {
    /// Begins to read everything.
    pub fn reload(self: &Arc<Self>) -> Reload {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Reload {
            index: Arc::clone(self),
            keys: Seen::none_of(writer.keys),
            first_secrets: Seen::none_of(writer.keys),
            secrets_apart: Seen::none_of(writer.apart),
            revived: HashMap::new(),
        }
    }
}

impl Reload {
    /// A key, without its secrets.
    pub fn key(&mut self, record: &KeyRecord) {
        match self.index.put_as(record, true) {
            Arrival::Now(number) => self.keys.see(number),
            Arrival::Later(number, facts) => {
                self.keys.see(number);
                self.revived.insert(number, facts);
            }
        }
    }

    /// A key that is there and cannot be read: it is refused, and not forgotten.
    pub fn refuse(&mut self, id: &str) {
        self.index.refuse(id);
        if let Some(number) = self.index.number_of(id) {
            self.keys.see(number);
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

    /// Everything was read: what was not is forgotten.
    pub fn finish(self) -> Forgotten {
        let index = self.index;
        let mut forgetting = index.forgetting();
        self.keys.unseen().for_each(|number| forgetting.key(number));
        self.first_secrets.unseen().for_each(|number| forgetting.secret(number));
        self.secrets_apart.unseen().for_each(|number| forgetting.secret(APART + number));
        let forgotten = forgetting.done();
        for (number, facts) in self.revived {
            if let Some(entry) = index.keys.get(number) {
                index.hold(entry, facts);
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
