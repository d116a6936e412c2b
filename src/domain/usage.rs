//! How much a key is used, and when it was used last.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

/// Days that the page shows.
pub const DAYS_SHOWN: usize = 30;

/// Verifications in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Let through.
    pub valid: u64,
    /// Refused, for whatever reason.
    pub refused: u64,
}

/// The last verification that named a key, whatever its answer: a refused one is a use that somebody wonders about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastUsed {
    /// When, to the millisecond.
    pub at: DateTime<Utc>,
    /// The caller's, as a trusted proxy reported it.
    pub address: Option<IpAddr>,
    /// The caller's `User-Agent`, cut to [`super::actor::MAX_USER_AGENT`] characters.
    pub user_agent: Option<String>,
}

/// What the page shows of a key's use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Counts of the last [`DAYS_SHOWN`] days (UTC), the oldest first, today last.
    pub days: [Count; DAYS_SHOWN],
    /// Counts of the last 24 hours, to the hour.
    pub last_24_hours: Count,
    /// `None` if nobody ever came with the key.
    pub last_used: Option<LastUsed>,
}

/// What a node has counted since it last wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageDelta {
    /// Which key.
    pub key_id: String,
    /// The stable word of the verdict, such as `VALID`.
    pub counts: Vec<(&'static str, u64)>,
    /// The newest of these verifications.
    pub last_used: Option<LastUsed>,
}
