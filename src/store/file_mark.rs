//! Tells a `-wal` file that belongs to its database from one that lies beside another, and a database file that we wrote
//! from one that was overwritten.
//!
//! SQLite cannot: it plays back whatever `-wal` lies beside a file. A backup that was copied over `keystead.db` after a
//! crash becomes a mixture of both databases, or malformed. So the database carries a mark, `PRAGMA user_version`, which
//! stands at a fixed place of the file's first page. Just before a checkpoint a new one is written, which the checkpoint
//! brings into the file, and just after it another one, which waits in the `-wal`. `keystead.db.mark` says which marks the file
//! may have for its `-wal` to belong to it. A backup of whatever time has another one.
//!
//! That is why every checkpoint of a server is made here: `wal_autocheckpoint` is off (`docs/decisions/0026-backups.md`).

mod allowed;
mod mark;
mod other_programs;
mod wal;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use allowed::Marks;
pub use allowed::set_foreign_wal_aside;
use diesel::{connection::SimpleConnection, prelude::*};
pub use mark::mark_anew;
use wal::Salts;

use super::{StoreError, connection::establish_sqlite, error::Fault};
use crate::private_file::{beside, is_named};

/// Pages in the `-wal` file that are not in the database yet, before they are brought there: as many as SQLite waits for.
const PAGES: i64 = 1000;
/// How often the first checkpoint is tried, and how long it waits for readers in between.
const AT_FIRST: usize = 100;
const AGAIN: Duration = Duration::from_millis(5);
/// How often the file is looked at before it is another, and how long after one another: of a page that is just being written,
/// half may be read.
const LOOKS: usize = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The mark of a database file while a server writes to it.
pub struct FileMark {
    path: PathBuf,
    /// The marks that the file may have: thrice the same, but while a checkpoint is not done.
    allowed: [AtomicU32; 3],
    is_overwritten: AtomicBool,
    /// Whether a checkpoint was begun that a reader has held up.
    is_unfinished: AtomicBool,
    state: Mutex<State>,
    /// Trap: to close any descriptor of the file ends the locks of every SQLite connection of this process. So it stays open
    /// until the last of them is closed, and is the last field.
    file: File,
}

struct State {
    /// Makes the checkpoints. As long as it is open, no other connection of this process is the last one, which would bring the
    /// `-wal` into whatever file lies there now.
    conn: Option<SqliteConnection>,
    /// The mark of the file after the last checkpoint.
    base: u32,
    /// The mark that was written after it, and waits in the `-wal`.
    newest: u32,
    /// Of the `-wal` in which it waits.
    salts: Salts,
    /// The mark that was written for the next one, and the one that is to follow.
    next: Option<[u32; 2]>,
    /// Whether the next write has to give the file another mark, because every copy of it has the newest one: another program
    /// made a checkpoint, or after ours no mark could be written.
    is_due: bool,
}

impl FileMark {
    /// Begins to mark a file on which this process has the only server. What lies in its `-wal` is brought into it.
    ///
    /// # Errors
    /// [`StoreError`] when the database or the file beside it cannot be read or written.
    pub fn begin(path: &Path) -> Result<Self, StoreError> {
        Self::begin_with(path, || std::thread::sleep(AGAIN))
    }

    /// `pause` is called before the first checkpoint is tried again.
    fn begin_with(path: &Path, mut pause: impl FnMut()) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(fault)?;
        let mut conn = establish_sqlite(path)?;
        let newest = mark::newest(&mut conn)?;
        let base = mark::of_file(&file).map_err(fault)?;
        let mark = Self {
            path: path.to_owned(),
            allowed: [base, newest, newest].map(AtomicU32::new),
            is_overwritten: AtomicBool::new(false),
            is_unfinished: AtomicBool::new(false),
            state: Mutex::new(State { conn: Some(conn), base, newest, next: None, salts: wal::NONE, is_due: false }),
            file,
        };
        // At once: a backup made before this start has the mark that the file has now. Readers are the other connections, which
        // make their settings.
        for _ in 0..AT_FIRST {
            mark.advance(&mut mark.state())?;
            if !mark.is_unfinished.load(Ordering::Relaxed) {
                break;
            }
            pause();
        }
        Ok(mark)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the file is still the one that this process writes.
    ///
    /// # Errors
    /// A fault from the moment it was overwritten. It stays one: connections may have read what lies there now, and remember
    /// it as if it were ours.
    pub fn check(&self) -> Result<(), StoreError> {
        self.check_with(|| std::thread::sleep(LOOK_AGAIN))
    }

    /// `pause` is called before each look but the first.
    fn check_with(&self, mut pause: impl FnMut()) -> Result<(), StoreError> {
        if !self.is_overwritten.load(Ordering::Relaxed) && self.is_ours()? {
            return Ok(());
        }
        // A checkpoint may have come in between; while this is held there is none of ours.
        let mut state = self.state();
        for look in 0..LOOKS {
            if self.is_overwritten.load(Ordering::Relaxed) {
                break;
            }
            if look > 0 {
                pause();
            }
            if self.is_still_ours(&mut state)? {
                return Ok(());
            }
        }
        self.is_overwritten.store(true, Ordering::Relaxed);
        let words = format!(
            "{} was overwritten while the server ran (a backup was copied into it?); stop the server, and the next time use \
             keystead restore",
            self.path.display()
        );
        Err(StoreError::Fault(Fault::Unreachable, words))
    }

