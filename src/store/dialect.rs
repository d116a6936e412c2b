//! Every statement that differs between SQLite and Postgres, and the one way to write a query text once for both.

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    prelude::*,
};

use super::connection::Conn;

/// Expands one Diesel query into both arms of [`Conn`]: for the few things (`ON CONFLICT`, batches) that Diesel's
/// `MultiConnection` cannot build for a backend it does not know yet.
macro_rules! on {
    ($connection:expr, $c:ident => $query:expr) => {
        match $connection {
            $crate::store::connection::Conn::Postgres($c) => $query,
            $crate::store::connection::Conn::Sqlite($c) => $query,
        }
    };
}

/// Settings of a SQLite connection. `busy_timeout` stands first, so that the others wait for a lock too.
/// `synchronous = FULL`: with NORMAL a power cut may take back a commit, and a lost revoke is a key come back to life.
pub const SQLITE_SETTINGS: &str = "
    PRAGMA busy_timeout = 4000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -1024;
";

/// Settings of a Postgres connection: a statement that waits longer than this for a lock is a fault, not a hang.
pub const POSTGRES_SETTINGS: &str = "SET lock_timeout = '4s'; SET statement_timeout = '10s'";

/// Serializes nodes that start at once: without it 45 of 60 starts failed on racing migrations.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_lock(7306386)";
const MIGRATION_UNLOCK: &str = "SELECT pg_advisory_unlock(7306386)";

/// Begins a transaction that will write. SQLite takes its write lock at once: a transaction that reads first and
/// writes later fails as soon as another one wrote in between.
pub fn begin_write(conn: &mut Conn) -> QueryResult<()> {
    match conn {
        Conn::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
        Conn::Postgres(_) => <Conn as Connection>::TransactionManager::begin_transaction(conn),
    }
}

/// Runs `work` while no other node runs its own.
pub fn with_migration_lock<T>(conn: &mut Conn, work: impl FnOnce(&mut Conn) -> T) -> QueryResult<T> {
    if let Conn::Postgres(c) = conn {
        c.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0")?;
        c.batch_execute(MIGRATION_LOCK)?;
    }
    let result = work(conn);
    if let Conn::Postgres(c) = conn {
        c.batch_execute(MIGRATION_UNLOCK)?;
        c.batch_execute(POSTGRES_SETTINGS)?;
    }
    Ok(result)
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
