//! Where SQLite and Postgres differ (but for the settings of a connection), and how one query text serves both.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection},
    prelude::*,
};

use super::connection::Conn;

/// Expands one Diesel query into both arms of [`Conn`]: for `ON CONFLICT`, which Diesel's `MultiConnection` cannot build
/// for a backend it does not know yet.
macro_rules! on {
    ($connection:expr, $c:ident => $query:expr) => {
        match $connection {
            $crate::store::connection::Conn::Postgres($c) => $query,
            $crate::store::connection::Conn::Sqlite($c) => $query,
        }
    };
}

/// Limits of a transaction on Postgres: a statement that waits longer than this for a lock is a fault, not a hang. A node
/// that is paused in the middle of a change must not keep its locks: all others wait for the one on `key_epoch`.
///
/// For the transaction alone: a connection of a pooler is somebody else's in the next moment, and keeps what is set for the
/// session.
///
/// The isolation is said too: a role or a database may have another default (`default_transaction_isolation`), and under it
/// whoever waited for the lock on `key_epoch` fails as soon as the lock is free.
///
/// So is that COMMIT waits for the disk: with `synchronous_commit = off` as their default, a crash of the server takes back
/// what was answered. Its other values all wait for it, and some for standbys too; they stay.
const POSTGRES_BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '4s'; SET LOCAL statement_timeout = '10s'; \
                              SET LOCAL idle_in_transaction_session_timeout = '2s'; \
                              SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// Begins a transaction that will write. SQLite takes its write lock at once: a transaction that reads first and
/// writes later fails as soon as another one wrote in between.
pub fn begin_write(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
        Conn::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(c, POSTGRES_BEGIN),
    }
}

/// As long as it takes: a big index is built, or another node builds it.
const MIGRATION_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a migration waits for the lock on a table, as Postgres writes it. A fifth of what the follower waits for an answer
/// with the usual lease of ten seconds: whoever wants the table waits behind the migration, and has no lock yet.
pub const TABLE_LOCK_TIMEOUT: &str = "500ms";

/// Waits, inside a transaction, until no other node migrates: of Postgres nodes that started at once without this, 45 of
/// 60 failed. SQLite's write lock, which [`begin_write`] took, does the same.
pub fn wait_for_other_migrations(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(_) => Ok(()),
        Conn::Postgres(c) => {
            c.set_limit(MIGRATION_LIMIT);
            c.batch_execute(&format!(
                "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(7306386);
                SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'"
            ))
        }
    }
}

