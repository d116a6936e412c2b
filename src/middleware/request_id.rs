//! The id of a request, by which an answer finds its lines in the log.

/// Stands in the log, in the audit log, in `X-Request-Id` and on error pages.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);
