//! `revocations.log`: what was revoked or rotated, in a file of its own, because a database can go back in time.
//!
//! Who restores a backup or fails over to a standby that lags gets a database in which revoked keys are alive. This file
//! is not part of any database: it is read at each load of the index, and what it holds is ended again
//! (`docs/decisions/0025-the-log-of-revocations.md`). One line each, with a checksum; lines are only ever appended, and
//! are on the disk before the change is answered.

mod forget;
mod lines;
mod watch;

use std::{
    collections::{HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::ended_secret::EndedSecret,
    private_file::{self, beside, sync_folder},
};
pub use lines::look;
use lines::{HEAD, Lines, line_of, line_of_beginning, read, text_of};

/// Its name in the data directory.
pub const FILE_NAME: &str = "revocations.log";
/// A change is written by who makes it and by the follower who learns of it; so many digests are remembered, so that
/// mostly one of them writes.
const REMEMBERED: usize = 4096;

/// Why the log cannot be used. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RevocationLogError {
    /// The file cannot be read, made or written.
    #[error(
        "cannot read or write {0}, which must be in a folder that outlives the program: {1}{whose}",
        whose = private_file::whose(.0, .1)
    )]
    Io(PathBuf, io::Error),
    /// A line that is not the last one is damaged: which key it was about is not known.
    #[error(
        "{0} is damaged at line {1}: what was revoked there would not be known after a restore; put a good copy in its \
         place, or run keystead restore --accept to go on without the damaged lines"
    )]
    Damaged(PathBuf, usize),
}

/// The log, open for appending.
#[derive(Debug)]
pub struct RevocationLog {
    path: PathBuf,
    /// How long after their end secrets leave the database, if ever.
    forgotten_after: Option<TimeDelta>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    /// So long is the file at least: what was read and written.
    length: u64,
    /// Digests that were written lately, the oldest first.
    recent: VecDeque<[u8; 32]>,
    known: HashSet<[u8; 32]>,
    /// What could not be written; it is written before anything else.
    pending: Vec<EndedSecret>,
    /// When the oldest line is from, as far as was read or written.
    oldest: Option<DateTime<Utc>>,
    /// What ended before this time is not in it.
    complete_from: Option<DateTime<Utc>>,
    /// The file does not say so yet.
    owes_beginning: bool,
    /// When the newest line is from whose secret the database may not have: nobody could write it again.
    newest_only_here: Option<DateTime<Utc>>,
    /// Lines are gone that are nowhere but in the database and the index.
    is_emptied: bool,
    /// That the file is not what it was is in the program's log, and it could not be opened since.
    is_told: bool,
}

impl RevocationLog {
    /// Opens the log, or makes an empty one that only its owner can read. A last line that a crash cut short is removed:
    /// its change was not answered.
    ///
    /// # Errors
    /// See [`RevocationLogError`].
    pub fn open(path: &Path) -> Result<Self, RevocationLogError> {
        let file = open_whole(path).map_err(|error| RevocationLogError::Io(path.to_owned(), error))?;
        let log = Self { path: path.to_owned(), forgotten_after: None, state: Mutex::new(State::of(file)) };
        let newest = log.entries()?.iter().map(|entry| entry.at).max();
        log.state().newest_only_here = newest;
        Ok(log)
    }

    /// Tells it how long after their end secrets leave the database, if ever: of those nobody could write a line again.
    #[must_use]
    pub fn forgotten_after(self, kept: Option<TimeDelta>) -> Self {
        Self { forgotten_after: kept, ..self }
    }

