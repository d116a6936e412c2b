//! A copy of a SQLite database in one file: made while a server writes, checked, and put in the place of another.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use diesel::{
    Connection, OptionalExtension, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use rand::{TryRng, rngs::SysRng};

use super::{
    StoreError,
    connection::establish_sqlite,
    file_mark::{mark_anew, wal_length},
    generations, installation, migrations,
};
use crate::private_file::{self, beside, sync_folder};

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
    let failed = |error| BackupError::Io(to.to_owned(), error);
    let workshop = Workshop::beside(to).map_err(failed)?;
    let copy = workshop.0.join("backup");
    // Made here, so that it has its mode from the beginning; SQLite fills a file that is empty.
    private_file::make_new(&copy).map_err(failed)?;
    let text = copy.to_str().ok_or_else(|| failed(io::Error::other("the path is not UTF-8")))?;
    let mut conn = establish_sqlite(database).map_err(|error| damaged(database, error))?;
    let made = sql_query("VACUUM INTO ?").bind::<Text, _>(text).execute(&mut conn);
    made.map_err(|error| BackupError::Io(to.to_owned(), io::Error::other(error)))?;
    drop(conn);
    let checked = check(&copy).map_err(|error| named(error, to))?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(failed)?;
    give_name(&copy, to)?;
    sync_folder(to).map_err(failed)?;
    Ok(checked)
}

/// A link, not a rename: it fails when somebody else made the file in the meantime.
fn give_name(copy: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::Io(to.to_owned(), error);
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
    let failed = |error| BackupError::Io(database.to_owned(), error);
    let workshop = Workshop::beside(database).map_err(failed)?;
    let copy = workshop.0.join("database");
    copy_private(from, &copy).map_err(|error| BackupError::Io(from.to_owned(), error))?;
    if wal_length(from) > 0 {
        let wal = beside(from, "-wal");
        copy_private(&wal, &beside(&copy, "-wal")).map_err(|error| BackupError::Io(wal, error))?;
    }
    let checked = check(&copy).map_err(|error| named(error, from))?;
    accept(&checked)?;
    private_file::give_to_owner_of(database, &copy);
    File::open(&copy).and_then(|file| file.sync_all()).map_err(failed)?;

    let kept = beside(database, &format!(".before-restore-{stamp}"));
    let is_kept = fs::metadata(database).is_ok_and(|file| file.len() > 0);
    if is_kept {
        // By a second name, so that the first one names a database at any moment.
        fs::hard_link(database, &kept).or_else(|_| fs::copy(database, &kept).map(drop)).map_err(failed)?;
    }
    // What it had not taken in yet stays beside the old file, and never comes near the new one.
    if wal_length(database) > 0 {
        fs::rename(beside(database, "-wal"), beside(&kept, "-wal")).map_err(failed)?;
    }
    fs::rename(&copy, database).map_err(failed)?;
    for ending in ["-wal", "-shm", ".mark"] {
        let _ = fs::remove_file(beside(database, ending));
    }
    sync_folder(database).map_err(failed)?;
    Ok((is_kept.then_some(kept), checked))
}

