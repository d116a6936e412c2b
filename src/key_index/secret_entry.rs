//! A secret in the index: its digest, and whose it is.

use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::domain::pepper::SecretDigest;

/// One secret, in 40 bytes: with its key it must fit into two cache lines.
#[derive(Default)]
pub struct SecretEntry {
    digest: [AtomicU64; 4],
    /// Number of its key.
    pub key: AtomicU32,
    /// [`LIVING`], [`REPLACED`] or [`GONE`].
    pub state: AtomicU32,
}

/// It works as long as its key does.
pub const LIVING: u32 = 0;
/// Another secret took its place.
pub const REPLACED: u32 = 1;
/// The database does not have it any more.
pub const GONE: u32 = 2;

impl SecretEntry {
    /// To be done before anybody can find it.
    pub fn fill(&self, words: [u64; 4], key: u32, is_replaced: bool) {
        for (own, word) in self.digest.iter().zip(words) {
            own.store(word, Ordering::Relaxed);
        }
        self.key.store(key, Ordering::Relaxed);
        self.state.store(if is_replaced { REPLACED } else { LIVING }, Ordering::Relaxed);
    }

    /// Not in constant time: what is compared is an HMAC, which nobody can steer towards a stored one.
    pub fn has(&self, words: [u64; 4]) -> bool {
        self.digest.iter().zip(words).all(|(own, word)| own.load(Ordering::Relaxed) == word)
    }

    /// Where it is in the table of all digests.
    pub fn hash(&self) -> u64 {
        self.digest[0].load(Ordering::Relaxed)
    }
}

/// A digest is as random as any hash of it.
pub fn words_of(digest: &SecretDigest) -> [u64; 4] {
    let (words, _) = digest.0.as_chunks::<8>();
    std::array::from_fn(|n| words.get(n).map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}
