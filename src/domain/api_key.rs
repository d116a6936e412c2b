//! API keys: their state and the moves that are legal in it.

use chrono::{DateTime, Utc};

use super::{
    actor::Creator,
    ids::{KeyId, OrgId},
    name::Name,
    secret::{KeyHint, KeyPrefix},
};

/// A key as its organization sees it. Its secrets are elsewhere and cannot be read back.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Stays the same over rotations.
    pub id: KeyId,
    /// Whose it is.
    pub organization_id: OrgId,
    /// Unique among the organization's living keys, without regard to case.
    pub name: Name,
    /// Of the newest secret.
    pub prefix: KeyPrefix,
    /// Of the newest secret.
    pub hint: KeyHint,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ended; `None` while it lives.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Counts changes from 1. A form carries the version its reader saw.
    pub version: i64,
}

/// Why a key cannot be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefused {
    /// It was revoked; nothing follows that.
    #[error("the key is revoked")]
    Revoked,
    /// It changed since the version that was seen.
    #[error("the key changed in the meantime")]
    Changed,
    /// It never had the version that was seen.
    #[error("the key never had this version")]
    UnknownVersion,
}

impl ApiKey {
    /// A living key may be rotated by whoever saw its newest version: two people who rotate at once must not each
    /// believe that theirs is the secret that works.
    ///
    /// # Errors
    /// [`MoveRefused`].
    pub fn may_rotate(&self, seen: i64) -> Result<(), MoveRefused> {
        match self.revoked_at {
            Some(_) => Err(MoveRefused::Revoked),
            None if self.version != seen => Err(MoveRefused::Changed),
            None => Ok(()),
        }
    }

    /// A living key may be revoked by whoever saw it, whatever happened to it since: a rotation must never save a key
    /// that somebody revoked. Only a version that does not exist yet is refused.
    ///
    /// # Errors
    /// [`MoveRefused`].
    pub fn may_revoke(&self, seen: i64) -> Result<(), MoveRefused> {
        match self.revoked_at {
            Some(_) => Err(MoveRefused::Revoked),
            None if seen < 1 || seen > self.version => Err(MoveRefused::UnknownVersion),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: i64, revoked: bool) -> ApiKey {
        let now = DateTime::UNIX_EPOCH;
        ApiKey {
            id: KeyId::generate(now),
            organization_id: OrgId::generate(now),
            name: Name::parse("Production").unwrap(),
            prefix: KeyPrefix::parse("talvin_live").unwrap(),
            hint: KeyHint::parse("x9Kq").unwrap(),
            created_by: Creator::new("user".to_owned(), Name::parse("Maya").ok()),
            created_at: now,
            revoked_at: revoked.then_some(now),
            version,
        }
    }

    #[test]
    fn rotating_needs_the_newest_version() {
        assert_eq!(key(3, false).may_rotate(3), Ok(()));
        assert_eq!(key(3, false).may_rotate(2), Err(MoveRefused::Changed));
        assert_eq!(key(3, true).may_rotate(3), Err(MoveRefused::Revoked));
    }

    #[test]
    fn revoking_wins_over_a_rotation_that_came_between() {
        assert_eq!(key(3, false).may_revoke(2), Ok(()));
        assert_eq!(key(3, false).may_revoke(4), Err(MoveRefused::UnknownVersion));
        assert_eq!(key(3, false).may_revoke(0), Err(MoveRefused::UnknownVersion));
        assert_eq!(key(3, true).may_revoke(3), Err(MoveRefused::Revoked));
    }
}
