//! A request that failed, before it has a shape: HTML pages, htmx fragments and JSON problems are made from it.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, http::StatusCode};

use super::request_id::RequestId;
use crate::{
    actions::{
        error_code::{self, ErrorCode, NOT_FOUND, TOO_MANY_REQUESTS, UNAVAILABLE},
        find_key::ReadError,
    },
    domain::authority::NotPermitted,
    passwords::PasswordFault,
    store::{Fault, StoreError},
};

/// What is said of a fault that has certainly changed nothing (every change is one transaction).
pub const NOTHING_CHANGED: &str = "Something went wrong on our side and nothing was changed. Please try again.";
/// What is said where that is not certain, word for word.
pub const OUTCOME_UNKNOWN: &str = "We don't know whether this was saved. Reload the page to see.";
/// The `code` of a request that could not be read, so that nothing was begun.
const UNREADABLE_CODE: &str = "bad_request";

const TELL_THE_OPERATOR: &str = "If it happens again, tell whoever runs this server the request ID.";

/// What went wrong, in words for whoever asked.
#[derive(Clone, Debug)]
pub struct Failure {
    /// 4xx or 503.
    pub status: StatusCode,
    /// Stable word for programs, such as `not_found`.
    pub code: &'static str,
    /// A few words.
    pub heading: String,
    /// What it means and what to do.
    pub message: String,
    /// Seconds to wait, for 429 and 503.
    pub retry_after: Option<i64>,
    /// The methods that work, for 405: `GET, POST`.
    pub allow: Option<String>,
}

impl Failure {
    /// A failure without a waiting time.
    pub fn new(status: StatusCode, code: &'static str, heading: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code, heading: heading.into(), message: message.into(), retry_after: None, allow: None }
    }

    /// Nothing is here, or nothing that this caller may see.
    pub fn not_found() -> Self {
        let message = "There is nothing at this address. It may have been moved or removed.";
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, "Page not found", message)
    }

    /// A fault of the database, logged here with its own words, which are not for the caller.
    pub fn of_store(error: &StoreError) -> Self {
        tracing::error!(%error, "the database failed");
        if matches!(error, StoreError::Unknown(_)) { Self::unknown() } else { Self::fault(advice_on(error)) }
    }

    /// A fault after which a change may be made or not.
    pub fn unknown() -> Self {
        let heading = "We don't know whether this was saved";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error_code::OUTCOME_UNKNOWN, heading, OUTCOME_UNKNOWN)
    }

    /// Of a request that only reads there is nothing to be in doubt about.
    pub fn of_a_read(self) -> Self {
        if self.code == error_code::OUTCOME_UNKNOWN { Self::fault(TELL_THE_OPERATOR) } else { self }
    }

    /// Whether the request could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.code == UNREADABLE_CODE
    }

    /// Any other fault of ours that has certainly changed nothing.
    pub fn fault(advice: &str) -> Self {
        let message = format!("{NOTHING_CHANGED} {advice}");
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        Self { retry_after: Some(5), ..Self::new(unavailable, UNAVAILABLE, "Something went wrong", message) }
    }

    /// What to say of an answer that came without words: the framework's own 404, 405, 413, a panic's 500, …
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "Wrong kind of request",
                "This address does not answer this kind of request. Go back and try again.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                "payload_too_large",
                "Too much data",
                "At most 16 KiB can be sent at once. Send less and try again.",
            ),
            status if status.is_server_error() => Self::unknown(),
            status => Self::new(
                status,
                UNREADABLE_CODE,
                "That request could not be read",
                "Reload the page and try again. Nothing was changed.",
            ),
        }
    }

    /// The session could not be written: before the change was made, or after it.
    pub fn of_session() -> Self {
        let message = format!("Something went wrong on our side with your session. {OUTCOME_UNKNOWN}");
        Self { message, ..Self::unknown() }
    }

    /// Too often; the seconds to wait.
    pub fn too_many_attempts(seconds: i64) -> Self {
        let unit = if seconds == 1 { "second" } else { "seconds" };
        Self::too_many(seconds, format!("Too many attempts. Wait {seconds} {unit} and try again."))
    }

    fn too_many(seconds: i64, message: String) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { retry_after: Some(seconds), ..Self::new(status, TOO_MANY_REQUESTS, "Too many attempts", message) }
    }

    /// A password that could not be hashed or checked.
    pub fn of_password(fault: &PasswordFault) -> Self {
        match fault {
            PasswordFault::Busy => {
                Self::too_many(2, "Many people are signing in right now. Wait 2 seconds and try again.".to_owned())
            }
            PasswordFault::Failed(error) => {
                tracing::error!(%error, "password hashing failed");
                Self::fault(TELL_THE_OPERATOR)
            }
        }
    }

    /// The message for a page that stays where it is, with the id by which the log knows the request.
    pub fn message_with_id(&self, request: &HttpRequest) -> String {
        match request.extensions().get::<RequestId>() {
            Some(RequestId(id)) if self.status.is_server_error() => format!("{} Request ID: {id}", self.message),
            _ => self.message.clone(),
        }
    }

    /// An answer without a body yet; [`super::envelope`] gives it one that suits the caller.
    pub fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        response.extensions_mut().insert(self);
        response
    }
}

/// What can be done about a fault of the database.
pub fn advice_on(error: &StoreError) -> &'static str {
    let StoreError::Fault(fault, _) = error else { return TELL_THE_OPERATOR };
    match fault {
        Fault::Busy => "The database is busy or locked by another program; wait a few seconds.",
        Fault::NoConnection => "No connection to the database is free; wait a few seconds.",
        Fault::Full => "The server's disk is full; whoever runs this server must make room.",
        Fault::Unreachable => "The database can't be reached; wait a minute.",
        Fault::Numbers | Fault::Damaged | Fault::Other => TELL_THE_OPERATOR,
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.clone().into_response()
    }
}

impl From<NotPermitted> for Failure {
    fn from(error: NotPermitted) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            error.code(),
            "You may not do this",
            "Your role in this organization does not allow it. Ask one of its admins. Nothing was changed.",
        )
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotPermitted(error) => error.into(),
            ReadError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::of_store(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permission::Permission;

    #[test]
    fn what_is_not_permitted_is_403_with_a_stable_word() {
        let failure = Failure::from(NotPermitted(Permission::ChangeKeys));
        assert_eq!((failure.status, failure.code), (StatusCode::FORBIDDEN, "permission_missing"));
        let failure = Failure::from(ReadError::NotPermitted(NotPermitted(Permission::ReadKeys)));
        assert_eq!((failure.status, failure.code), (StatusCode::FORBIDDEN, "permission_missing"));
    }
}
