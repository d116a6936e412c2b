//! Migrations: run at every start, in order, by one node at a time, all of them or none.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use diesel::{
    Connection,
    migration::{MigrationSource, MigrationVersion},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    Conn, StoreError, audit_events, dialect, error::Fault, generations, nodes, pg, transaction::in_transaction,
};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The oldest SQLite without the WAL-reset corruption (<https://sqlite.org/wal.html#walresetbug>).
const SQLITE_FLOOR: [u32; 3] = [3, 51, 3];

/// How long the schema is tried to be changed while others hold locks on its tables (Postgres): longer than any transaction
/// of ours.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries, when everybody who waited behind the migration goes first.
const PAUSE: Duration = Duration::from_secs(1);

/// `insufficient_privilege`
const MAY_NOT: &str = "42501";

/// Why the database cannot be brought to this program's schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program was here, and took away what this one uses.
    #[error(
        "the database has schema {version}, and a newer version of keystead took away what this one uses (this is generation \
         {own}, the database is for {oldest} and later); run the newer version, or restore the backup from before it",
        own = generations::OWN
    )]
    Newer {
        /// The newest migration in it.
        version: String,
        /// The oldest generation of programs that may use it.
        oldest: i64,
    },
    /// Nodes run that use what would be taken away.
    #[error(
        "the schema is not up to date, and would take something away that nodes of an older version use, which run now ({0}); \
         nothing was changed. Stop these nodes, or wait a minute if they were killed, and start again"
    )]
    InUse(String),
    /// Others hold locks on tables that have to be changed.
    #[error(
        "the schema is not up to date, and for {seconds} s it could not be changed: others hold locks on its tables ({holders}); \
         nothing was changed. Wait until they have ended, or end them with pg_terminate_backend, and start again"
    )]
    Locked {
        /// How long it was tried.
        seconds: u64,
        /// Who they are, as Postgres shows it.
        holders: String,
    },
    /// Another program made with Diesel keeps its list of migrations here, under the same name.
    #[error(
        "the database belongs to another program (its table __diesel_schema_migrations has {0}, and there are no tables of keystead); make a database of its own for keystead"
    )]
    Foreign(String),
    /// Names would fail one by one, later.
    #[error(
        "the database stores text as {0}, and keystead needs UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    )]
    Encoding(String),
    /// The role may not create tables.
    #[error(
        "the schema is not up to date, and this role may not change it ({0}); run `keystead migrate` as a role that may"
    )]
    Forbidden(String),
    /// A migration failed and was rolled back.
    #[error("a migration failed and was rolled back: {0}")]
    Failed(String),
    /// The bundled SQLite is older than the program was tested with.
    #[error("SQLite {0} can corrupt a database; build with the bundled library")]
    OldSqlite(String),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What [`run`] has done and found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that ran.
    pub ran: usize,
    /// The newest migration in the database, if this program does not know it and may go on all the same.
    pub newer: Option<String>,
}

/// Brings the schema up to date.
///
/// # Errors
/// [`MigrationError`]; nothing is half migrated.
pub fn run(conn: &mut Conn) -> Result<Migrated, MigrationError> {
    run_within(conn, PATIENCE)
}

/// The same, giving up after a time when others hold locks that it needs. It waits for each lock no longer than
/// [`dialect::TABLE_LOCK_TIMEOUT`] at a time: whoever comes after it to the same table waits behind it, verification's
/// follower too.
///
/// # Errors
/// As [`run`].
pub fn run_within(conn: &mut Conn, patience: Duration) -> Result<Migrated, MigrationError> {
    match conn {
        Conn::Sqlite(_) => run_from(conn, || SQLITE, patience),
        Conn::Postgres(_) => run_from(conn, || POSTGRES, patience),
    }
}

/// The same with these migrations, which are this program's, or those of a newer one that a test makes up.
///
/// # Errors
/// As [`run`].
pub fn run_from<S>(conn: &mut Conn, migrations: impl Fn() -> S, patience: Duration) -> Result<Migrated, MigrationError>
where
    S: MigrationSource<<Conn as Connection>::Backend>,
{
    check_database(conn)?;
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        let result = in_transaction(conn, |conn| {
            dialect::wait_for_other_migrations(conn).map_err(StoreError::from)?;
            run_all(conn, migrations())
        });
        if !matches!(result, Err(MigrationError::Store(StoreError::Fault(Fault::Busy, _)))) {
            return result;
        }
        // SQLite has waited in `busy_timeout`.
        let Some(holders) = dialect::lock_holders(conn).map_err(StoreError::from)? else { return result };
        if begun.elapsed() >= patience {
            return Err(MigrationError::Locked { seconds: begun.elapsed().as_secs(), holders });
        }
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(
                holders,
                "the schema cannot be changed while others hold locks on its tables; it is tried for {} s, and others may go \
                 on in between",
                patience.as_secs()
            );
        }
        sleep(PAUSE);
    }
}

