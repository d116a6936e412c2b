//! Why the application cannot start.

use std::{io, path::PathBuf};

use crate::{
    pepper_file::PepperError,
    private_file::{LooseFile, whose},
    revocation_log::RevocationLogError,
    store::{
        StoreError, connection::DatabaseUrl, database_lock::LockError, migrations::MigrationError, revived::Revived,
    },
    supervision::{NO_THREAD, NotDone},
};

/// Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot make the data directory {0}: {1}")]
    DataDir(PathBuf, io::Error),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    LooseFile(#[from] LooseFile),
    #[error("cannot open {0}: {1}{whose}", whose = whose(.0, .1))]
    DatabaseFile(PathBuf, io::Error),
    #[error("cannot open the database {0:?}: {1}")]
    Database(DatabaseUrl, StoreError),
    #[error("the database {0:?} cannot be used: {1}")]
    Migration(DatabaseUrl, MigrationError),
    #[error(transparent)]
    Pepper(#[from] PepperError),
    #[error(
        "the pepper file {0} is missing, but the database was made with one; restore it (keys cannot be verified without it)"
    )]
    PepperMissing(PathBuf),
    #[error(transparent)]
    RevocationLog(#[from] RevocationLogError),
    /// With where the log is. Nobody but an operator can say whether the database went back in time on purpose.
    #[error(
        "the database is older than {1} (a backup, or a standby that had missed changes): {0} would work again, so nothing was \
         changed. Say which revocations are kept, with the settings of this server: keystead restore --accept \
         (all of them; with `none` they are given up). Then start the server, which with KEYSTEAD_OLDER_DATABASE=accept does the first by \
         itself"
    )]
    OlderDatabase(Revived, PathBuf),
    /// For a command that does not make one.
    #[error(
        "there is no database of keystead at {0:?}; is this the data directory of the server (KEYSTEAD_DATA_DIR, DATABASE_URL)?"
    )]
    NoDatabase(DatabaseUrl),
    /// For a command that does not change it.
    #[error("the schema of {0:?} is an older version's: start the server of this version, or run keystead migrate")]
    OldSchema(DatabaseUrl),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("the pepper in {0} is not the one this database was made with; use the right file")]
    WrongPepper(PathBuf),
}

impl StartError {
    /// Why something of the start was not done on a thread of its own.
    pub(super) fn not_done<F>(error: NotDone<F>) -> Self {
        Self::Thread(io::Error::other(match error {
            NotDone::NoThread(_) => NO_THREAD.to_owned(),
            NotDone::Cancelled => "the program ends".to_owned(),
            NotDone::Panicked(words) => words,
        }))
    }
}
