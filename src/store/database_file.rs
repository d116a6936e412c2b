//! Notices when the SQLite file is gone or overwritten.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use diesel::{prelude::*, sql_query, sql_types::BigInt};

use super::{
    Conn, StoreError, connection::establish_sqlite, error::Fault, file_mark::FileMark, transaction::in_transaction,
};
use crate::private_file::{beside, open};

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
        let found = identity(path).map_err(fault)?;
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
        self.try_checkpoint(FileMark::checkpoint_if_due);
    }

    /// Goes on with what a reader has held up.
    pub fn finish_checkpoint(&self) {
        self.try_checkpoint(FileMark::finish);
    }

    /// Brings everything into the file, when nobody writes any more.
    pub fn close(&self) {
        if let Some(mark) = self.mark.get() {
            mark.close();
        }
    }

    /// After a COMMIT that SQLite could not write or sync: makes sure that the change is not made. SQLite's log may hold all of it,
    /// which the next start would take for committed, or nothing that counts; Diesel does not say which of the two failed.
    /// When the disk does not do this either, the process ends.
    pub fn take_back_failed_commit(&self, words: &str) {
        match self.check().and_then(|()| end_log_at_last_commit(&self.path)) {
            Ok(()) => tracing::warn!(error = words, "a change could not be written to the disk; it was taken back"),
            Err(error) => end_process(&format!("{words}; {error}")),
        }
    }

    fn try_checkpoint(&self, what: impl FnOnce(&FileMark) -> Result<(), StoreError>) {
        let Some(mark) = self.mark.get() else { return };
        let Err(error) = what(mark) else { return };
        if error.to_string().contains("disk I/O error")
            && let Err(unsure) = mark.sync().and_then(|()| end_log_at_last_commit(&self.path))
        {
            end_process(&format!("{error}; {unsure}"));
        }
        tracing::warn!(%error, "the write-ahead log could not be brought into the database; it grows");
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

/// Ends the process when the disk does not take SQLite's log: the log may hold a commit in the kernel's memory and not on
/// the disk, and the next fsync would say "done" all the same. Nothing is acknowledged from here on; the next start reads
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
    in_transaction(conn, |_| match open_log(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        log => log.and_then(|log| rewrite(&log)).map_err(fault),
    })
}

/// The header of the log, and of each page in it (<https://sqlite.org/walformat.html>).
const LOG_HEADER: u64 = 32;
const PAGE_HEADER: u64 = 24;

#[derive(QueryableByName)]
struct Log {
    #[diesel(sql_type = BigInt)]
    log: i64,
}

#[derive(QueryableByName)]
struct Page {
    #[diesel(sql_type = BigInt)]
    page_size: i64,
}

/// Writes the log again and syncs it, and cuts off what stands after the last commit.
///
/// What counts is in the index that the connections share: it says nothing of a commit that failed. Nobody reads what stands
/// behind, and nobody writes there while this holds the lock for writing.
fn end_log_at_last_commit(path: &Path) -> Result<(), StoreError> {
    // SQLite answers this question to nobody who is in a transaction.
    let mut asking = establish_sqlite(path)?;
    let mut holding = Conn::Sqlite(establish_sqlite(path)?);
    in_transaction(&mut holding, |_| {
        let Log { log } = sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(&mut asking)?;
        let Page { page_size } = sql_query("PRAGMA page_size").get_result(&mut asking)?;
        let (Ok(pages), Ok(page_size)) = (u64::try_from(log), u64::try_from(page_size)) else {
            return Err(fault(io::Error::other("there is no write-ahead log")));
        };
        // A log that was begun anew has a header that may not be whole, and SQLite writes it once more.
        let end = if pages == 0 { 0 } else { LOG_HEADER + pages * (PAGE_HEADER + page_size) };
        let cut = |log: File| {
            if log.metadata()?.len() < end {
                return Err(io::Error::other("the write-ahead log is shorter than what was committed"));
            }
            // First: of a disk that does not take it nothing is known, and the next start decides from what is there.
            rewrite(&log)?;
            log.set_len(end)?;
            log.sync_all()
        };
        open_log(path).and_then(cut).map_err(fault)
    })
}

fn open_log(path: &Path) -> io::Result<File> {
    open(&beside(path, "-wal"), OpenOptions::new().read(true).write(true))
}

fn fault(error: io::Error) -> StoreError {
    StoreError::Fault(Fault::Unreachable, error.to_string())
}

fn rewrite(file: &File) -> io::Result<()> {
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

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;

    use super::*;

    /// Its own test of a log that is there needs a disk that fails: `tests/it/store/failed_sync.rs`.
    #[test]
    fn a_log_that_is_not_there_need_not_be_written_and_one_that_cannot_be_opened_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let mut conn = Conn::Sqlite(SqliteConnection::establish(":memory:").unwrap());
        write_log_again(&mut conn, &path).unwrap();
        std::fs::create_dir(beside(&path, "-wal")).unwrap();
        assert!(write_log_again(&mut conn, &path).is_err());
    }

    #[test]
    fn what_is_written_comes_into_the_file_when_it_is_much_when_its_reader_is_gone_and_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keystead.db");
        let connect = || establish_sqlite(&path).unwrap();
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let (mut conn, mut reader) = (connect(), connect());
        conn.batch_execute("CREATE TABLE things (thing BLOB)").unwrap();
        let file = DatabaseFile::open(&path).unwrap();
        file.begin_marks().unwrap();
        let mut write = || conn.batch_execute("INSERT INTO things VALUES (zeroblob(5000000))").unwrap();
        write();
        file.finish_checkpoint();
        assert!(length(&path) < 5_000_000, "no checkpoint was held up");
        file.checkpoint_if_due();
        assert!(length(&path) > 5_000_000);
        reader.batch_execute("BEGIN; SELECT count(*) FROM things").unwrap();
        write();
        file.checkpoint_if_due();
        assert!(length(&path) < 10_000_000, "somebody reads as it was before");
        reader.batch_execute("ROLLBACK").unwrap();
        file.finish_checkpoint();
        assert!(length(&path) > 10_000_000);
        assert!(length(&beside(&path, "-wal")) > 0);
        file.close();
        assert_eq!((length(&beside(&path, "-wal")), length(&beside(&path, ".mark"))), (0, 0));
    }
}
