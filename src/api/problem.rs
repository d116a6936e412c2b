//! Failures for programs: RFC 9457 problem documents with a stable `code`.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::{
    app::App,
    middleware::{envelope::Asked, failure::Failure},
};

#[derive(Serialize)]
struct Problem<'a> {
    /// `about:blank`: the status says what kind of problem it is, `code` says which.
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
}

/// Gives a failure the body of a problem document.
pub fn shape(_app: &App, failure: &Failure, asked: &Asked) -> HttpResponse {
    HttpResponse::build(failure.status).content_type("application/problem+json").json(Problem {
        r#type: "about:blank",
        title: failure.status.canonical_reason().unwrap_or("Error"),
        status: failure.status.as_u16(),
        detail: &failure.message,
        code: failure.code,
        request_id: &asked.request_id,
    })
}