/// Looks at every page of a file, and whether it is one of ours. What lies in its `-wal` is brought into it.
fn check(file: &Path) -> Result<Checked, BackupError> {
    let text =
        file.to_str().ok_or_else(|| BackupError::Io(file.to_owned(), io::Error::other("the path is not UTF-8")))?;
    let wrong = |error: diesel::result::Error| BackupError::Damaged(file.to_owned(), error.to_string());
    let mut conn =
        SqliteConnection::establish(text).map_err(|error| BackupError::Damaged(file.to_owned(), error.to_string()))?;
    conn.batch_execute("PRAGMA busy_timeout = 4000; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
        .map_err(wrong)?;
    let words: Vec<Line> =
        sql_query("SELECT integrity_check AS line FROM pragma_integrity_check").load(&mut conn).map_err(wrong)?;
    if words.len() != 1 || words[0].line != "ok" {
        let words: Vec<String> = words.into_iter().take(3).map(|line| line.line).collect();
        return Err(BackupError::Damaged(file.to_owned(), words.join("; ")));
    }
    // So that nobody takes it for the file that it was made of.
    mark_anew(&mut conn).map_err(|error| damaged(file, error))?;
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
        generations::parse(installed(generations::OLDEST)?.as_deref()).map_err(|error| damaged(file, error))?;
    let pepper_check = installed(installation::PEPPER_CHECK)?;
    if let Some(unknown) = migrations::unknown_of(applied.iter().map(|line| line.line.as_str()))
        && oldest > generations::OWN
    {
        return Err(BackupError::Newer(file.to_owned(), unknown));
    }
    let keys: Number = sql_query("SELECT count(*) AS n FROM api_keys").get_result(&mut conn).map_err(wrong)?;
    Ok(Checked { pepper_check, keys: keys.n })
}

fn damaged(path: &Path, error: StoreError) -> BackupError {
    BackupError::Damaged(path.to_owned(), error.to_string())
}

/// Says of the file that somebody named what is wrong with our copy of it.
fn named(error: BackupError, path: &Path) -> BackupError {
    let path = path.to_owned();
    match error {
        BackupError::Io(_, error) => BackupError::Io(path, error),
        BackupError::Damaged(_, words) => BackupError::Damaged(path, words),
        BackupError::Newer(_, version) => BackupError::Newer(path, version),
        other => other,
    }
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = private_file::make_new(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// A folder of our own on the disk of a file, for what has no name yet; removed with what is left in it.
struct Workshop(PathBuf);

impl Workshop {
    fn beside(path: &Path) -> io::Result<Self> {
        let random = SysRng.try_next_u64().map_err(io::Error::other)?;
        let folder = beside(path, &format!(".new-{random:016x}"));
        // By its whole name: SQLite takes a name that begins with file: for a URL.
        let folder = std::path::absolute(folder)?;
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_else_took_meanwhile_is_left_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, to) = (folder.path().join("copy"), folder.path().join("to"));
        fs::write(&copy, "ours").unwrap();
        fs::write(&to, "theirs").unwrap();
        let taken = give_name(&copy, &to);
        assert!(matches!(taken, Err(BackupError::Exists(_))), "{taken:?}");
        assert_eq!(fs::read_to_string(&to).unwrap(), "theirs");
        let nowhere = give_name(&copy, &folder.path().join("none/to"));
        assert!(matches!(nowhere, Err(BackupError::Io(..))), "{nowhere:?}");
        fs::remove_file(&to).unwrap();
        give_name(&copy, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "ours");
    }

    #[test]
    fn an_empty_file_is_no_database_that_was_kept_and_one_complaint_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (from, database) = (folder.path().join("from"), folder.path().join("keystead.db"));
        let mut conn = establish_sqlite(&from).unwrap();
        migrations::run(&mut super::super::Conn::Sqlite(establish_sqlite(&from).unwrap())).unwrap();
        fs::write(&database, "").unwrap();
        let (kept, _) = put_in_place(&from, &database, "now", |_| Ok(())).unwrap();
        assert_eq!(kept, None);
        let (kept, _) = put_in_place(&from, &database, "later", |_| Ok(())).unwrap();
        assert!(kept.is_some_and(|kept| kept.exists()));
        conn.batch_execute(
            "CREATE TABLE things (thing TEXT); INSERT INTO things VALUES (NULL); PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = 'CREATE TABLE things (thing TEXT NOT NULL)' WHERE name = 'things'",
        )
        .unwrap();
        let refused = put_in_place(&from, &database, "damaged", |_| Ok(())).unwrap_err().to_string();
        assert!(refused.contains("NULL value in things.thing"), "{refused}");
    }

    /// Nothing can be linked to a folder, as on a file system without links nothing can be to a file.
    #[test]
    fn where_nothing_can_be_linked_the_copy_itself_gets_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let (copy, to) = (folder.path().join("copy"), folder.path().join("to"));
        fs::create_dir(&copy).unwrap();
        give_name(&copy, &to).unwrap();
        assert!(to.is_dir() && !copy.exists());
    }
}
