//! Migrations: run at every start, in order, by one node at a time, all of them or none.

use diesel::migration::MigrationVersion;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Conn, StoreError, dialect, error::Fault, pg, transaction::in_transaction};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The oldest SQLite without the WAL-reset corruption (<https://sqlite.org/wal.html#walresetbug>).
const SQLITE_FLOOR: [u32; 3] = [3, 51, 3];

/// `insufficient_privilege`
const MAY_NOT: &str = "42501";

/// Why the database cannot be brought to this program's schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program was here.
    #[error("the database has schema {0}, which this version of keystead does not know; run the newer version")]
    Newer(String),
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

/// Brings the schema up to date; how many migrations ran.
///
/// # Errors
/// [`MigrationError`]; nothing is half migrated.
pub fn run(conn: &mut Conn) -> Result<usize, MigrationError> {
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
    if let Some(encoding) = dialect::foreign_encoding(conn).map_err(StoreError::from)? {
        return Err(MigrationError::Encoding(encoding));
    }
    in_transaction(conn, |conn| {
        dialect::wait_for_other_migrations(conn).map_err(StoreError::from)?;
        match conn {
            Conn::Sqlite(_) => run_all(conn, SQLITE),
            Conn::Postgres(_) => run_all(conn, POSTGRES),
        }
    })
}

fn run_all(conn: &mut Conn, migrations: EmbeddedMigrations) -> Result<usize, MigrationError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| match sort(&*error) {
        Some(fault) => MigrationError::Store(fault),
        None if pg::sql_state(&error.to_string()) == Some(MAY_NOT) => MigrationError::Forbidden(error.to_string()),
        None => MigrationError::Failed(error.to_string()),
    };
    let known: Vec<String> = diesel::migration::MigrationSource::<diesel::pg::Pg>::migrations(&migrations)
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = conn.applied_migrations().map_err(failed)?;
    let is_known = |version: &MigrationVersion<'_>| known.contains(&version.to_string());
    if let Some(unknown) = applied.iter().find(|version| !is_known(version)) {
        if !applied.iter().any(is_known) {
            return Err(MigrationError::Foreign(unknown.to_string()));
        }
        return Err(MigrationError::Newer(unknown.to_string()));
    }
    Ok(conn.run_pending_migrations(migrations).map_err(failed)?.len())
}

/// The first of these migrations that this program does not know.
pub fn unknown_of<'a>(mut applied: impl Iterator<Item = &'a str>) -> Option<String> {
    let known = diesel::migration::MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE).unwrap_or_default();
    applied.find(|version| !known.iter().any(|own| own.name().version().to_string() == **version)).map(str::to_owned)
}

/// A locked or full database is a fault like any other, not a broken migration.
fn sort(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<StoreError> {
    let words = error.to_string();
    match StoreError::from(diesel::result::Error::QueryBuilderError(words.into())) {
        StoreError::Fault(Fault::Other, _) | StoreError::Unique => None,
        fault => Some(fault),
    }
}
