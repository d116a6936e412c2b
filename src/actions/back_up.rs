//! Back up a SQLite database into one file, while a server uses it or not.

use std::path::Path;

use crate::{
    app::{self, StartError},
    config::{Config, DatabaseUrl},
    store::backup::{self, BackupError},
};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackUpError {
    /// Postgres has its own tools.
    #[error(
        "the database is Postgres, which backs itself up: pg_dump --format=custom --file=FILE \"$DATABASE_URL\" \
         (docs/operations.md)"
    )]
    Postgres,
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Backs up; how many keys are in the copy.
///
/// # Errors
/// See [`BackUpError`]; then there is no such file.
pub fn back_up(config: &Config, to: &Path) -> Result<i64, BackUpError> {
    let DatabaseUrl::Sqlite(database) = &config.database else { return Err(BackUpError::Postgres) };
    app::set_foreign_wal_aside(config)?;
    Ok(backup::make(database, to)?.keys)
}
