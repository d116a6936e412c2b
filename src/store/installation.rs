//! Table `installation`: what there is once per database.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{Conn, StoreError, schema::installation};

/// Random id of the installation, made on first start.
pub const ID: &str = "id";
/// What tells a server that it holds the right pepper.
pub const PEPPER_CHECK: &str = "pepper_check";
/// Written by whoever makes the first account; its primary key lets only one set-up win.
pub const SET_UP: &str = "set_up_at";
/// Written by the migration that brought usage, if there were keys: when the newest of them was made.
pub const LAST_UNCOUNTED_KEY_AT: &str = "last_uncounted_key_at";
/// Written every ten minutes while a node runs: tells of a backup from when it is.
const ALIVE_AT: &str = "alive_at";

/// A value, if it is there.
pub fn find(conn: &mut Conn, name: &str) -> Result<Option<String>, StoreError> {
    Ok(installation::table.find(name).select(installation::value).first(conn).optional()?)
}

/// Writes a value unless there is one; whether it was written. Waits for a transaction that writes the same name.
pub fn insert_once(conn: &mut Conn, name: &str, value: &str) -> Result<bool, StoreError> {
    let row = (installation::name.eq(name), installation::value.eq(value));
    let inserted =
        on!(conn, c => diesel::insert_into(installation::table).values(row).on_conflict_do_nothing().execute(c))?;
    Ok(inserted == 1)
}

/// Notes that the database is in use at this time; a clock that is behind another node's moves it back by that little.
pub fn note_alive(conn: &mut Conn, now: DateTime<Utc>) -> Result<(), StoreError> {
    let value = now.timestamp_millis().to_string();
    let row = (installation::name.eq(ALIVE_AT), installation::value.eq(&value));
    on!(conn, c => diesel::insert_into(installation::table)
        .values(row)
        .on_conflict(installation::name)
        .do_update()
        .set(installation::value.eq(&value))
        .execute(c))?;
    Ok(())
}

/// When the database was last in use, to ten minutes; none for one that no node used for so long, or none of this version.
pub fn alive_at(conn: &mut Conn) -> Result<Option<DateTime<Utc>>, StoreError> {
    let Some(value) = find(conn, ALIVE_AT)? else { return Ok(None) };
    let at = value.parse().ok().and_then(DateTime::from_timestamp_millis);
    at.map(Some).ok_or_else(|| StoreError::damaged("installation.value"))
}
