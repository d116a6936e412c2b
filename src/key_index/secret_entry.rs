//! A secret in the index: its digest, and whose it is.
//!
//! An entry whose secret is forgotten serves for another one. A reader may have found the one before at that moment, so it reads
//! whose it is and in what state, and then looks once more whether it still has the digest: emptying an entry comes before
//! filling it, and whoever sees anything of the new secret sees that the old digest is gone.

use super::sync::{AtomicU32, AtomicU64, Ordering};

/// One secret, in 40 bytes: with its key it must fit into two cache lines.
#[derive(Default)]
pub struct SecretEntry {
    digest: [AtomicU64; 4],
    /// Number of its key.
    key: AtomicU32,
    /// [`LIVING`], [`REPLACED`] or [`GONE`].
    state: AtomicU32,
}

/// It works as long as its key does.
pub const LIVING: u32 = 0;
/// Another secret took its place.
pub const REPLACED: u32 = 1;
/// The database does not have it any more.
pub const GONE: u32 = 2;

impl SecretEntry {
    /// To be done before anybody can find it, with an entry that is empty.
    pub fn fill(&self, words: [u64; 4], key: u32, is_replaced: bool) {
        // Release: see `state_of`.
        self.key.store(key, Ordering::Release);
        self.set(is_replaced);
        for (own, word) in self.digest.iter().zip(words) {
            own.store(word, Ordering::Relaxed);
        }
    }

    /// Makes it empty; nobody may be able to find it any more.
    pub fn empty(&self) {
        self.state.store(GONE, Ordering::Release);
        self.digest.iter().for_each(|own| own.store(0, Ordering::Relaxed));
    }

    /// A digest of zeros is none: nobody finds what hashes to it.
    pub fn is_empty(&self) -> bool {
        self.has([0; 4])
    }

    /// Whether another secret took its place.
    pub fn set(&self, is_replaced: bool) {
        self.state.store(if is_replaced { REPLACED } else { LIVING }, Ordering::Release);
    }

    /// Number of its key.
    pub fn key(&self) -> u32 {
        self.key.load(Ordering::Acquire)
    }

    /// Its state, if it is still the secret with this digest, and then the key that was read before is its key. Whoever has read
    /// anything that `fill` stored sees here, by acquire and release, what `empty` did before.
    pub fn state_of(&self, words: [u64; 4]) -> Option<u32> {
        let state = self.state.load(Ordering::Acquire);
        self.has(words).then_some(state)
    }

    /// Not in constant time: what is compared is an HMAC, which nobody can steer towards a stored one.
    pub fn has(&self, words: [u64; 4]) -> bool {
        self.digest.iter().zip(words).all(|(own, word)| own.load(Ordering::Relaxed) == word)
    }

    /// Its digest. For the writer: to anybody else it may be half that of another secret.
    pub fn words(&self) -> [u64; 4] {
        std::array::from_fn(|n| self.digest[n].load(Ordering::Relaxed))
    }

    /// Where it is in the table of all digests.
    pub fn hash(&self) -> u64 {
        self.digest[0].load(Ordering::Relaxed)
    }
}
