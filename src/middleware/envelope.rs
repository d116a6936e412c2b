//! Around every request: an id, a line in the log, the security headers, and a failure in the shape of its caller.
//!
//! It is one middleware and stands outside of all that can fail, because an error of an inner one carries no request any
//! more: whatever is needed to answer it is noted before.

use std::{cell::Cell, time::Instant};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody},
    cookie::Cookie,
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use tracing::Instrument;

use super::{asker, client, connection, failure::Failure, limits, request_id::RequestId, request_log};
use crate::{app::Site, metrics::Endpoint};

/// What must be known of a request to answer its failure.
#[derive(Debug)]
pub struct Asked {
    /// Of this request.
    pub request_id: String,
    /// Without the query.
    pub path: String,
    /// Whether it asks for something and changes nothing.
    pub is_a_read: bool,
    /// Whether htmx asks for a fragment.
    pub is_htmx: bool,
    /// The cookie of the chosen theme.
    pub theme: Option<String>,
}

/// Whether htmx asks, and wants a fragment.
pub fn is_htmx(headers: &HeaderMap) -> bool {
    headers.get("hx-request").is_some_and(|value| value == "true")
}

impl Asked {
    /// Whether a program asks, to whom a page is no answer.
    pub fn is_for_programs(&self) -> bool {
        is_for_programs(&self.path)
    }
}

/// Also by an address that is nearly one of theirs: with the slash of a base URL before it, or one behind it.
fn is_for_programs(path: &str) -> bool {
    let path = path.trim_matches('/');
    path.starts_with("v1/") || matches!(path, "v1" | "livez" | "readyz" | "readyz/pages")
}

/// Gives a failure its body; chosen by the composition root for programs and people.
pub type ShapeFailure = fn(&Site, &Failure, &Asked) -> HttpResponse;

/// The mark of an answer of ours: `ok`, or a failure's code. What comes without it was said by somebody in between, a proxy
/// or a sign-on portal, who does not know what was changed; `app.js` believes none of that.
pub const KEYSTEAD_ANSWER: HeaderName = HeaderName::from_static("keystead-answer");

/// How the words of the error begin with which a session that could not be read ends its request; what can be done follows.
pub const SESSION_UNREAD: &str = "the session could not be read: ";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything is refused that the pages do not need: no inline script or style, no foreign host, no frames, and only
/// htmx' policy may turn text into HTML.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types htmx";

const PERMISSIONS_POLICY: &str = "accelerometer=(), camera=(), clipboard-write=(self), display-capture=(), \
    geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()";

