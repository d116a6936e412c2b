//! What can go wrong in the database, sorted by what somebody can do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::{Conn, pg};
use crate::supervision::{NO_THREAD, NotDone};

/// Why a statement or transaction failed, or is not known to have succeeded.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row has what somebody chose already, the name of a living key or the address of an account: a race that somebody
    /// else won. No other unique value is chosen, so one that exists is a fault.
    #[error("a unique value exists already")]
    Unique,
    /// The database could not do its work. Nothing was changed.
    #[error("{0}: {1}")]
    Fault(Fault, String),
    /// COMMIT was sent and its answer is missing: everything was changed, or nothing.
    #[error("whether the change was saved is not known: {0}")]
    Unknown(String),
}

/// Kinds of fault, by their remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A lock is held, or its queue is full, for longer than we wait.
    #[error("the database is busy or locked")]
    Busy,
    /// All connections are in use, and our pool makes no other now: the follower's comes first, or the server allows no more.
    #[error("no connection is free")]
    NoConnection,
    /// No room for the change.
    #[error("the disk or the database is full")]
    Full,
    /// No connection, or one that broke or has gone silent.
    #[error("the database cannot be reached or does not answer")]
    Unreachable,
    /// A key was to get a number that another one has (`sequences.rs`).
    #[error("the database numbers new keys as older ones")]
    Numbers,
    /// A row that cannot be what the code wrote.
    #[error("the database holds a damaged row")]
    Damaged,
    /// Anything else; the log has the database's own words.
    #[error("the database refused a statement")]
    Other,
}

/// What tells errors apart that want different remedies: the kind of fault, and Postgres' own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorKind(Option<Fault>, Option<String>);

impl StoreError {
    /// Its kind, for whoever says each one once.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unique => ErrorKind(None, None),
            Self::Fault(fault, words) => ErrorKind(Some(*fault), pg::sql_state(words).map(str::to_owned)),
            Self::Unknown(words) => ErrorKind(None, pg::sql_state(words).map(str::to_owned)),
        }
    }

    /// For a column whose content cannot have been written by this program.
    pub fn damaged(column: &str) -> Self {
        Self::Fault(Fault::Damaged, format!("unreadable value in column {column}"))
    }
}

/// What only one row may have and somebody chooses, by the name that Postgres has for it and in SQLite's words.
const CHOSEN: [&str; 4] = [
    "api_keys_living_name",
    "UNIQUE constraint failed: api_keys.organization_id, api_keys.name_folded",
    "users_email_folded_key",
    "UNIQUE constraint failed: users.email_folded",
];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        let words = error.to_string();
        let fault = match &error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, said) => {
                match said.constraint_name().unwrap_or_else(|| said.message()) {
                    chosen if CHOSEN.contains(&chosen) => return Self::Unique,
                    "api_keys_number" => Fault::Numbers,
                    _ => Fault::Other,
                }
            }
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)
            | DieselError::BrokenTransactionManager => Fault::Unreachable,
            DieselError::DeserializationError(_) => Fault::Damaged,
            _ => match pg::sql_state(&words) {
                Some(code) => sort_by_code(code),
                None => sort_by_words(&words),
            },
        };
        Self::Fault(fault, words)
    }
}

/// Whether a failed COMMIT has certainly changed nothing.
///
/// On Postgres: where the server itself refused it, for a constraint, another transaction, want of room, a statement that
/// failed before. Everything else may be a connection that broke after the server had committed, also in a pooler between,
/// which says so with a code of its own. SQLite meets a full disk or a lock before it has written the frame that commits; after any other error a part of the log is
/// written that may commit.
pub fn is_certainly_not_committed(conn: &Conn, error: &DieselError) -> bool {
    use DatabaseErrorKind as Kind;
    let is_sqlite = matches!(conn, Conn::Sqlite(_));
    let (kind, information) = match error {
        DieselError::RollbackErrorOnCommit { commit_error, .. } => {
            return is_certainly_not_committed(conn, commit_error);
        }
        DieselError::DatabaseError(kind, information) => (kind, information),
        // Diesel itself refused to send it. On Postgres it says so of a broken connection too.
        _ => return is_sqlite,
    };
    match kind {
        Kind::UniqueViolation
        | Kind::ForeignKeyViolation
        | Kind::NotNullViolation
        | Kind::CheckViolation
        | Kind::RestrictViolation
        | Kind::ExclusionViolation
        | Kind::SerializationFailure => true,
        _ if is_sqlite => matches!(sort_by_words(information.message()), Fault::Busy | Fault::Full),
        Kind::ClosedConnection => false,
        _ => pg::sql_state(information.message()).is_some_and(is_of_the_server_alone),
    }
}

impl<F> From<NotDone<F>> for StoreError {
    fn from(error: NotDone<F>) -> Self {
        match error {
            NotDone::NoThread(_) => Self::Fault(Fault::Other, NO_THREAD.to_owned()),
            NotDone::Cancelled => Self::Fault(Fault::Other, "the server stops".to_owned()),
            NotDone::Panicked(words) => Self::Unknown(format!("database work stopped: {words}")),
        }
    }
}

impl From<diesel::ConnectionError> for StoreError {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::Fault(Fault::Unreachable, error.to_string())
    }
}

/// Whether no pooler says this, and no server that lost another one on which it had begun to commit: connections, shutdowns
/// (and cancelling), input and output, "internal".
fn is_of_the_server_alone(code: &str) -> bool {
    !matches!(code.get(..2), Some("08" | "57" | "58" | "XX")) && !matches!(code, "40003" | "53300")
}