/// Who else has locks on tables of this database, the longest transaction first, in words for whoever runs it; `None` on SQLite.
pub fn lock_holders(conn: &mut Conn) -> QueryResult<Option<String>> {
    let Conn::Postgres(c) = conn else { return Ok(None) };
    // Of other roles' sessions Postgres shows the id alone.
    let holders: Vec<Line> = diesel::sql_query(
        "SELECT concat_ws(' ', 'process', pid, 'of', coalesce(nullif(application_name, ''), usename), state,
            'since ' || to_char(xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS') || ' UTC') AS line
        FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND pid IN (
            SELECT pid FROM pg_locks
            WHERE granted AND locktype = 'relation' AND relation >= 16384
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        )
        ORDER BY xact_start NULLS LAST LIMIT 3",
    )
    .load(c)?;
    let lines: Vec<String> = holders.into_iter().map(|holder| holder.line).collect();
    Ok(Some(if lines.is_empty() { "they have ended by now".to_owned() } else { lines.join("; ") }))
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Whether the table of migrations is there.
pub fn has_migrations(conn: &mut Conn) -> QueryResult<bool> {
    let names: Vec<Line> = match conn {
        Conn::Sqlite(c) => {
            diesel::sql_query("SELECT name AS line FROM sqlite_master WHERE name = '__diesel_schema_migrations'")
                .load(c)?
        }
        Conn::Postgres(c) => {
            diesel::sql_query("SELECT 'here' AS line WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL")
                .load(c)?
        }
    };
    Ok(!names.is_empty())
}

/// How a Postgres database stores text, if it is not UTF-8; SQLite's always is.
pub fn foreign_encoding(conn: &mut Conn) -> QueryResult<Option<String>> {
    let Conn::Postgres(c) = conn else { return Ok(None) };
    let encoding = diesel::dsl::sql::<diesel::sql_types::Text>("current_setting('server_encoding')");
    let encoding: String = diesel::select(encoding).get_result(c)?;
    Ok((encoding != "UTF8").then_some(encoding))
}

/// The version of the SQLite library in use; `None` on Postgres.
pub fn sqlite_version(conn: &mut Conn) -> QueryResult<Option<String>> {
    match conn {
        Conn::Sqlite(c) => {
            diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("sqlite_version()")).get_result(c).map(Some)
        }
        Conn::Postgres(_) => Ok(None),
    }
}

/// Whether the SQLite library in use plans a statement once, whatever values are bound to it (query planner stability
/// guarantee); `None` on Postgres.
pub fn has_stable_plans(conn: &mut Conn) -> QueryResult<Option<bool>> {
    match conn {
        Conn::Sqlite(c) => {
            let used = diesel::dsl::sql::<diesel::sql_types::Bool>("sqlite_compileoption_used('ENABLE_QPSG')");
            diesel::select(used).get_result(c).map(Some)
        }
        Conn::Postgres(_) => Ok(None),
    }
}

#[derive(QueryableByName)]
struct Time {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    milliseconds: i64,
}

/// The time by the clock of the database's machine; `None` on SQLite, whose machine is ours.
pub fn time(conn: &mut Conn) -> QueryResult<Option<DateTime<Utc>>> {
    match conn {
        Conn::Sqlite(_) => Ok(None),
        Conn::Postgres(c) => {
            let time = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS milliseconds";
            let time: Time = diesel::sql_query(time).get_result(c)?;
            Ok(DateTime::from_timestamp_millis(time.milliseconds))
        }
    }
}

#[derive(QueryableByName)]
struct Rows {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    rows: i64,
}

/// How many rows Postgres thought a table had when it last analyzed it, and 0 before the first time, without reading the table;
/// `None` on SQLite, which counts fast enough.
pub fn estimated_rows(conn: &mut Conn, table: &'static str) -> QueryResult<Option<i64>> {
    match conn {
        Conn::Sqlite(_) => Ok(None),
        Conn::Postgres(c) => {
            let sql = format!(
                "SELECT CAST(greatest(reltuples, 0) AS BIGINT) AS rows FROM pg_class WHERE oid = CAST('{table}' AS REGCLASS)"
            );
            let Rows { rows } = diesel::sql_query(sql).get_result(c)?;
            Ok(Some(rows))
        }
    }
}

/// The channel on which followers are woken.
pub const CHANNEL: &str = "keystead_key_changes";

/// How long the answer to a change waits for a server that does not say whether it has taken the notification.
const NOTIFY_LIMIT: Duration = Duration::from_millis(500);

/// Wakes the followers of other nodes after the commit of a change. A mere wake-up: they ask in any case.
///
/// Not in the change's own transaction: when the cluster's queue of notifications is full, which a listener of another
/// database can bring about, COMMIT fails, and no key could be revoked. All transactions that notify commit one after another,
/// so it waits for those before it, but not for long, and then for no disk.
pub fn notify_followers(conn: &mut Conn) {
    let Conn::Postgres(_) = conn else { return };
    // Without a BEGIN the whole message is one transaction, so nothing is left open when it fails.
    let notify = format!("SET LOCAL lock_timeout = '100ms'; SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}");
    if let Err(error) = within(conn, NOTIFY_LIMIT, |conn| conn.batch_execute(&notify)) {
        tracing::debug!(%error, "no notification could be sent; the other nodes find the change when they ask");
    }
}

/// Does this with no longer a wait for each answer than `limit` (Postgres; SQLite has limits of its own).
pub fn within<T>(conn: &mut Conn, limit: Duration, work: impl FnOnce(&mut Conn) -> T) -> T {
    let Conn::Postgres(c) = conn else { return work(conn) };
    let usual = c.limit();
    c.set_limit(limit.min(usual));
    let done = work(conn);
    if let Conn::Postgres(c) = conn {
        c.set_limit(usual);
    }
    done
}

/// Any statements, for tests of other modules.
#[cfg(test)]
pub fn execute_for_test(conn: &mut Conn, sql: &str) {
    SimpleConnection::batch_execute(conn, sql).unwrap();
}
