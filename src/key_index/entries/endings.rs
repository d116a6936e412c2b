//! How secrets ended, for the log of revocations.

use std::sync::PoisonError;

use super::{APART, Entries, Facts, REPLACED, words_of};
use crate::domain::{ended_secret::Ending, key_record::KeyRecord, pepper::SecretDigest};

impl Entries {
    /// How this secret ended, as far as the index knows.
    pub fn ending_of(&self, digest: &SecretDigest) -> Option<Ending> {
        let words = words_of(digest);
        let (_, entry, secret) = self.key_with_secret(self.find_number(words)?)?;
        let is_revoked = self.facts_of(entry).is_some_and(Facts::is_revoked);
        ending(is_revoked, secret.state_of(words) == Some(REPLACED))
    }

    /// Ends in this record what the index knows to have ended; how many secrets of it were alive again.
    pub fn keep_ended(&self, record: &mut KeyRecord) -> usize {
        let mut revived = 0;
        for secret in record.secrets.iter_mut().filter(|secret| !record.is_revoked && !secret.is_replaced) {
            if self.ending_of(&secret.digest).is_some() {
                secret.is_replaced = true;
                revived += 1;
            }
        }
        revived
    }

    /// Shows every secret that has ended and is not forgotten: the id of its key, its digest, and how. For the writer.
    pub fn each_ended(&self, mut each: impl FnMut(&str, SecretDigest, Ending)) {
        let (keys, apart) = {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            (writer.keys, writer.apart)
        };
        for number in (0..keys).chain((0..apart).map(|number| APART + number)) {
            let Some((key, _, secret)) = self.key_with_secret(number).filter(|found| !found.2.is_empty()) else {
                continue;
            };
            let words = secret.words();
            let is_replaced = secret.state_of(words) == Some(REPLACED);
            if let (Some(id), Some(ending)) = (self.id_of(key), self.ending_in(key, is_replaced)) {
                each(id, digest_of(words), ending);
            }
        }
    }

    /// How a secret of the key with this number ended.
    pub(super) fn ending_in(&self, key: u32, is_replaced: bool) -> Option<Ending> {
        ending(self.facts_of(self.keys.get(key)?).is_some_and(Facts::is_revoked), is_replaced)
    }
}

/// See [`words_of`].
fn digest_of(words: [u64; 4]) -> SecretDigest {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    SecretDigest(digest)
}

/// With its key every secret of it is revoked, also one that had been replaced.
pub fn ending(is_revoked: bool, is_replaced: bool) -> Option<Ending> {
    if is_revoked { Some(Ending::Revoked) } else { is_replaced.then_some(Ending::Rotated) }
}
