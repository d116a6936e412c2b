//! What is said under a field for a name.

use crate::domain::name::NameError;

/// What is wrong with a name and what to do about it; `when_empty` asks for this name.
pub fn name_error(error: &NameError, when_empty: &'static str) -> String {
    match error {
        NameError::Empty => when_empty.to_owned(),
        NameError::TooLong => TOO_LONG.to_owned(),
        NameError::Invisible(what) => what.to_string(),
    }
}

/// Also what is said of a name of a megabyte.
pub const TOO_LONG: &str = "Use 64 characters or fewer.";
