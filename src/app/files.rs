//! The data directory and the files of a SQLite database: made, locked, and free of what is another database's.

use std::{os::unix::fs::DirBuilderExt, path::Path};

use super::start_error::StartError;
use crate::{
    config::{Config, DatabaseUrl},
    private_file,
    store::{
        database_lock::{DatabaseLock, LockError},
        file_mark::{self, wal_length},
    },
};

pub(super) fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StartError::DataDir(path.to_owned(), error))
}

/// Made here and not by SQLite, so that only its owner can read it; SQLite gives its other files the same mode.
pub(super) fn make_database_file(path: &Path) -> Result<(), StartError> {
    private_file::make(path).map_err(|error| StartError::DatabaseFile(path.to_owned(), error))?;
    for end in ["", "-wal", "-shm", "-journal"] {
        let file = private_file::beside(path, end);
        private_file::check_if_there(&file).map_err(|error| StartError::DatabaseFile(file.clone(), error))?;
        private_file::mend_mode(&file)?;
    }
    Ok(())
}

/// Puts the `-wal` aside that a killed server left, if the file beside it is not the one that it belongs to. While a server
/// runs, that is for the server to see.
///
/// # Errors
/// [`StartError`] when the files cannot be read or renamed.
pub fn set_foreign_wal_aside(config: &Config) -> Result<(), StartError> {
    match &config.database {
        DatabaseUrl::Sqlite(path) if wal_length(path) > 0 => {}
        _ => return Ok(()),
    }
    match lock_database(config) {
        Err(StartError::Lock(LockError::Taken(_))) => Ok(()),
        Err(error) => Err(error),
        Ok(_lock) => set_aside(config),
    }
}

/// To be called with the lock.
pub(super) fn set_aside(config: &Config) -> Result<(), StartError> {
    let DatabaseUrl::Sqlite(path) = &config.database else { return Ok(()) };
    let aside =
        file_mark::set_foreign_wal_aside(path).map_err(|error| StartError::DatabaseFile(path.clone(), error))?;
    if let Some(aside) = aside {
        tracing::warn!(
            "{}-wal belonged to another file than {} (a backup was copied over it?); it was set aside as {}, and the database is \
             what the file holds; the next time stop the server and use keystead restore",
            path.display(),
            path.display(),
            aside.display()
        );
    }
    Ok(())
}

/// Takes the lock of a server on the SQLite file, which is made if there is none.
///
/// # Errors
/// [`StartError::Lock`] while another one has it.
pub fn lock_database(config: &Config) -> Result<Option<DatabaseLock>, StartError> {
    let DatabaseUrl::Sqlite(path) = &config.database else { return Ok(None) };
    make_data_dir(&config.data_dir)?;
    make_database_file(path)?;
    Ok(Some(DatabaseLock::take(path)?))
}
