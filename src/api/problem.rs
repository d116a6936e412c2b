//! Failures for programs: RFC 9457 problem documents with a stable `code`.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

use crate::{
    actions::verify_key::{NoLease, RETRY_AFTER},
    app::Site,
    middleware::{
        envelope::{self, Asked},
        failure::Failure,
        request_log,
    },
};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

#[derive(Serialize)]
struct Problem<'a> {
    /// `about:blank`: the status says what kind of problem it is, `code` says which.
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// A problem document as text.
pub fn document(status: StatusCode, code: &'static str, detail: &str, request_id: Option<&str>) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail, code, request_id };
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The words for programs. What is said to people of an address, to go back or to reload, is no help to a program.
fn detail(failure: &Failure) -> std::borrow::Cow<'_, str> {
    match (failure.status, &failure.allow) {
        (StatusCode::NOT_FOUND, _) => {
            "There is no such endpoint. There are POST /v1/keys/verify, /v1/forward-auth (any \
            method), GET /livez, GET /readyz and GET /readyz/pages."
                .into()
        }
        (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) => format!("This endpoint answers {allow} only.").into(),
        _ => failure.message.as_str().into(),
    }
}

/// Gives a failure the body of a problem document.
pub fn shape(_app: &Site, failure: &Failure, asked: &Asked) -> HttpResponse {
    let body = document(failure.status, failure.code, &detail(failure), Some(&asked.request_id));
    HttpResponse::build(failure.status).content_type(PROBLEM_JSON).body(body)
}

/// The whole answer for a failure outside of the envelope, where verifications are answered.
pub fn answer(site: &Site, failure: &Failure) -> HttpResponse {
    let id = envelope::new_request_id();
    request_log::not_verified(site, &id, failure);
    let body = document(failure.status, failure.code, &detail(failure), Some(&id));
    let mut builder = HttpResponse::build(failure.status);
    builder.content_type(PROBLEM_JSON);
    if let Some(seconds) = failure.retry_after {
        builder.insert_header((header::RETRY_AFTER, seconds));
    }
    if let Some(allow) = &failure.allow {
        builder.insert_header((header::ALLOW, allow.as_str()));
    }
    let mut response = builder.body(body);
    envelope::finish(&mut response, site, Some(&id));
    response
}

impl From<NoLease> for Failure {
    fn from(_: NoLease) -> Self {
        let message = "This node cannot tell right now whether its keys are up to date: it is starting, or cut off from \
            its database. Ask again, or another node.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let retry_after = i64::try_from(RETRY_AFTER.as_secs()).ok();
        Self { retry_after, ..Self::new(status, "no_lease", "Not now", message) }
    }
}
