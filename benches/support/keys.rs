//! Keys that are computed and not remembered: number `n` is always the same key.
//!
//! A driver with a table of a million keys would fight with the server for the cache it measures.

use keystead::domain::secret::{BODY_CHARS, CHECK_CHARS, Secret};

pub const PREFIX: &str = "talvin_live";
pub const KEY_BYTES: usize = PREFIX.len() + 1 + BODY_CHARS + CHECK_CHARS;

/// Keys from here on are in no database.
const UNKNOWN: u64 = 1 << 40;

const SEED: u64 = 0x6b65_7973_7465_6164;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub type Key = [u8; KEY_BYTES];

/// The key of this number, well-formed to its checksum.
pub fn key(n: u64) -> Key {
    let mut key = [b'_'; KEY_BYTES];
    key[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
    let mut random = Random::new(SEED ^ n.wrapping_mul(0xd134_2543_de82_ef95));
    let covered = KEY_BYTES - CHECK_CHARS;
    // Ten base62 digits fit into 60 bits.
    for digits in key[PREFIX.len() + 1..covered].chunks_mut(10) {
        let mut rest = random.next();
        for digit in digits {
            *digit = ALPHABET[(rest % 62) as usize];
            rest /= 62;
        }
    }
    let mut rest = crc32fast::hash(&key[..covered]);
    for digit in key[covered..].iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    key
}

/// A well-formed key that nobody ever made.
pub fn unknown_key(n: u64) -> Key {
    key(UNKNOWN + n)
}

pub fn as_text(key: &Key) -> &str {
    std::str::from_utf8(key).expect("a key is ASCII")
}

/// As the service itself reads it: fails here, and not in a benchmark of refusals, should the format change.
pub fn secret(n: u64) -> Secret {
    Secret::parse(as_text(&key(n))).expect("the keys of the benchmarks have the format of src/domain/secret.rs")
}

/// SplitMix64: good enough to choose keys, and a nanosecond a number.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}