/// Gives a request its id, and its answer the headers, the log line and the shape of a failure.
pub async fn envelope(
    site: web::Data<Site>,
    shape: web::Data<ShapeFailure>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let asked = Asked {
        request_id: new_request_id(),
        path: request.path().to_owned(),
        is_a_read: request.method().is_safe(),
        is_htmx: is_htmx(request.headers()),
        theme: request.cookie("theme").as_ref().map(Cookie::value).map(str::to_owned),
    };
    let method = request.method().clone();
    if method == Method::HEAD {
        // Whatever answers GET answers HEAD (RFC 9110, 9.1); the server itself leaves the body out.
        request.head_mut().method = Method::GET;
    }
    request.extensions_mut().insert(RequestId(asked.request_id.clone()));
    client::notice_forwarding(&site, request.request());

    let span = tracing::info_span!("request", id = asked.request_id);
    let refused = asker::lost_question(request.headers()).or_else(|| limits::compressed_body(request.headers()));
    let result = match refused {
        Some(failure) => Ok(request.into_response(failure.into_response())),
        None => next.call(request).instrument(span.clone()).await.map(ServiceResponse::map_into_boxed_body),
    };
    let _in_request = span.enter();
    let result = match result {
        Ok(mut response) => {
            let is_late = connection::is_out_of_time(response.request());
            if let Some(failure) = unshaped_failure(response.response()) {
                // Its body ended early because it was not waited for any longer. Any other failure says what is known of
                // it, and a change that may be saved must not be called undone.
                let failure = if is_late && failure.is_unreadable() { limits::late_body() } else { failure };
                let shaped = shape_failure(&site, **shape, &failure, &asked, response.headers());
                response = response.into_response(shaped);
            }
            let headers = response.headers_mut();
            if !headers.contains_key(KEYSTEAD_ANSWER) {
                headers.insert(KEYSTEAD_ANSWER, HeaderValue::from_static("ok"));
            }
            finish(response.response_mut(), &site, Some(&asked.request_id));
            if is_late {
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            Ok(response)
        }
        Err(error) => {
            let bare = error.error_response();
            tracing::error!(%error, "a middleware failed");
            let failure = match error.to_string().strip_prefix(SESSION_UNREAD) {
                // Nobody has begun anything by then.
                Some(advice) => Failure::fault(advice),
                None if bare.status().is_server_error() => Failure::of_session(),
                None => Failure::of_status(bare.status()),
            };
            let mut shaped = shape_failure(&site, **shape, &failure, &asked, bare.headers());
            finish(&mut shaped, &site, Some(&asked.request_id));
            Err((shaped.status(), InternalError::from_response(error, shaped).into()))
        }
    };
    let status = match &result {
        Ok(response) => response.status(),
        Err((status, _)) => *status,
    };
    let (took, endpoint) = (begun.elapsed(), endpoint_of(&asked.path));
    request_log::answered(&site, endpoint == Endpoint::Page, &method, &asked.path, status, took);
    site.metrics.answered(took, endpoint, status.as_u16());
    result.map_err(|(_, error)| error)
}

/// Verifications are not answered in here, and counted where they are.
fn endpoint_of(path: &str) -> Endpoint {
    match path {
        _ if is_for_programs(path) => Endpoint::Other,
        _ if path.starts_with("/static/") => Endpoint::Static,
        _ => Endpoint::Page,
    }
}

/// A failure that nobody has given a body: one of ours, or one of the framework's, which speaks plain text or not at
/// all.
fn unshaped_failure(response: &HttpResponse<BoxBody>) -> Option<Failure> {
    let status = response.status();
    if let Some(failure) = response.extensions().get::<Failure>() {
        return Some(failure.clone());
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_plain = content_type.is_none_or(|value| value.as_bytes().starts_with(b"text/plain"));
    let is_empty_answer_of_ours = response.headers().contains_key("hx-redirect");
    let is_error = status.is_client_error() || status.is_server_error();
    (is_error && is_plain && !is_empty_answer_of_ours).then(|| Failure::of_status(status))
}

fn shape_failure(
    site: &Site,
    shape: ShapeFailure,
    failure: &Failure,
    asked: &Asked,
    before: &HeaderMap,
) -> HttpResponse {
    let mut failure = if asked.is_a_read { failure.clone().of_a_read() } else { failure.clone() };
    failure.allow = before.get(header::ALLOW).and_then(|allow| allow.to_str().ok()).map(str::to_owned);
    let mut shaped = shape(site, &failure, asked);
    shaped.headers_mut().insert(KEYSTEAD_ANSWER, HeaderValue::from_static(failure.code));
    if let Some(allow) = before.get(header::ALLOW) {
        shaped.headers_mut().insert(header::ALLOW, allow.clone());
    }
    if let Some(seconds) = failure.retry_after {
        shaped.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    shaped
}

/// What every answer carries, and the end of its connection when the server is about to stop.
pub fn finish(response: &mut HttpResponse, site: &Site, request_id: Option<&str>) {
    add_headers(response.headers_mut(), site, request_id);
    if site.is_draining() {
        // Not by the header: the encoder writes its own.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

/// The same for an answer that no browser ever sees: a gateway reads it, and passes on what it is configured to.
pub fn finish_for_gateway(response: &mut HttpResponse, site: &Site) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if site.is_draining() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
}

fn add_headers(headers: &mut HeaderMap, site: &Site, request_id: Option<&str>) {
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_SECURITY_POLICY, fixed(CONTENT_SECURITY_POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    // Only where it counts: a browser complains of it on plain http, and a program has no windows.
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page && site.public_url.is_trustworthy() {
        headers.insert(header::CROSS_ORIGIN_OPENER_POLICY, fixed("same-origin"));
    }
    headers.insert(header::CROSS_ORIGIN_RESOURCE_POLICY, fixed("same-origin"));
    headers.insert(header::PERMISSIONS_POLICY, fixed(PERMISSIONS_POLICY));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, fixed("no-store"));
    }
    if site.public_url.is_secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000"));
    }
    if let Some(Ok(id)) = request_id.map(HeaderValue::from_str) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// 64 bits that look random: enough to find one request in a log. Not a secret, so each thread draws once and counts on
/// from there (SplitMix64, Steele et al. 2014): asking the operating system each time costs more than a verification.
pub fn new_request_id() -> String {
    use rand::TryRng;
    thread_local! {
        static STATE: Cell<u64> = Cell::new(rand::rngs::SysRng.try_next_u64().unwrap_or_default());
    }
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let number = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("req_{:016x}", number ^ (number >> 31))
}
