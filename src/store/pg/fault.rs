//! Postgres' errors as Diesel's. Diesel has no place for the SQLSTATE, which unlike the message is the same in every
//! language, so it travels at the end of the message.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tokio_postgres::error::{DbError, SqlState};

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

pub fn of(error: &tokio_postgres::Error) -> DieselError {
    let Some(said) = error.as_db_error() else { return lost(with_reason(error)) };
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
    DieselError::DatabaseError(kind, Box::new(words_of(said)))
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
    use super::sql_state;

    #[test]
    fn the_code_stands_at_the_end() {
        assert_eq!(sql_state("Sperre (SQLSTATE 1) nicht erhalten (SQLSTATE 55P03)"), Some("55P03"));
        assert_eq!(sql_state("connection closed"), None);
        assert_eq!(sql_state("column \"a (SQLSTATE 55P03) b\" does not exist"), None);
    }
}
