//! `POST /v1/keys/verify`: is this key good? And these?

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderMap},
    },
    web::{self, Bytes},
};
use serde::Serialize;
use serde_json::error::Category;

use super::{
    problem,
    questions::{MAX_KEYS, Question},
};
use crate::{
    actions::{
        verify_key::{NoLease, verify_key},
        verify_keys::verify_keys,
    },
    app::Site,
    domain::verdict::Verdict,
    key_index::Caller,
    metrics::Endpoint,
    middleware::{
        asker,
        client::{self, caller_of},
        connection, envelope,
        failure::Failure,
        limits,
    },
};

/// The largest body, in bytes: room for [`MAX_KEYS`] of the longest keys.
const MAX_BODY: usize = 128 * 1024;
/// What is said to a body that cannot be read.
const EXPECTED: &str = r#"Send {"key": "…"} or {"keys": ["…", …]} with at most 1,000 keys."#;

/// The routes of this module.
pub fn configure(config: &mut web::ServiceConfig) {
    let resource =
        web::resource("/v1/keys/verify").route(web::post().to(verify)).default_service(web::to(refuse_method));
    config.service(resource);
}

/// Always 200 for a well-formed question: `code` is `VALID`, or the reason why not.
#[derive(Serialize)]
struct Answer<'a> {
    valid: bool,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// The answers to many, in the order of the keys.
#[derive(Serialize)]
struct Answers<'a> {
    results: Vec<Answer<'a>>,
}

impl<'a> From<Verdict<'a>> for Answer<'a> {
    fn from(verdict: Verdict<'a>) -> Self {
        let key = verdict.key();
        Self {
            valid: verdict.is_valid(),
            code: verdict.code().word(),
            key_id: key.map(|key| key.id()),
            organization_id: key.map(|key| key.organization_id),
            name: key.map(|key| key.name()),
        }
    }
}

async fn verify(site: web::Data<Site>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    let begun = site.metrics.begin();
    let response = answer(&site, &request, body).await;
    site.metrics.answered_since(begun, Endpoint::Verify, response.status().as_u16());
    response
}

async fn answer(site: &Site, request: &HttpRequest, body: web::Payload) -> HttpResponse {
    let headers = request.headers();
    if let Some(failure) = asker::lost_question(headers).or_else(|| from_a_browser_elsewhere(site, headers)) {
        return problem::answer(site, &failure);
    }
    let text = match read(request, body).await {
        Ok(text) => text,
        Err(failure) => {
            let mut response = problem::answer(site, &failure);
            if failure.status == StatusCode::REQUEST_TIMEOUT {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            return response;
        }
    };
    client::notice_forwarding(site, request);
    let caller = caller_of(request, &site.config.trusted_proxies);
    let answer = match serde_json::from_slice(without_mark(&text)) {
        Ok(Question::One(key)) => one(site, &key, caller),
        Ok(Question::Many(keys)) => many(site, &keys, caller),
        Err(error) => return problem::answer(site, &bad_json(&error)),
    };
    match answer {
        Ok(body) => {
            let mut response = HttpResponse::Ok().content_type("application/json").body(body);
            envelope::finish(&mut response, site, Some(&envelope::new_request_id()));
            response
        }
        Err(no_lease) => problem::answer(site, &no_lease.into()),
    }
}

/// Without the byte order mark that .NET and PowerShell write before a text (RFC 8259, 8.1, lets a reader pass over it).
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

fn one(site: &Site, key: &str, caller: Caller<'_>) -> Result<Vec<u8>, NoLease> {
    let index = site.keys.index.read();
    let answer = Answer::from(verify_key(&site.keys, &index, key, caller)?);
    Ok(serde_json::to_vec(&answer).unwrap_or_default())
}

fn many(site: &Site, keys: &[std::borrow::Cow<'_, str>], caller: Caller<'_>) -> Result<Vec<u8>, NoLease> {
    let index = site.keys.index.read();
    let results = verify_keys(&site.keys, &index, keys, caller)?.into_iter().map(Answer::from).collect();
    Ok(serde_json::to_vec(&Answers { results }).unwrap_or_default())
}

/// The refusal of what a page elsewhere had a browser send. Browsers name the page's origin with every post, and its host
/// may be a name that was made to point here (DNS rebinding), so `Host` tells nothing.
fn from_a_browser_elsewhere(site: &Site, headers: &HeaderMap) -> Option<Failure> {
    let mut origins = headers.get_all(header::ORIGIN);
    let origin = origins.next()?;
    let is_own = origins.next().is_none() && origin.to_str().is_ok_and(|origin| site.public_url.is_own_origin(origin));
    let message = "A browser sent this for a page of another site. Keys are verified by programs; send no Origin.";
    (!is_own).then(|| Failure::new(StatusCode::FORBIDDEN, "cross_site", "Request refused", message))
}

/// The body as it came: it is never inflated, and never longer than the limit.
async fn read(request: &HttpRequest, body: web::Payload) -> Result<Bytes, Failure> {
    let headers = request.headers();
    if let Some(failure) = limits::compressed_body(headers) {
        return Err(failure);
    }
    if !is_json(headers) {
        let message = format!("{EXPECTED} Content-Type must be application/json.");
        return Err(unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    match body.to_bytes_limited(MAX_BODY).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) if connection::is_out_of_time(request) => Err(limits::late_body()),
        Ok(Err(_)) => Err(unreadable(StatusCode::BAD_REQUEST, "The body could not be read.".to_owned())),
        Err(_) => {
            let message = format!("The body is longer than {MAX_BODY} bytes. {EXPECTED}");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(Failure::new(status, "payload_too_large", "Too much data", message))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json") || kind.to_ascii_lowercase().ends_with(b"+json")
}

/// The position and the kind of the error, never what was sent: it may be a key.
fn bad_json(error: &serde_json::Error) -> Failure {
    let what = match error.classify() {
        Category::Data => "does not have the expected members",
        _ => "is not JSON",
    };
    let (line, column) = (error.line(), error.column());
    unreadable(StatusCode::BAD_REQUEST, format!("The body {what} (line {line}, column {column}). {EXPECTED}"))
}

fn unreadable(status: StatusCode, message: String) -> Failure {
    Failure::new(status, "bad_request", "The request body could not be read", message)
}

async fn refuse_method(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    let begun = site.metrics.begin();
    let refused = asker::lost_question(request.headers()).unwrap_or_else(|| {
        let failure = Failure::of_status(StatusCode::METHOD_NOT_ALLOWED);
        Failure { allow: Some("POST".to_owned()), ..failure }
    });
    let response = problem::answer(&site, &refused);
    site.metrics.answered_since(begun, Endpoint::Verify, response.status().as_u16());
    response
}

const _: () = assert!(MAX_BODY > MAX_KEYS * (crate::domain::secret::MAX_KEY_BYTES + 4));
