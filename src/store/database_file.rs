//! Notices when the SQLite file is gone or overwritten.

use std::{
    fs::OpenOptions,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{Conn, StoreError, error::Fault, file_mark::FileMark, transaction::in_transaction};

/// `sysexits.h`: an error occurred while doing I/O on some file.
const EX_IOERR: i32 = 74;

/// The file SQLite was opened on.
///
/// Trap: in WAL mode SQLite goes on writing to a file that was removed or replaced, and every commit succeeds into
/// nothing. So each use asks whether the path still names this file (about 1 µs).
pub struct DatabaseFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
    /// Of a server's file; a command that is done in a moment has none.
    mark: OnceLock<FileMark>,
}

impl DatabaseFile {
    /// Remembers which file the path names now.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let found = identity(path).map_err(|error| StoreError::Fault(Fault::Unreachable, error.to_string()))?;
        Ok(Self { path: path.to_owned(), device_and_inode: found, mark: OnceLock::new() })
    }

    /// Marks the file from now on, as the only server that writes to it (`file_mark.rs`).
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read or written.
    pub fn begin_marks(&self) -> Result<(), StoreError> {
        let mark = FileMark::begin(&self.path)?;
        let _ = self.mark.set(mark);
        Ok(())
    }

    /// Brings what was written into the file, if it is much. To be called after a commit.
    pub fn checkpoint_if_due(&self) {
        self.tell(FileMark::checkpoint_if_due);
    }

    /// Goes on with what a reader has held up.
    pub fn finish_checkpoint(&self) {
        self.tell(FileMark::finish);
    }

    /// Brings everything into the file, when nobody writes any more.
    pub fn close(&self) {
        if let Some(mark) = self.mark.get() {
            mark.close();
        }
    }

    fn tell(&self, what: impl FnOnce(&FileMark) -> Result<(), StoreError>) {
        match self.mark.get().map_or(Ok(()), what) {
            Ok(()) => {}
            // The kernel may have dropped what it could not write; a second try would find nothing wrong.
            Err(StoreError::Fault(Fault::Unreachable, words)) if words.contains("disk I/O error") => {
                end_process(&words)
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be brought into the database; it grows")
            }
        }
    }

    /// Whether the path still names it, and nobody has written over it.
    ///
    /// # Errors
    /// A fault when it does not.
    pub fn check(&self) -> Result<(), StoreError> {
        let fault = |words: String| Err(StoreError::Fault(Fault::Unreachable, words));
        match identity(&self.path) {
            Ok(found) if found == self.device_and_inode => self.mark.get().map_or(Ok(()), FileMark::check),
            Ok(_) => fault(format!("{} was replaced while the server ran; restart it", self.path.display())),
            Err(error) => fault(format!("{}: {error}", self.path.display())),
        }
    }
}

/// Ends the process after a commit that SQLite could not write or sync: the log may hold it in the kernel's memory and not
/// on the disk, and the next fsync would say "done" all the same. Nothing is acknowledged from here on; the next start reads
/// what the file holds.
pub fn end_process(words: &str) -> ! {
    const WHY: &str = "the database could not be written to the disk, so it is not known whether the last change was \
        saved; keystead ends, and decides from the file when it is started again";
    tracing::error!(error = words, "{WHY}");
    std::process::exit(EX_IOERR)
}

/// Writes SQLite's log once more, as it is, and syncs it. After an fsync that failed, the kernel shows what it could not
/// write as if it were on the disk, and never tries again: a change found in such a log would be lost with the power.
///
/// In a transaction, so that no other process writes to the log meanwhile.
///
/// # Errors
/// When the log cannot be read, written or synced.
pub fn write_log_again(conn: &mut Conn, path: &Path) -> Result<(), StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    in_transaction(conn, |_| rewrite(Path::new(&log)).map_err(|e| StoreError::Fault(Fault::Unreachable, e.to_string())))
}

fn rewrite(path: &Path) -> std::io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&buffer[..read], at)?;
        at += read as u64;
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}
