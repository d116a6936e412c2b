//! Postgres numbers some rows by itself, from sequences. They do not come along where tables are copied row by row (logical
//! replication, a dump of the data alone): then rows get numbers that others have.

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{Conn, StoreError, pg::PgConnection};

/// Whoever sets sequences holds it; any number that nobody else uses.
const LOCK: i64 = 0x6b65_7973_0002;

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

/// When it is asked whether a sequence is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At a start.
    Start,
    /// A key was refused because another has its number: then both are likely to be behind.
    NumberTaken,
}

/// Sets each sequence that is behind to the greatest number that its column has; to be called in a transaction. Where this role may
/// only look, the log says what to do; where it may not even look, that is not known before a key cannot be made.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub fn catch_up(conn: &mut Conn, when: When) -> Result<(), StoreError> {
    let Conn::Postgres(conn) = conn else { return Ok(()) };
    let mut is_alone = false;
    // Events first: no index refuses a number that another one has, and once keys can be made there are events of them.
    for column in [EVENTS, KEYS] {
        let Some(sequence) = find(conn, &column)? else { continue };
        let is_to_be_set = |conn: &mut PgConnection| match sequence.may_look {
            true => is_behind(conn, &column, &sequence),
            false => Ok(when == When::NumberTaken),
        };
        if !is_to_be_set(conn)? {
            continue;
        }
        if !is_alone {
            // Or two would set it one after the other, and the second back to where rows have numbers that are not committed.
            sql_query(format!("SELECT pg_advisory_xact_lock({LOCK}) IS NULL AS is_so")).execute(conn)?;
            is_alone = true;
        }
        // Somebody else may have done it meanwhile.
        if is_to_be_set(conn)? {
            set(conn, &column, &sequence)?;
        }
    }
    Ok(())
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
             sequence: whoever owns the tables must run this statement, or no key can be made and events share numbers"
        );
    }
    Ok(())
}
