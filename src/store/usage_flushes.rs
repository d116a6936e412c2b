//! Table `usage_flushes`: which flushes of usage are written, so that none is written twice.

use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{BigInt, Text},
};

use super::{Conn, StoreError, columns::Millis, schema::usage_flushes};
use crate::domain::usage::FlushId;

/// Claims a flush for this transaction; false when it is written already. Each process writes its flushes in the order of
/// their numbers. Of two transactions with one id the second waits for the first.
pub fn claim(conn: &mut Conn, flush: &FlushId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    // Both databases understand $1.
    let claimed = diesel::sql_query(
        "INSERT INTO usage_flushes (writer, number, at) VALUES ($1, $2, $3)
        ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at
        WHERE usage_flushes.number < excluded.number",
    )
    .bind::<Text, _>(flush.writer.as_str())
    .bind::<BigInt, _>(flush.number)
    .bind::<BigInt, _>(now.timestamp_millis())
    .execute(conn)?;
    Ok(claimed == 1)
}

/// Forgets processes that have not written since a time; how many.
pub fn purge(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    Ok(diesel::delete(usage_flushes::table.filter(usage_flushes::at.lt(Millis::from(before)))).execute(conn)?)
}
