//! Postgres' errors as Diesel's. Diesel has no place for the SQLSTATE, which unlike the message is the same in every
//! language, so it travels at the end of the message.

use std::time::Duration;

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as DieselError};
use tokio_postgres::error::{DbError, Severity, SqlState};

const MARK: &str = " (SQLSTATE ";

/// The five characters of the SQLSTATE, if Postgres itself said this.
pub fn sql_state(words: &str) -> Option<&str> {
    let (_, rest) = words.rsplit_once(MARK)?;
    rest.strip_suffix(')').filter(|code| code.len() == 5)
}

/// A connection that gives no answer, for whatever reason.
pub fn lost(words: impl Into<String>) -> DieselError {
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(words.into()))
}

/// A statement that the server ended because we told it to after this time: it is there, and has too much to do, or waits for
/// somebody else's lock. Its own words would say that a user wanted that.
pub fn busy(after: Duration) -> DieselError {
    let code = SqlState::QUERY_CANCELED.code();
    let words = format!(
        "no answer within {:.1} s, so the statement was cancelled; another program may hold a lock{MARK}{code})",
        after.as_secs_f64()
    );
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(words))
}

/// A statement that was refused is an ERROR. Anything worse ends the connection: what it was about may have been done.
pub fn of(error: &tokio_postgres::Error) -> DieselError {
    let Some(said) = error.as_db_error() else { return lost(with_reason(error)) };
    let is_refusal = match said.parsed_severity() {
        Some(severity) => severity == Severity::Error,
        // A pooler that says it only once.
        None => said.severity() == "ERROR",
    };
    if !is_refusal {
        return lost(words_of(said));
    }
    let kind = match *said.code() {
        SqlState::UNIQUE_VIOLATION => DatabaseErrorKind::UniqueViolation,
        SqlState::FOREIGN_KEY_VIOLATION => DatabaseErrorKind::ForeignKeyViolation,
        SqlState::NOT_NULL_VIOLATION => DatabaseErrorKind::NotNullViolation,
        SqlState::RESTRICT_VIOLATION => DatabaseErrorKind::RestrictViolation,
        SqlState::EXCLUSION_VIOLATION => DatabaseErrorKind::ExclusionViolation,
        SqlState::CHECK_VIOLATION => DatabaseErrorKind::CheckViolation,
        SqlState::T_R_SERIALIZATION_FAILURE => DatabaseErrorKind::SerializationFailure,
        SqlState::READ_ONLY_SQL_TRANSACTION => DatabaseErrorKind::ReadOnlyTransaction,
        _ => DatabaseErrorKind::Unknown,
    };
    let constraint = said.constraint().map(str::to_owned);
    DieselError::DatabaseError(kind, Box::new(Refusal { words: words_of(said), constraint }))
}

/// What a statement was refused with.
struct Refusal {
    words: String,
    constraint: Option<String>,
}

impl DatabaseErrorInformation for Refusal {
    fn message(&self) -> &str {
        &self.words
    }

    fn constraint_name(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn details(&self) -> Option<&str> {
        None
    }

    fn hint(&self) -> Option<&str> {
        None
    }

    fn table_name(&self) -> Option<&str> {
        None
    }

    fn column_name(&self) -> Option<&str> {
        None
    }

    fn statement_position(&self) -> Option<i32> {
        None
    }
}

/// In one line, with the reason that tokio-postgres keeps in its source.
pub fn with_reason(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return words_of(said);
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(reason) = source {
        let reason_words = reason.to_string();
        if !words.contains(&reason_words) {
            words = format!("{words}: {reason_words}");
        }
        source = reason.source();
    }
    words
}

fn words_of(said: &DbError) -> String {
    format!("{}{MARK}{})", said.message(), said.code().code())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    /// What becomes of an error that a server says in these fields.
    async fn said(fields: &str) -> DieselError {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let server = tokio::spawn({
            let error = message(b'E', fields.replace('|', "\0").as_bytes());
            async move {
                let (mut buffer, ready) = ([0; 1024], message(b'Z', b"I"));
                assert!(theirs.read(&mut buffer).await.unwrap() > 0);
                theirs.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await.unwrap();
                assert!(theirs.read(&mut buffer).await.unwrap() > 0);
                theirs.write_all(&[error, ready].concat()).await.unwrap();
            }
        });
        let config = tokio_postgres::Config::new().user("keystead").clone();
        let (client, connection) = config.connect_raw(ours, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let error = client.batch_execute("COMMIT").await.unwrap_err();
        server.await.unwrap();
        of(&error)
    }

    /// A server that cannot write its log may have written the commit: then it says the same code, and panics.
    #[tokio::test]
    async fn only_an_error_is_a_refusal_whatever_its_code() {
        for (severity, is_refusal) in [
            ("SFEHLER|VERROR", true),
            ("SPANIK|VPANIC", false),
            ("SFATAL|VFATAL", false),
            ("SERROR", true),
            ("SFATAL", false),
        ] {
            let error = said(&format!("{severity}|C53100|Mno space||")).await;
            let DieselError::DatabaseError(kind, said) = &error else { panic!("{error}") };
            assert_eq!(!matches!(kind, DatabaseErrorKind::ClosedConnection), is_refusal, "{severity}");
            assert_eq!(said.message(), "no space (SQLSTATE 53100)");
        }
    }

    #[test]
    fn the_code_stands_at_the_end() {
        assert_eq!(sql_state("Sperre (SQLSTATE 1) nicht erhalten (SQLSTATE 55P03)"), Some("55P03"));
        assert_eq!(sql_state("connection closed"), None);
        assert_eq!(sql_state("column \"a (SQLSTATE 55P03) b\" does not exist"), None);
    }
}