/// Postgres' codes are the same in every language, its messages are not (`lc_messages`).
fn sort_by_code(code: &str) -> Fault {
    match code {
        // A lock that was not to be had in time, a deadlock, a statement that took too long.
        "55P03" | "40P01" | "40001" | "57014" => Fault::Busy,
        "53100" => Fault::Full,
        // A replica, or a primary that became one: the server that takes changes is another.
        "25006" => Fault::Unreachable,
        // The transaction was left idle for too long, and its connection ended.
        "25P03" => Fault::Unreachable,
        // A page that was read and is none.
        "XX001" | "XX002" => Fault::Damaged,
        _ => match code.get(..2) {
            // Connections, passwords and databases that are not there; no memory or no place for another connection; a
            // server that stops, starts or was told to end this; its disk.
            Some("08" | "28" | "3D" | "53" | "57" | "58") => Fault::Unreachable,
            _ => Fault::Other,
        },
    }
}

/// Diesel keeps no result codes of SQLite, only its fixed English messages (`sqlite3ErrStr`).
fn sort_by_words(words: &str) -> Fault {
    let any = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
    if any(&["database is locked", "database table is locked"]) {
        Fault::Busy
    } else if any(&["database or disk is full"]) {
        Fault::Full
    } else if any(&["unable to open", "disk I/O error", "readonly database"]) {
        Fault::Unreachable
    } else if any(&["malformed", "not a database"]) {
        Fault::Damaged
    } else {
        Fault::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(words: &str) -> Fault {
        match StoreError::from(DieselError::QueryBuilderError(words.to_owned().into())) {
            StoreError::Fault(fault, _) => fault,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_fault_is_known_by_its_code_in_any_language() {
        for (words, wanted) in [
            ("storniere Anfrage wegen Zeitüberschreitung der Sperre (SQLSTATE 55P03)", Fault::Busy),
            ("Verklemmung entdeckt (SQLSTATE 40P01)", Fault::Busy),
            ("konnte Datei nicht erweitern: Auf dem Gerät ist kein Speicherplatz mehr (SQLSTATE 53100)", Fault::Full),
            ("trop de clients sont déjà connectés (SQLSTATE 53300)", Fault::Unreachable),
            ("выключение (SQLSTATE 57P01)", Fault::Unreachable),
            ("Transaktion ist nur lesend (SQLSTATE 25006)", Fault::Unreachable),
            ("Verbindung wegen Untätigkeit in der Transaktion beendet (SQLSTATE 25P03)", Fault::Unreachable),
            ("ungültige Seite in Block 7 (SQLSTATE XX001)", Fault::Damaged),
            ("Index ist beschädigt (SQLSTATE XX002)", Fault::Damaged),
            ("keine Berechtigung (SQLSTATE 42501)", Fault::Other),
            // SQLite's own.
            ("database is locked", Fault::Busy),
            ("database table is locked: api_keys", Fault::Busy),
            ("database or disk is full", Fault::Full),
            ("unable to open database file", Fault::Unreachable),
            ("disk I/O error", Fault::Unreachable),
            ("attempt to write a readonly database", Fault::Unreachable),
            ("database disk image is malformed", Fault::Damaged),
            ("file is not a database", Fault::Damaged),
            ("no such table: api_keys", Fault::Other),
        ] {
            assert_eq!(fault_of(words), wanted, "{words}");
        }
    }

    fn said(kind: DatabaseErrorKind, words: &str) -> DieselError {
        DieselError::DatabaseError(kind, Box::new(words.to_owned()))
    }

    #[test]
    fn a_fault_is_known_by_its_kind_where_diesel_has_one() {
        for (error, wanted) in [
            (said(DatabaseErrorKind::ClosedConnection, "connection closed"), Fault::Unreachable),
            (DieselError::BrokenTransactionManager, Fault::Unreachable),
            (DieselError::DeserializationError("not a number".into()), Fault::Damaged),
        ] {
            let error = StoreError::from(error);
            assert!(matches!(error, StoreError::Fault(fault, _) if fault == wanted), "{error}");
        }
    }

    /// `postgres_faults.rs` has the same of Postgres.
    #[test]
    fn a_commit_that_sqlite_refused_before_it_wrote_is_certainly_not_made() {
        use diesel::Connection;
        let conn = Conn::Sqlite(diesel::SqliteConnection::establish(":memory:").unwrap());
        let in_commit = |error| DieselError::RollbackErrorOnCommit {
            rollback_error: Box::new(DieselError::BrokenTransactionManager),
            commit_error: Box::new(error),
        };
        for (kind, words, wanted) in [
            (DatabaseErrorKind::ForeignKeyViolation, "FOREIGN KEY constraint failed", true),
            (DatabaseErrorKind::Unknown, "database is locked", true),
            (DatabaseErrorKind::Unknown, "database or disk is full", true),
            (DatabaseErrorKind::Unknown, "disk I/O error", false),
        ] {
            assert_eq!(is_certainly_not_committed(&conn, &said(kind, words)), wanted, "{words}");
            assert_eq!(is_certainly_not_committed(&conn, &in_commit(said(kind, words))), wanted, "{words}");
        }
        assert!(is_certainly_not_committed(&conn, &DieselError::AlreadyInTransaction), "Diesel did not even send it");
    }
}
