//! The answer to "is this key good?".

use super::{
    ids::{KeyId, OrgId},
    name::Name,
};

/// The key a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedKey {
    /// Stays the same over rotations.
    pub id: KeyId,
    /// Whose key it is.
    pub organization_id: OrgId,
    /// For people and logs.
    pub name: Name,
}

/// What a verification answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let the request through.
    Valid(VerifiedKey),
    /// The key was revoked; none of its secrets will ever work again.
    Revoked(VerifiedKey),
    /// The key lives, but this secret was replaced by a newer one.
    Rotated(VerifiedKey),
    /// No such key.
    NotFound,
    /// The text cannot be a key: wrong shape or checksum.
    Malformed,
}

impl Verdict {
    /// The stable word programs decide by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Valid(_) => "VALID",
            Self::Revoked(_) => "REVOKED",
            Self::Rotated(_) => "ROTATED",
            Self::NotFound => "NOT_FOUND",
            Self::Malformed => "MALFORMED",
        }
    }

    /// Whether the request may pass.
    pub const fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }

    /// The key, where one is known.
    pub const fn key(&self) -> Option<&VerifiedKey> {
        match self {
            Self::Valid(key) | Self::Revoked(key) | Self::Rotated(key) => Some(key),
            Self::NotFound | Self::Malformed => None,
        }
    }
}
