//! The answer to "is this key good?".

/// `key_` and 27 characters: the first of a key's words, the id; its name follows.
pub const ID_CHARS: usize = 31;

/// The key a verdict is about, lent by the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedKey<'a> {
    /// Id and name in one piece. Not taken apart before somebody asks: with a million keys that is a wait for memory.
    words: &'a str,
    /// Whose key it is: `org_…`.
    pub organization_id: &'a str,
}

impl<'a> VerifiedKey<'a> {
    /// `words` are the id, and right behind it the name.
    pub const fn new(words: &'a str, organization_id: &'a str) -> Self {
        Self { words, organization_id }
    }

    /// Stays the same over rotations: `key_…`.
    pub fn id(&self) -> &'a str {
        self.words.get(..ID_CHARS).unwrap_or_default()
    }

    /// For people and logs.
    pub fn name(&self) -> &'a str {
        self.words.get(ID_CHARS..).unwrap_or_default()
    }
}

/// What a verification answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Let the request through.
    Valid(VerifiedKey<'a>),
    /// The key was revoked; none of its secrets will ever work again.
    Revoked(VerifiedKey<'a>),
    /// The key lives, but this secret was replaced by a newer one.
    Rotated(VerifiedKey<'a>),
    /// The key's time is over.
    Expired(VerifiedKey<'a>),
    /// No such key.
    NotFound,
    /// The text cannot be a key: wrong shape or checksum.
    Malformed,
}

/// The code of a request that may pass.
pub const VALID: &str = "VALID";

/// The stable words programs decide by, in the order of [`Verdict`].
pub const CODES: [&str; 6] = [VALID, "REVOKED", "ROTATED", "EXPIRED", "NOT_FOUND", "MALFORMED"];

impl<'a> Verdict<'a> {
    /// Its place in [`CODES`].
    pub const fn number(&self) -> usize {
        match self {
            Self::Valid(_) => 0,
            Self::Revoked(_) => 1,
            Self::Rotated(_) => 2,
            Self::Expired(_) => 3,
            Self::NotFound => 4,
            Self::Malformed => 5,
        }
    }

    /// The stable word programs decide by.
    pub const fn code(&self) -> &'static str {
        CODES[self.number()]
    }

    /// Whether the request may pass.
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }

    /// The key, where one is known.
    pub const fn key(&self) -> Option<VerifiedKey<'a>> {
        match self {
            Self::Valid(key) | Self::Revoked(key) | Self::Rotated(key) | Self::Expired(key) => Some(*key),
            Self::NotFound | Self::Malformed => None,
        }
    }
}
