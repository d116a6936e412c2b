//! What one organization may make: so many living keys, keys a day and rotations a day; and one person, so many changes at
//! once. Every secret, also an ended one for a time, is in the memory of every node: without limits one customer's script fills it for all.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    app::Keys,
    domain::{actor::Actor, authority::Authority, ids::OrgId, organization::KeySettings},
    store::{
        Conn, StoreError, api_keys,
        organization_today::{self, Today},
    },
};

/// Keys an organization may make on a day, or as many as it may have if those are more.
const KEYS_A_DAY: i64 = 1000;

/// What there is too much of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Living keys; how many there may be.
    #[error("the organization has {0} living keys, which is the limit")]
    Keys(i64),
    /// Keys made on one day (UTC); how many there may be, and the seconds until the next day.
    #[error("the organization made {0} keys today, which is the limit")]
    KeysToday(i64, i64),
    /// Rotations on one day (UTC); how many there may be, and the seconds until the next day.
    #[error("the organization rotated {0} times today, which is the limit")]
    RotationsToday(i64, i64),
    /// Changes by one person; the seconds to wait.
    #[error("too many changes by one person; wait {0} seconds")]
    TooFast(i64),
}

/// Why a change is not made.
pub enum Refused {
    /// It would be too much.
    Limit(LimitReached),
    /// The database failed, so that nothing was counted.
    Store(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new key.
    Create,
    /// A new secret for a key.
    Rotate,
}

/// Before the transaction: whether a person goes on at a speed that a person can have. Programs may be faster.
///
/// # Errors
/// [`LimitReached::TooFast`].
pub fn check_speed(keys: &Keys, authority: &Authority) -> Result<(), LimitReached> {
    match authority.actor() {
        Actor::Person(id, _) | Actor::Operator(id, _) => {
            keys.change_throttle.take(id, keys.clock.since_boot()).map_err(LimitReached::TooFast)
        }
        Actor::RootKey(..) | Actor::CommandLine | Actor::System(_) => Ok(()),
    }
}

/// Counts a change, inside of its transaction: rolled back, it does not count. Of two at once the second waits here for the
/// first, so that together they stay below the limit.
///
/// # Errors
/// See [`Refused`].
pub fn count(
    conn: &mut Conn,
    limits: &KeySettings,
    organization_id: &OrgId,
    change: Change,
    now: DateTime<Utc>,
) -> Result<(), Refused> {
    let (day, until_tomorrow) = day_of(now);
    let more = match change {
        Change::Create => Today { keys_created: 1, rotations: 0 },
        Change::Rotate => Today { keys_created: 0, rotations: 1 },
    };
    let today = organization_today::add(conn, organization_id, day, more)?;
    let reached = match change {
        Change::Rotate if today.rotations > limits.max_rotations_per_day => {
            Some(LimitReached::RotationsToday(limits.max_rotations_per_day, until_tomorrow))
        }
        Change::Rotate => None,
        // Whoever makes and revokes keys all day leaves as many secrets behind as whoever keeps them.
        Change::Create if today.keys_created > limits.max_keys.max(KEYS_A_DAY) => {
            Some(LimitReached::KeysToday(limits.max_keys.max(KEYS_A_DAY), until_tomorrow))
        }
        Change::Create => {
            let living = api_keys::count_living(conn, organization_id)?;
            (living >= limits.max_keys).then_some(LimitReached::Keys(limits.max_keys))
        }
    };
    reached.map_or(Ok(()), |limit| Err(Refused::Limit(limit)))
}

/// Days since 1970, and the seconds until the next begins, at least 1.
fn day_of(now: DateTime<Utc>) -> (i64, i64) {
    const DAY: i64 = TimeDelta::days(1).num_seconds();
    let seconds = now.timestamp();
    (seconds.div_euclid(DAY), DAY - seconds.rem_euclid(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight_utc() {
        let at = |seconds| day_of(DateTime::from_timestamp(seconds, 999_000_000).unwrap());
        assert_eq!(at(0), (0, 86_400));
        assert_eq!(at(86_399), (0, 1));
        assert_eq!(at(86_400), (1, 86_400));
        assert_eq!(at(-1), (-1, 1));
    }
}