/// What cannot be mended by any migration.
fn check_database(conn: &mut Conn) -> Result<(), MigrationError> {
    if let Some(version) = dialect::sqlite_version(conn).map_err(StoreError::from)?
        && version.split('.').filter_map(|part| part.parse().ok()).collect::<Vec<u32>>().as_slice()
            < SQLITE_FLOOR.as_slice()
    {
        return Err(MigrationError::OldSqlite(version));
    }
    if dialect::has_stable_plans(conn).map_err(StoreError::from)? == Some(false) {
        tracing::warn!(
            "SQLite was built without SQLITE_ENABLE_QPSG: every page costs more. Build in the source folder, whose .cargo/config.toml sets it"
        );
    }
    match dialect::foreign_encoding(conn).map_err(StoreError::from)? {
        Some(encoding) => Err(MigrationError::Encoding(encoding)),
        None => Ok(()),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn failed(error: Failure) -> MigrationError {
    match sort(&*error) {
        Some(fault) => MigrationError::Store(fault),
        None if pg::sql_state(&error.to_string()) == Some(MAY_NOT) => MigrationError::Forbidden(error.to_string()),
        None => MigrationError::Failed(error.to_string()),
    }
}

fn run_all(
    conn: &mut Conn,
    migrations: impl MigrationSource<<Conn as Connection>::Backend>,
) -> Result<Migrated, MigrationError> {
    let newer = find_newer(conn)?;
    let ran = conn.run_pending_migrations(migrations).map_err(failed)?.len();
    if ran > 0 {
        let oldest = generations::oldest(conn)?;
        let in_use = nodes::older_than(conn, oldest)?;
        if !in_use.is_empty() {
            return Err(MigrationError::InUse(in_use.join(", ")));
        }
    }
    audit_events::number_all(conn)?;
    Ok(Migrated { ran, newer })
}

/// The newest migration in a database that has some, if this program does not know it.
fn find_newer(conn: &mut Conn) -> Result<Option<String>, MigrationError> {
    let applied: Vec<String> =
        conn.applied_migrations().map_err(failed)?.iter().map(MigrationVersion::to_string).collect();
    let known = known()?;
    let Some(newest) = applied.iter().filter(|version| !known.contains(version)).max() else { return Ok(None) };
    if !applied.iter().any(|version| known.contains(version)) {
        return Err(MigrationError::Foreign(newest.clone()));
    }
    let oldest = generations::oldest(conn)?;
    if oldest > generations::OWN {
        return Err(MigrationError::Newer { version: newest.clone(), oldest });
    }
    Ok(Some(newest.clone()))
}

/// Both databases have the same.
fn known() -> Result<Vec<String>, MigrationError> {
    let own = MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE).map_err(failed)?;
    Ok(own.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// How a database's schema stands to this program.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none yet.
    Missing,
    /// This program's own.
    Current,
    /// So many migrations will run at the next start.
    Behind(usize),
    /// A newer program's, with this newest migration; this one may go on.
    Newer(String),
}

/// Looks how the schema stands, and changes nothing.
///
/// # Errors
/// [`MigrationError`] when this program could not use the database.
pub fn look(conn: &mut Conn) -> Result<Standing, MigrationError> {
    check_database(conn)?;
    if !dialect::has_migrations(conn).map_err(StoreError::from)? {
        return Ok(Standing::Missing);
    }
    if let Some(version) = find_newer(conn)? {
        return Ok(Standing::Newer(version));
    }
    let applied = conn.applied_migrations().map_err(failed)?.len();
    Ok(match known()?.len().saturating_sub(applied) {
        0 => Standing::Current,
        pending => Standing::Behind(pending),
    })
}

/// The first of these migrations that this program does not know.
pub fn unknown_of<'a>(mut applied: impl Iterator<Item = &'a str>) -> Option<String> {
    let known = known().unwrap_or_default();
    applied.find(|version| !known.iter().any(|own| own == version)).map(str::to_owned)
}

/// A locked or full database is a fault like any other, not a broken migration.
fn sort(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<StoreError> {
    let words = error.to_string();
    match StoreError::from(diesel::result::Error::QueryBuilderError(words.into())) {
        StoreError::Fault(Fault::Other, _) | StoreError::Unique => None,
        fault => Some(fault),
    }
}
