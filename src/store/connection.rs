//! A connection to either database, and its settings.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, prelude::*};
use url::Url;

pub use crate::config::{DatabaseAddress, DatabaseUrl};
use crate::private_file::beside;

use super::{
    StoreError,
    error::Fault,
    pg::{self, PgConnection},
};

/// Settings of a SQLite connection. Checkpoints are made in `file_mark.rs`, and when the last connection closes.
/// `busy_timeout` stands first, so that the others wait for a lock too.
/// `synchronous = FULL`: with NORMAL a power cut may take back a commit, and a lost revoke is a key come back to life.
const SQLITE_SETTINGS: &str = "
    PRAGMA busy_timeout = 4000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -1024;
";

/// As long as `busy_timeout`.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(4);
const SWITCH_AGAIN: Duration = Duration::from_millis(5);

/// A connection to either database; queries are written once on this type.
#[derive(diesel::MultiConnection)]
#[allow(clippy::large_enum_variant)] // a handful exist, each for as long as the pool does
pub enum Conn {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl DatabaseUrl {
    /// A new connection, with its settings made.
    ///
    /// # Errors
    /// The database's own words when it cannot be opened.
    pub fn connect(&self) -> Result<Conn, StoreError> {
        self.connect_within(pg::LIMIT)
    }

    /// A new connection on which no wait is longer than `limit`, making it included. SQLite has limits of its own.
    ///
    /// # Errors
    /// As [`DatabaseUrl::connect`].
    pub fn connect_within(&self, limit: Duration) -> Result<Conn, StoreError> {
        match self {
            Self::Sqlite(path) => Ok(Conn::Sqlite(establish_sqlite(path)?)),
            Self::Postgres(url) => Ok(Conn::Postgres(PgConnection::dial(&pg::target(url)?, limit)?)),
        }
    }

    /// A new connection for whoever only looks: of a SQLite database no file is made or changed; `None` when there is none.
    ///
    /// # Errors
    /// As [`DatabaseUrl::connect`].
    pub fn connect_to_look(&self, limit: Duration) -> Result<Option<Conn>, StoreError> {
        let Self::Sqlite(path) = self else { return self.connect_within(limit).map(Some) };
        if !path.exists() {
            return Ok(None);
        }
        // Without a log nobody has it open: then not even the files beside it are made.
        let how = if beside(path, "-wal").exists() { "mode=ro" } else { "immutable=1" };
        let unreachable = |words: String| StoreError::Fault(Fault::Unreachable, words);
        let path = std::path::absolute(path).map_err(|error| unreachable(error.to_string()))?;
        let mut name = Url::from_file_path(path).map_err(|()| unreachable("the path is none".to_owned()))?;
        name.set_query(Some(how));
        let mut conn = SqliteConnection::establish(name.as_str())?;
        conn.batch_execute("PRAGMA busy_timeout = 2000")?;
        Ok(Some(Conn::Sqlite(conn)))
    }
}

/// A new connection to a SQLite file, with its settings made.
///
/// # Errors
/// SQLite's own words when it cannot be opened.
pub fn establish_sqlite(path: &Path) -> Result<SqliteConnection, StoreError> {
    let path = path.to_str().ok_or_else(|| StoreError::Fault(Fault::Unreachable, "the path is not UTF-8".into()))?;
    let mut conn = SqliteConnection::establish(path)?;
    make_settings(&mut conn)?;
    Ok(conn)
}

/// Two processes that make one file into a WAL at once both hold what the other waits for. SQLite then asks no
/// `busy_timeout` and fails one of them at once; a moment later the file is a WAL, and there is nothing to switch.
fn make_settings(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    while_busy(SWITCH_TIMEOUT, || Ok(conn.batch_execute(SQLITE_SETTINGS)?))
}

/// Tries until something else than a lock is in the way, or this time is over.
fn while_busy(time: Duration, mut attempt: impl FnMut() -> Result<(), StoreError>) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(StoreError::Fault(Fault::Busy, _)) if begun.elapsed() < time => sleep(SWITCH_AGAIN),
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_and_nothing_else() {
        let tries = |time, fault: Fault| {
            let mut tries = 0;
            let done = while_busy(time, || {
                tries += 1;
                if tries > 3 { Ok(()) } else { Err(StoreError::Fault(fault, String::new())) }
            });
            (done.is_ok(), tries)
        };
        assert_eq!(tries(Duration::from_secs(60), Fault::Busy), (true, 4));
        assert_eq!(tries(Duration::ZERO, Fault::Busy), (false, 1), "not for ever");
        assert_eq!(tries(Duration::from_secs(60), Fault::Full), (false, 1));
    }
}
