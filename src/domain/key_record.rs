//! What a verification must know of a key: how the database tells it to the index.

use chrono::{DateTime, Utc};

use super::{
    ids::{KeyId, OrgId},
    pepper::SecretDigest,
    policy::Policy,
};

/// The number of a change to what verifications answer; epochs are consecutive, and in the order of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub i64);

/// The number of a key: what its usage is written by, second after second. It never changes, and nobody sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyNumber(pub i64);

/// A key and all its secrets, as they stand in the database.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// The id that stands in answers and in the audit log.
    pub id: KeyId,
    /// The same, for usage.
    pub number: KeyNumber,
    /// The organization whose key it is.
    pub organization_id: OrgId,
    /// For people, as it is stored: the rules for names may have become stricter since, and a key works on.
    pub name: String,
    /// Whether it was revoked. A fact and not a comparison of times: a node whose clock is behind must not take it for a
    /// good one.
    pub is_revoked: bool,
    /// From when on it is refused; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// What else it is limited to.
    pub policy: Policy,
    /// Its secrets, also those that ended.
    pub secrets: Vec<SecretRecord>,
}

/// One secret of a key.
#[derive(Clone, Copy, Debug)]
pub struct SecretRecord {
    /// What it is found by.
    pub digest: SecretDigest,
    /// Whether it was replaced: a fact, too.
    pub is_replaced: bool,
}
