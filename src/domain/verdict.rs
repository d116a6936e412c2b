//! The answer to "is this key good?".

/// The key a verdict is about, lent by the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedKey<'a> {
    /// Stays the same over rotations: `key_…`.
    pub id: &'a str,
    /// Whose key it is: `org_…`.
    pub organization_id: &'a str,
    /// For people and logs.
    pub name: &'a str,
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
