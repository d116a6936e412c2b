//! Postgres numbers some rows by itself, from sequences. They do not come along where tables are copied row by row (logical
//! replication, a dump of the data alone): then rows get numbers that others have.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{Conn, StoreError, pg::PgConnection};

/// A column that is numbered.
struct Numbered {
    table: &'static str,
    column: &'static str,
    /// Asks for the greatest number in it, and does not read all of the table.
    greatest: &'static str,
}

const KEYS: Numbered =
    Numbered { table: "api_keys", column: "number", greatest: "SELECT max(number) AS number FROM api_keys" };

/// Without an index on the number; ids have the order of time.
const EVENTS: Numbered = Numbered {
    table: "audit_events",
    column: "seq",
    greatest: "SELECT max(seq) AS number FROM (SELECT seq FROM audit_events ORDER BY id DESC LIMIT 1000) AS newest",
};

#[derive(QueryableByName)]
struct Sequence {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    may_look: bool,
    #[diesel(sql_type = Bool)]
    may_set: bool,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Sets each sequence that is behind to the greatest number that its column has. Where this role may only look, the log says
/// what to do; where it may not even look, that is not known before a key cannot be made.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn catch_up(conn: &mut Conn) -> Result<(), StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(()) };
    for column in [KEYS, EVENTS] {
        let Some(sequence) = find(conn, &column)? else { continue };
        if sequence.may_look && is_behind(conn, &column, &sequence)? {
            set(conn, &column, &sequence)?;
        }
    }
    Ok(())
}

/// The same when a key was refused because another has its number.
///
/// # Errors
/// As [`catch_up`].
pub fn catch_up_with_keys(conn: &mut Conn) -> Result<(), StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(()) };
    let Some(sequence) = find(conn, &KEYS)? else { return Ok(()) };
    // Somebody else may have done it meanwhile.
    if !sequence.may_look || is_behind(conn, &KEYS, &sequence)? { set(conn, &KEYS, &sequence) } else { Ok(()) }
}

/// The sequence of a column, and what this role may do with it: a connection that was refused for want of rights is given up.
fn find(conn: &mut PgConnection, Numbered { table, column, .. }: &Numbered) -> Result<Option<Sequence>, StoreError> {
    let rights = format!(
        "SELECT name, has_sequence_privilege(name, 'SELECT') AS may_look, has_sequence_privilege(name, 'UPDATE') AS may_set
        FROM (SELECT pg_get_serial_sequence('{table}', '{column}') AS name) AS found WHERE name IS NOT NULL"
    );
    Ok(sql_query(rights).get_result(conn).optional()?)
}

fn is_behind(conn: &mut PgConnection, column: &Numbered, Sequence { name, .. }: &Sequence) -> Result<bool, StoreError> {
    let behind = format!(
        "SELECT top.number FROM ({}) AS top, {name} AS sequence
        WHERE top.number >= sequence.last_value + CAST(sequence.is_called AS INTEGER)",
        column.greatest
    );
    Ok(sql_query(behind).get_result::<Number>(conn).optional()?.is_some())
}

fn set(conn: &mut PgConnection, column: &Numbered, sequence: &Sequence) -> Result<(), StoreError> {
    let Sequence { name, may_set, .. } = sequence;
    let statement = format!("SELECT setval('{}', ({})) AS number", name.replace('\'', "''"), column.greatest);
    if *may_set {
        let Number { number } = sql_query(statement).get_result(conn)?;
        tracing::warn!(
            sequence = name,
            number,
            "rows were numbered as others had been (was the database copied without its sequences?); the sequence goes on after the \
             greatest number"
        );
    } else {
        tracing::error!(
            sequence = name,
            statement,
            "rows are numbered as others had been (was the database copied without its sequences?), and this role may not set the \
             sequence: whoever owns the tables must run this statement, or no key can be made"
        );
    }
    Ok(())
}
