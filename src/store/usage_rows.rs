//! Statements on the tables of usage that the two databases put differently: thousands of rows in one of them.

use std::collections::BTreeMap;

use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Nullable, Text},
};

use super::{
    Conn,
    planned::{Statement, Value, json, planned},
};
use crate::domain::key_record::KeyNumber;

/// Rows to be added: key, beginning of the span and code, each combination once, with its count.
pub type Counts<'a> = BTreeMap<(&'a str, i64, &'a str), i64>;

/// Newest use of each key.
pub type Newest<'a> = BTreeMap<&'a str, LastUse<'a>>;

/// A use as the tables have it.
#[derive(Clone, Copy)]
pub struct LastUse<'a> {
    /// When the use was, in Unix milliseconds.
    pub at: i64,
    pub address: Option<&'a str>,
    pub user_agent: Option<&'a str>,
}

/// A row of `key_usage_open` to be added to.
pub struct OpenRow<'a> {
    pub starts_at: i64,
    pub key: KeyNumber,
    pub code: &'a str,
    pub count: i64,
    pub last_use: Option<LastUse<'a>>,
}

/// Adds a count, and moves the last use forward, never back.
macro_rules! or_add {
    () => {
        " ON CONFLICT (starts_at, key_number, code) DO UPDATE SET
            count = key_usage_open.count + excluded.count,
            at = CASE WHEN excluded.at > coalesce(key_usage_open.at, 0)
                THEN excluded.at ELSE key_usage_open.at END,
            address = CASE WHEN excluded.at > coalesce(key_usage_open.at, 0)
                THEN excluded.address ELSE key_usage_open.address END,
            user_agent = CASE WHEN excluded.at > coalesce(key_usage_open.at, 0)
                THEN excluded.user_agent ELSE key_usage_open.user_agent END"
    };
}

/// Adds to the hours that are still counted; a row that is not there is made.
///
/// `rows` has each row once, in the order of the keys: two nodes that lock the same rows in one order wait for each other,
/// and in any other order Postgres ends one of them.
pub fn add_open(conn: &mut Conn, rows: &[OpenRow<'_>]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    match conn {
        Conn::Sqlite(c) => rows.iter().try_for_each(|row| {
            let values = [
                Value::Integer(row.starts_at),
                Value::Integer(row.key.0),
                Value::Text(row.code),
                Value::Integer(row.count),
                Value::MaybeInteger(row.at()),
                Value::MaybeText(row.address()),
                Value::MaybeText(row.user_agent()),
            ];
            planned::<AddOpen>(&values).execute(c).map(drop)
        }),
        Conn::Postgres(c) => diesel::sql_query(concat!(
            "INSERT INTO key_usage_open (starts_at, key_number, code, count, at, address, user_agent)
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)",
            or_add!()
        ))
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.starts_at).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.key.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(rows.iter().map(|row| row.code).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.count).collect::<Vec<_>>())
        .bind::<Array<Nullable<BigInt>>, _>(rows.iter().map(OpenRow::at).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows.iter().map(OpenRow::address).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(rows.iter().map(OpenRow::user_agent).collect::<Vec<_>>())
        .execute(c)
        .map(drop),
    }
}

impl OpenRow<'_> {
    fn at(&self) -> Option<i64> {
        self.last_use.map(|last| last.at)
    }

    fn address(&self) -> Option<&str> {
        self.last_use.and_then(|last| last.address)
    }

    fn user_agent(&self) -> Option<&str> {
        self.last_use.and_then(|last| last.user_agent)
    }
}

/// One row, for SQLite: planned once and executed ten thousand times.
struct AddOpen;

impl Statement for AddOpen {
    const SQL: &'static str = concat!(
        "INSERT INTO key_usage_open (starts_at, key_number, code, count, at, address, user_agent)
        VALUES (?, ?, ?, ?, ?, ?, ?)",
        or_add!()
    );
}

/// Adds counts to the rows of spans of this length; a row that is not there is made.
pub fn add_closed(conn: &mut Conn, seconds: i64, counts: &Counts) -> QueryResult<()> {
    if counts.is_empty() {
        return Ok(());
    }
    let insert = format!("INSERT INTO key_usage (seconds, key_id, starts_at, code, count) SELECT {seconds}, ");
    let or_add =
        "ON CONFLICT (key_id, seconds, starts_at, code) DO UPDATE SET count = key_usage.count + excluded.count";
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
pub fn move_last_used(conn: &mut Conn, newest: &Newest) -> QueryResult<()> {
    if newest.is_empty() {
        return Ok(());
    }
    let rows = newest.iter().map(|(id, last)| (*id, last.at, last.address, last.user_agent));
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

/// A row that was taken out of `key_usage_open`.
#[derive(QueryableByName)]
pub struct TakenRow {
    /// `None` when the key is gone.
    #[diesel(sql_type = Nullable<Text>)]
    pub key_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub starts_at: i64,
    #[diesel(sql_type = Text)]
    pub code: String,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub at: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
}

impl TakenRow {
    /// The newest use that it counts.
    pub fn last_use(&self) -> Option<LastUse<'_>> {
        self.at.map(|at| LastUse { at, address: self.address.as_deref(), user_agent: self.user_agent.as_deref() })
    }
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
        "DELETE FROM key_usage_open WHERE (starts_at, key_number, code) IN (
            SELECT starts_at, key_number, code FROM key_usage_open WHERE starts_at < $1
            ORDER BY starts_at, key_number, code LIMIT $2 {skip}
        ) RETURNING (SELECT api_keys.id FROM api_keys WHERE api_keys.number = key_usage_open.key_number) AS key_id, starts_at, code, count, at, address, user_agent"
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

/// Removes at most `limit` rows of this key; how many.
pub fn forget_of_key(conn: &mut Conn, key_id: &str, limit: i64) -> QueryResult<usize> {
    diesel::sql_query(
        "DELETE FROM key_usage WHERE (key_id, seconds, starts_at, code) IN (
            SELECT key_id, seconds, starts_at, code FROM key_usage WHERE key_id = $1 LIMIT $2
        )",
    )
    .bind::<Text, _>(key_id)
    .bind::<BigInt, _>(limit)
    .execute(conn)
}