    fn is_ours(&self) -> Result<bool, StoreError> {
        let found = mark::of_file(&self.file).map_err(fault)?;
        Ok(self.allowed.iter().any(|mark| mark.load(Ordering::SeqCst) == found))
    }

    /// Brings the `-wal` into the file if there is much in it. To be called by whoever has just written.
    ///
    /// # Errors
    /// [`StoreError`]; what was written is safe in the `-wal`, and the next call tries again.
    pub fn checkpoint_if_due(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let is_due = state.is_due;
        let Some(conn) = &mut state.conn else { return Ok(()) };
        if !is_due && wal::pages_waiting(conn)? < PAGES {
            return Ok(());
        }
        self.advance(&mut state)
    }

    /// Syncs the database file, after a checkpoint that failed. The kernel tells each descriptor once of a page that it could not
    /// write and may have dropped; this one has been open since the start. SQLite would not copy that page again.
    ///
    /// # Errors
    /// When something may be lost of the file.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        self.file.sync_all().map_err(fault)
    }

    /// Goes on with a checkpoint that a reader has held up, if there is one.
    ///
    /// # Errors
    /// As [`FileMark::checkpoint_if_due`].
    pub fn finish(&self) -> Result<(), StoreError> {
        if self.is_unfinished.load(Ordering::Relaxed) { self.advance(&mut self.state()) } else { Ok(()) }
    }

    /// A new mark, a checkpoint that brings it into the file, and another mark for what follows. Whenever the process ends,
    /// the file beside the database names the marks that it may have then.
    fn advance(&self, state: &mut State) -> Result<(), StoreError> {
        if !self.is_still_ours(state)? {
            return Ok(());
        }
        let Some(conn) = &mut state.conn else { return Ok(()) };
        let next = match state.next {
            Some(next) => next,
            None => {
                let next = [mark::random()?, mark::random()?];
                self.allow(Marks { allowed: [state.base, state.newest, next[0]], waiting: next[1], salts: wal::NONE })?;
                mark::write(conn, next[0])?;
                state.next = Some(next);
                next
            }
        };
        wal::checkpoint(conn)?;
        // A reader of an older moment holds it up: all of them stay possible.
        let is_unfinished = mark::of_file(&self.file).map_err(fault)? != next[0];
        self.is_unfinished.store(is_unfinished, Ordering::Relaxed);
        if is_unfinished { Ok(()) } else { self.mark_what_follows(state, next) }
    }

    /// After a checkpoint that brought a mark into the file: another one, which waits in the `-wal`.
    fn mark_what_follows(&self, state: &mut State, [brought, after]: [u32; 2]) -> Result<(), StoreError> {
        (state.base, state.newest, state.next, state.is_due) = (brought, brought, None, true);
        let Some(conn) = &mut state.conn else { return Ok(()) };
        mark::write(conn, after)?;
        state.newest = after;
        self.note_what_waits(state)
    }

    /// Brings everything into the file, and leaves nothing beside it that matters: whoever copies the file of a server that
    /// was stopped has the whole database. To be called last; of a file that is another's nothing is touched.
    pub fn close(&self) {
        let mut state = self.state();
        let is_ours = self.is_still_ours(&mut state).unwrap_or(false) && is_named(&self.path, &self.file);
        let Some(mut conn) = state.conn.take() else { return };
        let (newest, [next, _]) = (state.newest, state.next.unwrap_or([state.newest; 2]));
        let marks = Marks { allowed: [state.base, newest, next], waiting: newest, salts: wal::NONE };
        if !is_ours || self.allow(marks).is_err() {
            // Closing the last connection would bring our -wal into it.
            std::mem::forget(conn);
            return;
        }
        if let Err(error) = conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the write-ahead log stays beside the database until the next start");
        }
        drop(conn);
        if wal_length(&self.path) == 0 {
            let _ = fs::remove_file(beside(&self.path, ".mark"));
        }
    }

    fn allow(&self, marks: Marks) -> Result<(), StoreError> {
        marks.write(&self.path).map_err(fault)?;
        for (allowed, mark) in self.allowed.iter().zip(marks.allowed) {
            allowed.store(mark, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Drop for FileMark {
    fn drop(&mut self) {
        self.close();
    }
}

/// Bytes in the `-wal` of a database; 0 when there is none.
pub fn wal_length(path: &Path) -> u64 {
    fs::metadata(beside(path, "-wal")).map_or(0, |file| file.len())
}

fn fault(error: io::Error) -> StoreError {
    StoreError::Fault(Fault::Unreachable, error.to_string())
}

#[cfg(test)]
mod tests;
