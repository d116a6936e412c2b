//! Table `sessions`: who is signed in, found by a digest of what stands in their cookie.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::{
    Conn, StoreError,
    columns::{Digest32, Millis},
    schema::sessions,
};
use crate::domain::ids::{SessionId, UserId};

/// A session ends after this long without a request.
pub const IDLE: TimeDelta = TimeDelta::minutes(30);
/// A session ends after this long in any case.
pub const ABSOLUTE: TimeDelta = TimeDelta::hours(12);
/// A request moves the end of its session only if it moves it by this much: not every page costs a write.
const EXTEND_BY_AT_LEAST: TimeDelta = TimeDelta::minutes(1);

/// Rows of ended sessions are kept for so long: a clock that is ahead until somebody sets it deletes nobody's session.
const KEPT: TimeDelta = TimeDelta::days(2);

/// SHA-256 of a session key.
pub type SessionDigest = [u8; 32];

/// Adds a session.
pub fn insert(
    conn: &mut Conn,
    digest: SessionDigest,
    id: &SessionId,
    user_id: &UserId,
    state: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::digest.eq(Digest32(digest)),
            sessions::id.eq(id.as_str()),
            sessions::user_id.eq(user_id.as_str()),
            sessions::state.eq(state),
            sessions::created_at.eq(Millis::from(now)),
            sessions::expires_at.eq(Millis::from(now + IDLE)),
        ))
        .execute(conn)?;
    Ok(())
}

/// A session that has not ended.
pub struct LiveSession {
    /// What it remembers.
    pub state: String,
    /// When it began and should end from now on, if that is worth a write.
    pub extend_to: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// The session with this digest, unless it has ended. One that was written by a clock which was ahead began now, at the
/// latest, and ends as it would have, had it begun now: no session outlives [`IDLE`] and [`ABSOLUTE`], whoever set a clock.
pub fn find(conn: &mut Conn, digest: SessionDigest, now: DateTime<Utc>) -> Result<Option<LiveSession>, StoreError> {
    let row: Option<(String, Millis, Millis)> = sessions::table
        .find(Digest32(digest))
        .filter(sessions::expires_at.gt(Millis::from(now)))
        .select((sessions::state, sessions::created_at, sessions::expires_at))
        .first(conn)
        .optional()?;
    let Some((state, created_at, expires_at)) = row else { return Ok(None) };
    let (created_at, expires_at) = (DateTime::try_from(created_at)?, DateTime::try_from(expires_at)?);
    let began = created_at.min(now);
    let end = (now + IDLE).min(began + ABSOLUTE);
    let is_worth_a_write = (end - expires_at).abs() >= EXTEND_BY_AT_LEAST;
    Ok(Some(LiveSession { state, extend_to: is_worth_a_write.then_some((began, end)) }))
}

/// Replaces the state of a session. A session that has vanished stays vanished: it is updated, never inserted.
pub fn update_state(conn: &mut Conn, digest: SessionDigest, state: &str) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(Digest32(digest))).set(sessions::state.eq(state)).execute(conn)?;
    Ok(())
}

/// Moves the end of a session, and its beginning if that was in the future.
pub fn extend(
    conn: &mut Conn,
    digest: SessionDigest,
    (began, end): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), StoreError> {
    diesel::update(sessions::table.find(Digest32(digest)))
        .set((sessions::created_at.eq(Millis::from(began)), sessions::expires_at.eq(Millis::from(end))))
        .execute(conn)?;
    Ok(())
}

/// Ends a session by what stands in its cookie.
pub fn delete(conn: &mut Conn, digest: SessionDigest) -> Result<(), StoreError> {
    diesel::delete(sessions::table.find(Digest32(digest))).execute(conn)?;
    Ok(())
}

/// Ends one of a user's sessions by its id; whether there was one.
pub fn delete_of_user(conn: &mut Conn, user_id: &UserId, id: &SessionId) -> Result<bool, StoreError> {
    let session = sessions::table.filter(sessions::id.eq(id.as_str())).filter(sessions::user_id.eq(user_id.as_str()));
    Ok(diesel::delete(session).execute(conn)? == 1)
}

/// Ends every session of a user; how many rows there were.
pub fn delete_all_of_user(conn: &mut Conn, user_id: &UserId) -> Result<usize, StoreError> {
    Ok(diesel::delete(sessions::table.filter(sessions::user_id.eq(user_id.as_str()))).execute(conn)?)
}

/// Forgets sessions that ended some days ago; how many.
pub fn purge(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let before = Millis::from(now - KEPT);
    Ok(diesel::delete(sessions::table.filter(sessions::expires_at.le(before))).execute(conn)?)
}
