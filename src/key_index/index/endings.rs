//! How secrets ended, for the log of revocations.

use super::{KeyIndex, Ordering, REPLACED, REVOKED, words_of};
use crate::domain::{ended_secret::Ending, pepper::SecretDigest};

impl KeyIndex {
    /// How this secret ended, as far as the index knows.
    pub fn ending_of(&self, digest: &SecretDigest) -> Option<Ending> {
        let words = words_of(digest);
        let (_, entry, secret) = self.key_with_secret(self.find_number(words)?)?;
        let is_revoked = entry.ends_at.load(Ordering::Acquire) == REVOKED;
        ending(is_revoked, secret.state_of(words) == Some(REPLACED))
    }

    /// How a secret of the key with this number ended.
    pub(super) fn ending_in(&self, key: u32, is_replaced: bool) -> Option<Ending> {
        ending(self.keys.get(key)?.ends_at.load(Ordering::Relaxed) == REVOKED, is_replaced)
    }
}

/// With its key every secret of it is revoked, also one that had been replaced.
pub fn ending(is_revoked: bool, is_replaced: bool) -> Option<Ending> {
    if is_revoked { Some(Ending::Revoked) } else { is_replaced.then_some(Ending::Rotated) }
}
