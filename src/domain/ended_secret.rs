//! A secret that was taken away: what has to stay true even when the database forgets it.

use chrono::{DateTime, Utc};

use super::{ids::KeyId, pepper::SecretDigest};

/// How a secret ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its key was revoked.
    Revoked,
    /// A newer secret of the key took its place.
    Rotated,
}

impl Ending {
    /// The word for it in `revocations.log`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Revoked, Self::Rotated].into_iter().find(|ending| ending.as_str() == word)
    }
}

/// A secret that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSecret {
    /// When it ended, or when this node learned of it.
    pub at: DateTime<Utc>,
    /// Whether its key was revoked, or the secret replaced.
    pub ending: Ending,
    /// The key it belonged to.
    pub key_id: KeyId,
    /// What it is stored and found by; no key can be made from it.
    pub digest: SecretDigest,
}
