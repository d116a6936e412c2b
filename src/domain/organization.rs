//! Organizations: who keys belong to.

use chrono::{DateTime, Utc};

use super::{ids::OrgId, name::Name, secret::KeyPrefix};

/// A tenant: its members administer its keys and nobody else's.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Shown at the top of the page.
    pub id: OrgId,
    /// As typed at set-up.
    pub name: Name,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What holds for an organization's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySettings {
    /// Of new keys and rotated ones.
    pub prefix: KeyPrefix,
    /// Living keys at once.
    pub max_keys: i64,
    /// Rotations on one day (UTC).
    pub max_rotations_per_day: i64,
}
