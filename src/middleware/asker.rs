//! A gateway's question that arrives at another address than `/v1/forward-auth`.
//!
//! A gateway takes any 200 for a yes. One that puts its client's path behind ours, with something in between that resolves
//! `..`, would ask `/livez` whenever its client wants it to. So whoever asks says that it is a question, and every other
//! route answers such a request with 403 (decision 24).

use actix_web::http::{
    StatusCode,
    header::{HeaderMap, HeaderName},
};

use super::failure::Failure;

/// What a gateway sends with each question; its value does not matter.
pub const KEYSTEAD_ASKER: HeaderName = HeaderName::from_static("keystead-asker");

/// The refusal of a gateway's question, for every route but forward-auth's.
pub fn lost_question(headers: &HeaderMap) -> Option<Failure> {
    let message = "A gateway's question belongs to /v1/forward-auth and came here. Copy the gateway's configuration again from \
        Settings → Integrations → Protect your API, and let nothing in between rewrite its paths.";
    let status = StatusCode::FORBIDDEN;
    headers.contains_key(KEYSTEAD_ASKER).then(|| Failure::new(status, "lost_question", "Wrong address", message))
}
