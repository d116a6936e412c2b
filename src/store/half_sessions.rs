//! Table `half_sessions`: what a browser brings back before it is known whose it is.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    schema::half_sessions,
    sessions::SessionDigest,
};

/// How long somebody has for the rest of signing in.
const KEPT: TimeDelta = TimeDelta::minutes(10);

/// Adds one.
pub fn insert(conn: &mut Conn, digest: SessionDigest, state: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(half_sessions::table)
        .values((
            half_sessions::digest.eq(Digest32(digest)),
            half_sessions::state.eq(state),
            half_sessions::expires_at.eq(Millis::from(now + KEPT)),
        ))
        .execute(conn)?;
    Ok(())
}

/// What the one with this digest remembers, unless it has ended. One that was written by a clock which was ahead is not
/// believed: whoever signs in begins again.
pub fn find(conn: &mut Conn, digest: SessionDigest, now: DateTime<Utc>) -> Result<Option<String>, StoreError> {
    let row = half_sessions::table
        .find(Digest32(digest))
        .filter(half_sessions::expires_at.gt(Millis::from(now)))
        .filter(half_sessions::expires_at.le(Millis::from(now + KEPT)))
        .select(half_sessions::state);
    Ok(row.first(conn).optional()?)
}

/// Replaces what it remembers. One that has vanished stays vanished.
pub fn update(conn: &mut Conn, digest: SessionDigest, state: &str) -> Result<(), StoreError> {
    let row = half_sessions::table.find(Digest32(digest));
    diesel::update(row).set(half_sessions::state.eq(state)).execute(conn)?;
    Ok(())
}

/// Ends it.
pub fn delete(conn: &mut Conn, digest: SessionDigest) -> Result<(), StoreError> {
    diesel::delete(half_sessions::table.find(Digest32(digest))).execute(conn)?;
    Ok(())
}

/// Forgets those that have ended; how many.
pub fn purge(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    Ok(diesel::delete(half_sessions::table.filter(half_sessions::expires_at.le(Millis::from(now)))).execute(conn)?)
}
