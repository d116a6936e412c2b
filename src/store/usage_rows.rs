//! Statements on the tables of usage that the two databases put differently: thousands of rows in one of them.

use std::collections::BTreeMap;

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Nullable, Text},
};

use super::Conn;
use crate::domain::usage::LastUsed;

/// Rows to be added: key, beginning of the span and code, each combination once, with its count.
pub type Counts<'a> = BTreeMap<(&'a str, i64, &'a str), i64>;

/// Adds counts to the hours that are still counted; a row that is not there is made.
///
/// The map gives the rows in the order of the keys: two nodes that lock the same rows in one order wait for each other,
/// and in any other order Postgres ends one of them.
pub fn add_open(conn: &mut Conn, counts: &Counts) -> QueryResult<()> {
    add(conn, "key_usage_open", "", "", counts)
}

/// Adds counts to the rows of spans of this length, in the same way.
pub fn add_closed(conn: &mut Conn, seconds: i64, counts: &Counts) -> QueryResult<()> {
    add(conn, "key_usage", "seconds, ", &format!("{seconds}, "), counts)
}

fn add(conn: &mut Conn, table: &str, column: &str, value: &str, counts: &Counts) -> QueryResult<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let insert = format!("INSERT INTO {table} ({column}key_id, starts_at, code, count) SELECT {value}");
    let or_add =
        format!("ON CONFLICT ({column}key_id, starts_at, code) DO UPDATE SET count = {table}.count + excluded.count");
    match conn {
        Conn::Sqlite(c) => {
            let rows: Vec<_> = counts.iter().map(|((id, start, code), count)| (id, start, code, count)).collect();
            diesel::sql_query(format!(
                "{insert} value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true {or_add}"
            ))
            .bind::<Text, _>(json(&rows)?)
            .execute(c)?;
        }
        Conn::Postgres(c) => {
            let ids: Vec<&str> = counts.keys().map(|(id, ..)| *id).collect();
            let starts: Vec<i64> = counts.keys().map(|(_, start, _)| *start).collect();
            let codes: Vec<&str> = counts.keys().map(|(.., code)| *code).collect();
            let counts: Vec<i64> = counts.values().copied().collect();
            diesel::sql_query(format!(
                "{insert} id, start, code, n FROM unnest($1, $2, $3, $4) AS added (id, start, code, n) {or_add}"
            ))
            .bind::<Array<Text>, _>(ids)
            .bind::<Array<BigInt>, _>(starts)
            .bind::<Array<Text>, _>(codes)
            .bind::<Array<BigInt>, _>(counts)
            .execute(c)?;
        }
    }
    Ok(())
}

/// Moves the last use of keys forward; one that is older than what is known changes nothing. In the order of the keys,
/// as above.
pub fn move_last_used(conn: &mut Conn, newest: &BTreeMap<&str, &LastUsed>) -> QueryResult<()> {
    if newest.is_empty() {
        return Ok(());
    }
    let rows = newest.iter().map(|(id, used)| {
        (*id, used.at.timestamp_millis(), used.address.map(|address| address.to_string()), used.user_agent.as_deref())
    });
    match conn {
        Conn::Sqlite(c) => {
            diesel::sql_query(
                "INSERT INTO key_last_used (key_id, at, address, user_agent)
                SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
                ON CONFLICT DO UPDATE
                SET at = excluded.at, address = excluded.address, user_agent = excluded.user_agent
                WHERE excluded.at > at",
            )
            .bind::<Text, _>(json(&rows.collect::<Vec<_>>())?)
            .execute(c)?;
        }
        Conn::Postgres(c) => {
            let (mut ids, mut times, mut addresses, mut agents) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (id, at, address, agent) in rows {
                ids.push(id);
                times.push(at);
                addresses.push(address);
                agents.push(agent);
            }
            diesel::sql_query(
                "INSERT INTO key_last_used (key_id, at, address, user_agent)
                SELECT id, at, address, agent FROM unnest($1, $2, $3, $4) AS used (id, at, address, agent)
                ON CONFLICT (key_id) DO UPDATE
                SET at = excluded.at, address = excluded.address, user_agent = excluded.user_agent
                WHERE excluded.at > key_last_used.at",
            )
            .bind::<Array<Text>, _>(ids)
            .bind::<Array<BigInt>, _>(times)
            .bind::<Array<Nullable<Text>>, _>(addresses)
            .bind::<Array<Nullable<Text>>, _>(agents)
            .execute(c)?;
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct OpenHour {
    #[diesel(sql_type = BigInt)]
    starts_at: i64,
}

/// The hours that are still counted, by leaps from one to the next: commonly two of them, with thousands of rows.
pub fn open_hours(conn: &mut Conn) -> QueryResult<Vec<i64>> {
    let hours: Vec<OpenHour> = diesel::sql_query(
        "WITH RECURSIVE hours (starts_at) AS (
            SELECT min(starts_at) FROM key_usage_open
            UNION ALL
            SELECT (SELECT min(starts_at) FROM key_usage_open WHERE starts_at > hours.starts_at)
            FROM hours WHERE starts_at IS NOT NULL
        ) SELECT starts_at FROM hours WHERE starts_at IS NOT NULL",
    )
    .load(conn)?;
    Ok(hours.into_iter().map(|hour| hour.starts_at).collect())
}

/// A row that was taken out of `key_usage_open`.
#[derive(QueryableByName)]
pub struct TakenRow {
    #[diesel(sql_type = Text)]
    pub key_id: String,
    #[diesel(sql_type = BigInt)]
    pub starts_at: i64,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// Removes at most `limit` rows of hours that began before a time, and returns them. Of two transactions at once each gets
/// rows of its own.
pub fn take_open(conn: &mut Conn, before: i64, limit: i64) -> QueryResult<Vec<TakenRow>> {
    // SQLite has one writer, so nothing to skip.
    let skip = match conn {
        Conn::Sqlite(_) => "",
        Conn::Postgres(_) => "FOR UPDATE SKIP LOCKED",
    };
    // Both databases understand $1; to SQLite it is a name, numbered by where it stands first.
    diesel::sql_query(format!(
        "DELETE FROM key_usage_open WHERE (starts_at, key_id, code) IN (
            SELECT starts_at, key_id, code FROM key_usage_open WHERE starts_at < $1
            ORDER BY starts_at, key_id, code LIMIT $2 {skip}
        ) RETURNING key_id, starts_at, code, count"
    ))
    .bind::<BigInt, _>(before)
    .bind::<BigInt, _>(limit)
    .load(conn)
}

/// Removes at most `limit` rows of spans of this length that began before a time; how many.
pub fn forget_closed(conn: &mut Conn, seconds: i64, before: i64, limit: i64) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM key_usage WHERE (key_id, seconds, starts_at, code) IN (
            SELECT key_id, seconds, starts_at, code FROM key_usage WHERE seconds = $1 AND starts_at < $2
            ORDER BY starts_at LIMIT $3
        )",
    )
    .bind::<BigInt, _>(seconds)
    .bind::<BigInt, _>(before)
    .bind::<BigInt, _>(limit)
    .execute(conn)
}

fn json<T: serde::Serialize>(rows: &T) -> QueryResult<String> {
    serde_json::to_string(rows).map_err(|error| diesel::result::Error::SerializationError(error.into()))
}
