//! Two servers on one SQLite file would each believe to be the only one, so that a key revoked by one would be good at the
//! other for a moment. A server holds these locks as long as it runs.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::private_file::{beside, give_to_owner_of, whose};

/// The locks of a running server on its SQLite file; they end with the process, however it ends.
#[derive(Debug)]
pub struct DatabaseLock {
    /// On the file itself (Linux). It holds when the file beside it was removed, and by any name: a hard link is the same
    /// file.
    ///
    /// Trap: this descriptor must stay open as long as SQLite has the file open. SQLite locks by `fcntl`, and whoever closes
    /// *any* descriptor of a file takes away all such locks of his process on it. `flock`, which is used here, knows nothing
    /// of them on Linux; elsewhere the two get in each other's way.
    _database: Option<File>,
    /// On a file beside it. It holds when another file was put in the database's place.
    _beside: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another keystead server is running on {0}; stop it first, or use Postgres for several nodes")]
    Taken(PathBuf),
    /// A file cannot be opened or locked.
    #[error("cannot lock {0}: {1}{whose}", whose = whose(.0, .1))]
    Failed(PathBuf, std::io::Error),
}

impl DatabaseLock {
    /// Locks this database, which exists, against any other server.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(path: &Path) -> Result<Self, LockError> {
        // By its real name: through a link it would be another lock.
        let real = path.canonicalize().map_err(|error| LockError::Failed(path.to_owned(), error))?;
        // Its owner's alone: whoever can open it can hold the lock.
        let mut how = OpenOptions::new();
        how.write(true).create(true).truncate(true).mode(0o600);
        let _beside = lock(path, &beside(&real, ".lock"), &how)?;
        give_to_owner_of(&real, &beside(&real, ".lock"));
        let _database = match cfg!(target_os = "linux") {
            true => Some(lock(path, &real, OpenOptions::new().read(true).write(true))?),
            false => None,
        };
        Ok(Self { _database, _beside })
    }
}

fn lock(database: &Path, path: &Path, how: &OpenOptions) -> Result<File, LockError> {
    let failed = |error| LockError::Failed(path.to_owned(), error);
    let file = how.open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken(database.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