    /// Whether no program has the log at this path open.
    ///
    /// # Errors
    /// See [`RevocationLogError`].
    pub fn is_free(path: &Path) -> Result<bool, RevocationLogError> {
        match File::open(path) {
            Ok(file) => Ok(file.try_lock().is_ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(RevocationLogError::Io(path.to_owned(), error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything in it, in the order of writing, and what could not be written yet.
    ///
    /// # Errors
    /// See [`RevocationLogError`].
    pub fn entries(&self) -> Result<Vec<EndedSecret>, RevocationLogError> {
        let mut state = self.state();
        // If it cannot be written: see below.
        let _ = self.write(&mut state);
        let mut entries = self.read_whole(&mut state)?.entries;
        entries.extend(state.pending.iter().cloned());
        Ok(entries)
    }

    /// What ended before this time is not in it: lines were removed. None if it has everything since it began.
    pub fn complete_from(&self) -> Option<DateTime<Utc>> {
        self.state().complete_from
    }

    fn read_whole(&self, state: &mut State) -> Result<Lines, RevocationLogError> {
        let lines = read(&self.path)?;
        if let Some(line) = lines.damaged {
            return Err(RevocationLogError::Damaged(self.path.clone(), line));
        }
        state.oldest = lines.entries.iter().map(|entry| entry.at).min();
        state.complete_from = state.complete_from.max(lines.complete_from);
        Ok(lines)
    }

    /// Writes down what ended, once it is on the disk. What was written lately is not written again. What cannot be written
    /// stays in memory, and the next call writes it first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn append(&self, ended: &[EndedSecret]) -> Result<(), RevocationLogError> {
        let mut state = self.state();
        let looked = self.notice(&mut state);
        let new: Vec<_> = ended.iter().filter(|secret| !state.known.contains(&secret.digest.0)).cloned().collect();
        state.pending.extend(new);
        looked?;
        self.write(&mut state)
    }

    /// Writes what is pending.
    fn write(&self, state: &mut State) -> Result<(), RevocationLogError> {
        self.notice(state)?;
        if state.pending.is_empty() && !state.owes_beginning {
            return Ok(());
        }
        let failed = |error| RevocationLogError::Io(self.path.clone(), error);
        let beginning = state.complete_from.filter(|_| state.owes_beginning).map(line_of_beginning);
        let lines = beginning.into_iter().chain(state.pending.iter().map(line_of)).collect::<String>();
        let length = state.file.metadata().map_err(failed)?.len();
        let written = (&state.file).write_all(lines.as_bytes()).and_then(|()| state.file.sync_data());
        if let Err(error) = written {
            // Half a line in the middle would make the whole file unreadable.
            let _ = state.file.set_len(length);
            return Err(failed(error));
        }
        (state.length, state.owes_beginning) = (length + lines.len() as u64, false);
        for secret in std::mem::take(&mut state.pending) {
            state.oldest = Some(state.oldest.map_or(secret.at, |oldest| oldest.min(secret.at)));
            state.remember(secret.digest.0);
        }
        Ok(())
    }
}

impl State {
    fn of(file: File) -> Self {
        let (recent, known, pending) = Default::default();
        let (oldest, complete_from, newest_only_here) = Default::default();
        let (length, owes_beginning, is_emptied, is_told) = Default::default();
        Self {
            file,
            length,
            recent,
            known,
            pending,
            oldest,
            complete_from,
            owes_beginning,
            newest_only_here,
            is_emptied,
            is_told,
        }
    }

    fn remember(&mut self, digest: [u8; 32]) {
        if self.known.insert(digest) {
            self.recent.push_back(digest);
        }
        if self.recent.len() > REMEMBERED
            && let Some(oldest) = self.recent.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Makes a damaged log whole again by leaving out the lines that cannot be read; how many.
///
/// # Errors
/// See [`RevocationLogError`].
pub fn mend(path: &Path) -> Result<usize, RevocationLogError> {
    if !path.exists() {
        return Ok(0);
    }
    let Lines { entries, damaged, complete_from } = read(path)?;
    if damaged.is_none() {
        return Ok(0);
    }
    let failed = |error| RevocationLogError::Io(path.to_owned(), error);
    let before = lines::bytes_of(path).map_err(failed)?;
    let lines = before.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
    private_file::replace(path, text_of(complete_from, &entries).as_bytes()).map_err(failed)?;
    Ok(lines.saturating_sub(entries.len()))
}

/// Puts the log aside under a name with this suffix, so that nothing in it is ended again; where it is then. `None` when
/// there was no log.
///
/// # Errors
/// See [`RevocationLogError`].
pub fn set_aside(path: &Path, suffix: &str) -> Result<Option<PathBuf>, RevocationLogError> {
    let aside = beside(path, suffix);
    let moved = match fs::rename(path, &aside) {
        Ok(()) => sync_folder(path).map(|()| Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    moved.map_err(|error| RevocationLogError::Io(path.to_owned(), error))
}

/// The log, made if there is none, and without what a crash left of a last line.
fn open_whole(path: &Path) -> io::Result<File> {
    let file = open_file(path)?;
    let mut text = Vec::new();
    (&file).read_to_end(&mut text)?;
    if text.is_empty() {
        (&file).write_all(HEAD.as_bytes())?;
        file.sync_all()?;
        sync_folder(path)?;
    }
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(file)
}

fn open_file(path: &Path) -> io::Result<File> {
    loop {
        let how = OpenOptions::new().append(true).read(true).to_owned();
        let file = private_file::open_or_make(path, &how, private_file::folder_of(path))?;
        // Shared: several programs may append. Who wants to replace the file must be alone.
        file.lock_shared()?;
        // Somebody may have replaced it between the two.
        if private_file::is_named(path, &file) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests;
