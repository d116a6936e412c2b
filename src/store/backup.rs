//! A copy of a SQLite database in one file: made while a server writes, checked, and put in the place of another.

mod workshop;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use diesel::{
    Connection, OptionalExtension, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use workshop::Workshop;

use super::{
    Conn, Fault, StoreError,
    connection::{DatabaseUrl, establish_sqlite},
    file_mark::{mark_anew, wal_length},
    generations, installation, migrations,
};
use crate::private_file::{self, beside, sync_folder};

/// How long a database that is locked is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why there is no copy. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A backup is never written over.
    #[error("{0} exists; a backup never overwrites a file")]
    Exists(PathBuf),
    /// There is nothing to copy.
    #[error("there is no database at {0}")]
    Missing(PathBuf),
    /// The file cannot be read, made or renamed.
    #[error("cannot read or write {0}: {1}")]
    Io(PathBuf, io::Error),
    /// Nothing fits there any more.
    #[error("there is no room for {0}: {1} (a full disk, a quota, or a limit of file sizes); nothing was changed")]
    Full(PathBuf, String),
    /// One cannot be read, or the other not be written; the operating system does not say which.
    #[error("cannot copy {0} to where {1} is: {2}")]
    Copy(PathBuf, PathBuf, io::Error),
    /// SQLite finds fault with the file.
    #[error("{0} is not a whole database of keystead: {1}")]
    Damaged(PathBuf, String),
    /// It was made by a later version, which took away what this one uses.
    #[error("{0} has schema {1}, and a newer version of keystead took away what this one uses; use the newer version")]
    Newer(PathBuf, String),
    /// Its keys were made with another pepper.
    #[error("{0} was made with another pepper than {1}; put its own pepper there first")]
    OtherPepper(PathBuf, PathBuf),
}

