//! Notices when the SQLite file is gone.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{StoreError, error::Fault};

/// The file SQLite was opened on.
///
/// Trap: in WAL mode SQLite goes on writing to a file that was removed or replaced, and every commit succeeds into
/// nothing. So each use asks whether the path still names this file (about 1 µs).
pub struct DatabaseFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl DatabaseFile {
    /// Remembers which file the path names now.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let found = identity(path).map_err(|error| StoreError::Fault(Fault::Unreachable, error.to_string()))?;
        Ok(Self { path: path.to_owned(), device_and_inode: found })
    }

    /// Whether the path still names it.
    ///
    /// # Errors
    /// A fault when it does not.
    pub fn check(&self) -> Result<(), StoreError> {
        let fault = |words: String| Err(StoreError::Fault(Fault::Unreachable, words));
        match identity(&self.path) {
            Ok(found) if found == self.device_and_inode => Ok(()),
            Ok(_) => fault(format!("{} was replaced while the server ran; restart it", self.path.display())),
            Err(error) => fault(format!("{}: {error}", self.path.display())),
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
