//! What has ended by the log of revocations and is alive in the database, because the database is older: looked for, and nothing
//! is changed.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    Conn, StoreError,
    columns::Digest32,
    ended_again::{AT_ONCE, digests, living_keys, living_secrets, revoked_keys},
};
use crate::domain::ended_secret::EndedSecret;

/// How much there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revived {
    /// Keys that had been revoked.
    pub keys: usize,
    /// Secrets of other keys that had been replaced.
    pub secrets: usize,
    /// When the first of them ended.
    pub first: DateTime<Utc>,
    /// When the last of them ended.
    pub last: DateTime<Utc>,
}

impl std::fmt::Display for Revived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let many = |count: usize| if count == 1 { "" } else { "s" };
        let second = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let Self { keys, secrets, first, last } = *self;
        write!(
            f,
            "{keys} key{} revoked and {secrets} secret{} rotated between {} and {}",
            many(keys),
            many(secrets),
            second(first),
            second(last)
        )
    }
}

/// What [`super::ended_again::end_again`] would end; none if the database knows of all of it.
///
/// # Errors
/// [`StoreError`].
pub fn find_revived(conn: &mut Conn, ended: &[EndedSecret]) -> Result<Option<Revived>, StoreError> {
    let (mut keys, mut secrets, mut times) = (BTreeSet::new(), 0, Vec::new());
    let revoked = revoked_keys(ended);
    for ids in revoked.keys().copied().collect::<Vec<_>>().chunks(AT_ONCE) {
        for (id, ..) in living_keys(conn, ids)? {
            times.extend(revoked.get(&*id));
            keys.insert(id);
        }
    }
    let digests = digests(ended);
    for some in digests.keys().copied().map(Digest32).collect::<Vec<_>>().chunks(AT_ONCE) {
        let alive = living_secrets(conn, some)?;
        let ids: BTreeSet<&str> = alive.iter().map(|(_, id)| id.as_str()).collect();
        let living: BTreeSet<String> =
            living_keys(conn, &ids.into_iter().collect::<Vec<_>>())?.into_iter().map(|(id, ..)| id).collect();
        for (digest, _) in alive.iter().filter(|(_, id)| living.contains(id) && !keys.contains(id)) {
            times.extend(digests.get(&digest.0));
            secrets += 1;
        }
    }
    let times = (times.iter().min().copied(), times.iter().max().copied());
    Ok(match times {
        (Some(first), Some(last)) => Some(Revived { keys: keys.len(), secrets, first, last }),
        _ => None,
    })
}