/// What is known of a copy that was checked.
#[derive(Debug)]
pub struct Checked {
    /// What its pepper is recognized by; none if no server ever ran on it.
    pub pepper_check: Option<String>,
    /// Keys in it, living or revoked.
    pub keys: i64,
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Copies a database into a new file, which only its owner can read. It is a snapshot of one moment: writers go on
/// meanwhile. It is on the disk and checked before it gets its name.
///
/// # Errors
/// See [`BackupError`]; then there is no such file.
pub fn make(database: &Path, to: &Path) -> Result<Checked, BackupError> {
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    if fs::metadata(database).map_or(0, |file| file.len()) == 0 {
        return Err(BackupError::Missing(database.to_owned()));
    }
    let failed = |error| not_written(to, error);
    let workshop = Workshop::beside(to).map_err(failed)?;
    let copy = workshop.file("backup");
    // Made here, so that it has its mode from the beginning; SQLite fills a file that is empty.
    private_file::make_new(&copy).map_err(failed)?;
    let text = copy.to_str().ok_or_else(|| failed(io::Error::other("the path is not UTF-8")))?;
    let mut conn = open(database).map_err(|error| sort(database, database, error))?;
    let made = sql_query("VACUUM INTO ?").bind::<Text, _>(text).execute(&mut conn);
    made.map_err(|error| with_reason(sort(database, to, error.into()), (&copy, database), to))?;
    drop(conn);
    let checked = check(&copy, database, to).map_err(|error| with_reason(error, (&copy, database), to))?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(failed)?;
    give_name(&copy, to)?;
    sync_folder(to).map_err(failed)?;
    Ok(checked)
}

/// A connection that reads, also where nothing can be written.
fn open(database: &Path) -> Result<SqliteConnection, StoreError> {
    let error = match establish_sqlite(database) {
        Ok(conn) => return Ok(conn),
        Err(error) => error,
    };
    let looking = DatabaseUrl::Sqlite(database.to_owned()).connect_to_look(PATIENCE);
    // Reads, which making the connection does not.
    if let Ok(Some(Conn::Sqlite(mut conn))) = looking
        && conn.batch_execute("SELECT count(*) FROM sqlite_schema").is_ok()
    {
        return Ok(conn);
    }
    Err(error)
}

/// A link, not a rename: it fails when somebody else made the file in the meantime.
fn give_name(copy: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |error| not_written(to, error);
    match fs::hard_link(copy, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(BackupError::Exists(to.to_owned())),
        // Some file systems know no links.
        Err(_) if to.symlink_metadata().is_err() => fs::rename(copy, to).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Puts a copy in the place of the database, which is there, if only empty, and must not be open anywhere; where the database before is kept. `accept`
/// decides by what is in the copy. A `-wal` beside the copy belongs to it, and is brought into the new file.
///
/// # Errors
/// See [`BackupError`]; then the database is as it was.
pub fn put_in_place(
    from: &Path,
    database: &Path,
    stamp: &str,
    accept: impl FnOnce(&Checked) -> Result<(), BackupError>,
) -> Result<(Option<PathBuf>, Checked), BackupError> {
    if fs::metadata(from).map_or(0, |file| file.len()) == 0 {
        return Err(BackupError::Missing(from.to_owned()));
    }
    let failed = |error| not_written(database, error);
    let workshop = Workshop::beside(database).map_err(failed)?;
    let copy = workshop.file("database");
    let ours = copy_private(from, &copy, database)?;
    if wal_length(from) > 0 {
        copy_private(&beside(from, "-wal"), &beside(&copy, "-wal"), database)?;
    }
    let checked = check(&copy, from, database).map_err(|error| with_reason(error, (&copy, from), database))?;
    accept(&checked)?;
    private_file::give_to_owner_of(database, &ours);
    ours.sync_all().map_err(failed)?;

    let kept = beside(database, &format!(".before-restore-{stamp}"));
    let is_kept = fs::metadata(database).is_ok_and(|file| file.len() > 0);
    if is_kept {
        // By a second name, so that the first one names a database at any moment.
        fs::hard_link(database, &kept).or_else(|_| copy_whole(database, &kept)).map_err(failed)?;
    }
    // What it had not taken in yet stays beside the old file, and never comes near the new one.
    let (wal, kept_wal) = (beside(database, "-wal"), beside(&kept, "-wal"));
    let has_wal = wal_length(database) > 0;
    let moved = if has_wal { fs::rename(&wal, &kept_wal) } else { Ok(()) };
    if let Err(error) = moved.and_then(|()| fs::rename(&copy, database)) {
        let _ = fs::rename(&kept_wal, &wal);
        let _ = fs::remove_file(&kept);
        return Err(failed(error));
    }
    for ending in ["-wal", "-shm", ".mark"] {
        let _ = fs::remove_file(beside(database, ending));
    }
    sync_folder(database).map_err(failed)?;
    Ok((is_kept.then_some(kept), checked))
}

/// Looks at every page of a copy, and whether it is of a database of ours. What lies in its `-wal` is brought into it. What is
/// wrong with it is said of the `file` that it was made of; what is wrong with the disk, of the `place` it is at.
fn check(copy: &Path, file: &Path, place: &Path) -> Result<Checked, BackupError> {
    let text =
        copy.to_str().ok_or_else(|| BackupError::Io(copy.to_owned(), io::Error::other("the path is not UTF-8")))?;
    let wrong = |error: diesel::result::Error| sort(file, place, error.into());
    let mut conn = SqliteConnection::establish(text).map_err(|error| sort(file, place, error.into()))?;
    conn.batch_execute("PRAGMA busy_timeout = 4000; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
        .map_err(wrong)?;
    let words: Vec<Line> =
        sql_query("SELECT integrity_check AS line FROM pragma_integrity_check").load(&mut conn).map_err(wrong)?;
    if words.len() != 1 || words[0].line != "ok" {
        let words: Vec<String> = words.into_iter().take(3).map(|line| line.line).collect();
        return Err(BackupError::Damaged(file.to_owned(), words.join("; ")));
    }
    // So that nobody takes it for the file that it was made of.
    mark_anew(&mut conn).map_err(|error| sort(file, place, error))?;
    let of_foreign_keys: Number =
        sql_query("SELECT count(*) AS n FROM pragma_foreign_key_check").get_result(&mut conn).map_err(wrong)?;
    if of_foreign_keys.n > 0 {
        return Err(BackupError::Damaged(file.to_owned(), format!("{} rows point to nothing", of_foreign_keys.n)));
    }
    let applied: Vec<Line> = sql_query("SELECT version AS line FROM __diesel_schema_migrations ORDER BY version")
        .load(&mut conn)
        .map_err(wrong)?;
    let mut installed = |name: &str| {
        let value = sql_query("SELECT value AS line FROM installation WHERE name = ?").bind::<Text, _>(name.to_owned());
        let value: Option<Line> = value.get_result(&mut conn).optional().map_err(wrong)?;
        Ok(value.map(|line| line.line))
    };
    let oldest =
        generations::parse(installed(generations::OLDEST)?.as_deref()).map_err(|error| sort(file, place, error))?;
    let pepper_check = installed(installation::PEPPER_CHECK)?;
    if let Some(unknown) = migrations::unknown_of(applied.iter().map(|line| line.line.as_str()))
        && oldest > generations::OWN
    {
        return Err(BackupError::Newer(file.to_owned(), unknown));
    }
    let keys: Number = sql_query("SELECT count(*) AS n FROM api_keys").get_result(&mut conn).map_err(wrong)?;
    Ok(Checked { pepper_check, keys: keys.n })
}

/// What SQLite says of a file, or of the place where it was to write.
fn sort(file: &Path, place: &Path, error: StoreError) -> BackupError {
    match error {
        StoreError::Fault(Fault::Full, words) => BackupError::Full(place.to_owned(), words),
        StoreError::Fault(Fault::Busy | Fault::Unreachable, words) => {
            BackupError::Io(place.to_owned(), io::Error::other(words))
        }
        StoreError::Fault(_, words) => BackupError::Damaged(file.to_owned(), words),
        other => BackupError::Damaged(file.to_owned(), other.to_string()),
    }
}

/// SQLite keeps to itself why the disk did not take something; whoever writes there too is told. The copy is worth nothing by now.
fn with_reason(error: BackupError, (copy, of): (&Path, &Path), place: &Path) -> BackupError {
    let write = || {
        let mut file = private_file::open(copy, OpenOptions::new().append(true))?;
        file.set_len(fs::metadata(of)?.len())?;
        file.write_all(&[0; 65_536]).and_then(|()| file.sync_all())
    };
    match &error {
        BackupError::Io(path, _) if path == place => {
            write().map_or_else(|reason| not_written(place, reason), |()| error)
        }
        _ => error,
    }
}

fn not_written(place: &Path, error: io::Error) -> BackupError {
    if is_full(&error) {
        return BackupError::Full(place.to_owned(), error.to_string());
    }
    BackupError::Io(place.to_owned(), error)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// Copies into the workshop beside `place`.
fn copy_private(from: &Path, to: &Path, place: &Path) -> Result<File, BackupError> {
    let mut source = File::open(from).map_err(|error| BackupError::Io(from.to_owned(), error))?;
    let mut target = private_file::make_new(to).map_err(|error| not_written(place, error))?;
    let copied = io::copy(&mut source, &mut target).map_err(|error| match is_full(&error) {
        true => not_written(place, error),
        false => BackupError::Copy(from.to_owned(), place.to_owned(), error),
    });
    copied.and_then(|_| target.sync_all().map_err(|error| not_written(place, error)))?;
    Ok(target)
}

/// All of it, or no such file.
fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = private_file::make_new(to)?;
    private_file::give_to_owner_of(from, &target);
    let copied = File::open(from).and_then(|mut source| io::copy(&mut source, &mut target));
    copied.and_then(|_| target.sync_all()).inspect_err(|_| drop(fs::remove_file(to)))
}

#[cfg(test)]
mod tests;
